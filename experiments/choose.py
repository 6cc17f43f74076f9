"""Choose a default by measuring: train on `fit`, judge on `val`, one change at a time. Test clips are never touched.

    python experiments/choose.py preprocessing --stores STORES --work RUNS --out results/choose_preprocessing.json
    python experiments/choose.py block         --stores STORES --work RUNS --out results/choose_block.json
    python experiments/choose.py rate          --stores STORES --work RUNS --out results/choose_rate.json --sets nw-ucla --seeds 0

STORES holds the prepared stores `nw-ucla` and `utd-mhad`. Runs that are done are not repeated; the JSON is complete after every run.
"""
import argparse
from dataclasses import fields, replace
from pathlib import Path

from last.model import LAST, PRESETS, register_model
from last.preprocessing import PreprocessConfig
from last.training import TrainConfig, environment, train, write_json

SETS = {"nw-ucla": "b", "utd-mhad": "xsub"}
BASE = dict(epochs=10, batch=32, schedule="cosine", warmup=1, ema=0.98, device="cpu", checkpoint_every=5)
QUESTIONS = {  # name -> (settings of all runs, {option: changes to PreprocessConfig, or to TrainConfig})
    "preprocessing": (dict(model="tiny", lr=4e-3), {  # the first row is PreprocessConfig's defaults with T = 32
        "first frame, torso, not aligned, resize": {},
        "centre: root of every frame": dict(centre="frame"),
        "scale: largest distance": dict(scale="max"),
        "scale: standard deviation": dict(scale="std"),
        "align: turned to face one way": dict(align=True),
        "sampling: uniform": dict(sampling="uniform"),
        "sampling: pad with zeros": dict(sampling="pad"),
    }),
    "block": (dict(lr=4e-3), {  # each row adds one thing to the row above
        "the plan's block": dict(model="tiny-planned"),
        "+ residual around the attention": dict(model="tiny-skip"),
        "+ norm of every input joint": dict(model="tiny-norm"),
        "+ joint embedding (= LAST)": dict(model="tiny"),
    }),
    "rate": (dict(model="reference", amp="bf16"), {"learning rate 1e-3": dict(lr=1e-3), "learning rate 3e-3": dict(lr=3e-3)}),
}
STEPS = {"tiny-planned": dict(skip=False, input_norm=False, joint_embedding=False), "tiny-skip": dict(input_norm=False, joint_embedding=False), "tiny-norm": dict(joint_embedding=False)}
for _name, _change in STEPS.items():
    register_model(_name)(lambda sk, classes, channels=3, change=_change: LAST(replace(PRESETS["tiny"], **change), sk, classes, channels))
PRE = {f.name for f in fields(PreprocessConfig)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("question", choices=list(QUESTIONS))
    p.add_argument("--stores", type=Path, required=True)
    p.add_argument("--work", type=Path, required=True, help="folder for the runs")
    p.add_argument("--out", type=Path, required=True, help="JSON file to write")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    p.add_argument("--threads", type=int, default=0)
    a = p.parse_args()
    settings, options = QUESTIONS[a.question]
    rows = []
    for seed in a.seeds:
        for data in a.sets:
            for k, (name, change) in enumerate(options.items()):
                pre = PreprocessConfig(**{"frames": 32, **{n: v for n, v in change.items() if n in PRE}})
                recipe = {**BASE, **settings, **{n: v for n, v in change.items() if n not in PRE}}
                run = a.work / f"{a.question}-{data}-{seed}-{k}"
                last = train(TrainConfig(str(a.stores / data), str(run), SETS[data], seed=seed, threads=a.threads, pre=pre, **recipe), quiet=True)[-1]
                rows.append(dict(data=data, protocol=SETS[data], option=name, seed=seed, val_top1=last["val_top1"], val_loss=last["val_loss"]))
                print(rows[-1], flush=True)
                write_json(a.out, dict(question=a.question, settings={**BASE, **settings, "frames": 32}, environment=environment(), rows=rows))


if __name__ == "__main__":
    main()
