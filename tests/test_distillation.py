"""Teachers that know too little or too much are refused; the loss is what its formula says."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from last.answers import RunLogitsConfig, TeacherLogits, run_hash, run_logits
from last.augmentation import AugmentConfig
from last.core import ParseError
from last.distillation import DistillConfig, DistillTask, distill
from last.losses import kd_loss, similarity_loss
from last.preprocessing import PreprocessConfig, make_stream
from last.runs import RunInfo, trained_on
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
    with pytest.raises(ParseError, match=r"cut\.npz: not a readable \.npz file"):
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


# --- teachers that see the same augmented view


@pytest.fixture(scope="module")
def bones(place):
    "A run that sees bones."
    at, common = place
    pre = PreprocessConfig(frames=8, stream="bone")
    places = (str(at / "store"), str(at / "bones"), "given")
    train(TrainConfig(*places, **common | dict(pre=pre)), quiet=True)
    return str(at / "bones")


@pytest.fixture
def taught(cfg, place, bones):
    "Settings with a joint and a bone network as teachers, and everything random at work."
    aug = AugmentConfig(tilt=15, drop_p=1.0, warp=0.5, limbs=0.2, still_p=0.5, flip_p=0.5)
    runs = [str(place[0] / "t1"), bones]
    return dataclasses.replace(cfg, teacher="", teachers=runs, aug=aug, tau=2.0)


def a_batch(task):
    return next(iter(task.loader(task.numbers[:16], 16)))


def view(pipeline, raw, seed=3):
    return pipeline(raw, None, torch.Generator().manual_seed(seed))[0]


def test_teachers_see_the_very_joints_that_the_student_sees(taught, store):
    task = DistillTask(taught, store)
    raw, _, _ = a_batch(task)
    same, bone = task.pipeline.pipelines
    joints, mask, _ = task.pipeline.pipeline(raw, None, torch.Generator().manual_seed(3))
    assert torch.equal(view(same, raw), joints)
    assert torch.equal(view(bone, raw), make_stream(joints, mask, store.skeleton, "bone"))
    assert not torch.equal(view(same, raw, seed=4), joints)


def test_teachers_answer_about_the_augmented_view(taught, store):
    task = DistillTask(taught, store)
    raw, labels, numbers = a_batch(task)
    _, mask, _ = task.pipeline(raw, labels, torch.Generator().manual_seed(3))
    networks, pipelines = task.pipeline.networks, task.pipeline.pipelines
    with torch.no_grad():
        answers = [net(view(p, raw), mask) for net, p in zip(networks, pipelines)]
        clean = networks[0](task.pipeline(raw)[0], mask)
    mean = torch.stack(answers).mean(0)
    assert torch.allclose(task.pipeline.logits, mean, atol=1e-5)
    assert not torch.allclose(answers[0], clean, atol=1e-3)

    student = torch.randn(16, 3, requires_grad=True)
    loss = task.loss(task.model(), student, labels, numbers)
    loss.backward()
    expected = 0.5 * F.cross_entropy(student, labels) + 0.5 * kd_loss(student, mean, 2.0).mean()
    assert torch.allclose(loss, expected, atol=1e-5)


def test_teachers_change_no_number_of_the_student(taught, store, cfg):
    task = DistillTask(taught, store)
    raw, labels, _ = a_batch(task)
    g, alone = (torch.Generator().manual_seed(3) for _ in range(2))
    x, _, _ = task.pipeline(raw, labels, g)
    assert torch.equal(x, task.pipeline.pipeline(raw, labels, alone)[0])
    assert torch.equal(g.get_state(), alone.get_state())


def test_a_student_of_runs_records_them(taught, place, bones):
    history = distill(dataclasses.replace(taught, epochs=2), quiet=True)
    assert history[-1]["loss"] < history[0]["loss"]
    info = RunInfo.read(taught.out)
    assert info.config["teachers"] == taught.teachers
    assert info.teacher == " ".join(map(run_hash, taught.teachers))
    assert trained_on(taught.out) >= trained_on(bones) | trained_on(place[0] / "t1")
    swapped = dataclasses.replace(taught, teachers=taught.teachers[:1])
    with pytest.raises(ValueError, match="the teacher's logits"):
        distill(swapped, quiet=True)


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(teachers=[]), "found neither"),
        (dict(teacher="x.npz"), "found both"),
        (dict(gamma=1.0), "gamma needs a teacher with features in a file"),
        (dict(pre=PreprocessConfig(frames=12)), r"t1: was trained with pre.frames 8, .* has 12"),
        (
            dict(pre=PreprocessConfig(frames=8, causal=True)),
            r"t1: was trained with pre.causal False, .* has True",
        ),
        (dict(part="fit"), "clips that are not in the fit part of given"),
        (dict(teachers=["nowhere"]), "nowhere: no such run or file"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(taught, store, change, why):
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        DistillTask(dataclasses.replace(taught, **change), store)
