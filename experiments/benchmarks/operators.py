"""Where the milliseconds of ONNX files go: time by operator, on one thread, the files in turns.

    python experiments/benchmarks/operators.py before=old.onnx after=new.onnx \\
        --out results/bench/operators.json

Also the speed of one plain product on the same machine. The files take `skeleton` (batch, 3, T, V),
and the input is noise. Leave the machine alone meanwhile.
"""

import collections
import json
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime as ort
import tyro
from onnx import helper
from tyro.conf import Positional

from last.bench import interleave, latency
from last.core import environment, write_json
from last.onnx_files import onnx_session


@dataclass
class Config:
    files: Annotated[list[str], Positional]  # name=file.onnx
    out: str
    rounds: int = 60


def operators(file: str, feed: dict, rounds: int) -> dict:
    "Milliseconds and number of calls by operator, mean over rounds."
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_profiling = True

    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/p"
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))

    total = collections.Counter()  # ms
    calls = collections.Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            total[operator] += event["dur"] / 1e3 / rounds
            calls[operator] += 1 / rounds

    return {name: dict(ms=ms, calls=round(calls[name])) for name, ms in total.most_common()}


def product_file(m: int, k: int, n: int) -> bytes:
    "An ONNX file of one float32 product (m, k) x (k, n)."
    weights = np.random.default_rng(0).normal(size=(k, n)).astype(np.float32)
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", float32, [m, k])],
        [helper.make_tensor_value_info("y", float32, [m, n])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def product_speed(m: int = 800, k: int = 256, n: int = 768) -> float:
    "GMAC/s of the largest kind of product inside `reference-v1`, one thread, best of 200."
    session = onnx_session(product_file(m, k, n), 1)
    feed = dict(x=np.random.default_rng(1).normal(size=(m, k)).astype(np.float32))

    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        session.run(None, feed)
        seconds.append(time.perf_counter() - start)

    return m * k * n / min(seconds) / 1e9


def main(cfg: Config) -> None:
    files = dict(f.split("=", 1) for f in cfg.files)
    sessions = {name: onnx_session(file, 1) for name, file in files.items()}
    first = next(iter(sessions.values())).get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in first.shape]
    feed = dict(skeleton=np.random.default_rng(0).normal(size=shape).astype(np.float32))

    runs = {name: partial(session.run, None, feed) for name, session in sessions.items()}
    seconds = interleave(runs, cfg.rounds)
    speed = product_speed()
    profiles = {}
    for name, file in files.items():
        spent = operators(file, feed, cfg.rounds)
        profiles[name] = latency(seconds[name]) | dict(operators=spent)

    result = dict(
        shape=shape,
        product_gmacs_per_second=speed,
        environment=environment(),
        files=profiles,
    )
    write_json(Path(cfg.out), result)

    for name, profile in profiles.items():
        longest = list(profile["operators"].items())[:6]
        spent = ", ".join(f"{operator} {o['ms']:.2f}" for operator, o in longest)
        print(f"{name:20}{profile['median_ms']:8.2f} ms   {spent}")
    print(f"one product: {speed:.0f} GMAC/s")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
