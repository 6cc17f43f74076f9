"""Start-up, memory and answers of an exported run in an environment that has neither torch nor this package, beside the run itself in this one.

    python experiments/benchmarks/edge.py RUN --store STORE --out results/bench/edge.json

Each figure is the median over fresh processes, one thread (Linux). Leave the machine alone meanwhile.
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

BARE = """
import json, sys, time
start = time.perf_counter()
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
clips = [np.load(f) for f in sys.argv[2:]]
ask = lambda c: session.run(None, {"joints": c[None], "present": np.isfinite(c).any((1, 2))[None]})[0][0]
first = ask(clips[0])
ready = time.perf_counter() - start
peak = next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
seconds = []
for _ in range(20):
    for c in clips[:5]:
        t = time.perf_counter(); ask(c); seconds.append(time.perf_counter() - t)
found = {m for m in ("torch", "last") if m in sys.modules}
print(json.dumps(dict(start_s=ready, clip_ms=1e3 * float(np.median(seconds)), memory_mb=peak, probabilities=[ask(c).tolist() for c in clips], found=sorted(found))))
"""
FULL = """
import json, sys, time
start = time.perf_counter()
import numpy as np, torch, last
torch.set_num_threads(1)
recognizer = last.load(sys.argv[1])
clips = [np.load(f) for f in sys.argv[2:]]
recognizer(clips[0])
ready = time.perf_counter() - start
peak = next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
seconds = []
for _ in range(20):
    for c in clips[:5]:
        t = time.perf_counter(); recognizer(c); seconds.append(time.perf_counter() - t)
print(json.dumps(dict(start_s=ready, clip_ms=1e3 * float(np.median(seconds)), memory_mb=peak, probabilities=[recognizer(c)[0].tolist() for c in clips])))
"""


@dataclass
class Config:
    run: Annotated[str, Positional]  # folder; one person
    store: str  # its store
    out: str
    processes: int = 5
    clips: int = 64


def main(cfg: Config) -> None:
    run, store = load_run(cfg.run), Store(cfg.store)
    if run.pipeline.pre.persons != 1:
        raise SystemExit(f"error: {cfg.run}: expected a run with one person")
    numbers = store.part(run.info.protocol, "test")[: cfg.clips]
    with tempfile.TemporaryDirectory() as tmp:
        venv.create(f"{tmp}/bare", with_pip=True)
        python = f"{tmp}/bare/bin/python"
        subprocess.run(
            [
                python,
                "-m",
                "pip",
                "install",
                "-q",
                "-c",
                str(Path(__file__).parent.parent / "constraints.txt"),
                "onnxruntime",
                "numpy",
            ],
            check=True,
        )
        clips = []
        for i in numbers:
            clips.append(f"{tmp}/{i}.npy")
            np.save(clips[-1], store[int(i)][0])
        ways = {
            "the run itself (torch)": [sys.executable, "-c", FULL, str(Path(cfg.run).resolve())]
        }
        sizes = {}
        for kind in ("fp32", "fp16", "int8"):
            sizes[f"onnx {kind}"] = export(
                ExportConfig(
                    cfg.run,
                    f"{tmp}/{kind}.onnx",
                    joints=True,
                    fp16=kind == "fp16",
                    int8=kind == "int8",
                    data=cfg.store,
                )
            )["bytes"]
            ways[f"onnx {kind}"] = [python, "-c", BARE, f"{tmp}/{kind}.onnx"]
        told = {name: [] for name in ways}
        for _ in range(cfg.processes):
            for name, command in ways.items():
                told[name].append(
                    json.loads(
                        subprocess.run(
                            [*command, *clips], check=True, capture_output=True, text=True
                        ).stdout
                    )
                )
    ours, out = np.array(told["the run itself (torch)"][0]["probabilities"]), {}
    for name, runs in told.items():
        p = np.array(runs[0]["probabilities"])
        assert not any(r.get("found") for r in runs)
        out[name] = {
            k: float(np.median([r[k] for r in runs])) for k in ("start_s", "clip_ms", "memory_mb")
        }
        out[name].update(
            bytes=sizes.get(name),
            largest_difference=float(np.abs(p - ours).max()),
            same_class=100 * float((p.argmax(1) == ours.argmax(1)).mean()),
        )
        print(name, out[name])
    write_json(
        Path(cfg.out),
        dict(
            ways=out,
            clips=len(numbers),
            processes=cfg.processes,
            trained=run.info.as_dict(),
            environment=environment(),
        ),
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
