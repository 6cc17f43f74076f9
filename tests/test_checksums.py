"Runs, scores and answers: a flipped byte, a cut, a file of another run; each is refused by name."

import shutil

import numpy as np
import pytest
from conftest import ROOT

from last.checksums import LISTING, check_listed, damaged_files, read_listing, write_listed
from last.core import ParseError
from last.distillation import TeacherLogits
from last.runs import RunInfo, load_run, trained_on
from last.scores import Scores
from last.store import toy_store
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


def test_a_kill_between_list_and_file_leaves_a_whole_run(tmp_path):
    file = tmp_path / "run/history.json"
    write_listed(file, lambda part: part.write_text("old"))

    def killed(part):
        part.write_text("new")

    listing = read_listing(file.parent)
    whole = file.read_bytes()
    write_listed(file, killed)
    new = read_listing(file.parent)

    # the moment after the list was written and before the file was replaced
    from last.checksums import _write_listing

    _write_listing(file.parent, {file.name: listing[file.name] + new[file.name]})
    for content in (whole, b"new"):
        file.write_bytes(content)
        check_listed(file)
    assert not damaged_files(file.parent)


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
