"""Early recognition and simulated streams, for the runs of a grid.

    python -m last ablate --grid experiments/grids/streaming.yaml --stores STORES \
        --work RUNS/streaming --out results/streaming/clips
    python experiments/streams.py --stores STORES --work RUNS/streaming --out results/streaming
    python experiments/streams.py --stores STORES --work RUNS/networks --out results/streaming \
        --grid experiments/grids/networks.yaml --rows reference --sets "nw-ucla b" "utd-mhad xsub"

The accuracy after the first 10 %, 20 %, ... of every test clip goes to OUT/early, and what `spot`
measures on streams of the test clips (causal networks only) to OUT/streams. What is there already
and belongs to the same training is not measured again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from tqdm import tqdm

from last.ablations import OneRun
from last.evaluation import EvaluateConfig, evaluate
from last.grids import load_grid
from last.runs import RunInfo
from last.spotting import SpotConfig, spot


@dataclass
class Config:
    "Measure the trained runs of the grid as streams."

    stores: str  # folder of the prepared stores
    work: str  # folder of the runs
    out: str  # folder for the results
    grid: str = "experiments/grids/streaming.yaml"
    sets: list[str] = field(default_factory=list)  # only these; default: all of the grid
    rows: list[str] = field(default_factory=list)  # only these; default: all of the grid
    seeds: tuple[int, ...] = (0, 1, 2)


def is_done(file: Path, info: RunInfo) -> bool:
    "Was this training measured before?"
    if not file.is_file():
        return False

    trained = json.loads(file.read_text(encoding="utf-8"))["trained"]
    same = ("config", "versions", "fingerprint")
    return all(trained.get(key) == getattr(info, key) for key in same)


def main(cfg: Config) -> None:
    grid = load_grid(cfg.grid)
    part = "val" if grid.part == "fit" else "test"
    sets, rows = cfg.sets or grid.sets, cfg.rows or list(grid.rows)
    runs = [OneRun(clips, row, s) for clips in sets for row in rows for s in cfg.seeds]
    for run in tqdm(runs, "runs", disable=None):
        name = run.name(run.protocols[0])
        folder = Path(cfg.work) / name
        if not (folder / "last.safetensors").is_file():
            tqdm.write(f"{name}: not trained yet")
            continue

        info, data = RunInfo.read(folder), str(Path(cfg.stores) / run.store)
        about = dict(protocol=run.protocols[0], part=part)
        early = Path(cfg.out) / "early" / f"{name}.json"
        if not is_done(early, info):
            evaluate(EvaluateConfig(str(folder), data, out=str(early), early=True, **about))

        streams = Path(cfg.out) / "streams" / f"{name}.json"
        if info.pre.causal and not is_done(streams, info):
            spot(SpotConfig(str(folder), data, out=str(streams), **about))


if __name__ == "__main__":
    main(tyro.cli(Config))
