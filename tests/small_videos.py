"Synthetic videos that are small enough for tests: 96 x 72 pixels, every fourth frame."

from pathlib import Path

import numpy as np

from last.preparation import PrepareConfig, prepare
from last.synthetic import SynthConfig, film, perform, synthesize, write_video


def make_videos(
    folder: Path,  # gets `raw` (skeletons and videos) and `store`
    subjects: int = 4,  # odd ones train, even ones test
    replications: int = 2,
    actions: int = 3,
):
    "A store of skeletons and the videos of its clips."
    raw = folder / "raw"
    made = SynthConfig(str(raw), subjects, replications, cameras=1, actions=actions)
    for path in synthesize(made):
        subject, replication, action = (int(path.stem[i : i + 3]) for i in (9, 13, 17))
        people = perform(action - 1, subject, replication)
        filmed = film([p[::4] for p in people], 1, np.random.default_rng(subject))
        write_video(raw / f"{path.stem}_rgb.avi", filmed, size=(96, 72))

    return prepare(PrepareConfig(str(raw), str(folder / "store"), "synthetic", workers=1))
