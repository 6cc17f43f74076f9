"""What INT8 does to decisions on real clips: each finished run as a float32 and as an INT8 file, calibrated on its training clips, both on the test clips.

    python experiments/benchmarks/int8.py RUN ... --stores STORES --out results/int8

The stores are named after their dataset. A run whose JSON is there is not done again. `--layers` also quantizes one layer at a time, on training clips.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from last.core import environment, write_json
from last.export import ExportConfig, Network, example, export, some_clips
from last.onnx_files import mean_kl, onnx_bytes, onnx_session, quantization_sensitivity, quantize
from last.recognizer import feeds_of, logits_of_run
from last.runs import load_run
from last.store import Store


@dataclass
class Config:
    runs: Annotated[list[str], Positional]  # folders
    stores: str  # folder that holds the prepared stores, named after their dataset
    out: str  # folder for the results, one JSON a run
    layers: bool = False  # also one layer at a time


def measure(folder: str, cfg: Config) -> dict:
    run = load_run(folder)
    trained = run.info.config
    data = str(Path(cfg.stores) / run.info.dataset)
    store = Store(data)
    numbers = store.part(trained["protocol"], "test")
    clips, labels = [store[i] for i in numbers], store.index.labels[numbers]
    logits = dict(run=logits_of_run(run, clips))
    sizes = {}
    with tempfile.TemporaryDirectory() as tmp:
        for kind in ("fp32", "int8"):
            sizes[kind] = export(
                ExportConfig(folder, f"{tmp}/{kind}.onnx", int8=kind == "int8", data=data)
            )["bytes"]
            session = onnx_session(f"{tmp}/{kind}.onnx")
            logits[kind] = np.concatenate(
                [session.run(None, f)[0] for f in feeds_of(run.pipeline, clips, joints=False)]
            )
    right = {k: v.argmax(1) == labels for k, v in logits.items()}
    out = dict(
        set=f"{run.info.dataset} {trained['protocol']}",
        model=trained["model"],
        seed=trained["seed"],
        clips=len(clips),
        top1={k: 100 * float(v.mean()) for k, v in right.items()},
        agreement=100 * float((logits["fp32"].argmax(1) == logits["int8"].argmax(1)).mean()),
        divergence=mean_kl(logits["fp32"], logits["int8"]),
        bytes=sizes,
        calibration_clips=ExportConfig("").clips,
    )
    if cfg.layers:  # on training clips
        file, feeds = (
            onnx_bytes(Network(run.model), example(run)),
            feeds_of(run.pipeline, some_clips(run, folder, data, 64), joints=False),
        )
        said = lambda f: np.concatenate(
            [s.run(None, feed)[0] for s in [onnx_session(f)] for feed in feeds]
        )
        out.update(
            layers=quantization_sensitivity(file, feeds),
            layers_together=mean_kl(said(file), said(quantize(file, feeds))),
        )
    return dict(out, trained=run.info.as_dict(), environment=environment())


if __name__ == "__main__":
    cfg = tyro.cli(Config, description=__doc__)
    for folder in cfg.runs:
        meta = load_run(folder).meta
        file = (
            Path(cfg.out)
            / f"{meta['dataset']}-{meta['config']['protocol']}_{re.sub(r'[^a-z0-9]+', '-', meta['config']['model'].lower())}_{meta['config']['seed']}.json"
        )
        if file.is_file():
            continue
        result = measure(folder, cfg)
        write_json(file, result)
        print(
            f"{file.stem}: fp32 {result['top1']['fp32']:.2f} %, int8 {result['top1']['int8']:.2f} %, same decision {result['agreement']:.2f} %, {result['bytes']['int8'] / 1e6:.2f} MB"
        )
