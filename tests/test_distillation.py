"""Teachers that know too little or too much are refused; the loss is what its formula says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from last.core import ParseError
from last.distillation import (
    DistillConfig,
    DistillTask,
    RunLogitsConfig,
    TeacherLogits,
    distill,
    kd_loss,
    run_logits,
    similarity_loss,
)
from last.preprocessing import PreprocessConfig
from last.runs import trained_on
from last.store import toy_store
from last.training import TrainConfig, train


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A toy store, two runs that saw one half of its training clips each, and their answers."
    at = tmp_path_factory.mktemp("distillation")
    toy_store(at / "store", clips=80, classes=3)
    common = dict(model="nano", epochs=2, schedule="cosine", warmup=0, batch=8, device="cpu")
    common |= dict(part="train", pre=PreprocessConfig(frames=8))
    for i in (1, 2):
        places = (str(at / "store"), str(at / f"t{i}"), "given")
        train(TrainConfig(*places, fold=f"{i}/2", seed=i, **common), quiet=True)

    runs = [str(at / "t1"), str(at / "t2")]
    for name, options in (("teacher", {}), ("features", dict(features=True))):
        out = str(at / f"{name}.npz")
        run_logits(RunLogitsConfig(runs, str(at / "store"), out, device="cpu", **options))

    return at, common


@pytest.fixture
def cfg(place, tmp_path):
    at, common = place
    places = (str(at / "store"), str(tmp_path / "student"), "given")
    return DistillConfig(*places, teacher=str(at / "teacher.npz"), **common)


@pytest.fixture
def store(place):
    from last.store import Store

    return Store(place[0] / "store")


def changed(cfg, tmp_path, **change):
    "The settings with a teacher's file that differs."
    teacher = TeacherLogits.load(cfg.teacher)
    file = tmp_path / "changed.npz"
    dataclasses.replace(teacher, **change).save(file)
    return dataclasses.replace(cfg, teacher=str(file))


def half(teacher):
    "Arguments of a teacher that answers for the first half of the clips."
    n = len(teacher.names) // 2
    rows = {key: getattr(teacher, key)[:n] for key in ("names", "logits", "features", "source")}
    return rows


def test_every_training_clip_is_answered_by_a_network_that_has_not_seen_it(place, store):
    at, _ = place
    teacher = TeacherLogits.load(at / "teacher.npz")
    training = store.index.names[store.part("given", "train")].tolist()
    assert sorted(teacher.names.tolist()) == sorted(training)
    assert set(teacher.seen.tolist()) == trained_on(at / "t1") | trained_on(at / "t2")


def test_a_student_learns_and_a_finished_run_stays(cfg):
    history = distill(cfg, quiet=True)
    assert history[-1]["loss"] < history[0]["loss"]
    assert distill(cfg, quiet=True) == history


def test_a_run_is_not_continued_with_another_teacher(cfg, tmp_path):
    distill(cfg, quiet=True)
    other = changed(cfg, tmp_path, logits=-TeacherLogits.load(cfg.teacher).logits)
    with pytest.raises(ValueError, match="the teacher's logits"):
        distill(other, quiet=True)


def test_a_student_has_seen_what_its_teacher_has(cfg, place):
    at, _ = place
    distill(dataclasses.replace(cfg, epochs=1, fold="1/2"), quiet=True)
    assert trained_on(cfg.out) == trained_on(at / "t1") | trained_on(at / "t2")


def test_missing_answers_are_an_error_or_labels_only(cfg, store, tmp_path):
    partial = changed(cfg, tmp_path, **half(TeacherLogits.load(cfg.teacher)))
    with pytest.raises(ValueError, match="has no answer for 30 of 60 training clips"):
        DistillTask(partial, store)

    task = DistillTask(dataclasses.replace(partial, missing="ce-only"), store)
    assert int(task.logits[task.numbers].isnan().any(1).sum()) == 30


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(fingerprint="x"), "of other data"),
        (dict(classes=np.array(["up", "down", "left"])), "or they differ"),
    ],
)
def test_a_teacher_of_something_else_is_refused(cfg, store, tmp_path, change, why):
    with pytest.raises(ValueError, match=why):
        DistillTask(changed(cfg, tmp_path, **change), store)


def test_a_teacher_that_knows_test_clips_is_refused(cfg, store, tmp_path):
    test_clip = store.index.names[store.part("given", "test")][0]
    seen = np.append(TeacherLogits.load(cfg.teacher).seen, test_clip)
    message = f"1 clips that are not in the train part of given, for instance {test_clip}"
    with pytest.raises(ValueError, match=message):
        DistillTask(changed(cfg, tmp_path, seen=seen), store)


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(tau=0.0), "tau must be above 0"),
        (dict(beta=-1.0), "alpha, beta and gamma not below"),
        (dict(gamma=1.0), "none were kept"),
        (dict(teacher="nowhere.npz"), "no such file"),
    ],
)
def test_impossible_settings_are_refused(cfg, store, change, why):
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        DistillTask(dataclasses.replace(cfg, **change), store)


def test_flips_are_refused(cfg, store):
    flipping = dataclasses.replace(cfg, aug=dataclasses.replace(cfg.aug, flip_p=0.5))
    with pytest.raises(ValueError, match="distill without flips"):
        DistillTask(flipping, store)


def test_a_damaged_file_is_named(cfg, tmp_path):
    cut = tmp_path / "cut.npz"
    cut.write_bytes(Path(cfg.teacher).read_bytes()[:500])
    with pytest.raises(ParseError, match=r"cut\.npz: not a file of teacher logits"):
        TeacherLogits.load(cut)

    teacher = TeacherLogits.load(cfg.teacher)
    for change, why in (
        (dict(logits=teacher.logits[1:]), "expected finite logits"),
        (dict(source=teacher.source[1:]), "expected features and sources"),
        (dict(names=np.repeat(teacher.names[:1], len(teacher.names))), "contains a clip twice"),
    ):
        dataclasses.replace(teacher, **change).save(cut)
        with pytest.raises(ParseError, match=why):
            TeacherLogits.load(cut)


def test_runs_that_have_seen_everything_cannot_teach(place, tmp_path):
    at, common = place
    places = (str(at / "store"), str(tmp_path / "all"), "given")
    train(TrainConfig(*places, **common), quiet=True)
    query = RunLogitsConfig([places[1]], places[0], str(tmp_path / "x.npz"), device="cpu")
    with pytest.raises(ValueError, match="every run has seen every clip"):
        run_logits(query)

    report = run_logits(dataclasses.replace(query, seen="use"))
    assert report.clips == report.of == 60


def test_runs_of_other_data_are_refused(place, tmp_path):
    at, _ = place
    toy_store(tmp_path / "other", clips=80, classes=3, seed=1)
    query = RunLogitsConfig([str(at / "t1")], str(tmp_path / "other"), str(tmp_path / "x.npz"))
    with pytest.raises(ValueError, match="trained on other data"):
        run_logits(query)


def test_no_runs_are_refused(place):
    with pytest.raises(ValueError, match="no runs given"):
        run_logits(RunLogitsConfig([], str(place[0] / "store"), "x.npz"))


def test_both_ends_of_the_loss(cfg, store):
    task = DistillTask(dataclasses.replace(cfg, alpha=1.0, beta=0.0), store)
    model = task.model()
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    numbers = torch.from_numpy(task.numbers[:5])
    assert torch.allclose(
        task.loss(model, logits, labels, numbers), F.cross_entropy(logits, labels)
    )

    task.cfg.alpha, task.cfg.beta = 0.0, 1.0
    expected = kd_loss(logits, task.logits[numbers], cfg.tau).mean()
    assert torch.allclose(task.loss(model, logits, labels, numbers), expected, atol=1e-5)

    unanswered = torch.from_numpy(store.part("given", "test")[:5])
    loss = task.loss(model, logits, labels, unanswered)
    assert torch.allclose(loss, F.cross_entropy(logits, labels))


def test_features_add_their_loss(cfg, store, place):
    at, _ = place
    with_features = dataclasses.replace(cfg, teacher=str(at / "features.npz"), gamma=10.0)
    task = DistillTask(with_features, store)
    assert len(set(task.source[task.numbers].tolist())) == 2  # judged by one half or the other

    model = task.model().train()
    numbers = torch.from_numpy(task.numbers[:16])
    raw, labels, _ = next(iter(task.loader(numbers.numpy(), 16)))
    *inputs, labels = task.pipeline(raw, labels, None)
    logits = model(*inputs)
    both = task.loss(model, logits, labels, numbers)
    task.cfg.gamma = 0.0
    plain = task.loss(model, logits, labels, numbers)
    alike = similarity_loss(task.pooled, task.features[numbers], task.source[numbers])
    assert torch.allclose(both - plain, 10 * alike, atol=1e-4)
