"""Where the milliseconds of ONNX files go: time by operator on one thread, the files in turns, and the speed of one plain product on the same machine.

    python experiments/benchmarks/operators.py before=old.onnx after=new.onnx --out results/bench/operators.json

The files take `skeleton` (batch, 3, T, V); the input is noise. Leave the machine alone meanwhile.
"""

import collections
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime as ort
import tyro
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
    "Milliseconds and number of calls by operator, mean over runs."
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.enable_profiling = (
        1,
        1,
        True,
    )
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/p"
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    total, calls = collections.Counter(), collections.Counter()
    for e in events:
        if e.get("cat") == "Node" and e["name"].endswith("_kernel_time"):
            total[e["args"]["op_name"]] += e["dur"] / 1e3 / rounds
            calls[e["args"]["op_name"]] += 1 / rounds
    return {op: dict(ms=ms, calls=round(calls[op])) for op, ms in total.most_common()}


def product_speed(m: int = 800, k: int = 256, n: int = 768) -> float:
    "GMAC/s of one float32 product (m, k) x (k, n) in onnxruntime, the largest kind inside `reference`, one thread, best of 200."
    h = onnx.helper
    node, w = (
        h.make_node("MatMul", ["x", "w"], ["y"]),
        onnx.numpy_helper.from_array(
            np.random.default_rng(0).normal(size=(k, n)).astype(np.float32), "w"
        ),
    )
    graph = h.make_graph(
        [node],
        "product",
        [h.make_tensor_value_info("x", 1, [m, k])],
        [h.make_tensor_value_info("y", 1, [m, n])],
        [w],
    )
    session = onnx_session(
        h.make_model(
            graph, opset_imports=[h.make_opsetid("", 18)], ir_version=10
        ).SerializeToString(),
        1,
    )
    feed, best = dict(x=np.random.default_rng(1).normal(size=(m, k)).astype(np.float32)), np.inf
    for _ in range(200):
        start = time.perf_counter()
        session.run(None, feed)
        best = min(best, time.perf_counter() - start)
    return m * k * n / best / 1e9


if __name__ == "__main__":
    cfg = tyro.cli(Config, description=__doc__)
    files = dict(f.split("=", 1) for f in cfg.files)
    sessions = {name: onnx_session(f, 1) for name, f in files.items()}
    shape = [
        d if isinstance(d, int) else 1 for d in next(iter(sessions.values())).get_inputs()[0].shape
    ]
    feed = dict(skeleton=np.random.default_rng(0).normal(size=shape).astype(np.float32))
    seconds = interleave(
        {name: (lambda s=s: s.run(None, feed)) for name, s in sessions.items()}, cfg.rounds
    )
    result = dict(
        shape=shape,
        product_gmacs_per_second=product_speed(),
        environment=environment(),
        files={
            name: dict(latency(seconds[name]), operators=operators(f, feed, cfg.rounds))
            for name, f in files.items()
        },
    )
    write_json(Path(cfg.out), result)
    for name, r in result["files"].items():
        print(
            f"{name:20}{r['median_ms']:8.2f} ms   "
            + ", ".join(f"{op} {o['ms']:.2f}" for op, o in list(r["operators"].items())[:6])
        )
    print(f"one product: {result['product_gmacs_per_second']:.0f} GMAC/s")
