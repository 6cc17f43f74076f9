"Ctrl-C, a scheduler's SIGTERM, a full disk, a folder that may not be written: one line each."

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from last.checkpoints import Safe
from last.checksums import damaged_files
from last.store import toy_store
from last.training import TrainConfig, train

LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from last.cli import main
sys.exit(main(sys.argv[1:]))
"""
RECIPE = ["--protocol", "given", "--model", "nano", "--batch", "16", "--schedule", "cosine"]
RECIPE += ["--warmup", "0", "--pre.frames", "8", "--device", "cpu", "--threads", "1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("interruptions") / "store", clips=40)


def last(*words, start=("-m", "last")):
    command = [sys.executable, *map(str, (*start, *words))]
    channels = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    def heed_ctrl_c():  # what a shell starts in the background does not, unless told
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        command, **channels, text=True, start_new_session=True, preexec_fn=heed_ctrl_c
    )


def in_epoch_3(store, out, *more):
    "A training that never comes to its first checkpoint."
    words = ["train", "--data", store.path, "--out", out, *RECIPE, "--epochs", 4000]
    process = last(*words, "--checkpoint-every", 4000, *more)
    epochs = (line for line in process.stdout if line.startswith("epoch 3/"))
    assert next(epochs, ""), process.stderr.read()
    return process


def has_ended(process, out, status, word):
    "With one line, and with the last whole epoch on the disk."
    _, text = process.communicate(timeout=60)
    assert process.returncode == status, text
    assert text.strip() == f"{word}; the same command goes on from here"
    assert len(json.loads((out / "history.json").read_text())) >= 2
    assert (out / "checkpoint.pt").is_file() and not damaged_files(out)
    assert not list(out.glob("*.part"))


@pytest.mark.timeout(300)
def test_ctrl_c_saves_the_last_epoch(store, tmp_path):
    process = in_epoch_3(store, tmp_path / "run")
    process.send_signal(signal.SIGINT)
    has_ended(process, tmp_path / "run", 130, "interrupted")


@pytest.mark.timeout(300)
def test_a_scheduler_tells_all_processes_again_and_again(store, tmp_path):
    "The data workers die first, and SIGTERM comes while the epoch is being saved."
    process = in_epoch_3(store, tmp_path / "run", "--workers", 2)
    for _ in range(5):
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.01)
    has_ended(process, tmp_path / "run", 143, "terminated")


class SignalsWhenSaved:
    "Pickling it kills a data worker, and sends Ctrl-C."

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        for worker in multiprocessing.active_children():
            worker.kill()
        signal.raise_signal(signal.SIGINT)
        for _ in range(50):
            time.sleep(0.01)
        return (OrderedDict, ())


def test_saving_is_deaf_to_dying_workers_and_to_more_signals(tmp_path):
    safe = Safe(tmp_path, writes=True)
    safe.put({"epoch": 3, "history": [], "x": SignalsWhenSaved()})
    with pytest.raises(KeyboardInterrupt), safe.keeping(3):
        loader = iter(DataLoader(range(100), num_workers=1))
        next(loader)
        raise KeyboardInterrupt
    assert torch.load(tmp_path / "checkpoint.pt")["epoch"] == 3
    del loader


@pytest.mark.timeout(60)
def test_a_worker_that_dies_in_an_epoch_is_an_error_in_a_sentence(tmp_path):
    safe = Safe(tmp_path, writes=True)
    safe.put({"epoch": 3, "history": []})
    message = r"a data worker has ended .* in epoch 4; .* goes on from the last epoch that was"
    with pytest.raises(ConnectionError, match=message), safe.keeping(3):
        for _ in DataLoader(range(10_000), num_workers=1):
            for worker in multiprocessing.active_children():
                worker.kill()
    assert torch.load(tmp_path / "checkpoint.pt")["epoch"] == 3


@pytest.mark.timeout(300)
def test_a_full_disk_names_the_folder_and_leaves_the_run_whole(store, tmp_path):
    "A limit on the size of a file stands for the full disk: settings fit, weights do not."
    out = tmp_path / "run"
    words = ["train", "--data", store.path, "--out", out, *RECIPE, "--epochs", 2]
    process = last(100_000, *words, start=("-c", LIMITED))
    _, text = process.communicate(timeout=120)
    assert process.returncode == 2
    assert text.startswith(f"error: {out}: cannot write best.safetensors there (")
    assert text.count("\n") == 1
    assert not damaged_files(out) and not list(out.glob("*.part"))
    assert not list(out.glob("*.safetensors"))


@pytest.mark.timeout(300)
def test_a_store_that_does_not_fit_is_not_there(tmp_path):
    words = ["prepare", "--dataset", "hdm05", "--out", tmp_path / "stores/hdm05"]
    process = last(300_000, *words, start=("-c", LIMITED))
    _, text = process.communicate(timeout=120)
    assert process.returncode == 2
    assert text.startswith(
        f"error: {tmp_path / 'stores'}: cannot write hdm05 there (File too large"
    )
    assert not list((tmp_path / "stores").iterdir())


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write")
def test_a_folder_that_may_not_be_written_is_named(store):
    cfg = TrainConfig(str(store.path), "/sys/kernel/last", "given", "nano", epochs=1, device="cpu")
    with pytest.raises(OSError, match=r"^/sys/kernel/last: cannot write config.json there"):
        train(cfg, quiet=True)


@pytest.mark.timeout(120)
def test_a_process_that_is_told_twice_ends_once(tmp_path):
    "A scheduler sends SIGTERM until the process is gone: one line, and the status of the first."
    process = last("synth", "--out", tmp_path / "data", "--subjects", 40, "--replications", 9)
    while not list((tmp_path / "data").glob("*.skeleton")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    while process.poll() is None:
        process.terminate()
        time.sleep(0.001)
    assert process.returncode == 143
    assert process.stderr.read().strip() == "terminated"
