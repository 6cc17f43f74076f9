"The report page: one file, true numbers, a credit where one is due, and pictures of any store."

import base64
import json
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from last.cli import parse
from last.datasets import DATASETS
from last.evaluation import EvaluateConfig, evaluate
from last.hdm05 import CREDIT
from last.parsing import Clip
from last.preparation import PrepareConfig, prepare
from last.preprocessing import PreprocessConfig
from last.report import (
    OWN_CLIPS,
    OWN_COMMANDS,
    ReportConfig,
    choose_clips,
    describe_parts,
    report,
)
from last.scores import Scores
from last.store import Store, toy_store, write_store
from last.training import TrainConfig, train

SETTINGS = dict(model="nano", epochs=1, schedule="cosine", warmup=0, batch=32, device="cpu")


def page_of(folder, protocol="given", persons=1):
    "Train for one epoch on folder/store; the page about it."
    pre = PreprocessConfig(frames=8, persons=persons)
    places = dict(data=str(folder / "store"), out=str(folder / "run"), protocol=protocol)
    train(TrainConfig(**places, part="train", pre=pre, **SETTINGS), quiet=True)
    return report_of(folder)


def report_of(folder):
    cfg = ReportConfig(str(folder / "run"), str(folder / "store"), str(folder / "out"), "cpu")
    return report(cfg).read_text(encoding="utf-8")


