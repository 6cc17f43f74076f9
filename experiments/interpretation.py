"""How faithful the maps of a network are (53_faithfulness), on training clips and on test clips.

    python experiments/interpretation.py --run RUN --data STORE --out FILE.json

Which map `explain` shows was chosen on training clips (every sixth); test clips say how good it is.
"""

from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np
import tyro

from last.core import environment, write_json
from last.evaluation import EvaluateConfig, clips_to_test, evaluate
from last.faithfulness import measure
from last.runs import load_run, trained_on
from last.store import Store


@dataclass
class Config:
    "Measure the maps of one run."

    run: str  # folder
    data: str  # folder of the store
    out: str  # JSON
    every: int = 1  # only every n-th test clip
    leave_out: tuple[str, ...] = ()  # maps that are not asked, for instance the slow occlusion


def main(cfg: Config) -> None:
    run, store = load_run(cfg.run), Store(cfg.data)
    tested = clips_to_test(EvaluateConfig(cfg.run, cfg.data), store, run.info)
    trained = np.flatnonzero(np.isin(store.index.names, sorted(trained_on(cfg.run))))
    with TemporaryDirectory() as folder:
        file = f"{folder}/scores.json"
        scores = evaluate(EvaluateConfig(cfg.run, cfg.data, device="cpu", out=file))
    trained, tested = trained[:: 6 * cfg.every], tested[:: cfg.every]

    result = dict(
        model=run.info.model,
        parameters=sum(p.numel() for p in run.model.parameters()),
        epochs=run.info.config["epochs"],
        seed=run.info.seed,
        dataset=store.dataset.name,
        fingerprint=store.fingerprint,
        top1=scores["metrics"]["top1"],
        clips=dict(train=len(trained), test=len(tested)),
        train=measure(run, store, trained, cfg.leave_out),
        test=measure(run, store, tested, cfg.leave_out),
        environment=environment(),
    )
    write_json(cfg.out, result)


if __name__ == "__main__":
    main(tyro.cli(Config))
