"The table of skeletons, its graphs, and the functions that draw bodies."

import io

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from last.drawing import animate_clip, attribute, draw_clip, draw_pose, set_limits
from last.graphs import hop_distance, partition
from last.joints import parse_skeleton
from last.skeletons import SKELETONS, get_skeleton

KINDS = ("last", "directed")
every_skeleton = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)

# Shahroudy et al. (CVPR 2016), 1-based as printed there
NTU_BONES = {
    *[(1, 2), (2, 21), (3, 21), (4, 3)],
    *[(5, 21), (6, 5), (7, 6), (8, 7), (22, 23), (23, 8)],
    *[(9, 21), (10, 9), (11, 10), (12, 11), (24, 25), (25, 12)],
    *[(13, 1), (14, 13), (15, 14), (16, 15)],
    *[(17, 1), (18, 17), (19, 18), (20, 19)],
}


# --- the table


def test_names_and_numbers_of_joints():
    expected = dict(
        ntu25=25,
        kinect20=20,
        utd20=20,
        sbu15=15,
        openpose18=18,
        coco17=17,
        mediapipe33=33,
        body25=25,
        azure32=32,
        core15=15,
        hdm05=31,
    )
    assert {name: s.V for name, s in SKELETONS.items()} == expected
    assert all(name == s.name for name, s in SKELETONS.items())


@every_skeleton
def test_mirroring_twice_changes_nothing(skeleton):
    mirror = np.array(skeleton.mirror)
    assert np.array_equal(mirror[mirror], np.arange(skeleton.V))


@every_skeleton
def test_mirror_image_of_a_bone_is_a_bone(skeleton):
    mirror = skeleton.mirror
    assert {(mirror[a], mirror[b]) for a, b in skeleton.bones} == set(skeleton.bones)


@every_skeleton
def test_sides_are_mirrored(skeleton):
    left, right = skeleton.shoulders
    assert skeleton.mirror[left] == right
    for left, right in skeleton.pairs:
        assert skeleton.joints[left].replace("left", "right") == skeleton.joints[right]


@every_skeleton
def test_way_up_from_any_joint_ends_at_the_center(skeleton):
    for joint in range(skeleton.V):
        for _ in range(skeleton.V):
            if skeleton.parents[joint] >= 0:
                joint = skeleton.parents[joint]
        assert joint == skeleton.center


def test_ntu_bones_are_those_of_the_paper():
    assert {(a + 1, b + 1) for a, b in get_skeleton("ntu25").bones} == NTU_BONES


def test_coco_bones_are_left_and_right_in_turn():
    coco = get_skeleton("coco17")
    assert coco.joints[5:9] == ("left shoulder", "right shoulder", "left elbow", "right elbow")
    assert coco.parents[7:9] == (5, 6)


def test_unknown_skeleton_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown skeleton 'ntu26'; known: ntu25, kinect20"):
        get_skeleton("ntu26")


CHAINS = """
    neck
    neck > left shoulder > left hand
    neck > right shoulder > right hand
    neck > hips
"""


def parse(chains):
    return parse_skeleton("new", chains, root=("hips",), spine=("neck",), neck=("neck",))


def test_a_chain_hangs_each_joint_on_the_one_before():
    new = parse(CHAINS)
    expected = "neck, left shoulder, left hand, right shoulder, right hand, hips"
    assert ", ".join(new.joints) == expected
    assert new.parents == (-1, 0, 1, 0, 3, 0)
    assert new.shoulders == (1, 3)
    assert new.root == (5,)


@pytest.mark.parametrize(
    "chains, message",
    [
        (CHAINS.replace("neck > hips", "nek > hips"), "skeleton new: unknown joint 'nek'; it has"),
        (CHAINS.replace("> hips", "> hip"), "skeleton new: unknown joint 'hips'"),
        (CHAINS + "neck > hips\n", "a joint name appears twice"),
        (CHAINS + "tail\n", "exactly one joint must have no parent"),
        (CHAINS.replace("\n    neck\n", "\n    hips > neck\n"), "exactly one joint"),
        (CHAINS.replace("shoulder", "arm"), "unknown joint 'left shoulder'"),
    ],
)
def test_wrong_chains_are_named(chains, message):
    with pytest.raises(ValueError) as caught:
        parse(chains)
    assert message in str(caught.value)


# --- graphs


@every_skeleton
def test_hop_distance_is_a_distance(skeleton):
    hops = hop_distance(skeleton)
    assert np.array_equal(hops, hops.T)
    assert np.array_equal(np.diag(hops), np.zeros(skeleton.V))
    assert hops.max() < skeleton.V
    assert (hops[:, :, None] + hops[None] >= hops[:, None]).all()  # triangle inequality


@every_skeleton
def test_joints_one_hop_apart_are_the_bones(skeleton):
    one = set(map(tuple, np.argwhere(hop_distance(skeleton) == 1).tolist()))
    assert one == {*skeleton.bones, *((p, j) for j, p in skeleton.bones)}


def test_twelve_bones_between_the_hand_tips():
    ntu = get_skeleton("ntu25")
    left, right = ntu.joints.index("left hand tip"), ntu.joints.index("right hand tip")
    assert hop_distance(ntu)[left, right] == 12


@every_skeleton
def test_every_row_of_last_is_a_mean(skeleton):
    assert np.allclose(partition(skeleton, "last").sum(-1), 1, atol=1e-5)


@every_skeleton
def test_directed_gives_every_joint_away_once(skeleton):
    _, inward, outward = partition(skeleton, "directed")
    for graph in (inward, outward):
        assert np.isclose(graph.sum(0).max(), 1, atol=1e-5)


