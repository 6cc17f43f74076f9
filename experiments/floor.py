"""The floor of every table: settings chosen on validation clips, and figures on test clips.

    python experiments/floor.py choose --stores STORES    (writes results/choose_floor)
    python experiments/floor.py test --stores STORES      (writes results/floor)

Each file is what `python -m last floor` writes with the settings that stand in it.
"""

import argparse
from dataclasses import replace

from last.floor import FloorConfig, floor

CHOOSE = ("nw-ucla b", "nw-ucla b-view1", "utd-mhad xsub", "utd-mhad xsub-3")
CHOOSE += ("hdm05 xsub", "hdm05 xsub-bd")
TEST = ("nw-ucla b", "utd-mhad xsub", "hdm05 xsub")
TURN = {"nw-ucla": True, "utd-mhad": False, "hdm05": True}  # is every body made to face one way?
CHANGES = {  # row -> settings that it changes, of the floor and of its preprocessing
    "chosen": ({}, {}),
    "turning-reversed": ({}, {}),
    "all-streams": ({}, {"stream": "all"}),
    "box-scale": ({}, {"scale": "box"}),
    "32-frames": ({}, {"frames": 32}),
    "100-kernels": ({"kernels": 100}, {}),
    "800-kernels": ({"kernels": 800}, {}),
    "read-4": ({"read": 4}, {}),
    "read-36": ({"read": 36}, {}),
}
# as in grids/networks.yaml
NETWORKS_INPUT = ({}, {"frames": 32, "align": False, "stream": "all", "scale": "body"})


def measure(stores: str, tested: str, out: str, row: str, seed: int, part: str) -> None:
    "One JSON."
    store, protocol = tested.split()
    file = f"{out}/{store}-{protocol}_{row}_{seed}.json"
    cfg = FloorConfig(f"{stores}/{store}", protocol, file, part, seed=seed)
    change, preprocessing = (CHANGES | {"networks-input": NETWORKS_INPUT})[row]
    turn = TURN[store] != (row == "turning-reversed")
    pre = replace(cfg.pre, **({"align": turn} | preprocessing))
    result = floor(replace(cfg, **change, pre=pre))
    print(f"{tested}, {row}, seed {seed}: {result['metrics']['top1']:.1f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("choose", "test"))
    parser.add_argument("--stores", default="stores", help="folder of the prepared stores")
    args = parser.parse_args()

    if args.what == "choose":
        for tested in CHOOSE:
            for row in CHANGES:
                for seed in (0, 1):
                    measure(args.stores, tested, "results/choose_floor", row, seed, "fit")
    else:
        for tested in TEST:
            for seed in (0, 1, 2):
                measure(args.stores, tested, "results/floor", "chosen", seed, "train")
                if not tested.startswith("hdm05"):  # whose networks have another input
                    measure(args.stores, tested, "results/floor", "networks-input", seed, "train")


if __name__ == "__main__":
    main()
