"""What `keep_memory` is worth: seconds for a training step of `reference`, with and without, in fresh processes, interleaved.

python experiments/benchmarks/malloc.py [--frames 64] [--threads 2] [--out results/bench/malloc.json]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path


def child(keep: bool, T: int, threads: int):
    import torch
    from torch.nn import functional as F

    from last.training import keep_memory
    from last.zoo import build_model

    torch.set_num_threads(threads)
    if keep and not keep_memory():
        sys.exit("no glibc here")
    model = build_model("reference", "kinect20", 10)
    optimizer, x, y = (
        torch.optim.AdamW(model.parameters()),
        torch.randn(32, 3, T, 20),
        torch.randint(0, 10, (32,)),
    )
    times = []
    for _ in range(6):
        t = time.perf_counter()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - t)
    print(statistics.median(times[2:]))


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--frames", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out", type=Path, default=Path(__file__).parent / "results/malloc.json")
    p.add_argument("--child", choices=("keep", "default"), help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        return child(a.child == "keep", a.frames, a.threads)
    from last.core import environment, write_json

    seconds = {"default": [], "keep": []}
    for _ in range(a.rounds):
        for how in seconds:
            out = subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--child",
                    how,
                    "--frames",
                    str(a.frames),
                    "--threads",
                    str(a.threads),
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            seconds[how].append(float(out))
    ratio = statistics.median(seconds["default"]) / statistics.median(seconds["keep"])
    write_json(
        a.out,
        dict(
            step=f"reference, batch 32, T={a.frames}, V=20, fp32, {a.threads} threads",
            seconds=seconds,
            ratio=ratio,
            environment=environment(),
        ),
    )
    print(
        f"a step takes {statistics.median(seconds['default']):.2f} s by default, {statistics.median(seconds['keep']):.2f} s with keep_memory: {ratio:.2f} times faster"
    )


if __name__ == "__main__":
    main()