def test_directed_reads_children_inward_and_the_parent_outward():
    ntu = get_skeleton("ntu25")
    wrist, hand, elbow = (ntu.joints.index(f"left {j}") for j in ("wrist", "hand", "elbow"))
    _, inward, outward = partition(ntu, "directed")
    assert np.flatnonzero(inward[wrist]).tolist() == [hand]
    assert np.flatnonzero(outward[wrist]).tolist() == [elbow]


@every_skeleton
@pytest.mark.parametrize("kind", KINDS)
def test_left_and_right_are_alike(skeleton, kind):
    graphs, mirror = partition(skeleton, kind), list(skeleton.mirror)
    assert graphs.shape == (3, skeleton.V, skeleton.V)
    assert graphs.dtype == np.float32
    assert np.allclose(graphs[:, mirror][:, :, mirror], graphs, atol=1e-6)


def test_unknown_partition_lists_the_known_ones():
    message = "unknown partition 'nearest'; known: last, directed"
    with pytest.raises(ValueError, match=message):
        partition(get_skeleton("ntu25"), "nearest")


# --- drawing


@pytest.fixture
def clip():
    "Two persons; the second one is lost in the middle."
    clip = np.random.default_rng(0).normal(size=(2, 24, 25, 3))
    clip[1, 9:15] = np.nan
    yield clip
    plt.close("all")


def test_one_panel_per_frame(clip):
    ntu = get_skeleton("ntu25")
    assert len(draw_clip(clip, ntu).axes) == 6
    assert len(draw_clip(clip, ntu, frames=3).axes) == 3
    assert len(draw_clip(clip[:, :1], ntu).axes) == 1  # a clip of one frame is one picture


def test_a_lost_person_is_not_drawn(clip):
    _, ax = plt.subplots()
    lines = draw_pose(ax, clip[1, 10], get_skeleton("ntu25"))
    assert all(np.isnan(line.get_xydata()).all() for line in lines)


@every_skeleton
def test_every_bone_the_head_and_the_joints_are_drawn(skeleton):
    pose = np.random.default_rng(0).normal(size=(skeleton.V, 3))
    _, ax = plt.subplots()
    lines = draw_pose(ax, pose, skeleton)
    assert len(lines) == len(skeleton.bones) + 2
    assert np.array_equal(lines[-1].get_xydata(), pose[:, :2])

    joint, parent = skeleton.bones[0]
    assert np.array_equal(lines[0].get_xydata(), pose[[joint, parent], :2])
    plt.close("all")


def test_up_chooses_the_vertical_channel(clip):
    _, ax = plt.subplots()
    *_, joints = draw_pose(ax, clip[0, 0], get_skeleton("ntu25"), up=2)
    assert np.array_equal(joints.get_xydata(), clip[0, 0][:, [0, 2]])


def test_across_chooses_the_horizontal_channel(clip):
    _, ax = plt.subplots()
    *_, joints = draw_pose(ax, clip[0, 0], get_skeleton("ntu25"), across=2)
    assert np.array_equal(joints.get_xydata(), clip[0, 0][:, [2, 1]])

    set_limits([ax], clip, across=2)
    assert ax.get_xlim()[0] < np.nanmin(clip[..., 2]) < np.nanmax(clip[..., 2]) < ax.get_xlim()[1]


def test_one_color_for_the_whole_body(clip):
    _, ax = plt.subplots()
    lines = draw_pose(ax, clip[0, 0], get_skeleton("ntu25"), color="silver", alpha=0.5)
    assert {(line.get_color(), line.get_alpha()) for line in lines} == {("silver", 0.5)}


@pytest.mark.parametrize("size", [(2.6, 2.6), (9, 2)], ids=str)
def test_a_credit_stands_below_the_axes_and_inside_the_picture(size):
    fig, ax = plt.subplots(figsize=size, layout="constrained")
    credit = "CC BY-SA 3.0; The data used in this project was obtained from somebody."
    attribute(fig, credit)
    fig.canvas.draw()
    line = fig._supxlabel
    box, picture = line.get_window_extent(), fig.bbox
    assert line.get_text().replace("\n", " ") == credit
    assert picture.x0 <= box.x0 and box.x1 <= picture.x1 and picture.y0 <= box.y0
    assert box.y1 <= ax.get_tightbbox().y0
    plt.close("all")


def test_clips_carry_their_credit(clip):
    ntu = get_skeleton("ntu25")
    assert draw_clip(clip, ntu, credit="us")._supxlabel.get_text() == "us"
    assert draw_clip(clip, ntu)._supxlabel is None
    with_line, without = (animate_clip(clip, ntu, step=24, credit=text) for text in ("us", ""))
    assert with_line.data != without.data


def test_limits_hold_every_finite_joint(clip):
    _, axes = plt.subplots(1, 2)
    set_limits(axes, clip)
    for ax in axes:
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left < np.nanmin(clip[..., 0]) and np.nanmax(clip[..., 0]) < right
        assert bottom < np.nanmin(clip[..., 1]) and np.nanmax(clip[..., 1]) < top


def test_animation_is_a_picture_that_moves(clip):
    shown = animate_clip(clip, get_skeleton("ntu25"), step=8)
    picture = Image.open(io.BytesIO(shown.data))
    assert picture.format == "PNG"
    assert picture.n_frames == 3
    first = np.asarray(picture.convert("L"), int)
    picture.seek(2)
    assert np.abs(np.asarray(picture.convert("L"), int) - first).max() > 50
