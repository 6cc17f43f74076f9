"""How often a student decides as its teacher does on clips that neither was trained on, and how well it knows what it knows, with and without the teacher.

    python experiments/agreement.py --teacher SCORES.npz ... --students RUN ... --out results/distillation/agreement_NAME.json

SCORES are of the teacher's runs (their probabilities are added), RUN folders of `ablate --work`; both hold the `scores_*.npz` of the tested protocol.
"""
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from last.evaluation import EnsembleConfig, Scores, ensemble, metrics
from last.training import environment, write_json


@dataclass
class Config:
    "Compare students with their teacher."
    teacher: list[str]  # score files
    students: list[str]  # run folders, <set>_<row>_<seed>
    out: str  # JSON


def main(cfg: Config) -> None:
    said, result = ensemble(EnsembleConfig(cfg.teacher))
    order, file = {n: i for i, n in enumerate(said.names.tolist())}, Path(cfg.teacher[0]).name
    classes = [str(c) for c in range(said.logits.shape[1])]
    short = lambda m: {k: m[k] for k in ("clips", "top1", "ece", "cross_entropy")}
    students = {}
    for folder in map(Path, cfg.students):
        s = Scores.load(folder / file)
        at = [order[n] for n in s.names.tolist()]
        row, _, seed = folder.name.rpartition("_")
        students.setdefault(row, {})[seed] = dict(agreement=100 * float(np.mean(s.logits.argmax(1) == said.logits[at].argmax(1))), **short(metrics(s, classes)))
    write_json(Path(cfg.out), dict(teacher=dict(runs=len(cfg.teacher), **short(result["metrics"])), students=students, environment=environment()))


if __name__ == "__main__": main(tyro.cli(Config))
