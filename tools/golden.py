"""A few output numbers of every network, of preprocessing and of training, for fixed weights.

    python tools/golden.py           # write tests/golden.json
    python tools/golden.py --check   # say what has changed

The results of this repository carry versions of the code that made them (`last.runs`). These
numbers show when a version must be raised: `tests/test_golden.py` compares them. No weight comes
from a random generator, so that they do not depend on the version of torch.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from last.loop import TrainState, make_accelerator, train_epoch
from last.pipeline import PIPELINE_VERSION, Pipeline
from last.preprocessing import PreprocessConfig
from last.runs import TRAINING_VERSION
from last.schedule import make_optimizer, ramped_average
from last.skeletons import SKELETONS, get_skeleton
from last.training import SkeletonTask, TrainConfig
from last.zoo import NETWORKS, build_model, network_version

FILE = Path(__file__).resolve().parents[1] / "tests/golden.json"


def wave(shape: tuple[int, ...], phase: float) -> Tensor:
    "Numbers between -1 and 1 that look random and are not."
    steps = np.arange(int(np.prod(shape)), dtype=float)
    values = np.sin(12.9898 * steps + phase)
    return torch.tensor(values, dtype=torch.float32).view(shape)


def with_fixed_weights(name: str) -> nn.Module:
    "A network in eval mode whose random weights are replaced; what starts fixed is moved a little."
    torch.manual_seed(0)
    model = build_model(name, "ntu25", 5)
    torch.manual_seed(1)
    other = build_model(name, "ntu25", 5).state_dict()

    for i, (key, value) in enumerate(model.state_dict().items()):
        if not value.is_floating_point():
            continue
        fixed = torch.equal(value, other[key])
        size = 0.05 if fixed else value[:1].numel() ** -0.5
        moved = size * wave(tuple(value.shape), i)
        value.copy_(value + moved if fixed else moved)

    return model.eval()


@torch.no_grad()
def of_network(name: str) -> list[float]:
    "Logits of two clips; the second is cut, and its second person is absent."
    x = wave((2, 3, 16, 25, 2), 0.5)
    mask = torch.ones(2, 16, 2, dtype=torch.bool)
    mask[1, 12:] = False
    mask[1, :, 1] = False
    return with_fixed_weights(name)(x, mask).flatten().tolist()


def of_pipeline(name: str) -> list[float]:
    "What a network is fed with: channel by channel, two clips with gaps and a late second person."
    skeleton = get_skeleton(name)
    raw = wave((2, 3, 20, skeleton.V, 2), 0.5)
    raw[0, :, 3:6, 4] = float("nan")
    raw[1, :, :8, :, 1] = float("nan")
    raw[1, :, 15:] = float("nan")

    numbers = []
    for align in (False, True) if skeleton.dims == 3 else (False,):
        pre = PreprocessConfig(frames=8, persons=2, stream="all", align=align)
        x, mask, _ = Pipeline(skeleton, pre)(raw)
        numbers += x.square().mean((0, 2, 3, 4)).tolist()
        numbers += x[:, :, 5, 4].flatten().tolist()
        numbers.append(mask.float().mean().item())

    return numbers


class Tiny(nn.Module):
    "One linear map, so that no change of a network changes these numbers."

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(wave(tuple(p.shape), i))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def extra_loss(self, labels: Tensor) -> float:
        return 0.0


def of_training() -> list[float]:
    "Weights and averaged weights after two steps of the optimizer."
    recipe = dict(epochs=4, lr=0.05, warmup=0, ema=0.9, label_smoothing=0.1, weight_decay=0.1)
    cfg = TrainConfig("", "", "", device="cpu", schedule="cosine", **recipe)
    acc = make_accelerator(cfg)
    plain = Tiny()
    average = AveragedModel(Tiny(), multi_avg_fn=ramped_average(cfg.ema), use_buffers=True)
    model = acc.prepare(Tiny())
    optimizer = acc.prepare(make_optimizer(model, cfg))
    state = TrainState(model, average, plain, optimizer, epoch=1)

    task = SimpleNamespace(cfg=cfg, filmed=None, pipeline=lambda raw, labels, g: (raw, labels))
    task.loss = lambda *batch: SkeletonTask.loss(task, *batch)
    batches = [(wave((4, 6), i), torch.tensor([0, 1, 2, 1]), torch.arange(4)) for i in range(2)]
    train_epoch(acc, state, batches, task)

    weights = [*model.parameters(), *average.module.parameters()]
    return torch.cat([w.detach().flatten() for w in weights]).tolist()


def golden() -> dict[str, dict]:
    "What -> its version and its numbers."
    found = {}
    for name in NETWORKS:
        numbers = of_network(name)
        found[f"network {name}"] = dict(version=network_version(name), numbers=numbers)
    for name in SKELETONS:
        found[f"pipeline {name}"] = dict(version=PIPELINE_VERSION, numbers=of_pipeline(name))

    found["training"] = dict(version=TRAINING_VERSION, numbers=of_training())
    return found


def changes(stored: dict[str, dict], today: dict[str, dict]) -> list[str]:
    "What must be done before the stored numbers are right again."
    said = []
    for what, entry in today.items():
        old = stored.get(what)
        if old is None:
            said.append(f"{what} is new: run python tools/golden.py")
            continue

        a, b = np.array(old["numbers"]), np.array(entry["numbers"])
        same = a.shape == b.shape and np.abs(a - b).max() <= 1e-4 * np.abs(a).max()
        if not same and old["version"] == entry["version"]:
            said.append(
                f"the output of {what} changed: raise its version and run python tools/golden.py"
            )
        elif old["version"] != entry["version"]:
            said.append(f"the version of {what} was raised: run python tools/golden.py")

    return said + [f"{what} is gone: run python tools/golden.py" for what in stored.keys() - today]


def rounded(found: dict[str, dict]) -> dict[str, dict]:
    "Seven digits, which is what float32 has."
    return {
        what: entry | dict(numbers=[float(f"{n:.6e}") for n in entry["numbers"]])
        for what, entry in found.items()
    }


def main() -> int:
    torch.set_num_threads(1)
    if "--check" in sys.argv:
        said = changes(json.loads(FILE.read_text(encoding="utf-8")), golden())
        print("\n".join(said) or "nothing has changed")
        return int(bool(said))

    lines = [f"{json.dumps(what)}: {json.dumps(e)}" for what, e in rounded(golden()).items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
