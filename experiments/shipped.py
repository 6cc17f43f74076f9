"""What the weights that ship do, beyond the clips that they were trained and tested on.

    python experiments/shipped.py --run core15 --clips STORES/core15 \\
        --others STORES/utd15 STORES/nw15 --out results/shipped/core15.json

CLIPS is HDM05 in 15 joints (`prepare --dataset hdm05 --as core15`), OTHERS are Kinect clips in the
same joints. Measured are: test clips as they are, and as an imagined webcam sees them
(`09_webcam`); Kinect clips of the classes that both sets have; and how often a Kinect clip of any
other class is taken for one of the eleven actions, which makes it a false alarm.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from core15_store import PROTOCOL, name_here

from last.causal_input import from_room
from last.core import environment, find_run, write_json
from last.datasets import NOTHING
from last.events import ActionSpotter
from last.hdm05 import ACTIONS
from last.normalization import collate
from last.runs import Run, RunInfo, load_run
from last.spotting import answer_streams
from last.store import Store
from last.webcam import through_webcam


@dataclass
class Config:
    "Where the run and the clips are."

    run: str
    clips: str  # store of HDM05
    others: tuple[str, ...]  # stores of Kinect clips
    out: str  # results file (.json)
    protocol: str = "xsub"
    draws: int = 5  # webcams per clip


@torch.inference_mode()
def webcam_top1(run: Run, store: Store, numbers: np.ndarray, seed: int | None) -> float:
    "Clips named right among the actions when they end, each seen by one webcam; None: as they are."
    g = torch.Generator().manual_seed(seed or 0)
    skeleton = run.info.skeleton
    right = 0
    for batch in np.array_split(numbers, max(len(numbers) // 16, 1)):
        raw, _ = collate([store[i] for i in batch])
        x, mask = run.pipeline.whole(raw)
        if seed is not None:
            x = through_webcam(x, mask, skeleton, g)
        logits = run.model(from_room(x, mask, skeleton), mask)[:, : len(ACTIONS)]
        right += int((logits.argmax(1).numpy() == store.index.labels[batch]).sum())

    return right / len(numbers)


def events_of(cfg: Config, store: Store, numbers: np.ndarray) -> list[set[str]]:
    "The actions that a user would be told of, for some clips of a store."
    streams = [store[i].swapaxes(0, 1) for i in numbers]
    found = []
    for i in range(0, len(streams), 64):
        answers, classes, every = answer_streams(cfg.run, streams[i : i + 64])
        for p in answers:
            spotter = ActionSpotter(classes)
            events = [spotter.update(t / 30, p[t]) for t in range(every - 1, len(p), every)]
            found.append({e.label for e in events if e is not None and e.end is None})

    return found


def count(row: Counter, right: str, events: set[str]) -> None:
    "One clip more."
    row["clips"] += 1
    row["right"] += right in events
    row["wrong"] += bool(events - {right})
    row["none"] += not events


def own_set(cfg: Config, store: Store, numbers: np.ndarray) -> dict[str, Counter]:
    "What is said during the test clips, by class."
    rows = {name: Counter() for name in store.classes if name != NOTHING}
    for i, events in zip(numbers, events_of(cfg, store, numbers)):
        name = store.classes[store.index.labels[i]]
        count(rows[name], name, events)

    return rows


def other_set(cfg: Config, folder: str) -> dict:
    "Shared classes by name, and false alarms by class."
    store, known = Store(folder), RunInfo.read(find_run(cfg.run)).classes
    numbers = store.part(PROTOCOL[store.dataset.name], "test")
    names = [store.classes[label] for label in store.index.labels[numbers]]
    shared, strange = {}, Counter()
    for name, events in zip(names, events_of(cfg, store, numbers)):
        if name_here(name) in known:
            count(shared.setdefault(name, Counter()), name_here(name), events)
        else:
            count(strange, "", events)
            strange.update(f"taken for {label}" for label in events)

    facts = dict(dataset=store.dataset.name, clips=len(numbers), fingerprint=store.fingerprint)
    return facts | dict(shared=shared, strange=strange)


def main(cfg: Config) -> None:
    run, store = load_run(cfg.run), Store(cfg.clips)
    numbers = store.part(cfg.protocol, "test")
    draws = [webcam_top1(run, store, numbers, seed) for seed in range(1, cfg.draws + 1)]
    result = dict(
        trained=run.info.as_dict(),
        test_clips=len(numbers),
        top1=webcam_top1(run, store, numbers, None),
        top1_webcam=draws,
        events=own_set(cfg, store, numbers),
        others=[other_set(cfg, folder) for folder in cfg.others],
        environment=environment(),
        command=asdict(cfg) | dict(run=Path(cfg.run).name, out=Path(cfg.out).name),
    )
    Path(cfg.out).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(cfg.out), result)
    shown = {k: v for k, v in result.items() if k not in ("trained", "environment")}
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Config))
