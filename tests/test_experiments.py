"The scripts of `experiments` run from end to end, at a size that proves nothing but that."

import json
import subprocess
import sys

import pytest
from conftest import ROOT


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


@pytest.mark.parametrize("reader", ["store-meta", "store-index", "store-present", "npz-plain"])
def test_readers_behind_the_checksums_are_fuzzed(fuzz, tmp_path, reader):
    assert fuzz.fuzz(reader, 0.5, seed=0, crashes=tmp_path / "c") > 5


def test_without_atheris_files_are_damaged_at_random(fuzz, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--reader", "yaml", "--seconds", "0.2"])
    monkeypatch.chdir(tmp_path)
    fuzz.main()
    assert "at random, because atheris is not installed, each read or" in capsys.readouterr().out


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
def test_scale_measures_checked_reads(tmp_path):
    done = run(
        "benchmarks/scale.py", "--files", 20, "--folder", tmp_path, "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "out/scale_20.json").read_text())
    assert found["files"] == 20 and found["clips"] == 120
    assert min(found["clips_per_s_checked"], found["clips_per_s_again"]) > 0
