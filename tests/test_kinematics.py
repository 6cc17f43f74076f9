"""Motion-capture files: forward kinematics, both formats, and damage that is named."""

import numpy as np
import pytest

from last.core import ParseError
from last.kinematics import axis_rotation, euler_rotation, read_amc, read_asf, read_bvh, resample

BONE = "begin\n name {} \n direction 1 0 0\n length {}\n axis 0 0 {} XYZ\n {}\nend\n"
HEAD = ":units\n length 0.45\n angle deg\n:root\n order TX TY TZ RX RY RZ\n axis XYZ\n"
HEAD += " position 0 0 0\n orientation 0 0 0\n:bonedata\n"
TREE = ":hierarchy\nbegin\n root upper\n upper lower\nend\n"
METERS = 0.0254 / 0.45


def asf(tmp_path, upper="dof rz", lower="dof rz", turned=0, tree=TREE):
    file = tmp_path / "a.asf"
    bones = BONE.format("upper", 5, turned, upper) + BONE.format("lower", 4, 0, lower)
    file.write_text(HEAD + bones + tree, encoding="latin-1")
    return file


def amc(tmp_path, text):
    file = tmp_path / "a.amc"
    file.write_text("# Universit\u00e4t\n" + text, encoding="latin-1")
    return file


def read(tmp_path, text, **options):
    return read_amc(amc(tmp_path, text), read_asf(asf(tmp_path, **options)))


def test_rotations_are_proper():
    turns = euler_rotation(np.random.default_rng(0).normal(size=(50, 3)), "zxy")
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(turns), 1)


@pytest.mark.parametrize("axis, start, end", [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)])
def test_a_quarter_turn_brings_one_axis_to_the_next(axis, start, end):
    turn = axis_rotation(np.array([np.pi / 2]), axis)[0]
    assert np.allclose(turn @ np.eye(3)[start], np.eye(3)[end])


def test_radians_and_degrees_are_the_same_pose(tmp_path):
    half = np.pi / 2
    degrees = read(tmp_path, ":DEGREES\n1\nroot 0 0 0 0 0 90\nupper 0\nlower 90\n")
    radians = read(tmp_path, f":RADIANS\n1\nroot 0 0 0 0 0 {half}\nupper 0\nlower {half}\n")
    assert np.allclose(degrees.points, radians.points)


def test_a_missing_degree_of_freedom_is_zero(tmp_path):
    motion = read(tmp_path, "1\nroot 0 0 0 0 0 0\nupper 90\n", lower="")
    assert np.allclose(motion.points[0, 2], np.array([0, 9, 0]) * METERS)


def test_local_axes_turn_the_axis_of_rotation(tmp_path):
    "With axes turned by 90 degrees about z, a turn about the local x is one about y."
    motion = read(tmp_path, "1\nroot 0 0 0 0 0 0\nupper 90\nlower 0\n", upper="dof rx", turned=90)
    assert np.allclose(motion.points[0, 1], np.array([0, 0, -5]) * METERS)


@pytest.mark.parametrize(
    "text, why",
    [
        ("1\nroot 0 0 0 0 0 0\nupper 0\nlower\n", ":5: expected 1 numbers for lower, found 0"),
        ("1\nroot 0 0 0 0 0 0\nfoot 0\n", ":4: unknown bone 'foot'"),
        ("root 0 0 0 0 0 0\n", ":2: expected a frame number"),
        ("", "no frame in this file"),
        ("1\nroot 0 0 0 0 0 0\nupper 0\n2\nroot 0 0 0 0 0 0\n", "differ in upper"),
        ("1\nroot 0 0 0 0 0 x\n", "not a number"),
        ("1\nroot 0 0 0 0 0 nan\n", "infinite or missing"),
        ("1\nupper 0\n", "no line for the root"),
    ],
)
def test_a_damaged_amc_is_named(tmp_path, text, why):
    with pytest.raises(ParseError, match=why) as error:
        read(tmp_path, text)
    assert "a.amc" in str(error.value)


