"From raw clips with holes to clips in their own frame of reference."

import numpy as np
import pytest
import torch

from last.normalization import (
    body_frame,
    collate,
    fill_gaps,
    masked_median,
    normalize,
    upright,
    z_up,
    zero_lost_scores,
)
from last.preprocessing import (
    PreprocessConfig,
    bone_vectors,
    make_stream,
    motion,
    sample,
    to_body,
    valid_span,
)
from last.skeletons import SKELETONS, get_skeleton

NTU, COCO = get_skeleton("ntu25"), get_skeleton("coco17")
SCALES = ("torso", "max", "std", "box", "body")


@pytest.fixture
def moving():
    "Two persons who drift and shake, z up, with their mask; the second is there from 8 to 29."
    torch.manual_seed(0)
    x = torch.randn(1, 3, 1, 25, 2) + 0.05 * torch.randn(1, 3, 40, 25, 2).cumsum(2)
    mask = torch.ones(1, 40, 2, dtype=torch.bool)
    mask[:, :8, 1] = mask[:, 30:, 1] = False
    return x, mask


@pytest.fixture
def straight():
    "A body that moves evenly from 1 to 2, (1, 3, 9, 25, 1)."
    line = torch.linspace(1, 2, 9).view(1, 1, 9, 1, 1)
    return line.expand(1, 3, 9, 25, 1).clone()


@pytest.fixture
def ramp():
    "Frame t has the value t + 1."
    return torch.arange(1.0, 41).view(1, 1, 40, 1, 1), torch.ones(1, 40, 1, dtype=torch.bool)


# Collate


def test_collate_keeps_values_and_marks_the_rest_as_nan():
    rng = np.random.default_rng(0)
    two, one = rng.normal(size=(2, 40, 25, 3)), rng.normal(size=(1, 25, 25, 3))
    block, frames = collate([two, one], persons=2)
    assert block.shape == (2, 3, 40, 25, 2)
    assert frames.tolist() == [40, 25]
    assert np.array_equal(block[0, :, 3, 2, 1], two[1, 3, 2].astype(np.float32))
    assert block[1, ..., 1].isnan().all()
    assert block[1, 0, 25:].isnan().all()


def test_collate_leaves_further_persons_out():
    block, _ = collate([np.ones((3, 4, 25, 3))], persons=1)
    assert block.shape[-1] == 1


# Gaps


@pytest.mark.parametrize("nothing", (torch.nan, torch.inf))
def test_straight_motion_is_restored(straight, nothing):
    holes = straight.clone()
    holes[:, :, 3:6] = nothing
    holes[:, :, 7, 4] = nothing
    assert torch.allclose(fill_gaps(holes)[0], straight, atol=1e-6)


def test_zero_is_a_place_and_nan_alone_is_lost(straight):
    centered = straight - straight[..., :1, :]
    filled, mask = fill_gaps(centered)
    assert torch.equal(filled, centered)
    assert mask.all()


def test_joints_move_independently(straight):
    "Every joint has sightings of its own."
    holes = straight.clone()
    for joint in range(25):
        holes[:, :, 1 + joint % 7, joint] = torch.nan
    assert torch.allclose(fill_gaps(holes)[0], straight, atol=1e-6)


def test_ends_are_held(straight):
    holes = straight.clone()
    holes[:, :, :2] = holes[:, :, 7:] = torch.nan
    filled, _ = fill_gaps(holes)
    assert torch.equal(filled[:, :, :2], straight[:, :, [2, 2]])
    assert torch.equal(filled[:, :, 7:], straight[:, :, [6, 6]])


def test_zero_in_one_coordinate_is_a_place(straight):
    straight[:, 0, 4] = 0
    assert torch.equal(fill_gaps(straight)[0][:, :, 4], straight[:, :, 4])


def test_joint_that_is_never_seen_is_put_at_the_mean_of_the_others():
    x = torch.rand(1, 3, 9, 25, 1) + 1
    x[:, :, :, 5] = torch.nan
    filled, _ = fill_gaps(x)
    others = [j for j in range(25) if j != 5]
    assert torch.allclose(filled[:, :, :, 5], x[:, :, :, others].mean(3), atol=1e-6)


def test_person_is_present_from_first_to_last_sighting(straight):
    straight[:, :, :2] = straight[:, :, 4] = straight[:, :, 8:] = torch.nan
    _, mask = fill_gaps(straight)
    assert mask[0, :, 0].tolist() == [False] * 2 + [True] * 6 + [False]


def test_absent_person_is_zero_and_masked():
    x = torch.rand(1, 3, 9, 25, 2) + 1
    x[..., 1] = torch.nan
    filled, mask = fill_gaps(x)
    assert filled[..., 1].abs().sum() == 0
    assert not mask[..., 1].any()
    assert mask[..., 0].all()


