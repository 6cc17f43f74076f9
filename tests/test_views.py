"A clip is compared with the classes that its camera has filmed, and with its own."

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from last.distillation import DistillConfig, DistillTask
from last.parsing import Clip
from last.preprocessing import PreprocessConfig
from last.store import write_store
from last.training import SkeletonTask, TrainConfig, train
from last.views import filmed_classes, filmed_cross_entropy

SHORT = dict(epochs=2, batch=8, schedule="cosine", warmup=0, label_smoothing=0.1)


@given(st.integers(0, 2**31), st.integers(2, 7), st.floats(0, 0.5))
@settings(deadline=None, max_examples=50)
def test_with_everything_filmed_it_is_cross_entropy(seed, classes, smoothing):
    g = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(6, classes, generator=g), torch.randint(classes, (6,), generator=g)
    found = filmed_cross_entropy(
        logits, labels, torch.ones(6, classes, dtype=torch.bool), smoothing
    )
    wanted = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_others_are_left_out_and_the_own_class_stays():
    logits = torch.tensor([[1.0, 2.0, 9.0]], requires_grad=True)
    filmed = torch.tensor([[True, False, False]])
    loss = filmed_cross_entropy(logits, torch.tensor([1]), filmed, 0.1)
    wanted = F.cross_entropy(logits[:, :2], torch.tensor([1]), label_smoothing=0.1)
    torch.testing.assert_close(loss[0], wanted)
    loss.sum().backward()
    assert logits.grad.isfinite().all() and logits.grad[0, 2] == 0


def test_the_table_counts_training_clips_alone():
    cameras, labels = np.array([7, 7, 3, 3, 3]), np.array([0, 1, 0, 1, 2])
    found = filmed_classes(cameras, labels, np.array([0, 1, 2]), 4)
    first, second = [True, True, True, True], [True, False, True, True]  # nobody filmed 2 and 3
    assert found.tolist() == [first, first, second, second, second]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    "Three classes; camera 2 films the first two."
    rng = np.random.default_rng(0)
    made = []
    for i in range(40):
        camera = 1 + i % 2
        label = int(rng.integers(3 if camera == 1 else 2))
        points = rng.normal(size=(1, 9, 25, 3)).astype(np.float32)
        made.append(Clip(f"c{i:02}", points, label, camera=camera, split="train"))
    path = tmp_path_factory.mktemp("views") / "store"
    return write_store(path, made, "ntu25", ["a", "b", "c"])


@pytest.fixture
def cfg(store, tmp_path):
    places = str(store.path), str(tmp_path / "run"), "given", "nano"
    pre = PreprocessConfig(frames=8)
    return TrainConfig(*places, part="train", only_filmed=True, device="cpu", pre=pre, **SHORT)


def test_the_setting_reaches_the_loss(store, cfg):
    task = SkeletonTask(cfg, store)
    model = task.model()
    logits = torch.zeros(len(store), 3)
    logits[:, 2] = 9.0  # all say c
    labels = torch.from_numpy(store.index.labels.astype(np.int64))
    second = torch.from_numpy((store.index.cameras == 2).nonzero()[0])
    plain = SkeletonTask(dataclasses.replace(cfg, only_filmed=False), store)
    args = logits[second], labels[second], second
    assert task.loss(model, *args) < 1 < 5 < plain.loss(model, *args)


def test_it_trains_and_continues(cfg):
    history = train(cfg, quiet=True)
    assert len(history) == 2 and all(np.isfinite(epoch["loss"]) for epoch in history)


def test_what_it_does_not_go_with_is_named(store, cfg):
    causal = dataclasses.replace(cfg, model="causal-nano", pre=PreprocessConfig(causal=True))
    with pytest.raises(ValueError, match="only_filmed is for networks that see whole clips"):
        SkeletonTask(causal, store)

    known = {f.name for f in dataclasses.fields(TrainConfig)}
    same = {name: getattr(cfg, name) for name in known}
    with pytest.raises(ValueError, match="only_filmed: a teacher speaks about all classes"):
        DistillTask(DistillConfig(**same, teacher="t.npz"), store)
