"Runs, scores and answers: a flipped byte, a cut, a file of another run; each is refused by name."

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from last.answers import TeacherLogits
from last.checksums import (
    LISTING,
    check_listed,
    damaged_files,
    list_files,
    read_listing,
    write_listed,
)
from last.core import ParseError
from last.runs import RunInfo, load_run, trained_on
from last.scores import Scores
from last.store import Store, toy_store
from last.verify import VerifyConfig, show_verdicts, verify

TRAINED = ROOT / "nbs/trained"
FILES = ("config.json", "last.safetensors", "trained_on.txt")


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(TRAINED / "hdm05_nano", tmp_path / "run")


def use(run):
    "All that reads a run."
    RunInfo.read(run)
    load_run(run)
    trained_on(run)


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_of_a_run_is_refused_by_name(run, name):
    use(run)
    file = run / name
    whole = file.read_bytes()
    for at in (0, len(whole) // 3, len(whole) - 1):
        flip(file, at)
        with pytest.raises(ParseError, match=f"{name}: is damaged or of another folder"):
            use(run)
        file.write_bytes(whole)

    file.write_bytes(whole[:-5])
    with pytest.raises(ParseError, match=f"{name}: is damaged"):
        use(run)


@pytest.mark.parametrize("name", ["config.json", "last.safetensors", LISTING])
def test_a_file_of_another_run_is_refused(run, name):
    shutil.copy(TRAINED / "hdm05_causal" / name, run / name)
    with pytest.raises(ParseError, match="is damaged or of another folder"):
        use(run)


def test_a_damaged_list_is_named_itself(run):
    whole = (run / LISTING).read_bytes()
    for at in range(0, len(whole), 7):
        flip(run / LISTING, at)
        with pytest.raises(ParseError, match=f"{LISTING}: the list of checksums is damaged"):
            RunInfo.read(run)
        (run / LISTING).write_bytes(whole)
    (run / LISTING).write_bytes(whole[:100])
    with pytest.raises(ParseError, match=f"{LISTING}: the list of checksums is damaged"):
        RunInfo.read(run)


def test_a_run_without_a_list_is_read_as_before(run):
    (run / LISTING).unlink()
    use(run)


KILLED = """
import os, signal, sys
from pathlib import Path
from last.checksums import write_listed

moment = int(sys.argv[2])
replace = os.replace


def killed(*names):
    global moment
    if moment == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
    if moment == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    moment -= 2


os.replace = killed
write_listed(Path(sys.argv[1]), lambda part: part.write_text("new"))
"""


def test_a_kill_at_any_moment_of_writing_leaves_a_whole_run(tmp_path):
    "Three files are renamed: the list with both checksums, the file, the list with one."
    file, found = tmp_path / "run/history.json", []
    for moment in range(7):
        write_listed(file, lambda part: part.write_text("old"))
        command = [sys.executable, "-c", KILLED, str(file), str(moment)]
        status = subprocess.run(command).returncode
        assert status == (-signal.SIGKILL if moment < 6 else 0)

        check_listed(file)
        assert not damaged_files(file.parent)
        found.append((file.read_text(), len(read_listing(file.parent)[file.name])))
    whole = [("old", 1), ("old", 2), ("old", 2), ("new", 2), ("new", 2), ("new", 1), ("new", 1)]
    assert found == whole


def flips_of(file, load):
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for at in {0, 5, len(whole) - 1, len(whole) - 70, *rng.integers(0, len(whole), 60).tolist()}:
        flip(file, at)
        with pytest.raises(ParseError, match=file.name):
            load(file)
        file.write_bytes(whole)
    for size in (len(whole) - 1, len(whole) - 71, len(whole) // 2, 3):
        file.write_bytes(whole[:size])
        with pytest.raises(ParseError, match=file.name):
            load(file)
    file.write_bytes(whole)
    load(file)


def test_scores_and_answers_are_covered(tmp_path):
    names, logits = np.array(["a", "b"]), np.eye(2, 3, dtype=np.float32)
    Scores(names, np.array([0, 1]), logits).save(tmp_path / "scores.npz")
    flips_of(tmp_path / "scores.npz", Scores.load)

    none = np.zeros((2, 0), np.float32)
    classes = np.array(list("xyz"))
    teacher = TeacherLogits(names, logits, none, np.zeros(2, int), classes, names, "f")
    teacher.save(tmp_path / "teacher.npz")
    flips_of(tmp_path / "teacher.npz", TeacherLogits.load)


def test_scores_of_an_earlier_version_are_read(tmp_path):
    file = tmp_path / "old.npz"
    np.savez(file, names=np.array(["a"]), labels=np.array([0]), logits=np.zeros((1, 3)))
    assert len(Scores.load(file).names) == 1


def test_verify_says_what_is_whole_and_what_is_not(run, tmp_path):
    toy_store(tmp_path / "store", clips=6)
    cfg = VerifyConfig(str(tmp_path))
    text = show_verdicts(cfg, verify(cfg))
    assert text.split("\n") == [
        f"whole: {run}, run",
        f"whole: {tmp_path / 'store'}, store of 6 clips",
    ]

    flip(run / "last.safetensors", 4000)
    flip(tmp_path / "store/points.npy", 4000)
    with pytest.raises(ParseError) as error:
        verify(cfg)
    text = str(error.value)
    assert text.startswith("3 problems; 0 of 2 are whole\n")
    assert "last.safetensors: is damaged" in text and "clip 1 (toy001) is damaged" in text


def test_verify_checks_a_store_of_an_unknown_dataset(tmp_path):
    path = toy_store(tmp_path / "store", clips=6).path
    file = path / "meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dataset": "hands"}))
    list_files(path, ["index.npz", "meta.json", "points.npy", "present.npy"])
    cfg = VerifyConfig(str(path))
    text = show_verdicts(cfg, verify(cfg))
    assert text.endswith("store of 6 clips of 'hands', a dataset that this version does not know")

    flip(path / "points.npy", 4000)
    with pytest.raises(ParseError, match=r"2 problems; 0 of 1 are whole\n.*points.npy: is damaged"):
        verify(cfg)


def test_verify_reads_the_points_once(tmp_path, monkeypatch):
    path = toy_store(tmp_path / "store", clips=6).path

    def read_again(store, i):
        pytest.fail("a clip of a file whose checksum fits is read again")

    monkeypatch.setattr(Store, "__getitem__", read_again)
    verify(VerifyConfig(str(path)))
