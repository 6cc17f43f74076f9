"""How fast an exported file is on a small computer, such as a Raspberry Pi.

    scp model.onnx experiments/benchmarks/pi.py pi:
    ssh pi "pip install numpy onnxruntime && python3 pi.py model.onnx"

Needs numpy and onnxruntime alone, and nothing of this repository. Files with the preprocessing
inside (`export --joints`) and steps of causal networks are timed, on one thread unless `--threads`
says otherwise. `--out pi.json` keeps the figures. Leave the machine alone meanwhile.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def machine() -> str:
    "The name of the board, or of the processor."
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(encoding="utf-8").strip("\0\n")

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {platform.machine()}"


def example(session, frames: int) -> dict[str, np.ndarray]:
    "Inputs of the right names and shapes: people who sway a little."
    rng = np.random.default_rng(0)
    feed = {}
    for part in session.get_inputs():
        sizes = {0: 1, 1: frames}
        shape = [n if isinstance(n, int) else sizes.get(i, 1) for i, n in enumerate(part.shape)]
        if part.type == "tensor(bool)":
            feed[part.name] = np.ones(shape, bool)
        elif part.name.startswith("state"):
            feed[part.name] = np.zeros(shape, np.float32)
        else:
            moved = rng.normal(0, 0.01, shape).cumsum(1)
            feed[part.name] = (moved + rng.normal(0, 0.5, shape)).astype(np.float32)

    return feed


def measure(session, feed: dict, rounds: int) -> np.ndarray:
    "Milliseconds of each call; a step's memory is handed on."
    states = [part.name for part in session.get_inputs() if part.name.startswith("state")]
    spent = []
    for i in range(rounds + 10):
        start = time.perf_counter()
        answers = session.run(None, feed)
        if i >= 10:  # the first ones warm up
            spent.append(1e3 * (time.perf_counter() - start))
        if states:
            feed |= dict(zip(states, answers[-len(states) :]))

    return np.array(spent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", help="what `python -m last export` wrote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--frames", type=int, default=64, help="of a clip with raw joints")
    parser.add_argument("--out", help="JSON file")
    cfg = parser.parse_args()
    if not Path(cfg.file).is_file():
        print(f"error: {cfg.file}: no such file", file=sys.stderr)
        return 1

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cfg.threads
    session = onnxruntime.InferenceSession(cfg.file, options, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    feed = example(session, cfg.frames)
    ms = measure(session, feed, cfg.rounds)

    is_step = "frames" in feed
    frames = feed["frames"].shape[1] if is_step else 0
    what = f"one step of {frames} frames" if is_step else "one clip"
    result = dict(machine=machine(), file=Path(cfg.file).name, what=what, threads=cfg.threads)
    result |= dict(median_ms=float(np.median(ms)), min_ms=float(ms.min()))
    result |= dict(p95_ms=float(np.percentile(ms, 95)), rounds=cfg.rounds)
    result |= dict(onnxruntime=onnxruntime.__version__, numpy=np.__version__)
    result |= dict(python=platform.python_version(), network=about.get("model", ""))
    if is_step:
        result["frames_per_second"] = 1e3 * frames / result["median_ms"]

    print(f"{result['machine']}, onnxruntime {result['onnxruntime']}, {cfg.threads} thread(s)")
    print(f"{what}: median {result['median_ms']:.2f} ms, 95 % {result['p95_ms']:.2f} ms")
    if is_step:
        print(f"{result['frames_per_second']:.0f} frames per second; a camera sends about 30")
    if cfg.out:
        Path(cfg.out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
