"The scripts of `experiments` run from end to end, at a size that proves nothing but that."

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from last.cli import COMMANDS
from last.datasets import DATASETS
from last.grids import load_grid
from last.hdm05 import ACTIONS
from last.parsing import Clip
from last.puppet import CLASSES
from last.skeletons import get_skeleton
from last.store import Store, write_store


def run(script, *words):
    command = [sys.executable, str(ROOT / "experiments" / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.fixture
def fuzz(monkeypatch):
    "The script as a module; this process's memory stays as it is."
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import fuzz

    monkeypatch.setattr(fuzz, "limit_memory", lambda: None)
    return fuzz


READERS = ["store-meta", "store-index", "store-present", "npz-plain", "weights", "checkpoint"]
READERS += ["film", "keypoints-openpose", "keypoints-array"]


@pytest.mark.parametrize("reader", READERS)
def test_readers_behind_the_checksums_are_fuzzed(fuzz, tmp_path, reader):
    assert fuzz.fuzz(reader, 0.5, seed=0, crashes=tmp_path / "c") > 5


def test_without_atheris_files_are_damaged_at_random(fuzz, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--reader", "yaml", "--seconds", "0.2"])
    monkeypatch.chdir(tmp_path)
    fuzz.main()
    assert "at random, because atheris is not installed, each read or" in capsys.readouterr().out


def test_what_is_killed_in_a_soak_can_run(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import soak

    (tmp_path / "grid.yaml").write_text(soak.GRID, encoding="utf-8")
    assert list(load_grid(tmp_path / "grid.yaml").rows) == ["a", "b"]
    commands = {job.words.split()[0] for job in soak.JOBS.values()}
    assert commands <= set(COMMANDS)


@pytest.mark.timeout(300)
def test_throughput_measures_and_never_hangs(tmp_path):
    words = ["--models", "nano", "--clips", 30, "--frames", 8, "--batch", 4, "--seconds", 0.1]
    done = run(
        "benchmarks/throughput.py", *words, "--device", "cpu", "--out", tmp_path / "feeding.json"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    row = json.loads((tmp_path / "feeding.json").read_text())["nano"]
    assert row["clips_per_s"] > 0 and 0 <= row["waiting"] <= 1 and row["steps"] >= 4

    done = run("benchmarks/throughput.py", *words, "--limit", 0.05)
    assert done.returncode == 1 and "Timeout (0:00:00.05" in done.stderr


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_dry_run_is_killed_and_continues(tmp_path):
    words = ["--model", "nano", "--subjects", 3, "--replications", 1, "--kill-after", 2]
    done = run("benchmarks/dry_run.py", "--out", tmp_path / "dry.json", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "dry.json").read_text())
    assert 2 <= found["epochs_before_the_kill"] < found["epochs"] == len(found["losses"]) == 10
    assert found["losses"][-1] < found["losses"][0] and found["peak_memory_bytes"] > 1e8


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_scale_measures_checked_reads(tmp_path):
    done = run(
        "benchmarks/scale.py", "--files", 20, "--folder", tmp_path, "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "out/scale_20.json").read_text())
    assert found["files"] == 20 and found["clips"] == 120
    assert min(found["clips_per_s_checked"], found["clips_per_s_again"]) > 0


def test_other_sets_bring_their_training_clips_and_classes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import core15_store

    theirs = list(DATASETS["utd-mhad"].classes)
    core = get_skeleton("core15")
    labels = [theirs.index(name) for name in ("squat", "wave", "wave", "stand to sit")]
    bodies = np.random.default_rng(0).normal(size=(4, 1, 8, core.V, 3)).astype(np.float32)
    clips = [Clip(f"c{i}", bodies[i], labels[i], subject=i + 1) for i in range(4)]
    write_store(tmp_path / "other", clips, core, theirs, "utd-mhad")

    config = core15_store.Config(str(tmp_path / "all"), takes=1, more=(str(tmp_path / "other"),))
    core15_store.main(config)
    store = Store(tmp_path / "all")
    assert store.classes[:11] == list(ACTIONS.values()) and store.classes[-1] == "nothing"
    assert len(set(store.classes)) == len(store.classes) == 11 + 27 - 2 + 1  # two are both sets'
    found = {
        str(name): (store.classes[label], int(person))
        for name, label, person in zip(store.index.names, store.index.labels, store.index.subjects)
    }
    added = {name: row for name, row in found.items() if name.startswith("utd-mhad")}
    assert added == {"utd-mhad_c0": ("squat", 2), "utd-mhad_c2": ("wave", 1)}  # odd persons train
    assert found["puppet_0_wave"][0] == "wave" and found["puppet_0_sit_down"][0] == "sit down"
    assert found["puppet_0_bow"][0] == "nothing"


def test_names_for_the_same_action_are_names_that_there_are(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    from core15_store import PROTOCOL, SAME, TOO_NEAR

    others = {name for dataset in PROTOCOL for name in DATASETS[dataset].classes}
    assert set(SAME) | TOO_NEAR <= others | set(CLASSES)
    assert set(SAME.values()) <= others | set(ACTIONS.values())
    assert not set(SAME.values()) & set(SAME)  # one name leads to the action, not a chain


def test_an_environment_is_described_and_asked_with_the_tests_of_the_workflow(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import compatibility

    files = compatibility.tests()
    assert "tests/test_export.py" in files and all((ROOT / file).is_file() for file in files)
    found = compatibility.about(sys.executable)
    assert found["versions"]["numpy"] == np.__version__
    assert found["packages"] > 10 and found["bytes"] > 1e8
