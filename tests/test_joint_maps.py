"Maps between skeletons: means, sides, what cannot be had."

import numpy as np
import pytest

from last.joint_maps import describe_map, joint_map, map_joints, target_skeleton
from last.joints import make_skeleton, side_of
from last.skeletons import SKELETONS, get_skeleton

CORE = get_skeleton("core15")
NTU = get_skeleton("ntu25")


def row(source, target, joint):
    "Weights of one joint of the target, by name."
    source, target = get_skeleton(source), get_skeleton(target)
    weights = joint_map(source, target)[target.joints.index(joint)]
    return {source.joints[j]: float(weights[j]) for j in np.flatnonzero(weights)}


@pytest.mark.parametrize("source", SKELETONS.values(), ids=SKELETONS)
def test_every_skeleton_becomes_the_core(source):
    matrix = joint_map(source, CORE)
    assert np.allclose(matrix.sum(1), 1)
    for joint, weights in zip(CORE.joints, matrix):
        sides = {side_of(source.joints[j]) for j in np.flatnonzero(weights)}
        assert sides in ({side_of(joint)}, {"left", "right"}), joint


@pytest.mark.parametrize("source", SKELETONS.values(), ids=SKELETONS)
def test_map_onto_itself_changes_nothing(source):
    assert np.array_equal(joint_map(source, source), np.eye(source.V))


def test_virtual_joints_are_means():
    assert row("mediapipe33", "core15", "mid hip") == {"left hip": 0.5, "right hip": 0.5}
    assert row("mediapipe33", "ntu25", "left hand") == {"left pinky": 0.5, "left index": 0.5}
    assert row("body25", "core15", "mid hip") == {"mid hip": 1}
    assert row("sbu15", "core15", "left wrist") == {"left hand": 1}
    assert row("kinect20", "sbu15", "torso") == {"spine": 1}
    assert row("azure32", "ntu25", "spine mid") == {"spine navel": 1}


@pytest.mark.parametrize(
    "source, target, message",
    [
        ("coco17", "ntu25", "coco17 is 2-D, ntu25 is 3-D"),
        ("ntu25", "coco17", "ntu25 is 3-D, coco17 is 2-D"),
        ("kinect20", "ntu25", "kinect20 cannot become ntu25: no left hand tip, left thumb"),
    ],
)
def test_what_cannot_be_had_is_named(source, target, message):
    with pytest.raises(ValueError, match=message):
        joint_map(get_skeleton(source), get_skeleton(target))


def test_a_lost_joint_loses_what_is_made_of_it():
    pose = np.random.default_rng(0).normal(size=(4, 33, 3))
    media = get_skeleton("mediapipe33")
    pose[1, media.joints.index("left hip")] = np.nan
    core = map_joints(pose, media, CORE)
    lost = np.isnan(core).any(-1)
    assert [CORE.joints[j] for j in np.flatnonzero(lost[1])] == ["mid hip", "left hip"]
    assert not lost[[0, 2, 3]].any()
    hips = [media.joints.index(f"{side} hip") for side in ("left", "right")]
    assert np.allclose(core[0, CORE.joints.index("mid hip")], pose[0, hips].mean(0))


def test_clips_from_images_stay_two_dimensional():
    coco = get_skeleton("coco17")
    assert target_skeleton(coco, CORE).dims == 2
    assert target_skeleton(coco, CORE).name == "core15-2d"
    assert target_skeleton(NTU, CORE) is CORE


def test_spellings_of_sensors_meet():
    joints = ["PELVIS", "Neck", "HEAD", "SHOULDER_LEFT", "ShoulderRight", "LElbow", "right_elbow"]
    joints += ["wrist.L", "RWrist", "l_hip", "HipRight", "kneeLeft", "knee-right", "LAnkle"]
    joints += ["ankle_right"]
    own = make_skeleton(
        "own", joints, [1, -1, *[1] * 13], root=["pelvis"], spine=["neck"], neck=["neck"]
    )
    assert len(own.pairs) == 6
    assert "left ankle" in describe_map(own, CORE)
    assert ((joint_map(own, CORE) == 1).sum(1) == 1).all()


@pytest.mark.parametrize("name", ["Hips", "pelvis", "MidHip", "hip_center", "SpineBase"])
def test_one_place_has_several_names(name):
    pose = np.arange(75.0).reshape(25, 3)
    tiny = make_skeleton(
        "tiny",
        [name, "LeftShoulder", "RightShoulder"],
        [-1, 0, 0],
        root=[name],
        spine=[name],
        neck=["LeftShoulder"],
    )
    assert map_joints(pose, NTU, tiny).tolist() == pose[[0, 4, 8]].tolist()


@pytest.mark.parametrize(
    "joints, parents, message",
    [
        (["hips", "left shoulder"], [-1, 0], "'left shoulder' has no partner"),
        (["hips", "Hips"], [-1, 0], "a joint name appears twice"),
        (["hips", "neck"], [-1], "2 joints but 1 parents"),
        (["hips", "neck", "head"], [-1, 2, 1], "parents of 'neck' do not lead to the center"),
        (["hips", "neck"], [-1, -1], "exactly one joint must have no parent"),
    ],
)
def test_own_skeletons_are_checked(joints, parents, message):
    with pytest.raises(ValueError, match=f"skeleton x: .*{message}"):
        make_skeleton("x", joints, parents, root=["hips"], spine=["hips"], neck=["hips"])


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_a_skeleton_travels_as_json(skeleton):
    import json

    from last.joints import Skeleton

    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.as_dict()))) == skeleton
