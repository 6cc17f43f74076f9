"""How well a network learns an action that it has never seen, from a few clips of one person.

    python experiments/teach.py --work RUNS                # train the networks, choose, test
    python experiments/teach.py --work RUNS --part test    # one part alone

Two networks like `core15` learn from HDM05's training actors, each without every third action (from
the first, from the second). One of these actors then shows an action that was held out, three or
five times, and the network gets one more class (`80_new_class`). `choose` compares ways to do it on
the other two training actors; `test` asks the two test actors, with the way that was chosen. What
counts is what `predict` lists: does the action begin while its clip is played? The way with the
highest mean of the two shares, new actions found and old ones still right, is chosen. Puppets that
are asked are others than those of the training. Windows of the new clips are drawn once (WINDOWS
per clip) and used for all draws of clips.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from core15_store import puppets
from torch import Tensor, nn

from last.causal import gated
from last.cli import load_defaults
from last.core import environment, write_json
from last.datasets import NOTHING
from last.events import ActionSpotter
from last.hdm05 import ACTIONS, ACTORS, read_pack
from last.joint_maps import map_joints
from last.new_class import (
    DRAWS,
    balanced,
    fitted,
    head_input,
    imprinted,
    lessons,
    place_for,
)
from last.parsing import Clip
from last.runs import RunInfo, load_run
from last.skeletons import get_skeleton
from last.store import write_store
from last.training import TrainConfig, train

THIRDS = 3  # each network is kept from every third action
NETWORKS = 2
TRAIN, TEST = (1, 2, 3), (4, 5)  # actors
WINDOWS = 8  # of each new clip
NAMES = [*ACTIONS.values(), NOTHING]
HELD = 10.0  # holds a row where it is
# what holds the known rows, the new one and the gate where they are; weight of new windows
WAYS = {
    "mean alone": None,
    "new row, new windows 30-fold": (HELD, 1e-3, HELD, 30.0),
    "all rows, new windows 3-fold": (1e-3, 1e-3, 1.0, 3.0),
    "all rows, new windows 10-fold": (1e-3, 1e-3, 1.0, 10.0),
    "all rows, new windows 30-fold": (1e-3, 1e-3, 1.0, 30.0),
    "all rows, new windows 30-fold, looser": (1e-4, 1e-4, 1.0, 30.0),
    "all rows, new windows 100-fold, looser": (1e-4, 1e-4, 1.0, 100.0),
    "all rows, new windows 30-fold, free gate": (1e-3, 1e-3, 1e-3, 30.0),
}


@dataclass
class Config:
    "Where networks lie, and what is measured."

    work: str  # folder for stores, networks and features
    out: str = "results/teach"  # folder of the results
    part: Literal["both", "choose", "test"] = "both"
    draws: int = 1  # draws of clips per action, actor and number of clips


def held_out(fold: int) -> list[str]:
    "The actions that a network never sees."
    return NAMES[:-1][fold::THIRDS]


def real_clips() -> list[Clip]:
    "HDM05 in 15 joints."
    full, core = get_skeleton("hdm05"), get_skeleton("core15")
    return [replace(clip, points=map_joints(clip.points, full, core)) for clip in read_pack()]


def train_base(work: Path, fold: int) -> Path:
    "A network that knows nothing of some actions; one that is there already is left as it is."
    store, out = work / f"store{fold}", work / f"base{fold}"
    classes = [name for name in NAMES if name not in held_out(fold)]
    known = [clip for clip in real_clips() + puppets(6, NAMES[:-1]) if NAMES[clip.label] in classes]
    clips = [replace(clip, label=classes.index(NAMES[clip.label])) for clip in known]
    write_store(store, clips, get_skeleton("core15"), classes, "hdm05")
    cfg = replace(
        load_defaults(TrainConfig, "core15"),
        data=str(store),
        out=str(out),
        epochs=60,
        threads=1,
    )
    train(cfg)
    return out


@dataclass
class Features:
    "All that the frozen network has to say; heads are fitted to this."

    head: nn.Linear
    classes: list[str]  # that the network knows
    rows: Tensor  # (n, F) windows of known clips
    labels: Tensor  # (n,) among the classes with the new one in its place
    new: list[tuple[Clip, Tensor, Tensor]]  # a clip held out, rows and labels of its windows
    clips: list[Clip]  # all clips, real ones and puppets that mean nothing
    steps: list[Tensor]  # (T', F) of each of them


@torch.no_grad()
def features_of(run_path: Path, seed: int) -> Features:
    "Every clip through the network."
    run = load_run(run_path)
    old, g = run.info.classes, torch.Generator().manual_seed(seed)
    place = place_for(old)
    classes = [*old[:place], "new", *old[place:]]
    real = real_clips()
    taught = [clip for clip in real if clip.subject in TRAIN]
    known = [(clip.points, NAMES[clip.label]) for clip in taught if NAMES[clip.label] in old]
    drawn = [lessons(run, balanced(known), classes, g) for _ in range(DRAWS)]
    rows, labels = (torch.cat(parts) for parts in zip(*drawn))

    new = []
    for clip in taught:
        if NAMES[clip.label] not in old:
            some = torch.randint(len(known), (WINDOWS,), generator=g).tolist()
            mixed = [known[i] for i in some] + WINDOWS * [(clip.points, "new")]
            new.append((clip, *lessons(run, mixed, classes, g)))

    clips = real + [
        clip for clip in puppets(2, NAMES[:-1], first=20) if NAMES[clip.label] == NOTHING
    ]
    steps = []
    for clip in clips:
        found, seen = head_input(run.model, *run.pipeline.clips([clip.points]))
        steps.append(found[0][seen[0]])
    return Features(run.model.head, old, rows, labels, new, clips, steps)


def taught_head(way: str, features: Features, rows: Tensor, labels: Tensor) -> nn.Linear:
    "The head with one more class."
    place = place_for(features.classes)
    head = imprinted(features.head, place, rows, labels)
    if WAYS[way] is None:
        return head

    known, new, gate, emphasis = WAYS[way]
    keep = torch.tensor([known] * place + [new, gate])
    return fitted(head, place, rows, labels, True, keep, emphasis)


def events_of(features: Features, head: nn.Linear, classes: list[str]) -> list[set[str]]:
    "The actions that begin while each clip is played."
    with torch.no_grad():
        answers = gated(head(torch.cat(features.steps))).exp().numpy()
    found = []
    for p in np.split(answers, np.cumsum([len(rows) for rows in features.steps])[:-1]):
        spotter = ActionSpotter(classes)
        events = [spotter.update(t, row) for t, row in enumerate(p)]
        found.append({e.label for e in events if e is not None and e.end is None})

    return found


def share(found: list[bool]) -> float | None:
    "In percent; None of nothing."
    return round(100 * float(np.mean(found)), 2) if found else None


def measure(features: Features, head: nn.Linear, action: str, judges: tuple[int, ...]) -> dict:
    "What is said of clips, before and after the action was taught."
    place = place_for(features.classes)
    classes = [*features.classes[:place], action, *features.classes[place:]]
    before = events_of(features, features.head, features.classes)
    after = events_of(features, head, classes)
    new, old = [], []
    strange, puppets = [], []
    for clip, was, now in zip(features.clips, before, after):
        name = NAMES[clip.label]
        if name == NOTHING:
            puppets.append((bool(was), bool(now), action in now))
        elif clip.subject in judges and name == action:
            new.append(action in now)
        elif clip.subject in judges and name in features.classes:
            old.append((name in was, name in now, action in now))
        elif clip.subject in judges:
            strange.append(action in now)

    return dict(
        new=share(new),
        old_before=share([was for was, _, _ in old]),
        old=share([now for _, now, _ in old]),
        old_as_new=share([wrong for _, _, wrong in old]),
        strange_as_new=share(strange),
        puppets_before=share([was for was, _, _ in puppets]),
        puppets=share([now for _, now, _ in puppets]),
    )


def teach_one(
    features: Features, action: str, actor: int, shots: int, seed: int, ways: list[str], part: str
) -> Iterator[dict]:
    "One draw of clips, taught in several ways."
    theirs = [
        k
        for k, (clip, *_) in enumerate(features.new)
        if clip.subject == actor and NAMES[clip.label] == action
    ]
    if len(theirs) < shots:
        return

    draw = np.random.default_rng([seed, actor, shots, NAMES.index(action)])
    picked = [features.new[k] for k in draw.choice(theirs, shots, replace=False)]
    rows = torch.cat([features.rows, *(rows for _, rows, _ in picked)])
    labels = torch.cat([features.labels, *(labels for *_, labels in picked)])
    judges = tuple(a for a in TRAIN if a != actor) if part == "choose" else TEST
    for way in ways:
        found = measure(features, taught_head(way, features, rows, labels), action, judges)
        about = dict(way=way, clips=shots, action=action, actor=ACTORS[actor - 1], draw=seed)
        yield about | found


def balance(rows: list[dict], way: str) -> float:
    "By which a way is chosen: the mean of the new action's share and the old ones', in percent."
    return float(np.mean([(row["new"] + row["old"]) / 2 for row in rows if row["way"] == way]))


def main(cfg: Config) -> None:
    torch.set_num_threads(1)
    work = Path(cfg.work)
    bases = [train_base(work, fold) for fold in range(NETWORKS)]
    features = [features_of(base, seed) for seed, base in enumerate(bases)]
    for part in ("choose", "test") if cfg.part == "both" else (cfg.part,):
        ways = list(WAYS)
        if part == "test":
            chosen = json.loads((Path(cfg.out) / "choose.json").read_text(encoding="utf-8"))[
                "chosen"
            ]
            ways = ["mean alone", chosen]
        rows = []
        for fold in range(NETWORKS):
            for action in held_out(fold):
                for actor in TRAIN:
                    for shots in (3, 5):
                        for seed in range(cfg.draws):
                            about = features[fold], action, actor, shots, seed, ways, part
                            rows += teach_one(*about)
                print(f"{part}: {action}", flush=True)

        trained = [RunInfo.read(base).as_dict() for base in bases]
        for facts in trained:
            del facts["skeleton"]
            facts["config"] |= {key: Path(facts["config"][key]).name for key in ("data", "out")}
        best = max(ways, key=lambda way: balance(rows, way)) if part == "choose" else chosen
        result = dict(rows=rows, chosen=best, trained=trained, environment=environment())
        result["command"] = dict(part=part, draws=cfg.draws, windows=WINDOWS)
        write_json(Path(cfg.out) / f"{part}.json", result)


if __name__ == "__main__":
    main(tyro.cli(Config))
