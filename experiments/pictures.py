"""The moving picture at the top of the README: people, and what a network says that never saw them.

    python experiments/pictures.py --run RUN --data STORE

RUN is a run of `python -m last train --config hdm05`, STORE the store that it was trained on. The
first test clip of each of two classes is shown, as in the report.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import tyro

from last.moving import (
    FRAMES,
    MovingPicture,
    answers_so_far,
    bar_colors,
    likeliest,
    save_gif,
    turned,
)
from last.runs import Run, load_run, trained_on
from last.store import Store


@dataclass
class Config:
    "Draw two clips side by side."

    run: str  # folder of the run
    data: str  # folder of the store
    classes: tuple[str, ...] = ("kick", "throw a basketball")
    out: str = "docs/images/people.gif"


def draw(run: Run, store: Store, name: str) -> list[np.ndarray]:  # FRAMES of (height, width, 3)
    "The first test clip of a class as it arrives, with probabilities beside it."
    label = store.classes.index(name)
    tests = store.part(run.info.protocol, "test")
    number = int(next(n for n in tests if store.index.labels[n] == label))
    clip = store[number]
    ends = np.linspace(1, clip.shape[1], FRAMES).round().astype(int)
    p = answers_so_far(run, clip, ends)
    top = likeliest(p, label)
    names = [store.classes[c] for c in top]
    colors = bar_colors(top, label)
    body = turned(clip, store.skeleton)
    picture = MovingPicture(body, store.skeleton, names, colors, name, store.dataset.credit)
    return [picture.frame(end, row[top]) for end, row in zip(ends, p)]


def main(cfg: Config) -> None:
    matplotlib.use("Agg")
    run, store = load_run(cfg.run), Store(cfg.data)
    seen = set(store.index.names[store.part(run.info.protocol, "test")]) & trained_on(cfg.run)
    if seen:
        raise ValueError(f"{cfg.run}: was trained on test clips, for instance {min(seen)}")

    clips = [draw(run, store, name) for name in cfg.classes]
    save_gif([np.hstack(frames) for frames in zip(*clips)], Path(cfg.out))


if __name__ == "__main__":
    main(tyro.cli(Config))
