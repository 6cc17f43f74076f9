"""How a network's time grows with frames, joints and blocks; linear against softmax attention in the same block.

    python experiments/benchmarks/growth.py          writes results/bench/growth.json, which nbs/50_cost.ipynb draws

One thread, one clip, eager, interleaved. Leave the machine alone meanwhile (about 10 minutes).
"""

import argparse
from pathlib import Path

import torch

from last.bench import interleave, latency
from last.core import environment, write_json
from last.cost import count_cost
from last.skeletons import SKELETONS, get_skeleton
from last.training import keep_memory
from last.zoo import build_model

ATTENTION = ("linear", "softmax")
FRAMES = (64, 128, 256, 512, 1024)
BLOCKS = {
    2: "channels=128,256 strides=1,2",
    4: "",
    6: "channels=128,128,128,256,256,256 strides=1,2,1,1,1,1",
    8: "channels=128,128,128,128,256,256,256,256 strides=1,2,1,1,1,1,1,1",
}


def case(model: str, skeleton: str, T: int):
    "A model and its input, with what it costs."
    s = get_skeleton(skeleton)
    net = build_model(model, s, 120).eval()
    x = torch.randn(1, 3, T, s.V)
    return (lambda: net(x)), dict(
        model=model, skeleton=skeleton, t_v_m=[T, s.V, 1], **count_cost(net, s, T)
    )


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--out", type=Path, default=Path(__file__).parent / "results/growth.json")
    a = p.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    asked = {
        "frames": [
            (f"reference attention={kind}", "ntu25", T) for T in FRAMES for kind in ATTENTION
        ],
        "one block": [
            (f"reference channels=256 strides=1 stem=256 patch=1 attention={kind}", "ntu25", T)
            for T in FRAMES
            for kind in ATTENTION
        ],
        "joints": [("reference", s, 64) for s in SKELETONS],
        "blocks": [(f"reference {change}".strip(), "ntu25", 64) for change in BLOCKS.values()],
    }
    out = dict(environment=environment(), threads=1, batch=1)
    with torch.inference_mode():
        for name, cases in asked.items():
            runs, about = zip(*(case(*c) for c in cases))
            seconds = interleave(dict(enumerate(runs)), a.rounds)
            out[name] = [dict(e, **latency(seconds[i])) for i, e in enumerate(about)]
            for e in out[name]:
                print(
                    f"{name:10} {e['model']:70} {e['t_v_m']}  {e['median_ms']:8.1f} ms   {e['macs'] / 1e9:.2f} GMACs",
                    flush=True,
                )
    write_json(a.out, out)


if __name__ == "__main__":
    main()