@pytest.mark.parametrize(
    "options, why",
    [
        (dict(upper="dof l"), "degree of freedom 'l'; known: rx, ry, rz"),
        (dict(tree=":hierarchy\nbegin\n root upper\nend\n"), "lower hangs on nothing"),
        (dict(tree=":hierarchy\nbegin\n root upper\n"), "ends inside a block"),
        (dict(tree=""), "no section :hierarchy"),
    ],
)
def test_a_damaged_asf_is_named(tmp_path, options, why):
    with pytest.raises(ParseError, match=why):
        read_asf(asf(tmp_path, **options))


def bvh(tmp_path, channels, rows, joint_channels="3 Zrotation Xrotation Yrotation"):
    text = f"HIERARCHY\nROOT hips\n{{\nOFFSET 1 2 3\nCHANNELS {channels}\nJOINT knee\n{{\n"
    text += f"OFFSET 0 -4 0\nCHANNELS {joint_channels}\nEnd Site\n{{\nOFFSET 0 -3 0\n}}\n}}\n}}\n"
    text += f"MOTION\nFrames: {len(rows)}\nFrame Time: 0.025\n" + "\n".join(rows) + "\n"
    file = tmp_path / "a.bvh"
    file.write_text(text)
    return file


def test_bvh_without_positions_stays_at_its_offset(tmp_path):
    motion = read_bvh(bvh(tmp_path, "3 Zrotation Xrotation Yrotation", ["0 0 0 0 0 0"]), meters=1)
    assert np.allclose(motion.points[0], [[1, 2, 3], [1, -2, 3], [1, -5, 3]])
    assert motion.names == ("hips", "knee", "knee end") and np.isclose(motion.rate, 40)


def test_bvh_rotation_order_is_that_of_its_channels(tmp_path):
    row = ["90 90 0 0 0 0"]
    zxy = read_bvh(bvh(tmp_path, "3 Zrotation Xrotation Yrotation", row), meters=1).points[0, 1]
    xzy = read_bvh(bvh(tmp_path, "3 Xrotation Zrotation Yrotation", row), meters=1).points[0, 1]
    assert np.allclose(zxy, [1, 2, -1])  # x first: down becomes backwards, which z leaves alone
    assert np.allclose(xzy, [5, 2, 3])  # z first: down becomes sideways, which x leaves alone


def test_bvh_positions_of_a_joint_replace_its_offset(tmp_path):
    six = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    motion = read_bvh(bvh(tmp_path, six, ["0 0 0 0 0 0 7 0 0 0 0 0"], six), meters=1)
    assert np.allclose(motion.points[0], [[0, 0, 0], [7, 0, 0], [7, -3, 0]])


@pytest.mark.parametrize(
    "edit, why",
    [
        (("Frames: 1", "Frames: 2"), "expected 2 frames, found 1"),
        (("Frame Time: 0.025", "Frame Time: 0"), "frame time above 0"),
        (("MOTION", "MOTIONLESS"), "no MOTION"),
        (("CHANNELS 3 Z", "CHANNELS 4 Z"), "expected 4 known channels"),
        (("OFFSET 0 -4 0", "OFFSET 0 -4"), "expected 3 numbers for OFFSET"),
        (("}\n}\n}\nMOTION", "}\n}\nMOTION"), "before the hierarchy is closed"),
        (("0 0 0 0 0 0", "0 0 0 0 0"), "expected 6 numbers for a frame"),
    ],
)
def test_a_damaged_bvh_is_named(tmp_path, edit, why):
    file = bvh(tmp_path, "3 Zrotation Xrotation Yrotation", ["0 0 0 0 0 0"])
    text = file.read_text()
    assert edit[0] in text
    file.write_text(text.replace(*edit))
    with pytest.raises(ParseError, match=why):
        read_bvh(file)


def test_a_missing_file_is_named(tmp_path):
    for read_file in (read_asf, read_bvh):
        with pytest.raises(ParseError, match="no such file"):
            read_file(tmp_path / "none")


def test_resampling_keeps_the_path():
    path = np.arange(13.0)[:, None, None] * np.ones((1, 2, 3))
    assert np.allclose(resample(path, 120, 30)[:, 0, 0], [0, 4, 8, 12])
    assert np.allclose(resample(path, 120, 80)[:, 0, 0], np.arange(0, 12.1, 1.5))
