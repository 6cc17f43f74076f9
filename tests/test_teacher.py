"""A teacher's answers: asking is killed for real (SIGKILL) and goes on where it was."""

import subprocess
import sys
import time

import numpy as np
import pytest


def last(*words, **k):
    return subprocess.run(
        [sys.executable, "-m", "last", *map(str, words)], capture_output=True, text=True, **k
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    "Synthetic videos, their store, and two networks that saw one half of the training clips each."
    at = tmp_path_factory.mktemp("videos")
    for command in (
        (
            "synth",
            "--out",
            at / "raw",
            "--subjects",
            4,
            "--replications",
            3,
            "--cameras",
            1,
            "--actions",
            3,
            "--video",
        ),
        ("prepare", "--root", at / "raw", "--dataset", "synthetic", "--out", at / "store"),
        *(
            (
                "teacher-finetune",
                "--data",
                at / "store",
                "--videos",
                at / "raw",
                "--protocol",
                "xsub",
                "--model",
                "tsm",
                "--size",
                48,
                "--frames",
                4,
                "--epochs",
                1,
                "--warmup",
                0,
                "--batch",
                6,
                "--device",
                "cpu",
                "--fold",
                f"{k}/2",
                "--out",
                at / f"run{k}",
            )
            for k in (1, 2)
        ),
    ):
        done = last(*command)
        assert done.returncode == 0, done.stderr
    return at


def ask(at, out, *more):
    return (
        "teacher-logits",
        "--runs",
        at / "run1",
        at / "run2",
        "--data",
        at / "store",
        "--videos",
        at / "raw",
        "--batch",
        1,
        "--device",
        "cpu",
        "--out",
        out,
        *more,
    )


@pytest.mark.timeout(600)
def test_kill_in_the_middle_of_the_logits(videos, tmp_path):
    whole = last(*ask(videos, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "last", *map(str, ask(videos, tmp_path / "cut"))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.time() + 120
    while len(list((tmp_path / "cut").glob("*.npy"))) < 4:
        assert process.poll() is None and time.time() < end, (
            "finished, or hangs, before it could be killed"
        )
        time.sleep(0.002)
    process.kill()
    process.wait()
    before = len(list((tmp_path / "cut").glob("*.npy")))
    assert 4 <= before < 36 and not (tmp_path / "cut/teacher.npz").exists()
    missing = last(*ask(videos, tmp_path / "cut", "--verify"))
    assert missing.returncode == 0 and "training clips have no answer" in missing.stdout
    again = last(*ask(videos, tmp_path / "cut"))
    assert (
        again.returncode == 0
        and f"{36 - before} clips queried, {before} answers were there before" in again.stdout
        and "clips per second" in again.stdout
    )
    a, b = (np.load(tmp_path / d / "teacher.npz") for d in ("whole", "cut"))
    assert all(np.array_equal(a[k], b[k]) for k in a.files) and len(a["names"]) == 36


def test_mistakes_are_one_line(videos, tmp_path):
    for words, why in (
        (
            (
                "teacher-logits",
                "--runs",
                tmp_path,
                "--data",
                videos / "store",
                "--videos",
                videos / "raw",
                "--out",
                tmp_path / "x",
            ),
            "no run here",
        ),
        (ask(videos, tmp_path / "x", "--verify"), "no answers here yet"),
        (
            (
                "teacher-finetune",
                "--data",
                videos / "store",
                "--videos",
                tmp_path,
                "--protocol",
                "xsub",
                "--out",
                tmp_path / "y",
            ),
            "no video of any clip",
        ),
    ):
        done = last(*words)
        assert done.returncode == 2 and why in done.stderr and done.stderr.count("\n") == 1, (
            done.stderr
        )
