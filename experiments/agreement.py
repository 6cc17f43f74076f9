"""How often a student decides as its teacher does on clips that neither was trained on, and how well it knows what it knows, with and without the teacher.

    python experiments/agreement.py --teacher SCORES.npz ... --students RUN ... --out results/distillation/agreement_NAME.json

SCORES are the `scores_*.npz` of the teacher's runs (their probabilities are added), or the one `teacher.npz` of `teacher-logits`; RUN folders of `ablate --work`, which hold the scores of the tested protocol.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from last.core import environment, write_json
from last.distillation import TeacherLogits
from last.scores import EnsembleConfig, Scores, ensemble, metrics


@dataclass
class Config:
    "Compare students with their teacher."

    teacher: list[str]  # score files
    students: list[str]  # run folders, <set>_<row>_<seed>
    out: str  # JSON
    scores: str = "scores_xsub.npz"  # name of the students' score files


def main(cfg: Config) -> None:
    if Path(cfg.teacher[0]).name == "teacher.npz":
        t, first = (
            TeacherLogits.load(cfg.teacher[0]),
            Scores.load(Path(cfg.students[0]) / cfg.scores),
        )
        row = {n: i for i, n in enumerate(t.names.tolist())}
        said = Scores(first.names, first.labels, t.logits[[row[n] for n in first.names.tolist()]])
    else:
        said = ensemble(EnsembleConfig(cfg.teacher))[0]
    order = {n: i for i, n in enumerate(said.names.tolist())}
    classes = [str(c) for c in range(said.logits.shape[1])]
    short = lambda m: {k: m[k] for k in ("clips", "top1", "ece", "cross_entropy")}
    students = {}
    for folder in map(Path, cfg.students):
        s = Scores.load(folder / cfg.scores)
        at = [order[n] for n in s.names.tolist()]
        row, _, seed = folder.name.rpartition("_")
        students.setdefault(row, {})[seed] = dict(
            agreement=100 * float(np.mean(s.logits.argmax(1) == said.logits[at].argmax(1))),
            **short(metrics(s, classes)),
        )
    write_json(
        Path(cfg.out),
        dict(
            teacher=dict(runs=len(cfg.teacher), **short(metrics(said, classes))),
            students=students,
            environment=environment(),
        ),
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
