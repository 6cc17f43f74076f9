"Two processes train the network that one trains; a lost one ends all, and nothing is lost."

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_videos import make_videos

from last.answers import RunLogitsConfig, run_logits
from last.distillation import DistillConfig, distill
from last.preprocessing import PreprocessConfig
from last.store import toy_store
from last.training import TrainConfig, train
from last.video_training import FinetuneConfig, finetune

HERE = Path(__file__).parent
ALONE = {TrainConfig: train, DistillConfig: distill, FinetuneConfig: finetune}
PHASE = {TrainConfig: "train", DistillConfig: "distill", FinetuneConfig: "finetune"}


def torchrun(*words, processes=2):
    "Start processes; they find each other at a free port."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", processes]
    command += ["--master-port", port, *words]
    return subprocess.Popen(
        [*map(str, command)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(process, seconds=120):
    try:
        text, _ = process.communicate(timeout=seconds)
    finally:
        process.terminate()  # torchrun ends its processes
        process.wait(60)
    return process.returncode, text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "77 training clips: batches of 19 leave one clip for the last batch of two processes."
    folder = tmp_path_factory.mktemp("processes")
    toy_store(folder / "store", clips=120, classes=3)
    return folder


@pytest.fixture(scope="module")
def recipe(place):
    pre = PreprocessConfig(frames=8)
    return TrainConfig(
        data=str(place / "store"),
        out=str(place / "one"),
        protocol="given",
        model="nano",
        epochs=3,
        batch=19,
        optimizer="sgd",
        lr=0.02,
        schedule="cosine",
        warmup=1,
        ema=0.9,
        checkpoint_every=1,
        device="cpu",
        threads=1,
        pre=pre,
    )


def history_of(run):
    return json.loads((Path(run) / "history.json").read_text(encoding="utf-8"))


@pytest.mark.timeout(300)
def test_two_processes_train_what_one_trains(place, recipe):
    "Loss and accuracy of every epoch, in every phase, to five digits; and every clip counts once."
    whole = replace(recipe, part="train", epochs=1, out=str(place / "teacher"))
    train(whole, quiet=True)
    answers = RunLogitsConfig([whole.out], recipe.data, str(place / "t.npz"), seen="use")
    run_logits(answers)

    make_videos(place / "videos", subjects=2, replications=2, actions=3)
    places = dict(data=str(place / "videos/store"), videos=str(place / "videos/raw"))
    video = FinetuneConfig(
        **places,
        out="",
        protocol="xsub",
        model="tsm",
        size=32,
        frames=4,
        epochs=2,
        warmup=0,
        batch=4,
        lr=1e-3,
        mixup=0,
        cutmix=0,
        drop_path=0,
        device="cpu",
        threads=1,
    )
    student = DistillConfig(**vars(recipe) | {"part": "train"}, teacher=answers.out)
    runs = {"train": recipe, "distill": student, "finetune": video}

    jobs = []
    for name, cfg in runs.items():
        ALONE[type(cfg)](replace(cfg, out=str(place / f"{name}-1")), quiet=True)
        jobs.append([PHASE[type(cfg)], asdict(replace(cfg, out=str(place / f"{name}-2")))])
    (place / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    status, text = end_of(torchrun(HERE / "train_in_processes.py", place / "jobs.json"))
    assert status == 0, text[-3000:]

    for name in runs:
        one, two = history_of(place / f"{name}-1"), history_of(place / f"{name}-2")
        assert len(one) == len(two)
        for a, b in zip(one, two):
            assert b == pytest.approx(a, rel=1e-4, abs=1e-5), name


@pytest.mark.timeout(300)
def test_a_killed_process_ends_all_and_one_goes_on(place, recipe):
    "Without a checkpoint so far: the epoch that was kept in memory is on the disk afterwards."
    cfg = replace(recipe, out=str(place / "killed"), epochs=16, checkpoint_every=100)
    words = ["-m", "last", "train"]
    for key, value in asdict(cfg).items():
        if key not in ("pre", "aug") and value not in ("", []) and value is not False:
            words += [f"--{key.replace('_', '-')}", value]
    process = torchrun(*words, "--pre.frames", 8)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch 3/"):
                break

        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        began = time.monotonic()
    finally:
        status, text = end_of(process, 60)
    assert status != 0, lines
    assert time.monotonic() - began < 60
    assert "another process of this training has ended, in epoch" in text

    # one process goes on where two were stopped, and ends where one would have
    epochs = len(history_of(cfg.out))
    assert 3 <= epochs < 16
    ended = train(cfg, quiet=True)
    alone = train(replace(cfg, out=str(place / "alone")), quiet=True)
    assert len(ended) == 16
    assert ended[epochs] == pytest.approx(alone[epochs], rel=1e-3, abs=1e-4)


@pytest.mark.timeout(300)
def test_nodes_that_do_not_share_the_folder_are_told_so(place, recipe):
    "A folder per process stands for a disk per node: the second one lacks the checkpoint."
    train(replace(recipe, out=str(place / "node-0"), epochs=1), quiet=True)
    cfg = replace(recipe, out=str(place / "node-{rank}"), epochs=1)
    (place / "nodes.json").write_text(json.dumps([["train", asdict(cfg)]]), encoding="utf-8")
    status, text = end_of(torchrun(HERE / "train_in_processes.py", place / "nodes.json"))
    assert status != 0
    assert "process 0 goes on after epoch 1 and process 1 after epoch 0; --out must be" in text