def test_empty_clip_stays_finite():
    nobody = torch.full((1, 3, 5, 25, 1), torch.nan)
    y, mask = to_body(nobody, NTU, PreprocessConfig(align=True))
    assert y.isfinite().all()
    assert not mask.any()


def test_lost_score_is_zero_but_its_place_is_filled():
    dots = torch.rand(1, 3, 9, 17, 1) + 0.1
    dots[0, :, 4, 3] = 0
    y, _ = to_body(dots, COCO, PreprocessConfig())
    assert y[0, 2, 4, 3, 0] == 0
    assert y[0, 0, 4, 3, 0] != 0
    filled, _ = fill_gaps(dots)
    assert torch.equal(zero_lost_scores(filled, dots)[:, :2], filled[:, :2])


# Axes


def test_z_up_is_a_turn_of_skeletons_in_space():
    axes = torch.eye(3).view(3, 3, 1, 1, 1)
    turn = z_up(axes, NTU).view(3, 3).T
    assert torch.equal(turn @ turn.T, torch.eye(3))
    assert torch.det(turn) == 1
    assert (turn @ torch.tensor([0.0, 1, 0])).tolist() == [0, 0, 1]


def test_z_up_turns_images_over_and_keeps_scores():
    point = torch.tensor([1.0, 2, 0.5]).view(1, 3, 1, 1, 1)
    assert z_up(point, COCO).flatten().tolist() == [1, -2, 0.5]


# The frame of reference


def test_upright_is_a_turn():
    torch.manual_seed(0)
    R = upright(torch.randn(100, 3), torch.randn(100, 3))
    assert torch.allclose(R @ R.mT, torch.eye(3).expand(100, 3, 3), atol=1e-5)
    assert torch.allclose(torch.det(R), torch.ones(100), atol=1e-5)


def test_upright_puts_spine_and_shoulders_on_their_axes():
    torch.manual_seed(0)
    spine, shoulders = torch.randn(100, 3), torch.randn(100, 3)
    R = upright(spine, shoulders)
    up, across = (R @ spine[..., None])[..., 0], (R @ shoulders[..., None])[..., 0]
    assert torch.allclose(up[:, :2], torch.zeros(100, 2), atol=1e-5)
    assert (up[:, 2] > 0).all()
    assert torch.allclose(across[:, 1], torch.zeros(100), atol=1e-5)  # no depth
    assert (across[:, 0] > 0).all()  # right to left is +x


@pytest.mark.parametrize("spine", ((0.0, 0, 0), (1.0, 0, 0), (0, 0, 1.0)))
def test_upright_copes_with_degenerate_bodies(spine):
    spine = torch.tensor([spine])
    for shoulders in (torch.zeros(1, 3), spine):
        R = upright(spine, shoulders)
        assert torch.allclose(R @ R.mT, torch.eye(3)[None], atol=1e-6)


def test_upright_leaves_a_body_without_extent():
    assert torch.equal(upright(torch.zeros(1, 3), torch.zeros(1, 3))[0], torch.eye(3))


@pytest.mark.parametrize("scale", (*SCALES, "none"))
@pytest.mark.parametrize("center", ("first", "frame", "none"))
def test_body_frame_can_be_inverted(moving, center, scale):
    x, mask = moving
    frame = body_frame(x, mask, NTU, center, align=True, scale=scale)
    assert torch.allclose(frame.invert(frame.apply(x)), x, atol=1e-4)


# `box` is measured along the axes of the room, so a turn changes it.
@pytest.mark.parametrize("scale", ("torso", "max", "std"))
@pytest.mark.parametrize("center", ("first", "frame"))
def test_place_and_turn_of_the_camera_do_not_matter(moving, center, scale):
    x, mask = moving
    c, s = np.cos(1.1), np.sin(1.1)
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float32)
    elsewhere = (turn @ x.flatten(2)).view_as(x)
    elsewhere = elsewhere + torch.tensor([1.0, 2, 0.3]).view(1, 3, 1, 1, 1)
    a = normalize(x, mask, NTU, center, True, scale)
    b = normalize(elsewhere, mask, NTU, center, True, scale)
    assert torch.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("center", ("first", "frame"))
def test_size_does_not_matter(moving, center, scale):
    x, mask = moving
    a = normalize(x, mask, NTU, center, False, scale)
    assert torch.allclose(normalize(x * 1.3, mask, NTU, center, False, scale), a, atol=1e-3)


def test_distance_between_persons_survives(moving):
    x, mask = moving
    p = normalize(x, mask, NTU)
    apart = [(v[0, :, 10, 0, 0] - v[0, :, 10, 0, 1]).norm() for v in (x, p)]
    assert torch.allclose(apart[1] * body_frame(x, mask, NTU).scale[0], apart[0], atol=1e-4)


