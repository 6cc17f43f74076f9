"Random changes: how often, how far, and what stays."

import pytest
import torch

from last.augmentation import (
    AugmentConfig,
    augment,
    drop_joints,
    flip,
    linear_map,
    rotation,
    shear,
    stand_still,
    stretch_limbs,
    uneven_time,
    uniform,
)
from last.skeletons import get_skeleton

NTU, COCO = get_skeleton("ntu25"), get_skeleton("coco17")
HAND = NTU.joints.index("left hand")
OFF = dict(rotate_p=0, scale_p=0, shear_p=0, noise_p=0)


@pytest.fixture
def clip():
    "(1, 3, 8, 25, 1), still."
    torch.manual_seed(0)
    return torch.randn(1, 3, 1, 25, 1).repeat(1, 1, 8, 1, 1)


@pytest.fixture
def many(clip):
    return clip.repeat(4000, 1, 1, 1, 1)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def augmented(x, cfg, seed=0, skeleton=NTU):
    mask = torch.ones(len(x), x.shape[2], x.shape[4], dtype=torch.bool)
    return augment(x, mask, skeleton, cfg, generator(seed))[0]


def bone_lengths(x):
    "(N, bones, T, M)"
    ends = [x[..., joint, :] - x[..., parent, :] for joint, parent in NTU.bones]
    return torch.stack([e.norm(dim=1) for e in ends], 1)


# Maps


def test_rotation_keeps_lengths_and_sides():
    torch.manual_seed(0)
    R = rotation(torch.randn(50, 3))
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.det(R), torch.ones(50), atol=1e-5)


@pytest.mark.parametrize("axis, source, target", ((0, 1, 2), (1, 2, 0), (2, 0, 1)))
def test_quarter_turns_go_the_right_way(axis, source, target):
    angles = torch.zeros(1, 3)
    angles[0, axis] = torch.pi / 2
    turned = rotation(angles)[0] @ torch.eye(3)[source]
    assert torch.allclose(turned, torch.eye(3)[target], atol=1e-6)


def test_rotation_about_the_vertical_keeps_heights(clip):
    turned = linear_map(clip, rotation(torch.tensor([[0.0, 0, 1]])))
    assert torch.equal(turned[:, 2], clip[:, 2])


def test_shear_has_a_diagonal_of_ones_and_is_invertible():
    S = shear(torch.rand(9, 6) * 0.2 - 0.1)
    assert torch.equal(S.diagonal(dim1=1, dim2=2), torch.ones(9, 3))
    assert (torch.det(S) > 0.9).all()
    assert torch.linalg.inv(S).isfinite().all()


def test_shear_places_its_entries_row_by_row():
    expected = [[1, 2, 3], [4, 1, 5], [6, 7, 1]]
    assert shear(torch.tensor([[2.0, 3, 4, 5, 6, 7]]))[0].tolist() == expected


def test_uniform_stays_in_its_range():
    draws = uniform(4000, -0.5, 2, torch.zeros(1), generator(0))
    assert -0.5 <= draws.min() < -0.48
    assert 1.98 < draws.max() <= 2


# Flip and joint drop


def test_flip_twice_is_nothing(clip):
    assert torch.equal(flip(flip(clip, NTU), NTU), clip)


def test_flip_swaps_sides_and_the_sign_of_x(clip):
    right = NTU.joints.index("right hand")
    assert torch.equal(flip(clip, NTU)[:, 0, :, right], -clip[:, 0, :, HAND])
    assert torch.equal(flip(clip, NTU)[:, 1:, :, right], clip[:, 1:, :, HAND])


def test_flip_keeps_the_lengths_of_bones(clip):
    total = bone_lengths(clip).sum()
    assert torch.allclose(bone_lengths(flip(clip, NTU)).sum(), total, atol=1e-3)


def test_dropped_joints_lie_on_their_parents(clip):
    dropped = drop_joints(clip, NTU, 1.0, 1.0, generator(0))
    assert torch.equal(dropped[..., NTU.center, :], clip[..., NTU.center, :])
    for joint, parent in NTU.bones:
        assert torch.equal(dropped[..., joint, :], clip[..., parent, :])


def test_fraction_of_dropped_joints(many):
    moved = (drop_joints(many, NTU, 0.3, 0.5, generator(0)) != many).any(1)[:, 0, :, 0]
    assert moved.any(1).float().mean() == pytest.approx(0.5, abs=0.04)  # of the clips
    assert moved[moved.any(1)].float().mean() == pytest.approx(0.3 * 24 / 25, abs=0.02)


# Limbs, path, pace


def test_limbs_change_within_their_range_and_left_like_right(clip):
    ratio = bone_lengths(stretch_limbs(clip, NTU, 0.3, generator(3))) / bone_lengths(clip)
    ratio = ratio[0, :, 0, 0]
    assert ratio.min() >= 0.7 and ratio.max() <= 1.3
    assert ratio.std() > 0.03
    by_name = {NTU.joints[joint]: r for (joint, _), r in zip(NTU.bones, ratio)}
    for name in ("elbow", "wrist", "knee", "foot"):
        assert torch.allclose(by_name[f"left {name}"], by_name[f"right {name}"], atol=1e-4)


def test_limbs_by_nothing_change_nothing(clip):
    assert torch.allclose(stretch_limbs(clip, NTU, 0.0, generator(0)), clip, atol=1e-5)


