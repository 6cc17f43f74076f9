"""How fast a network trains on this machine, how long it waits for data, and how many hours NTU-120
would take.

    python experiments/benchmarks/throughput.py --out results/scale/feeding.json
    torchrun --nproc-per-node 8 experiments/benchmarks/throughput.py --models reference --amp fp16

Clips have NTU's lengths, and the recipe is that of `--config` (ntu120_xsub). A step is what `train`
does: load, preprocess, augment, forward, backward, optimizer. `waiting` is the share of a step in
which the loop waits for the loader; `model_only` repeats the steps with a batch that is there
already, and `of_model_only` is the ratio of the two rates. `memory_bytes` is what the process and
its workers hold after two steps and after the last one (on Linux). Nothing is estimated for a
machine that this was not run on.

Several processes take the same number of steps, and one that fails or hangs ends all of them after
--limit seconds at the latest.
"""

import argparse
import faulthandler
import json
import math
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

NTU120_XSUB = 63_026  # training clips


def make_store(folder: Path, clips: int):
    "Random walks of NTU's lengths, one or two persons."
    from last.parsing import Clip
    from last.store import write_store

    rng = np.random.default_rng(0)
    made = []
    for i in range(clips):
        T, M = int(np.clip(20 + rng.gamma(3, 20), 20, 300)), 1 + int(rng.random() < 0.217)
        points = rng.normal(0, 0.01, (M, T, 25, 3)).cumsum(1) + rng.normal(0, 0.4, (M, 1, 25, 3))
        made.append(Clip(f"c{i:05}", points.astype(np.float32), i % 60, split="train"))
    return write_store(folder, made, "ntu25", [str(c) for c in range(60)])


def memory_held() -> int | None:
    "Resident bytes of this process and those it has started; None where Linux does not count them."
    if not Path("/proc/self/status").is_file():
        return None
    processes = ["self"]
    for thread in Path("/proc/self/task").glob("*/children"):
        processes += thread.read_text().split()

    total = 0
    for process in processes:
        status = Path(f"/proc/{process}/status").read_text()
        total += sum(1024 * int(n) for n in re.findall(r"^VmRSS:\s+(\d+)", status, re.M))
    return total


def steps(acc, state, task, loader, count: int) -> dict:
    "Run training steps; over several processes the slowest one's time counts."
    from last.batches import seed_of

    waited = 0.0  # seconds
    clips, step = 0, 0
    memory = []
    state.model.train()
    began = start = time.perf_counter()
    while step < count:
        for raw, labels, numbers in loader:
            waited += time.perf_counter() - start
            g = torch.Generator().manual_seed(seed_of(0, step))
            if state.share is not None:
                state.share.take(len(raw) * state.share.world)
                g = state.share.generator(seed_of(0, step))
            raw, labels = raw.to(acc.device), labels.to(acc.device)
            *inputs, labels = task.pipeline(raw, labels, g)
            with acc.autocast():
                logits = state.model(*inputs)
            loss = task.loss(acc.unwrap_model(state.model), logits.float(), labels, numbers)
            acc.backward(loss)
            state.optimizer.step()
            state.optimizer.zero_grad()
            clips += len(raw) * acc.num_processes
            step += 1
            if step in (2, count):
                memory.append(memory_held())
            if acc.device.type == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            if step == count:
                break
    took = slowest(acc, start - began)
    speed = {"clips_per_s": clips / took, "waiting": waited / took}
    return speed | {"steps": step, "seconds": took, "memory_bytes": memory}


def slowest(acc, seconds: float) -> float:
    "The longest time that any process has taken."
    return acc.gather(torch.tensor([seconds], device=acc.device)).max().item()


def measure(args: argparse.Namespace, store, model: str) -> dict:
    from last.batches import EpochOrder
    from last.cli import load_defaults
    from last.loop import make_accelerator, start_state
    from last.processes import SharedBatches
    from last.training import SkeletonTask, TrainConfig
    from last.zoo import network_version

    cfg = load_defaults(TrainConfig, args.config)
    cfg = replace(
        cfg,
        data=str(store.path),
        protocol="given",
        part="train",
        model=model,
        batch=args.batch,
        amp=args.amp,
        workers=args.workers,
        device=args.device,
    )
    cfg.pre.frames = args.frames
    task = SkeletonTask(cfg, store)
    acc = make_accelerator(cfg)
    state = start_state(acc, task, lambda *words: None)
    order = EpochOrder(len(task.numbers), 0)
    if acc.num_processes > 1:
        order = SharedBatches(order, cfg.batch, acc.process_index, acc.num_processes)
    loader = task.loader(task.numbers, cfg.batch, order)

    steps(acc, state, task, loader, 2)  # warm up
    few = steps(acc, state, task, loader, 4)
    count = max(4, math.ceil(4 * args.seconds / few["seconds"]))  # the same in all processes
    found = steps(acc, state, task, loader, count)
    batch = next(iter(loader))
    alone = steps(acc, state, task, [batch] * 1000, count)
    found["model_only_clips_per_s"] = alone["clips_per_s"]
    found["of_model_only"] = found["clips_per_s"] / alone["clips_per_s"]
    found["hours_of_ntu120_xsub"] = args.epochs * NTU120_XSUB / found["clips_per_s"] / 3600
    about = {"model": model, "version": network_version(model)}
    return about | found | {"processes": acc.num_processes, "device": str(acc.device)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="+", default=["nano", "reference"])
    parser.add_argument("--config", default="ntu120_xsub", help="whose recipe")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64, help="clips per step, over all processes")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=70)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--amp", default="no", choices=["no", "fp16", "bf16"])
    parser.add_argument("--device", default="")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=1800, help="seconds, for all of it")
    parser.add_argument("--out", help="results JSON to write")
    args = parser.parse_args()
    faulthandler.dump_traceback_later(args.limit, exit=True)

    from last.core import environment, write_json

    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", args.clips)
        found = {model: measure(args, store, model) for model in args.models}

    from last.video_logits import process_rank

    if process_rank()[0] == 0:
        print(json.dumps(found, indent=1))
        for model, row in found.items():
            hours, share = row["hours_of_ntu120_xsub"], 100 * row["waiting"]
            print(f"{model}: {row['clips_per_s']:.0f} clips/s, {share:.0f} % of the time waiting")
            print(f"  NTU-120 X-Sub, {args.epochs} epochs: {hours:.1f} hours on this machine")
        if args.out:
            about = {"settings": vars(args), "environment": environment()}
            write_json(Path(args.out), found | about)


if __name__ == "__main__":
    main()
