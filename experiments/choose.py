"""Choose a default by measuring: train on `fit`, judge on `val`, one change at a time. Test clips are never touched.

    python experiments/choose.py preprocessing --stores STORES --work RUNS --out results/choose_preprocessing.json
    python experiments/choose.py block         --stores STORES --work RUNS --out results/choose_block.json

STORES holds the prepared stores `nw-ucla` and `utd-mhad`. Runs that are done are not repeated; the JSON is complete after every run.
"""
import argparse
from dataclasses import replace
from pathlib import Path

from last.model import LAST, PRESETS, register_model
from last.preprocessing import PreprocessConfig
from last.training import TrainConfig, environment, train, write_json

SETS = {"nw-ucla": "b", "utd-mhad": "xsub"}
BASE = dict(epochs=16, schedule="cosine", warmup=2, ema=0.98, device="cpu", checkpoint_every=4)
QUESTIONS = {  # name -> (settings of all runs, {option: changes to PreprocessConfig or to the model})
    "preprocessing": (dict(model="tiny", batch=32, lr=4e-3), {  # the first row is PreprocessConfig's defaults with T = 32
        "first frame, torso, not aligned, resize": {},
        "centre: root of every frame": dict(centre="frame"),
        "scale: largest distance": dict(scale="max"),
        "scale: standard deviation": dict(scale="std"),
        "align: turned to face one way": dict(align=True),
        "sampling: uniform": dict(sampling="uniform"),
        "sampling: pad with zeros": dict(sampling="pad", crop_train=(1.0, 1.0)),
    }),
    "block": (dict(batch=64, lr=1e-3, amp="bf16"), {"y + Attention(y)": dict(model="reference"), "Attention(y), as planned": dict(model="planned")}),
}
register_model("planned")(lambda sk, classes, channels=3: LAST(replace(PRESETS["reference"], skip=False), sk, classes, channels))


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
                model = dict(model=change["model"]) if "model" in change else {}
                pre = PreprocessConfig(**{"frames": 32, **({} if model else change)})
                run = a.work / f"{a.question}-{data}-{seed}-{k}"
                last = train(TrainConfig(str(a.stores / data), str(run), SETS[data], seed=seed, threads=a.threads, pre=pre, **{**BASE, **settings, **model}), quiet=True)[-1]
                rows.append(dict(data=data, protocol=SETS[data], option=name, seed=seed, val_top1=last["val_top1"], val_loss=last["val_loss"]))
                print(rows[-1], flush=True)
                write_json(a.out, dict(question=a.question, settings={**BASE, **settings, "frames": 32}, environment=environment(), rows=rows))


if __name__ == "__main__":
    main()
