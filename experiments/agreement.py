"""How often students decide as their teacher does, on clips that neither was trained on.

    python experiments/agreement.py --teacher SCORES.npz ... --students RUN ... --out FILE.json

With and without the teacher, and with how well each knows what it knows. SCORES are the
`scores_*.npz` of the teacher's runs (their probabilities are added), or the one `teacher.npz` of
`teacher-logits`. RUN are folders of `ablate --work`, which hold the scores of the tested protocol.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from last.answers import TeacherLogits
from last.core import environment, write_json
from last.scores import EnsembleConfig, Scores, ensemble, metrics


@dataclass
class Config:
    "Compare students with their teacher."

    teacher: list[str]  # score files
    students: list[str]  # run folders, <set>_<row>_<seed>
    out: str  # JSON
    scores: str = "scores_xsub.npz"  # name of the students' score files


def positions(names: np.ndarray, wanted: np.ndarray) -> list[int]:
    "Where each wanted name stands."
    at = {name: i for i, name in enumerate(names.tolist())}
    return [at[name] for name in wanted.tolist()]


def teacher_scores(cfg: Config) -> Scores:
    "What the teacher says of the tested clips."
    if Path(cfg.teacher[0]).name != "teacher.npz":
        return ensemble(EnsembleConfig(cfg.teacher, space="softmax"))[0]

    teacher = TeacherLogits.load(cfg.teacher[0])
    first = Scores.load(Path(cfg.students[0]) / cfg.scores)
    logits = teacher.logits[positions(teacher.names, first.names)]
    return Scores(first.names, first.labels, logits)


def in_short(scores: Scores) -> dict[str, float]:
    "The metrics that are compared."
    classes = [str(c) for c in range(scores.logits.shape[1])]
    found = metrics(scores, classes)
    return {key: found[key] for key in ("clips", "top1", "ece", "cross_entropy")}


def main(cfg: Config) -> None:
    teacher = teacher_scores(cfg)
    students: dict[str, dict[str, dict]] = {}
    for folder in map(Path, cfg.students):
        scores = Scores.load(folder / cfg.scores)
        row, _, seed = folder.name.rpartition("_")
        theirs = teacher.logits[positions(teacher.names, scores.names)].argmax(1)
        agreement = 100 * float(np.mean(scores.logits.argmax(1) == theirs))
        students.setdefault(row, {})[seed] = dict(agreement=agreement, **in_short(scores))

    about = dict(runs=len(cfg.teacher), **in_short(teacher))
    result = dict(teacher=about, students=students, environment=environment())
    write_json(Path(cfg.out), result)


if __name__ == "__main__":
    main(tyro.cli(Config))
