"Shifts in time: linear, padded with zeros, and strict about their arguments."

import pytest
import torch

from last.tsm import temporal_shift, temporal_shifts


@pytest.fixture
def clip():
    torch.manual_seed(0)
    return torch.randn(2, 5, 3, 16)  # (N, T, V, C)


def test_shift_is_linear(clip):
    other = torch.randn(2, 5, 3, 16)
    assert torch.equal(temporal_shift(clip + other), temporal_shift(clip) + temporal_shift(other))


def test_single_frame_has_no_neighbors(clip):
    shifted = temporal_shift(clip[:, :1])
    assert shifted[..., :4].abs().sum() == 0
    assert torch.equal(shifted[..., 4:], clip[:, :1, :, 4:])


def test_fraction_zero_changes_nothing(clip):
    assert torch.equal(temporal_shift(clip, 0), clip)
    assert torch.equal(temporal_shifts(clip, (1, -1), 0), clip)


@pytest.mark.parametrize("fraction", (-0.1, 0.6))
def test_impossible_fraction_is_refused(clip, fraction):
    with pytest.raises(ValueError, match=f"between 0 and 0.5, found {fraction}"):
        temporal_shift(clip, fraction)


def test_padding_does_not_change_the_clip(clip):
    padded = torch.cat([clip, torch.zeros(2, 6, 3, 16)], 1)
    offsets = (1, -1, 3, -3)
    assert torch.equal(temporal_shift(padded)[:, :5], temporal_shift(clip))
    assert torch.equal(temporal_shifts(padded, offsets)[:, :5], temporal_shifts(clip, offsets))


def test_two_distances_of_one_frame_are_the_plain_shift(clip):
    assert torch.equal(temporal_shifts(clip, (1, -1)), temporal_shift(clip))


@pytest.mark.parametrize("distance", (5, -5, 100, -100))
def test_distance_beyond_the_clip_gives_zeros(clip, distance):
    shifted = temporal_shifts(clip, (distance,))
    assert shifted.shape == clip.shape
    assert shifted[..., :2].abs().sum() == 0
    assert torch.equal(shifted[..., 2:], clip[..., 2:])


def test_too_many_distances_are_refused(clip):
    with pytest.raises(ValueError, match="9 distances of 2 channels do not fit into 16 channels"):
        temporal_shifts(clip, (1,) * 9)


def test_positive_distances_are_causal(clip):
    changed = clip.clone()
    changed[:, 3] += 1
    before, after = temporal_shifts(clip, (1, 2, 4)), temporal_shifts(changed, (1, 2, 4))
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 4], after[:, 4])
