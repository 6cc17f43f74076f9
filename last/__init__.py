__version__ = "0.1.0"


def load(path):
    "A run's folder or an exported ONNX file as something to call with clips: see `last.recognizer.load`."
    from .recognizer import load

    return load(path)
