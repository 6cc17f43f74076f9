"""What INT8 does to decisions on real clips.

    python experiments/benchmarks/int8.py RUN ... --stores STORES --out results/int8

Each finished run is exported as a float32 and as an INT8 file, calibrated on its training clips,
and both files classify the test clips. The stores are named after their dataset. A run whose JSON
exists is not measured again. `--layers` also quantizes one layer at a time, on training clips.
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
from last.runs import Run, RunInfo, load_run
from last.store import Store


@dataclass
class Config:
    runs: Annotated[list[str], Positional]  # folders
    stores: str  # folder that holds the prepared stores, named after their dataset
    out: str  # folder for the results, one JSON per run
    layers: bool = False  # also one layer at a time


def logits_of_file(
    file: bytes | str,  # ONNX, or its path
    feeds: list[dict[str, np.ndarray]],
) -> np.ndarray:  # (N, classes)
    session = onnx_session(file)
    return np.concatenate([session.run(None, feed)[0] for feed in feeds])


def measure_layers(run: Run, folder: str, data: str) -> dict:
    "Divergence from float on training clips: each layer quantized alone, and all together."
    clips = some_clips(run, folder, data, 64)
    feeds = feeds_of(run.pipeline, clips, joints=False)
    file = onnx_bytes(Network(run.model), example(run))
    together = mean_kl(logits_of_file(file, feeds), logits_of_file(quantize(file, feeds), feeds))
    return dict(layers=quantization_sensitivity(file, feeds), layers_together=together)


def measure(folder: str, cfg: Config) -> dict:
    "One run: accuracy of its files, how often they agree, and their sizes."
    run = load_run(folder)
    data = str(Path(cfg.stores) / run.info.dataset)
    store = Store(data)
    numbers = store.part(run.info.protocol, "test")
    clips = [store[int(i)] for i in numbers]
    labels = store.index.labels[numbers]

    # what the run and both files answer
    logits = dict(run=logits_of_run(run, clips))
    feeds = feeds_of(run.pipeline, clips, joints=False)
    sizes = {}
    with tempfile.TemporaryDirectory() as tmp:
        for kind in ("fp32", "int8"):
            out = f"{tmp}/{kind}.onnx"
            result = export(ExportConfig(folder, out, int8=kind == "int8", data=data))
            sizes[kind] = result["bytes"]
            logits[kind] = logits_of_file(out, feeds)

    answers = {kind: values.argmax(1) for kind, values in logits.items()}
    facts = dict(
        set=f"{run.info.dataset} {run.info.protocol}",
        model=run.info.model,
        seed=run.info.seed,
        clips=len(clips),
        top1={kind: 100 * float((a == labels).mean()) for kind, a in answers.items()},
        agreement=100 * float((answers["fp32"] == answers["int8"]).mean()),
        divergence=mean_kl(logits["fp32"], logits["int8"]),
        bytes=sizes,
        calibration_clips=ExportConfig("").clips,
    )
    if cfg.layers:
        facts.update(measure_layers(run, folder, data))

    return facts | dict(trained=run.info.as_dict(), environment=environment())


def file_name(info: RunInfo) -> str:
    "Name of a result, e.g. nw-ucla-b_reference_0.json."
    model = re.sub(r"[^a-z0-9]+", "-", info.model.lower())
    return f"{info.dataset}-{info.protocol}_{model}_{info.seed}.json"


def main(cfg: Config) -> None:
    for folder in cfg.runs:
        file = Path(cfg.out) / file_name(RunInfo.read(folder))
        if file.is_file():
            continue

        result = measure(folder, cfg)
        write_json(file, result)
        accuracy = f"fp32 {result['top1']['fp32']:.2f} %, int8 {result['top1']['int8']:.2f} %"
        size = f"{result['bytes']['int8'] / 1e6:.2f} MB"
        print(f"{file.stem}: {accuracy}, same decision {result['agreement']:.2f} %, {size}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
