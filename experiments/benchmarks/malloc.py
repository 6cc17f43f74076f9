"""How much time `keep_memory` saves in a training step of `reference-v1`.

    python experiments/benchmarks/malloc.py [--frames 64] [--threads 2]

With and without it, in fresh processes, interleaved; writes results/bench/malloc.json.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "results/bench"


def child(keep: bool, T: int, threads: int) -> None:
    "Print the median seconds of a training step in this process."
    import torch
    from torch.nn import functional as F

    from last.batches import keep_memory
    from last.zoo import build_model

    torch.set_num_threads(threads)
    if keep and not keep_memory():
        sys.exit("this system has no glibc, so keep_memory does nothing")

    model = build_model("reference-v1", "kinect20", 10)
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.randn(32, 3, T, 20)
    labels = torch.randint(0, 10, (32,))

    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)

    print(statistics.median(seconds[2:]))


def measure(how: str, args: argparse.Namespace) -> float:
    "Seconds of a step in a fresh process; `how` is keep or default."
    command = [sys.executable, __file__, "--child", how]
    command += ["--frames", str(args.frames), "--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "malloc.json")
    parser.add_argument("--child", choices=("keep", "default"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child == "keep", args.frames, args.threads)
        return

    from last.core import environment, write_json

    seconds = {"default": [], "keep": []}
    for _ in range(args.rounds):
        for how, values in seconds.items():
            values.append(measure(how, args))

    median = {how: statistics.median(values) for how, values in seconds.items()}
    ratio = median["default"] / median["keep"]
    step = f"reference-v1, batch 32, T={args.frames}, V=20, fp32, {args.threads} threads"
    write_json(args.out, dict(step=step, seconds=seconds, ratio=ratio, environment=environment()))
    print(f"a step takes {median['default']:.2f} s by default")
    print(f"and {median['keep']:.2f} s with keep_memory: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