def test_limbs_keep_scores_and_the_center():
    flat = torch.rand(2, 3, 4, 17, 1)
    stretched = stretch_limbs(flat, COCO, 0.3, generator(0))
    assert torch.equal(stretched[:, 2], flat[:, 2])
    center = COCO.center
    assert torch.allclose(stretched[:, :, :, center], flat[:, :, :, center], atol=1e-6)


def test_standing_still_takes_the_walk_away(clip):
    walk = clip + torch.linspace(0, 2, 8).view(1, 1, 8, 1, 1)
    expected = walk[:, :, :1].expand_as(walk)
    assert torch.allclose(stand_still(walk, NTU), expected, atol=1e-5)


def test_uneven_time_runs_forward_from_start_to_end():
    moments = uneven_time(50, 32, 0.8, generator(0))
    assert (moments.diff(dim=1) > 0).all()
    assert (moments[:, 0] == 0).all()
    assert torch.allclose(moments[:, -1], torch.ones(50), atol=1e-6)
    assert moments[:, 16].std() > 0.02  # and unevenly


# All together


def test_seed_repeats_a_batch(many):
    some = many[:16]
    first = augmented(some, AugmentConfig())
    assert torch.equal(augmented(some, AugmentConfig()), first)
    assert not torch.equal(augmented(some, AugmentConfig(), seed=1), first)


def test_all_off_changes_nothing(clip):
    assert torch.allclose(augmented(clip, AugmentConfig(**OFF)), clip, atol=1e-6)


@pytest.mark.parametrize(
    "setting, p",
    (("rotate_p", 0.5), ("scale_p", 0.5), ("shear_p", 0.3), ("noise_p", 0.5), ("flip_p", 0.2)),
)
def test_probabilities(many, setting, p):
    cfg = AugmentConfig(**{**OFF, setting: p})
    different = (augmented(many, cfg, 3) - many).abs().amax((1, 2, 3, 4)) > 1e-6
    assert different.float().mean() == pytest.approx(p, abs=0.04)


@pytest.mark.parametrize("setting", (dict(tilt=10), dict(limbs=0.3), dict(still_p=1)))
def test_optional_ones_act_when_they_are_on(clip, setting):
    walk = clip + torch.linspace(0, 2, 8).view(1, 1, 8, 1, 1)
    walk = walk.repeat(8, 1, 1, 1, 1)
    assert not torch.allclose(augmented(walk, AugmentConfig(**OFF, **setting)), walk, atol=1e-3)


def test_rotation_stays_within_its_range(many):
    hand = augmented(many, AugmentConfig(**{**OFF, "rotate_p": 1}), 3)[:, :2, 0, HAND, 0]
    before = many[:, :2, 0, HAND, 0]
    angle = torch.atan2(hand[:, 1], hand[:, 0]) - torch.atan2(before[:, 1], before[:, 0])
    degrees = torch.rad2deg(torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi)
    assert 14 < degrees.abs().max() <= 15.01


def test_noise_has_its_standard_deviation(many):
    noise = augmented(many, AugmentConfig(**{**OFF, "noise_p": 1}), 3) - many
    assert noise.std() == pytest.approx(0.001, abs=1e-4)


def test_persons_and_frames_change_together(clip):
    two = torch.cat([clip, clip + 1], -1)
    changed = augmented(two, AugmentConfig(noise=0, rotate_p=1, scale_p=1, shear_p=1), 5)
    assert torch.allclose(changed, changed[:, :, :1].expand_as(changed), atol=1e-5)
    apart = [(v[0, :, 0, 0, 1] - v[0, :, 0, 0, 0]) for v in (two, changed)]
    assert not torch.allclose(apart[0], apart[1], atol=1e-3)
    spread = changed[..., 1] - changed[..., 0]  # one map for both: every joint is as far apart
    assert torch.allclose(spread, spread[:, :, :, :1].expand_as(spread), atol=1e-5)


def test_absent_persons_stay_zero(clip):
    mask = torch.ones(1, 8, 1, dtype=torch.bool)
    mask[:, 5:] = False
    changed, _ = augment(clip, mask, NTU, AugmentConfig(noise=1.0, noise_p=1), generator(0))
    assert changed[:, :, 5:].abs().sum() == 0


def test_flips_are_reported(clip):
    mask = torch.ones(1, 8, 1, dtype=torch.bool)
    for p, expected in ((0.0, [False]), (1.0, [True])):
        _, flipped = augment(clip, mask, NTU, AugmentConfig(**OFF, flip_p=p), generator(0))
        assert flipped.tolist() == expected


def test_scores_are_never_changed():
    "A flip carries them along with their joints."
    flat = torch.rand(4, 3, 8, 17, 1)
    cfg = AugmentConfig(flip_p=0.5, scale_p=1, noise_p=1, noise=0.1, drop_p=1, limbs=0.2)
    scores = augmented(flat, cfg, 2, COCO)[:, 2]
    assert torch.equal(scores.sort(-2).values, flat[:, 2].sort(-2).values)


def test_images_are_not_rotated():
    flat = torch.rand(4, 3, 8, 17, 1)
    cfg = AugmentConfig(rotate_p=1, shear_p=1, tilt=20, tilt_p=1, scale_p=0, noise_p=0)
    assert torch.equal(augmented(flat, cfg, 0, COCO), flat)
