"""How the time of a network grows with frames, joints and blocks.

    python experiments/benchmarks/growth.py --out results/bench/growth.json

Linear attention is compared with softmax attention in the same block; nbs/50_cost.ipynb draws the
result. One thread, one clip, eager, interleaved. Leave the machine alone meanwhile (10 minutes).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from last.batches import keep_memory
from last.bench import interleave, latency
from last.core import environment, write_json
from last.cost import count_cost
from last.skeletons import SKELETONS, get_skeleton
from last.zoo import build_model

RESULTS = Path(__file__).parents[2] / "results/bench"
ATTENTION = ("linear", "softmax")
FRAMES = (64, 128, 256, 512, 1024)
ONE_BLOCK = "channels=256 strides=1 stem=256 patch=1"
BLOCKS = {
    2: "channels=128,256 strides=1,2",
    4: "",
    6: "channels=128,128,128,256,256,256 strides=1,2,1,1,1,1",
    8: "channels=128,128,128,128,256,256,256,256 strides=1,2,1,1,1,1,1,1",
}


def cases_by_figure() -> dict[str, list[tuple[str, str, int]]]:
    "Figure -> its networks as (model, skeleton, frames)."
    pairs = [(T, kind) for T in FRAMES for kind in ATTENTION]
    return {
        "frames": [(f"reference-v1 attention={kind}", "ntu25", T) for T, kind in pairs],
        "one block": [
            (f"reference-v1 {ONE_BLOCK} attention={kind}", "ntu25", T) for T, kind in pairs
        ],
        "joints": [("reference-v1", skeleton, 64) for skeleton in SKELETONS],
        "blocks": [(f"reference-v1 {change}".strip(), "ntu25", 64) for change in BLOCKS.values()],
    }


def prepare(model: str, skeleton_name: str, T: int) -> tuple[Callable, dict]:
    "A function that classifies one clip, and what that costs."
    skeleton = get_skeleton(skeleton_name)
    network = build_model(model, skeleton, 120).eval()
    x = torch.randn(1, 3, T, skeleton.V)

    cost = count_cost(network, skeleton, T)
    facts = dict(model=model, skeleton=skeleton_name, t_v_m=[T, skeleton.V, 1], **cost)
    return lambda: network(x), facts


def measure(cases: list[tuple[str, str, int]], rounds: int) -> list[dict]:
    "Costs and latencies of the networks of one figure, timed in turns."
    prepared = [prepare(*case) for case in cases]
    seconds = interleave({i: run for i, (run, _) in enumerate(prepared)}, rounds)
    return [facts | latency(seconds[i]) for i, (_, facts) in enumerate(prepared)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    args = parser.parse_args()

    torch.set_num_threads(1)
    keep_memory()
    out = dict(environment=environment(), threads=1, batch=1)

    with torch.inference_mode():
        for figure, cases in cases_by_figure().items():
            out[figure] = measure(cases, args.rounds)
            for row in out[figure]:
                size = f"{row['t_v_m']}  {row['macs'] / 1e9:.2f} GMACs"
                print(
                    f"{figure:10} {row['model']:70} {row['median_ms']:8.1f} ms   {size}", flush=True
                )

    write_json(args.out, out)


if __name__ == "__main__":
    main()
