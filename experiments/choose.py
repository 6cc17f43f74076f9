"""Choose a default by measuring: train on `fit`, judge on `val`, one change at a time. Test clips are never touched.

    python experiments/choose.py preprocessing --stores STORES --work RUNS --out results/choose_preprocessing.json

The questions are the keys of QUESTIONS. STORES holds the prepared stores `nw-ucla` and `utd-mhad`. Runs that are done are not repeated; the JSON is complete after every run.
"""
import argparse
from dataclasses import fields, replace
from pathlib import Path

from last.augmentation import AugmentConfig
from last.model import LAST, PRESETS, register_model
from last.preprocessing import PreprocessConfig
from last.training import TrainConfig, environment, train, write_json

SETS = {"nw-ucla": "b", "utd-mhad": "xsub"}
BASE = dict(model="tiny", frames=16, epochs=20, batch=16, lr=3e-3, schedule="cosine", warmup=3, label_smoothing=0.1, ema=0.99, amp="bf16", device="cpu")
STEPS = {  # each adds one thing to the one before
    "the plan's block": dict(skip=False, input_norm=False, joint_embedding=False, graph_norm=False),
    "+ residual around the attention": dict(input_norm=False, joint_embedding=False, graph_norm=False),
    "+ norm of every input joint": dict(joint_embedding=False, graph_norm=False),
    "+ joint embedding": dict(graph_norm=False),
    "+ BatchNorm and ReLU after the graph (= LAST)": {},
}
for _k, _change in enumerate(STEPS.values()):
    register_model(f"tiny-step{_k}")(lambda sk, classes, channels=3, change=_change: LAST(replace(PRESETS["tiny"], **change), sk, classes, channels))
QUESTIONS = {  # name -> {option: changes to the settings}
    "preprocessing": {  # the first row is PreprocessConfig's defaults
        "first frame, torso, not aligned, resize": {},
        "centre: root of every frame": dict(centre="frame"),
        "scale: largest distance": dict(scale="max"),
        "scale: standard deviation": dict(scale="std"),
        "align: turned to face one way": dict(align=True),
        "sampling: uniform": dict(sampling="uniform"),
        "sampling: pad with zeros": dict(sampling="pad"),
    },
    "rotation": {
        "15 degrees, every second clip (the plan)": {},
        "60 degrees, every clip": dict(rotate=60.0, rotate_p=1.0),
        "60 degrees, every clip; 15 about all axes": dict(rotate=60.0, rotate_p=1.0, tilt=15.0, tilt_p=1.0),
    },
    "block": {f"{name}, rate {lr:g}": dict(model=f"tiny-step{k}", lr=lr) for k, name in enumerate(STEPS) for lr in (1e-3, 3e-3)},
    "rate": {f"reference, rate {lr:g}": dict(model="reference", lr=lr) for lr in (1e-3, 3e-3)},
}


def split(settings: dict) -> dict:
    "Settings as TrainConfig's arguments: those of preprocessing and of augmentation go where they belong."
    pre, aug = ({f.name for f in fields(c)} for c in (PreprocessConfig, AugmentConfig))
    pick = lambda names: {k: v for k, v in settings.items() if k in names}
    return dict({k: v for k, v in settings.items() if k not in pre | aug}, pre=PreprocessConfig(**pick(pre)), aug=AugmentConfig(**pick(aug)))


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
    rows = []
    for seed in a.seeds:
        for data in a.sets:
            for k, (name, change) in enumerate(QUESTIONS[a.question].items()):
                run = a.work / f"{a.question}-{data}-{seed}-{k}"
                last = train(TrainConfig(str(a.stores / data), str(run), SETS[data], seed=seed, threads=a.threads, **split({**BASE, **change})), quiet=True)[-1]
                rows.append(dict(data=data, protocol=SETS[data], option=name, seed=seed, val_top1=last["val_top1"], val_loss=last["val_loss"]))
                print(rows[-1], flush=True)
                write_json(a.out, dict(question=a.question, settings=BASE, environment=environment(), rows=rows))


if __name__ == "__main__":
    main()