def test_box_grows_with_the_walk_and_body_does_not(moving):
    x, mask = moving
    walk = x + torch.linspace(0, 5, 40).view(1, 1, 40, 1, 1)
    sizes = {
        scale: [body_frame(v, mask, NTU, scale=scale).scale.item() for v in (x, walk)]
        for scale in ("box", "body")
    }
    assert sizes["box"][1] > sizes["box"][0] + 3
    assert sizes["body"][1] == pytest.approx(sizes["body"][0], abs=1e-4)


def test_box_is_the_longest_side(moving):
    x, mask = moving
    body = x[0, ..., 0].flatten(1)
    sides = body.max(1).values - body.min(1).values
    assert body_frame(x, mask, NTU, scale="box").scale[0] == sides.max()


@pytest.mark.parametrize("scale", SCALES)
def test_frames_without_the_person_do_not_change_the_size(moving, scale):
    x, mask = moving
    mask = mask.clone()
    mask[:, 30:, 0] = False
    longer = x.clone()
    longer[:, :, 30:] = 100.0
    short = body_frame(x[:, :, :30], mask[:, :30], NTU, scale=scale).scale
    assert torch.allclose(body_frame(longer, mask, NTU, scale=scale).scale, short, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_clip_without_the_primary_person_keeps_scale_one(moving, scale):
    x, mask = moving
    mask = mask.clone()
    mask[..., 0] = False
    assert body_frame(x, mask, NTU, scale=scale).scale.tolist() == [1]


def test_masked_median_reads_valid_frames_only():
    x = torch.tensor([[5.0, 1, 9, 3, 7], [5.0, 1, 9, 3, 7]])
    valid = torch.tensor([[True] * 5, [True, True, False, False, False]])
    assert masked_median(x, valid).tolist() == [5, 1]  # the lower of two
    assert masked_median(x, torch.zeros_like(valid)).isinf().all()


@pytest.mark.parametrize("scale", SCALES)
def test_scores_are_neither_scaled_nor_moved(scale):
    torch.manual_seed(0)
    flat, mask = torch.rand(2, 3, 7, 17, 1), torch.ones(2, 7, 1, dtype=torch.bool)
    assert torch.equal(normalize(flat, mask, COCO, align=True, scale=scale)[:, 2], flat[:, 2])


def test_person_absent_from_the_whole_clip_is_zero(moving):
    x, mask = moving
    mask = mask.clone()
    mask[..., 1] = False
    assert normalize(x, mask, NTU)[..., 1].abs().sum() == 0


@pytest.mark.parametrize("wrong", (dict(center="middle"), dict(scale="meters")))
def test_unknown_choice_names_the_known_ones(moving, wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"unknown {name} '{value}'; known: "):
        body_frame(*moving, NTU, **wrong)


# Sampling


def test_resize_is_exact_on_a_straight_line(ramp):
    x, mask = ramp
    assert torch.allclose(sample(x, mask, 79)[0].flatten(), torch.linspace(1, 40, 79))
    assert torch.allclose(sample(x, mask, 40)[0], x)


@pytest.mark.parametrize("offset, first, last", ((0.0, 1, 20), (1.0, 21, 40)))
def test_crop_keeps_a_fraction(ramp, offset, first, last):
    x, mask = ramp
    y, _ = sample(x, mask, 5, fraction=0.5, offset=offset)
    assert torch.allclose(y.flatten(), torch.linspace(first, last, 5))


def test_every_clip_has_its_own_crop(ramp):
    x, mask = ramp
    fractions, offsets = torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.5])
    y, _ = sample(x.repeat(2, 1, 1, 1, 1), mask.repeat(2, 1, 1), 5, "resize", fractions, offsets)
    assert y[:, 0, 0].flatten().tolist() == [21, 1]


def test_pad_keeps_the_pace_of_short_clips_and_marks_padding(ramp):
    x, mask = ramp
    y, m = sample(x, mask, 64, "pad")
    assert torch.allclose(y[0, 0, :40], x[0, 0])
    assert y[0, 0, 40:].abs().sum() == 0
    assert m.sum() == 40


def test_pad_resizes_clips_longer_than_T(ramp):
    x, mask = ramp
    assert torch.allclose(sample(x, mask, 20, "pad")[0], sample(x, mask, 20)[0])


@pytest.mark.parametrize("jitter", (0.0, 0.5, 0.999))
def test_uniform_takes_one_frame_per_piece(ramp, jitter):
    x, mask = ramp
    y, _ = sample(x, mask, 16, "uniform", jitter=jitter)
    values = y.flatten()
    assert (values.diff() > 0).all()
    assert torch.equal(values, values.round())  # frames, nothing in between


