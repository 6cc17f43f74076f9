"""Real kills of real commands: what is left is continued, and ends as if nothing had happened."""

import signal
import subprocess
import sys
import time

import pytest


def start(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "last", *map(str, args)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(process, condition):
    "SIGKILL as soon as the condition holds; fails if the process ends before."
    for _ in range(6000):
        if condition():
            break
        assert process.poll() is None, f"ended before it could be killed: {process.stderr.read()}"
        time.sleep(0.01)
    else:
        pytest.fail("what should have been killed never got that far")
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(300)
def test_prepare_killed(synthetic, tmp_path):
    from last.preparation import PART
    from last.store import Store

    root, lines = tmp_path / "many", sorted(synthetic.glob("*.skeleton"))[0].read_text()
    root.mkdir()
    for i in range(4 * PART):
        (root / f"S001C001P{i // 100 + 1:03}R001A{i % 100 + 1:03}.skeleton").write_text(lines)
    out = tmp_path / "store"
    args = ("prepare", "--root", root, "--dataset", "ntu120", "--out", out, "--workers", 2)

    def parts():
        return list(tmp_path.glob("store.parts-*/0*[0-9].npz"))

    kill_when(start(*args), lambda: len(parts()) >= 1)
    assert not out.exists()
    time.sleep(1)  # pool processes notice that their parent is gone
    done = {p: p.stat().st_mtime_ns for p in parts()}
    time.sleep(0.5)
    assert {p: p.stat().st_mtime_ns for p in parts()} == done, (
        "something still writes after the kill"
    )
    again = start(*args)
    assert again.wait() == 0, again.stderr.read()
    whole = start(*args[:-4], "--out", tmp_path / "whole", "--workers", 2)
    assert whole.wait() == 0, whole.stderr.read()
    assert (
        Store(out).fingerprint == Store(tmp_path / "whole").fingerprint
        and len(Store(out)) == 4 * PART
    )
    assert not parts() and not list(tmp_path.glob("*.writing"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "extra", [("--workers", 0), ("--workers", 1, "--amp", "bf16")], ids=["plain", "workers-bf16"]
)
def test_train_killed(store, tmp_path, extra):
    import torch
    from safetensors.torch import load_file

    def args(out):
        return (
            "train",
            "--data",
            store,
            "--protocol",
            "xsub",
            "--model",
            "nano",
            "--epochs",
            8,
            "--schedule",
            "cosine",
            "--warmup",
            1,
            "--batch",
            4,
            "--ema",
            0.9,
            "--checkpoint-every",
            2,
            "--pre.frames",
            16,
            "--device",
            "cpu",
            "--threads",
            1,
            *extra,
            "--out",
            out,
        )

    kill_when(start(*args(tmp_path / "cut")), lambda: (tmp_path / "cut/checkpoint.pt").is_file())
    assert not (tmp_path / "cut/last.safetensors").exists()
    for out in ("cut", "whole"):
        process = start(*args(tmp_path / out))
        assert process.wait() == 0, process.stderr.read()
    a, b = (load_file(tmp_path / out / "last.safetensors") for out in ("cut", "whole"))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert (tmp_path / "cut/history.json").read_text() == (
        tmp_path / "whole/history.json"
    ).read_text()


@pytest.mark.timeout(300)
def test_ablate_killed(store, tmp_path):
    grid = tmp_path / "grid.yaml"
    settings = "model: nano, epochs: 6, batch: 4, schedule: cosine, warmup: 0"
    settings += ", checkpoint_every: 2, device: cpu, pre: {frames: 8}"
    rows = "rows:\n  a: {}\n  b: {lr: 0.002}\n"
    grid.write_text(f"sets: [{store.name} xsub]\nsettings: {{{settings}}}\n{rows}")
    args = (
        "ablate",
        "--grid",
        grid,
        "--stores",
        store.parent,
        "--work",
        tmp_path / "work",
        "--out",
        tmp_path / "out",
        "--seeds",
        0,
        "--threads",
        1,
    )
    kill_when(
        start(*args), lambda: (tmp_path / f"work/{store.name}-xsub_b_0/checkpoint.pt").is_file()
    )  # in the middle of the second run
    first = tmp_path / f"out/{store.name}-xsub_a_0.json"
    before = first.stat().st_mtime_ns
    assert len(list((tmp_path / "out").glob("*.json"))) == 1
    process = start(*args)
    assert process.wait() == 0, process.stderr.read()
    assert first.stat().st_mtime_ns == before and len(list((tmp_path / "out").glob("*.json"))) == 2