def words_of(page):
    "What a reader sees."
    body = page.partition("</style>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    "A folder with HDM05, a run on it and its page."
    folder = tmp_path_factory.mktemp("hdm05")
    prepare(PrepareConfig(out=str(folder / "store")))
    page_of(folder, "xsub")
    return folder


@pytest.fixture(scope="module")
def page(people):
    return (people / "out/report.html").read_text(encoding="utf-8")


def walker(dims, persons, frames=20, seed=0):
    "Somebody whose joints are anywhere, and of whom nothing is seen in the first two frames."
    V = 25 if dims == 3 else 18
    points = np.random.default_rng(seed).random((persons, frames, V, 3)).astype(np.float32)
    points[:, :2] = np.nan
    return points


# -- the page as a file ----------------------------------------------------------------------


def test_page_is_one_small_file_that_refers_to_nothing(people, page):
    assert len(page) < 3e6
    assert re.findall(r"""(?:src|href|data|action)=['"]?(?!data:image/)\w""", page) == []
    for word in ("<script", "<link", "<iframe", "<object", "url(", "@import", "http:", "https:"):
        assert word not in page

    pictures = re.findall(r"data:image/\w+;base64,([^']+)'", page)
    stored = sorted(p for p in (people / "out").iterdir() if p.suffix in (".png", ".gif"))
    assert {base64.b64decode(code) for code in pictures} == {p.read_bytes() for p in stored}


def test_numbers_are_those_of_the_results_file(people, page):
    found = json.loads((people / "out/results.json").read_text(encoding="utf-8"))
    scores = Scores.load(people / "out/scores.npz")
    wrong = int((scores.predicted != scores.labels).sum())
    top1 = found["metrics"]["top1"]
    assert found["metrics"]["clips"] == 99
    assert re.search(rf"<p class='result'>{wrong} of 99 clips wrong: top-1 {top1:.2f} %", page)
    for key in ("top5", "mean_class"):
        assert f"{found['metrics'][key]:.2f} %" in page

    row = found["confusions"][0]
    assert f"{row['true']} taken for {row['taken_for']} ({row['clips']} of {row['of']})" in page
    again = evaluate(EvaluateConfig(str(people / "run"), str(people / "store"), device="cpu"))
    assert again["metrics"] == found["metrics"]


def test_page_says_who_taught_and_who_tests(page):
    words = words_of(page)
    assert "trained on 188 clips of three people." in words
    assert "tested on 99 clips of two people whom it has never seen." in words
    assert "LAST recognizes eleven actions from 31 joints" in words
    for name in ("Real people", "Training", "taken for what", "weighs", "your own"):
        assert name in words


def darkest_corner(file):
    "The darkest pixel where the credit stands, in the first and in the last frame."
    found = []
    with Image.open(file) as moving:
        for frame in (0, moving.n_frames - 1):
            moving.seek(frame)
            pixels = np.asarray(moving.convert("L"))
            height, width = pixels.shape
            found.append(int(pixels[int(0.94 * height) :, width // 2 :].min()))
    return found


def test_page_and_pictures_credit_hdm05(people, page):
    assert page.count(CREDIT) == 1 and DATASETS["hdm05"].license in page
    for file in (people / "out").glob("clip_*.gif"):
        assert max(darkest_corner(file)) < 200


def test_page_without_a_history_replaces_an_older_one(people, tmp_path):
    for name in ("run", "store"):
        shutil.copytree(people / name, tmp_path / name)
    (tmp_path / "run/history.json").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/clip_99.gif").write_bytes(b"of an older page")

    words = words_of(report_of(tmp_path))
    assert "kept no history" in words and "epochs unknown" in words
    assert not (tmp_path / "out/clip_99.gif").exists()


# -- pages of other stores -------------------------------------------------------------------


def test_unknown_people_are_not_mentioned(tmp_path):
    toy_store(tmp_path / "store", clips=32)
    page = page_of(tmp_path)
    words = words_of(page)
    assert "It was trained on 24 clips. It was tested on eight clips." in words
    assert "HDM05" not in page and "CC BY" not in page and "Synthetic" not in page
    assert darkest_corner(tmp_path / "out/clip_1.gif") == [255, 255]
    assert "Top-5" not in words  # of two classes
    assert len(list((tmp_path / "out").glob("clip_*.gif"))) in (2, 3)


def test_names_are_escaped(tmp_path):
    split = ["train"] * 6 + ["test"] * 4
    clips = [
        Clip(f"<i>{i}&", walker(3, 1, seed=i), i % 2, split=part) for i, part in enumerate(split)
    ]
    write_store(tmp_path / "store", clips, "ntu25", ["<b>up</b>", "costs $x_1$ & 'more'"])
    page = page_of(tmp_path)
    assert "<b>up" not in page and "<i>" not in page
    assert "&lt;b&gt;up&lt;/b&gt;" in page and "&lt;i&gt;6&amp;" in page
    assert "costs $x_1$ &amp; &#x27;more&#x27;" in page


@pytest.mark.parametrize("dims, persons", [(2, 1), (2, 2), (3, 2)])
def test_image_skeletons_and_two_people(dims, persons, tmp_path):
    split = ["train"] * 6 + ["test"] * 4
    clips = [
        Clip(f"c{i}", walker(dims, persons, seed=i), i % 2, split=part, subject=1 + i)
        for i, part in enumerate(split)
    ]
    clips[7].points[:, :, 3] = np.nan  # a joint that is never seen
    skeleton = "ntu25" if dims == 3 else "openpose18"
    write_store(tmp_path / "store", clips, skeleton, ["a", "b"])
    words = words_of(page_of(tmp_path, persons=persons))
    end = "pairs whom it has never seen together" if persons > 1 else "people whom it has never"
    assert f"tested on four clips of four {end}" in words


def test_more_than_sixty_classes_with_long_names(tmp_path):
    classes = [f"class number {i} with a name that is far too long for a bar" for i in range(70)]
    clips = [
        Clip(f"c{i:03}", walker(3, 1, 6, i), i % 70, split="train" if i < 70 else "test")
        for i in range(140)
    ]
    write_store(tmp_path / "store", clips, "ntu25", classes)
    page = page_of(tmp_path)
    assert len(page) < 3e6
    assert "LAST recognizes 70 actions" in page
    scores = Scores.load(tmp_path / "out/scores.npz")
    shown = [Image.open(p).n_frames for p in sorted((tmp_path / "out").glob("clip_*.gif"))]
    assert len(shown) == len(choose_clips(scores)) and set(shown) == {6}


def test_synthetic_numbers_say_nothing(store, tmp_path):
    shutil.copytree(store, tmp_path / "store")
    words = words_of(page_of(tmp_path, "xview"))
    assert "Synthetic data:" in words and "Real people" not in words
    assert "The test clips come from one camera that filmed no training clip." in words


# -- its parts -------------------------------------------------------------------------------


def test_strangers_and_acquaintances(people):
    store = Store(people / "store")
    names, subjects = store.index.names, store.index.subjects

    def second(trained, tested, more=()):
        seen = set(names[trained].tolist()) | set(more)
        return describe_parts(store, seen, np.flatnonzero(tested))[1]

    first_half = np.arange(len(names)) % 2 == 0
    assert second(subjects <= 3, subjects == 4).endswith("one person whom it has never seen.")
    assert second(subjects <= 3, subjects >= 3).endswith(
        "three people, one of whom it knows from training."
    )
    assert second(first_half, ~first_half).endswith(
        "five people, all of whom it knows from training."
    )
    assert second(subjects <= 3, subjects == 4, {"a clip of NTU"}).endswith("clips of one person.")


def test_commands_of_the_page_are_commands(tmp_path, monkeypatch):
    for line in OWN_COMMANDS:
        python, m, last, name, *args = shlex.split(line)
        assert (python, m, last) == ("python", "-m", "last")
        parse(name, args)

    monkeypatch.chdir(tmp_path)
    mine = [(f"c{i}", walker(3, 1), i % 2, "train", 1 + i) for i in range(4)]
    exec(OWN_CLIPS, dict(mine=mine))
    assert len(Store("stores/mine").part("given", "train")) == 4