def test_progress_says_where_frames_are_taken(ramp):
    x, mask = ramp
    y, _ = sample(x, mask, 3, progress=torch.tensor([[0.0, 0.25, 1.0]]))
    assert torch.allclose(y.flatten(), torch.tensor([1, 10.75, 40]))


def test_nobody_fades_in_or_out():
    still = torch.full((1, 3, 30, 25, 2), 2.0)
    mask = torch.ones(1, 30, 2, dtype=torch.bool)
    mask[:, :10, 1] = mask[:, 20:, 1] = False
    still = normalize(still, mask, NTU, "none", scale="none")
    y, m = sample(still, mask, 64)
    assert y[0, 0, :, 0, 1][m[0, :, 1]].unique().tolist() == [2]


def test_clip_of_one_frame_is_repeated(ramp):
    x, mask = ramp
    assert sample(x[:, :, :1], mask[:, :1], 8)[0].flatten().tolist() == [1] * 8


def test_crop_between_two_persons_times_holds_the_first_person(ramp):
    x, _ = ramp
    x = x.repeat(1, 1, 1, 1, 2)
    mask = torch.zeros(1, 40, 2, dtype=torch.bool)
    mask[:, :10, 0] = mask[:, 30:, 1] = True
    _, m = sample(x, mask, 4, fraction=0.2, offset=0.5)
    assert m[..., 0].all()
    assert not m[..., 1].any()


def test_only_valid_frames_are_sampled(ramp):
    x, mask = ramp
    mask = mask.clone()
    mask[:, :10] = mask[:, 30:] = False
    assert [v.item() for v in valid_span(mask)] == [10, 20]
    assert torch.allclose(sample(x, mask, 20)[0], x[:, :, 10:30])


def test_unknown_sampling_names_the_known_ones(ramp):
    with pytest.raises(ValueError, match="unknown sampling 'random'; known: resize, uniform, pad"):
        sample(*ramp, 8, "random")


# Streams


def test_bones_add_up_to_joints(moving):
    x, _ = moving
    for skeleton in (NTU, get_skeleton("kinect20")):
        points = x[:, :, :, : skeleton.V]
        bones = bone_vectors(points, skeleton)
        assert bones[..., skeleton.center, :].abs().sum() == 0
        for joint in range(skeleton.V):
            total = points[..., skeleton.center, :].clone()
            j = joint
            while j != skeleton.center:
                total += bones[..., j, :]
                j = skeleton.parents[j]
            assert torch.allclose(total, points[..., joint, :], atol=1e-5)


def test_motion_adds_up_to_the_path(moving):
    x, mask = moving
    steps = motion(x, mask)[..., 0]
    back = x[:, :, :1, :, 0] + steps[:, :, :-1].cumsum(2)
    assert torch.allclose(back, x[:, :, 1:, :, 0], atol=1e-4)
    assert steps[:, :, -1].abs().sum() == 0


def test_absent_persons_have_no_motion_and_no_steps_in_and_out(moving):
    x, mask = moving
    steps = motion(x, mask)
    assert steps[:, :, :8, :, 1].abs().sum() == 0
    assert steps[:, :, 29:, :, 1].abs().sum() == 0


def test_scores_are_kept_by_bones_and_motion():
    flat, mask = torch.rand(1, 3, 5, 17, 1), torch.ones(1, 5, 1, dtype=torch.bool)
    for stream in ("bone", "joint_motion", "bone_motion"):
        assert torch.equal(make_stream(flat, mask, COCO, stream)[:, 2], flat[:, 2])


def test_all_stacks_the_four_streams(moving):
    x, mask = moving
    names = ("joint", "bone", "joint_motion", "bone_motion")
    parts = [make_stream(x, mask, NTU, name) for name in names]
    assert torch.equal(make_stream(x, mask, NTU, "all"), torch.cat(parts, 1))


@pytest.mark.parametrize("stream", ("joint", "bone", "joint_motion", "bone_motion", "all"))
def test_streams_are_zero_where_a_person_is_absent(moving, stream):
    x, mask = moving
    y = make_stream(x, mask, NTU, stream)
    assert y[:, :, :8, :, 1].abs().sum() == 0
    assert y.shape[1] == PreprocessConfig(stream=stream).channels


def test_unknown_stream_names_the_known_ones(moving):
    with pytest.raises(ValueError, match="unknown stream 'bones'; known: joint, bone, "):
        make_stream(*moving, NTU, "bones")


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_goes_through(skeleton):
    torch.manual_seed(0)
    raw = torch.randn(2, 3, 9, skeleton.V, 2)
    y, _ = to_body(raw, skeleton, PreprocessConfig(persons=2, align=True))
    assert y.isfinite().all()
    assert y.shape == raw.shape
