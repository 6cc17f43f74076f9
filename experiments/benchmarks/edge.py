"""Start-up, memory and answers of an exported run on a machine without torch.

    python experiments/benchmarks/edge.py RUN --store STORE --out results/bench/edge.json

The files run in an environment that has neither torch nor this package, the run itself in this
one. Each figure is the median over fresh processes, one thread (Linux). Leave the machine alone
meanwhile.
"""

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from last.core import environment, write_json
from last.export import ExportConfig, export
from last.runs import load_run
from last.store import Store

ROOT = Path(__file__).parents[2]
TORCH = "the run itself (torch)"
FIGURES = ("start_s", "clip_ms", "memory_mb")

# Each process runs HEAD, then how clips are classified, then TAIL.
HEAD = """
import json, sys, time
start = time.perf_counter()
import numpy as np
"""
BARE = """
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)


def classify(clip):
    feed = {"joints": clip[None], "present": np.isfinite(clip).any((1, 2))[None]}
    return session.run(None, feed)[0][0]
"""
FULL = """
import torch
import last

torch.set_num_threads(1)
recognizer = last.load(sys.argv[1])


def classify(clip):
    return recognizer(clip)[0]
"""
TAIL = """
clips = [np.load(file) for file in sys.argv[2:]]
classify(clips[0])
ready = time.perf_counter() - start
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        peak = int(line.split()[1]) / 1024

seconds = []
for _ in range(20):
    for clip in clips[:5]:
        t = time.perf_counter()
        classify(clip)
        seconds.append(time.perf_counter() - t)

result = dict(
    start_s=ready,
    clip_ms=1e3 * float(np.median(seconds)),
    memory_mb=peak,
    probabilities=[classify(clip).tolist() for clip in clips],
    found=sorted({"torch", "last"} & set(sys.modules)),
)
print(json.dumps(result))
"""


@dataclass
class Config:
    run: Annotated[str, Positional]  # folder; one person
    store: str  # its store
    out: str
    processes: int = 5
    clips: int = 64


def bare_python(folder: str) -> str:
    "A new environment with onnxruntime and numpy alone; returns its Python."
    venv.create(folder, with_pip=True)
    python = f"{folder}/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, "onnxruntime", "numpy"], check=True)
    return python


def run_once(command: list[str], clips: list[str]) -> dict:
    "What one fresh process reports."
    done = subprocess.run([*command, *clips], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def summarize(reports: list[dict], exact: np.ndarray) -> dict:
    "Medians over processes, and how close the probabilities are to those of the run, (N, classes)."
    probabilities = np.array(reports[0]["probabilities"])
    same = probabilities.argmax(1) == exact.argmax(1)
    medians = {key: float(np.median([r[key] for r in reports])) for key in FIGURES}
    return dict(
        **medians,
        largest_difference=float(np.abs(probabilities - exact).max()),
        same_class=100 * float(same.mean()),
    )


def main(cfg: Config) -> None:
    run = load_run(cfg.run)
    store = Store(cfg.store)
    if run.pipeline.pre.persons != 1:
        raise SystemExit(f"error: {cfg.run}: expected a run with one person")

    numbers = store.part(run.info.protocol, "test")[: cfg.clips]
    with tempfile.TemporaryDirectory() as tmp:
        python = bare_python(f"{tmp}/bare")
        clips = []
        for i in numbers:
            clips.append(f"{tmp}/{i}.npy")
            np.save(clips[-1], store[int(i)][0])  # (T, V, 3)

        # the run, and three files
        full = [sys.executable, "-c", HEAD + FULL + TAIL, str(Path(cfg.run).resolve())]
        commands = {TORCH: full}
        sizes = {}
        for kind in ("fp32", "fp16", "int8"):
            file = f"{tmp}/{kind}.onnx"
            precision = {} if kind == "fp32" else {kind: True}
            result = export(ExportConfig(cfg.run, file, joints=True, data=cfg.store, **precision))
            sizes[f"onnx {kind}"] = result["bytes"]
            commands[f"onnx {kind}"] = [python, "-c", HEAD + BARE + TAIL, file]

        # in turns
        reports = {name: [] for name in commands}
        for _ in range(cfg.processes):
            for name, command in commands.items():
                reports[name].append(run_once(command, clips))

    exact = np.array(reports[TORCH][0]["probabilities"])
    ways = {}
    for name, found in reports.items():
        if name != TORCH and any(report["found"] for report in found):
            raise SystemExit(f"error: {name}: torch or this package was imported")
        ways[name] = summarize(found, exact) | dict(bytes=sizes.get(name))
        print(name, ways[name])

    facts = dict(clips=len(numbers), processes=cfg.processes, trained=run.info.as_dict())
    write_json(Path(cfg.out), dict(ways=ways, **facts, environment=environment()))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
