__version__ = "0.1.0"


def load(path):
    "A run's folder or an exported ONNX file as something to call with clips: see `last.recognizer.load`."
    from .recognizer import load

    return load(path)


def __getattr__(name):
    "`last.StreamingRecognizer`, imported only when it is asked for."
    if name == "StreamingRecognizer":
        from .streaming import StreamingRecognizer

        return StreamingRecognizer

    raise AttributeError(f"module 'last' has no attribute {name!r}")
