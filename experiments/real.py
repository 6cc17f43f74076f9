"""The runs on real data that the results notebooks read: train on the whole training part, test the last weights once per seed.

    python experiments/real.py --stores STORES --work RUNS --jobs nw-ucla-b-0 nw-ucla-b-1 ...   (default: all)

STORES holds the prepared stores `nw-ucla`, `utd-mhad` and `sbu`. A job is `dataset-protocol-seed`, with `-stgcn` behind it for the anchor. Runs that were interrupted go on, runs that are done are
only tested again. Each writes one JSON to results/.
"""
import argparse
from dataclasses import replace
from pathlib import Path

from last import stgcn  # noqa: F401  (registers the model)
from last.cli import load_defaults
from last.evaluation import EvaluateConfig, evaluate, summary
from last.training import TrainConfig, train

HERE = Path(__file__).parent.parent
JOBS = [f"nw-ucla-b-{s}" for s in range(3)] + ["nw-ucla-b-0-stgcn", "utd-mhad-xsub-0", "sbu-fold1-0"] + [f"nw-ucla-a-{s}" for s in range(3)]
CONFIGS = {"nw-ucla": "nw_ucla_short.yaml", "utd-mhad": "utd_mhad_short.yaml", "sbu": "sbu_short.yaml"}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stores", type=Path, required=True)
    p.add_argument("--work", type=Path, required=True, help="folder for the runs")
    p.add_argument("--out", type=Path, default=HERE / "results", help="folder for the JSON files")
    p.add_argument("--jobs", nargs="+", default=JOBS)
    p.add_argument("--threads", type=int, default=0)
    a = p.parse_args()
    for job in a.jobs:
        words = job.split("-")
        model = words.pop() if words[-1] == "stgcn" else "reference"
        data, protocol, seed = "-".join(words[:-2]), words[-2], int(words[-1])
        base = load_defaults(TrainConfig, HERE / "configs" / CONFIGS[data])
        cfg = replace(base, data=str(a.stores / data), out=str(a.work / job), protocol=protocol, model=model, seed=seed, threads=a.threads)
        train(cfg)
        for tested in ("a", "c") if (data, protocol) == ("nw-ucla", "a") else (protocol,):
            name = f"{data.replace('-', '_')}_{tested}_{model}_seed{seed}"
            print(name, summary(evaluate(EvaluateConfig(cfg.out, cfg.data, protocol=tested, out=str(a.out / f"{name}.json"), device=cfg.device))), flush=True)


if __name__ == "__main__":
    main()
