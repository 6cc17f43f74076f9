"""Testing a run: the guard, what is written, and errors that name the place."""

import dataclasses
import json

import numpy as np
import pytest

from last.evaluation import EvaluateConfig, evaluate, summary
from last.parsing import Clip
from last.preprocessing import PreprocessConfig
from last.scores import Scores, metrics
from last.store import Store, toy_store, write_store
from last.training import TrainConfig, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A toy store, a run that left validation out, and one that did not."
    at = tmp_path_factory.mktemp("evaluation")
    toy_store(at / "store", clips=48)
    common = dict(model="nano", epochs=1, schedule="cosine", warmup=0, batch=8, device="cpu")
    for name, part in (("fit", "fit"), ("all", "train")):
        pre = PreprocessConfig(frames=8)
        cfg = TrainConfig(str(at / "store"), str(at / name), "given", part=part, pre=pre, **common)
        train(cfg, quiet=True)

    return at


@pytest.fixture
def cfg(folder):
    return EvaluateConfig(str(folder / "fit"), str(folder / "store"), device="cpu")


def test_scores_and_results_agree(cfg, folder, tmp_path):
    file, plots = tmp_path / "scores.npz", tmp_path / "plots"
    result = evaluate(dataclasses.replace(cfg, scores=str(file), plots=str(plots)))
    again = metrics(Scores.load(file), ["up", "down"])
    assert again["top1"] == result["metrics"]["top1"]
    assert {p.name for p in plots.iterdir()} == {"calibration.png", "confusion.png"}

    saved = json.loads((folder / "fit/results_given_test.json").read_text())
    assert saved == result and saved["trained"]["config"]["seed"] == 0


def test_validation_accuracy_is_what_training_reported(cfg, folder):
    history = json.loads((folder / "fit/history.json").read_text())
    found = evaluate(dataclasses.replace(cfg, part="val"))["metrics"]["top1"]
    assert found == pytest.approx(100 * history[-1]["val_top1"], abs=1e-3)


def test_clips_that_were_trained_on_are_refused(cfg, folder):
    with pytest.raises(ValueError, match=r"in this run.s training \(protocol given, part train\)"):
        evaluate(dataclasses.replace(cfg, run=str(folder / "all"), part="val"))


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(device="gpu"), "unknown device 'gpu'"),
        (dict(data="nowhere"), "no store here"),
        (dict(run="nowhere"), "no such run or file"),
        (dict(protocol="xsub"), "has no protocol 'xsub'"),
    ],
)
def test_mistakes_are_named(cfg, change, why):
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        evaluate(dataclasses.replace(cfg, **change))


def test_an_empty_config_is_not_a_run(cfg, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="not a run's settings"):
        evaluate(dataclasses.replace(cfg, run=str(tmp_path)))


def test_a_store_of_other_joints_is_refused(cfg, tmp_path):
    clip = Clip("x", np.ones((1, 5, 17, 3), np.float32), 0, split="test")
    write_store(tmp_path / "coco", [clip], "coco17", ["up", "down"])
    with pytest.raises(ValueError, match="other joints or classes"):
        evaluate(dataclasses.replace(cfg, data=str(tmp_path / "coco")))


def test_the_worst_confusions_are_told(cfg, tmp_path):
    file = tmp_path / "s.npz"
    result = evaluate(dataclasses.replace(cfg, scores=str(file)))
    scores, classes = Scores.load(file), Store(cfg.data).classes
    for row in result["confusions"]:
        true, other = (classes.index(row[k]) for k in ("true", "taken_for"))
        assert row["clips"] == ((scores.labels == true) & (scores.predicted == other)).sum()
        assert row["of"] == (scores.labels == true).sum()

    row = dict(true="up", taken_for="down", clips=3, of=12)
    text = summary({**result, "confusions": [row]})
    assert "most often confused: up taken for down (3 of 12)" in text
    assert "confused" not in summary({**result, "confusions": []})


def test_early_recognition_ends_with_the_whole_clip_and_knows_no_later_frame(tmp_path):
    from last.evaluation import SHARES, early_recognition
    from last.runs import load_run
    from last.store import Store, toy_store
    from last.training import TrainConfig, train

    store = toy_store(tmp_path / "store", classes=3)
    where = str(tmp_path / "store"), str(tmp_path / "run"), "given"
    settings = TrainConfig(*where, model="nano", epochs=4, lr=4e-3, batch=8, device="cpu")
    settings.pre.frames = 16
    train(settings, quiet=True)
    run, numbers = load_run(tmp_path / "run"), store.part("given", "test")
    result = evaluate(EvaluateConfig(where[1], where[0], early=True, device="cpu"))
    early = result["early"]
    assert early["shares"] == list(SHARES)
    assert early["top1"][-1] == pytest.approx(result["metrics"]["top1"], abs=1e-3)
    assert early["mean"] == pytest.approx(sum(early["top1"]) / 10)
    assert "before the end" in summary(result)

    class Beginning:
        "A store whose clips lack their second half."

        index = store.index
        classes = store.classes

        def __getitem__(self, n):
            clip = Store(where[0])[n].copy()
            clip[:, -(-clip.shape[1] // 2) :] = 9
            return clip

    half = early_recognition(run, Beginning(), numbers)
    assert half["top1"][:5] == early["top1"][:5]
