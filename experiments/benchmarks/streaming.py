"""What frame-by-frame recognition costs, and whether it can go on for a day.

    python experiments/benchmarks/streaming.py cost --out results/streaming/cost.json
    python experiments/benchmarks/streaming.py day --out results/streaming/day.json

`cost` times one new frame, on one thread, in turns of 100 frames: the step of `causal` (float32
and INT8, its input inside, so three frames of four are only put aside), a clip network that is
asked again about the last 64 frames, and ST-GCN in continual form. Weights are fresh; they do not
change the time. Leave the machine alone.

`day` lets a trained network watch HDM05's test actors for 24 hours at 30 frames per second, in
pieces of some thousand frames, and compares its answers at the end with those of a fresh start.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode
from tyro.conf import Positional

from last.core import environment, write_json
from last.cost import count_cost
from last.costgcn import CoSTGCN
from last.export import Network
from last.hdm05 import ACTORS, read_pack
from last.onnx_files import onnx_bytes, onnx_session, quantize
from last.pipeline import Pipeline
from last.preprocessing import PreprocessConfig
from last.runs import load_run
from last.skeletons import get_skeleton
from last.steps import Step, step_feeds, step_file
from last.zoo import build_model

TURN = 100  # frames until it is the next one's turn
WARM = 20  # of them are not counted
CLIP = "reference-v1 temporal=shifts attention= pool=mean+max"  # a clip network of its kind


@dataclass
class Config:
    what: Annotated[str, Positional]  # cost or day
    out: str
    run: str = "nbs/trained/hdm05_causal"  # day: a causal run on HDM05
    skeleton: str = "ntu25"  # cost
    frames: int = 64  # cost: of the sliding window
    rounds: int = 4000  # cost: frames, a multiple of 100
    hours: float = 24.0  # day
    piece: int = 1024  # day: frames at once, a multiple of the step


def body(T: int, V: int, seed: int = 0) -> np.ndarray:  # (1, T, V, 3)
    "Something that moves."
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.02, (1, T, V, 3)).cumsum(1)
    return (rng.normal(size=(1, 1, V, 3)) + steps).astype(np.float32)


class Stepping:
    "One frame more for a step file: put aside, or, every few frames, a step."

    def __init__(self, file: bytes, streams: int = 1):
        self.session = onnx_session(file, 1)
        self.first, *self.parts = self.session.get_inputs()
        self.state = [np.zeros((streams, *p.shape[1:]), np.float32) for p in self.parts]
        self.size = self.first.shape[1]
        self.frames = []

    def __call__(self, frame: np.ndarray) -> None:  # (streams, V, 3)
        self.frames.append(frame)
        if len(self.frames) < self.size:
            return

        feed = {part.name: value for part, value in zip(self.parts, self.state)}
        feed[self.first.name] = np.stack(self.frames, 1)
        self.frames = []
        _, _, *self.state = self.session.run(None, feed)


class Continual(torch.nn.Module):
    "A frame more for CoST-GCN, as a module that can be exported."

    def __init__(self, model: CoSTGCN):
        super().__init__()
        self.model = model

    def forward(self, frame: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits, after = self.model.forward_steps(frame, state)
        return logits[:, -1], logits.sum((1, 2)), *after  # the second as a step has it


def continual_file(model: CoSTGCN, V: int) -> bytes:
    "CoST-GCN as an ONNX file: (N, 3, 1, V) and a state in."
    state = model.clean_state(2)
    inputs = {"frames": torch.randn(2, 3, 1, V)}
    inputs |= {f"state{i}": part for i, part in enumerate(state)}
    outputs = ["logits", "sum", *[f"next{i}" for i in range(len(state))]]
    return onnx_bytes(Continual(model).eval(), inputs, outputs)


class FrameByFrame:
    "One frame more for CoST-GCN."

    def __init__(self, file: bytes):
        self.session = onnx_session(file, 1)
        self.first, *self.parts = self.session.get_inputs()
        self.state = [np.zeros((1, *p.shape[1:]), np.float32) for p in self.parts]

    def __call__(self, frame: np.ndarray) -> None:  # (1, V, 3)
        feed = {part.name: value for part, value in zip(self.parts, self.state)}
        feed[self.first.name] = frame.transpose(0, 2, 1)[:, :, None]
        _, _, *self.state = self.session.run(None, feed)


class Sliding:
    "One frame more for a clip network: asked about the last T frames, prepared before."

    def __init__(self, file: bytes, x: np.ndarray):  # (1, C, T, V)
        self.session = onnx_session(file, 1)
        self.x = x

    def __call__(self, frame: np.ndarray) -> None:
        self.session.run(None, {"skeleton": self.x})


def cost(cfg: Config) -> dict:
    "Milliseconds per frame."
    skeleton = get_skeleton(cfg.skeleton)
    V = skeleton.V
    torch.manual_seed(0)
    causal = build_model("causal", skeleton, 120, 12).eval()
    clip = build_model(CLIP, skeleton, 120, 12).eval()
    continual = CoSTGCN(skeleton, 120).eval()

    step = Step(causal, Pipeline(skeleton, PreprocessConfig(causal=True))).eval()
    file = step_file(step)
    feeds = step_feeds(step, [body(400, V, seed) for seed in range(3)], 128)
    int8 = quantize(file, feeds)
    window = torch.randn(2, 12, cfg.frames, V)
    whole = onnx_bytes(Network(clip), {"skeleton": window})

    runs = {
        "causal": Stepping(file),
        "causal INT8": Stepping(int8),
        "sliding window": Sliding(whole, window[:1].numpy()),
        "CoST-GCN": FrameByFrame(continual_file(continual, V)),
    }
    frames = body(cfg.rounds, V)[0]
    seconds = {name: [] for name in runs}
    for start in range(0, cfg.rounds, TURN):
        for name, run in runs.items():
            for t in range(start, start + TURN):
                begin = time.perf_counter()
                run(frames[t : t + 1])
                if t >= start + WARM:
                    seconds[name].append(time.perf_counter() - begin)

    result = {}
    for name, spent in seconds.items():
        kept = np.array(spent)
        centiles = np.percentile(1000 * kept, [50, 95, 99])
        result[name] = dict(
            mean_ms=float(1000 * kept.mean()),
            p50_ms=float(centiles[0]),
            p95_ms=float(centiles[1]),
            p99_ms=float(centiles[2]),
            streams_per_core=float(1 / 30 / kept.mean()),
        )

    many = {}
    for streams in (1, 8, 32):
        run = Stepping(file, streams)
        some = np.repeat(frames[:, None], streams, 1)
        spent = []
        for t in range(200):
            begin = time.perf_counter()
            run(some[t])
            spent.append(time.perf_counter() - begin)
        many[streams] = float(streams / 30 / np.mean(spent[40:]))

    per_frame = count_cost(causal, skeleton, 64, 1, 12)
    of_clip = count_cost(clip, skeleton, cfg.frames, 1, 12)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        continual.forward_steps(torch.zeros(1, 3, 1, V), continual.clean_state())
    state = sum(part.nbytes for part in runs["causal"].state)
    return dict(
        per_frame=result,
        streams_per_core=many,
        macs_per_frame=per_frame["macs"] / 64,
        parameters=per_frame["params"],
        clip_macs=of_clip["macs"],
        clip_parameters=of_clip["params"],
        clip_network=CLIP,
        continual_macs_per_frame=counter.get_total_flops() / 2,
        continual_parameters=sum(p.numel() for p in continual.parameters()),
        state_bytes=state,
        file_bytes=dict(fp32=len(file), int8=len(int8)),
    )


@torch.no_grad()
def day(cfg: Config) -> dict:
    "Answers after a day, against those of a fresh start."
    run = load_run(cfg.run)
    step = Step(run.model, run.pipeline).eval()
    actors = [name for name in ACTORS if name in ("mm", "tr")]
    clips = [c for c in read_pack() if any(f"_{name}_" in c.name for name in actors)]
    rng = np.random.default_rng(0)

    # one long film of all clips in random order
    order = rng.permutation(len(clips))
    film = np.concatenate([clips[i].points[0] for i in order])
    s = step.frames
    film = torch.from_numpy(film[: len(film) // s * s])
    total = round(cfg.hours * 3600 * 30) // len(film) * len(film)

    def watch(frames: torch.Tensor, state: tuple) -> tuple[torch.Tensor, tuple]:
        answers = []
        for piece in frames.split(cfg.piece):
            p, _, *state = step.all_answers(piece[None], *state)
            answers.append(p[0])
        return torch.cat(answers), tuple(state)

    fresh, state = watch(film, step.clean_state())
    last = fresh
    largest = []
    begin = time.monotonic()
    for _ in range(total // len(film) - 1):
        last, state = watch(film, state)
        largest.append(max(float(part.abs().nan_to_num().max()) for part in state))

    skipped = 600 // s  # of a fresh start: it has no past yet
    moved = (last - fresh)[skipped:].abs()
    return dict(
        frames=total,
        film_frames=len(film),
        seconds=time.monotonic() - begin,
        largest_state_first_hour=max(largest[: max(1, 108000 // len(film))]),
        largest_state_last_hour=max(largest[-max(1, 108000 // len(film)) :]),
        finite=bool(last.isfinite().all()),
        largest_difference=float(moved.max()),
        mean_difference=float(moved.mean()),
        state_bytes=sum(part.numel() * 4 for part in state),
    )


def main(cfg: Config) -> None:
    torch.set_num_threads(1)
    work = {"cost": cost, "day": day}.get(cfg.what)
    if work is None:
        raise SystemExit("expected cost or day")

    result = work(cfg) | dict(settings=asdict(cfg), environment=environment())
    write_json(Path(cfg.out), result)
    print({key: value for key, value in result.items() if key not in ("environment", "settings")})


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
