"The one way from raw clips to network input."

import numpy as np
import pytest
import torch

from last.augmentation import AugmentConfig
from last.normalization import collate
from last.pipeline import Pipeline
from last.preprocessing import PreprocessConfig
from last.skeletons import SKELETONS, get_skeleton

NTU = get_skeleton("ntu25")
LABELS = torch.tensor([0, 1, 5])


@pytest.fixture
def raw():
    "Three clips of one or two persons, one of a single frame."
    rng = np.random.default_rng(0)
    sizes = ((1, 20), (2, 50), (2, 1))
    clips = [rng.normal(size=(m, t, 25, 3)).astype(np.float32) for m, t in sizes]
    return collate(clips, 2)[0]


@pytest.fixture
def pipeline():
    pre = PreprocessConfig(frames=32, persons=2, stream="all")
    return Pipeline(NTU, pre, AugmentConfig(flip_p=0.5), {0: 1, 1: 0})


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_shapes(pipeline, raw):
    for g in (None, generator(0)):
        x, mask, labels = pipeline(raw, LABELS, g)
        assert x.shape == (3, 12, 32, 25, 2)
        assert mask.shape == (3, 32, 2)
        assert labels.shape == (3,)


def test_testing_is_not_random(pipeline, raw):
    assert torch.equal(pipeline(raw)[0], pipeline(raw)[0])


def test_testing_keeps_labels(pipeline, raw):
    assert pipeline(raw, LABELS)[2] is LABELS
    assert pipeline(raw)[2] is None


def test_a_seed_repeats_a_training_batch(pipeline, raw):
    a, b = (pipeline(raw, LABELS, generator(5)) for _ in range(2))
    for first, second in zip(a, b):
        assert torch.equal(first, second)
    assert not torch.equal(pipeline(raw, LABELS, generator(6))[0], a[0])


@pytest.mark.parametrize("seed", (None, 3))
def test_absent_person_stays_absent(pipeline, raw, seed):
    x, mask, _ = pipeline(raw, LABELS, None if seed is None else generator(seed))
    assert not mask[0, :, 1].any()
    assert x[0, ..., 1].abs().sum() == 0


def test_flip_changes_labels_by_the_map(raw):
    pipeline = Pipeline(NTU, aug=AugmentConfig(flip_p=1.0), label_flip={0: 1, 1: 0})
    _, _, labels = pipeline(raw[..., :1], LABELS, generator(0))
    assert labels.tolist() == [1, 0, 5]


def test_clip_that_is_not_flipped_keeps_its_label(raw):
    pipeline = Pipeline(NTU, aug=AugmentConfig(flip_p=0.0), label_flip={0: 1, 1: 0})
    _, _, labels = pipeline(raw[..., :1], LABELS, generator(0))
    assert torch.equal(labels, LABELS)


def test_uneven_pace_changes_training_only(raw):
    plain, uneven = (Pipeline(NTU, aug=AugmentConfig(warp=w)) for w in (0.0, 0.8))
    one = raw[..., :1]
    assert torch.equal(plain(one)[0], uneven(one)[0])
    assert not torch.equal(plain(one, g=generator(0))[0], uneven(one, g=generator(0))[0])


def test_test_crop_is_the_middle():
    ramp = torch.arange(1.0, 41).view(1, 1, 40, 1, 1).repeat(1, 3, 1, 25, 1)
    pre = PreprocessConfig(frames=20, center="none", scale="none", crop_test=0.5)
    x, _, _ = Pipeline(NTU, pre)(ramp)
    assert x[0, 0, :, 0, 0].tolist() == list(range(11, 31))


def test_clips_are_collated_and_run(pipeline):
    clips = [np.random.default_rng(i).normal(size=(1, 10 + i, 25, 3)) for i in range(3)]
    x, mask = pipeline.clips(clips)
    expected, expected_mask, _ = pipeline(collate(clips, 2)[0])
    assert torch.equal(x, expected)
    assert torch.equal(mask, expected_mask)


def test_a_clip_is_the_same_alone_and_in_a_batch(pipeline, raw):
    together = pipeline(raw)[0]
    alone = pipeline(raw[:1, :, :20])[0]  # without the frames that fill up the block
    assert torch.allclose(together[:1], alone, atol=1e-6)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_can_be_trained_on(skeleton):
    torch.manual_seed(0)
    pipeline = Pipeline(skeleton, PreprocessConfig(stream="all"))
    x, _, _ = pipeline(torch.randn(2, 3, 7, skeleton.V, 1), g=generator(0))
    assert x.isfinite().all()
