"Ctrl-C, a scheduler's SIGTERM, a full disk, a folder that may not be written: one line each."

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "number, status, word",
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_stopped_training_has_saved_its_last_epoch(store, tmp_path, number, status, word):
    out = tmp_path / "run"
    words = ["train", "--data", store.path, "--out", out, *RECIPE, "--epochs", 4000]
    process = last(*words, "--checkpoint-every", 4000)
    epochs = (line for line in process.stdout if line.startswith("epoch 3/"))
    assert next(epochs), process.stderr.read()
    process.send_signal(number)
    _, text = process.communicate(timeout=60)

    assert process.returncode == status
    assert text.strip() == f"{word}; the same command goes on from here"
    assert len(json.loads((out / "history.json").read_text())) >= 2
    assert (out / "checkpoint.pt").is_file() and not damaged_files(out)
    assert not list(out.glob("*.part"))


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


def test_a_process_that_is_told_twice_ends_once(tmp_path):
    "A scheduler sends SIGTERM, and again: the second one meets no half-written file."
    process = last("synth", "--out", tmp_path / "data", "--subjects", 40, "--replications", 9)
    while not list((tmp_path / "data").glob("*.skeleton")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.terminate()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 143
    assert text.strip() == "terminated"
