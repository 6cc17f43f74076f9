"""A video teacher's answers: each clip once, damage listed, and nothing mixed."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_videos import make_videos

from last.answers import TeacherLogits
from last.distillation import DistillConfig, DistillTask
from last.preprocessing import PreprocessConfig
from last.query_plan import assign_runs
from last.runs import trained_on
from last.store import Store
from last.video_logits import VideoLogitsConfig, teacher_logits
from last.video_training import FinetuneConfig, finetune


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "Small videos, their store, and two networks that saw one half of the training clips each."
    at = tmp_path_factory.mktemp("video_logits")
    make_videos(at, subjects=4, replications=2, actions=2)
    common = dict(size=32, frames=4, epochs=1, warmup=0, batch=2, device="cpu")
    for k in (1, 2):
        places = (str(at / "store"), str(at / "raw"), str(at / f"run{k}"), "xsub", "tsm")
        finetune(FinetuneConfig(*places, fold=f"{k}/2", **common), quiet=True)

    return at


@pytest.fixture
def cfg(place, tmp_path):
    runs = [str(place / "run1"), str(place / "run2")]
    places = (str(place / "store"), str(place / "raw"), str(tmp_path / "logits"))
    return VideoLogitsConfig(runs, *places, features=True, device="cpu")


def packed(cfg):
    return TeacherLogits.load(Path(cfg.out) / "teacher.npz")


def test_a_clip_goes_to_the_first_run_that_has_not_seen_it():
    seen = [{"a", "c"}, {"b", "c"}]
    assert assign_runs(["a", "b", "c", "d"], seen).tolist() == [1, 0, -1, 0]
    assert assign_runs(["a", "b", "c", "d"], seen, use_seen=True).tolist() == [1, 0, 0, 0]


def test_every_clip_is_answered_once(cfg, place):
    store = Store(place / "store")
    report = teacher_logits(cfg)
    assert report.queried == len(store) == 16
    again = teacher_logits(cfg)
    assert (again.queried, again.found) == (0, 16)

    teacher = packed(cfg)
    known = trained_on(place / "run1")
    judged_by_second = set(teacher.names[teacher.source == 1].tolist())
    assert judged_by_second == known & set(teacher.names.tolist())
    assert teacher.features.shape[1] > 0


def test_broken_answers_are_listed_and_missing_ones_named(cfg):
    teacher_logits(cfg)
    names = packed(cfg).names.tolist()
    training = [n for n in names if "P001" in n]
    (Path(cfg.out) / f"{training[0]}.npy").write_bytes(b"half")
    np.save(Path(cfg.out) / f"{training[1]}.npy", np.zeros(3, np.float32))
    (Path(cfg.out) / f"{training[2]}.npy").unlink()

    check = teacher_logits(dataclasses.replace(cfg, verify=True)).check
    assert len(check.broken) == 2 and "expected 14 numbers, found (3,)" in " ".join(check.broken)
    assert set(check.missing) == set(training[:3])
    summary = json.loads((Path(cfg.out) / "summary.json").read_text())
    assert summary["answers"] == check.answers == 13


def test_an_unreadable_video_is_listed_and_the_others_are_answered(cfg, place, tmp_path):
    import shutil

    videos = tmp_path / "videos"
    videos.mkdir()
    for file in (place / "raw").glob("*.avi"):
        shutil.copy(file, videos)
    broken, gone = sorted(videos.glob("*P002*.avi"))[:2]
    broken.write_bytes(b"no video")
    gone.unlink()

    report = teacher_logits(dataclasses.replace(cfg, videos=str(videos)))
    assert report.queried == 14 and len(report.failed) == 2
    listed = (Path(cfg.out) / "failed_0.txt").read_text()
    assert broken.name in listed and "no video of" in listed


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(runs=[]), "no runs given"),
        (dict(runs=["nowhere"]), "no such run or file"),
        (dict(verify=True), "no answers here yet"),
        (dict(videos="nowhere"), "no such folder"),
    ],
)
def test_mistakes_are_named(cfg, change, why):
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        teacher_logits(dataclasses.replace(cfg, **change))


def test_answers_of_another_teacher_are_not_mixed(cfg):
    teacher_logits(cfg)
    for change in (dict(features=False), dict(runs=cfg.runs[::-1])):
        with pytest.raises(ValueError, match="answers of another teacher"):
            teacher_logits(dataclasses.replace(cfg, **change))


def test_a_run_that_has_seen_everything_cannot_teach(cfg, place, tmp_path):
    places = (str(place / "store"), str(place / "raw"), str(tmp_path / "all"), "xsub", "tsm")
    settings = dict(size=32, frames=4, epochs=1, warmup=0, batch=2, device="cpu")
    finetune(FinetuneConfig(*places, **settings), quiet=True)
    alone = dataclasses.replace(cfg, runs=[places[2]])
    with pytest.raises(ValueError, match="take --seen use"):
        teacher_logits(alone)
    assert teacher_logits(dataclasses.replace(alone, seen="use")).queried == 16


def test_a_student_whose_validation_clips_the_teacher_knows_is_refused(cfg, place, tmp_path):
    teacher_logits(cfg)
    store = Store(place / "store")
    file = str(Path(cfg.out) / "teacher.npz")
    places = (str(place / "store"), str(tmp_path / "student"), "xsub")
    common = dict(model="nano", device="cpu", pre=PreprocessConfig(frames=8))
    with pytest.raises(ValueError, match="would leak"):
        DistillTask(DistillConfig(*places, part="fit", teacher=file, **common), store)
