"""How many NTU `.skeleton` files one core parses a second: ours against the usual line-by-line reader, interleaved in one run, with bit-identical results.

    python experiments/benchmarks/parsing.py [--files FOLDER] [--out results/bench/parsing.json]

Without --files, synthetic files of about NTU's size are written to a temporary folder.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from last.core import environment, write_json
from last.parsing import read_ntu_bodies
from last.synthetic import ntu_text, sense


def naive(path):
    "The reader most repositories have: a line at a time, every value converted, a dict of everything for each joint."
    with open(path) as f:
        frames = []
        for _ in range(int(f.readline())):
            bodies = []
            for _ in range(int(f.readline())):
                keys = (
                    "id",
                    "clipped",
                    "lconf",
                    "lstate",
                    "rconf",
                    "rstate",
                    "restricted",
                    "leanX",
                    "leanY",
                    "tracking",
                )
                body = dict(zip(keys, f.readline().split()))
                body["joints"] = []
                for _ in range(int(f.readline())):
                    names = (
                        "x",
                        "y",
                        "z",
                        "dx",
                        "dy",
                        "cx",
                        "cy",
                        "ow",
                        "ox",
                        "oy",
                        "oz",
                        "tracking",
                    )
                    body["joints"].append(
                        {k: float(v) for k, v in zip(names, f.readline().split())}
                    )
                bodies.append(body)
            frames.append(bodies)
    ids = dict.fromkeys(b["id"] for bodies in frames for b in bodies)
    return {
        i: np.array(
            [
                [[j["x"], j["y"], j["z"]] for j in b["joints"]]
                for bodies in frames
                for b in bodies
                if b["id"] == i
            ]
        ).astype(np.float32)
        for i in ids
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--files", type=Path)
    p.add_argument("--out", type=Path, default=Path(__file__).parent / "results/parsing.json")
    p.add_argument("--rounds", type=int, default=7)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        files = sorted(a.files.rglob("*.skeleton"))[:60] if a.files else []
        if a.files and not files:
            p.error(f"no .skeleton files in {a.files}")
        for i in range(0 if files else 40):
            r = np.random.default_rng(i)
            T = int(r.integers(60, 140))
            files.append(Path(tmp) / f"S001C001P001R001A{i + 1:03}.skeleton")
            files[-1].write_text(
                ntu_text(
                    [
                        sense(r.normal(size=(T, 25, 3)) + [0, 0, 3], r)
                        for _ in range(1 + (i % 5 == 0))
                    ]
                )
            )
        for f in files:  # the same result, to the bit
            ours, theirs = {b.id: b.xyz for b in read_ntu_bodies(f)[1]}, naive(f)
            assert ours.keys() == theirs.keys() and all(
                np.array_equal(ours[k], theirs[k]) for k in ours
            ), f
        seconds = {"last": [], "naive": []}
        for _ in range(a.rounds):
            for name, read in (("last", read_ntu_bodies), ("naive", naive)):
                t = time.process_time()
                for f in files:
                    read(f)
                seconds[name].append(time.process_time() - t)
        rate = {
            k: dict(median=len(files) / statistics.median(v), best=len(files) / min(v))
            for k, v in seconds.items()
        }
        result = dict(
            files=len(files),
            mean_kB=sum(f.stat().st_size for f in files) / len(files) / 1e3,
            source=a.files.name if a.files else "synthetic",
            files_per_core_second=rate,
            ratio=dict(
                median=rate["last"]["median"] / rate["naive"]["median"],
                best=rate["last"]["best"] / rate["naive"]["best"],
            ),
            identical=True,
            rounds=a.rounds,
            environment=environment(),
        )
    write_json(a.out, result)
    print(
        f"{result['files']} files of {result['mean_kB']:.0f} kB: {rate['last']['median']:.0f} against {rate['naive']['median']:.0f} files a core-second (median of {a.rounds}), ratio {result['ratio']['median']:.2f}"
    )


if __name__ == "__main__":
    main()
