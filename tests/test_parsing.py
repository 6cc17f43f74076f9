"NTU files: names, the two parsers, and the way from bodies to persons."

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from last.core import EmptyClipError, ParseError
from last.formats import UCLA_NAME
from last.parsing import (
    Body,
    Clip,
    _decimals,
    bodies_to_persons,
    clean_bodies,
    parse_careful,
    parse_fast,
    parse_name,
    read_lines,
    read_ntu,
    read_ntu_bodies,
)

A, B = "72057594037931101", "72057594037931102"  # the same number as floats
NAME = "S001C002P003R001A050.skeleton"


def ntu_text(frames, newline="\n"):
    "A file by hand; frames: one dict {id: (25, 3) array} per frame."
    lines = [f"{len(frames)}"]
    for bodies in frames:
        lines.append(f"{len(bodies)}")
        for i, xyz in bodies.items():
            lines += [f"{i} 0 1 1 1 1 0 0.0276 0.0545 2", "25"]
            for x, y, z in xyz:
                lines.append(
                    f"{x:.7g} {y:.7g} {z:.7g} 277.4 191.8 1036.2 519.1 -0.2 0.05 0.97 -0.12 2"
                )
    return newline.join(lines) + newline


def poses():
    "Random joints, taller than wide, as people are."
    rng = np.random.default_rng(0)
    while True:
        yield (rng.normal(size=(25, 3)) * [1, 3, 1]).astype(np.float32)


@pytest.fixture
def frames():
    "A in frames 0 and 1, B in frames 1 and 2, nobody in frame 3."
    pose = poses()
    return [{A: next(pose)}, {A: next(pose), B: next(pose)}, {B: next(pose)}, {}]


@pytest.fixture
def file(tmp_path, frames):
    path = tmp_path / NAME
    path.write_text(ntu_text(frames))
    return path


# --- names


def test_ntu_name():
    expected = dict(setup=17, camera=3, subject=106, replication=2, action=120)
    assert parse_name("S017C003P106R002A120") == expected


def test_name_with_another_pattern():
    expected = dict(action=8, subject=10, replication=3, camera=2)
    assert parse_name("a08_s10_e03_v02", UCLA_NAME) == expected


@pytest.mark.parametrize("name", ["S017C003P106R002", "S017C003P106R002A120_x", ""])
def test_wrong_name_says_what_was_expected(name):
    with pytest.raises(ParseError, match="not a clip name of this format"):
        parse_name(name)


# --- parsers


def test_bodies_are_told_apart_by_the_last_digit(file, frames):
    T, bodies = read_ntu_bodies(file)
    assert T == 4
    assert [b.id for b in bodies] == [A, B]
    assert [b.frames.tolist() for b in bodies] == [[0, 1], [1, 2]]
    assert np.allclose(bodies[1].xyz[1], frames[2][B], rtol=1e-6)


def test_both_parsers_agree_to_the_bit(file):
    lines = read_lines(file)
    fast, careful = parse_fast(file.read_bytes()), parse_careful(file, lines)
    assert fast[:3] == careful[:3]
    assert np.array_equal(fast[3], careful[3])
    assert fast[3].dtype == careful[3].dtype == np.float32


NUMBERS = (st.floats(-1e4, 1e4) | st.floats(-2, 2)).flatmap(
    lambda x: st.sampled_from([f"{x:.7g}", f"{x:.3f}", f"{x:.12f}", f"{x:.0f}", f"{x:.4e}"])
)
SCRAPS = st.text("0123456789.-+eE", min_size=1, max_size=20)


@settings(max_examples=500, deadline=None)
@given(st.lists(NUMBERS | SCRAPS, min_size=1, max_size=12))
def test_numbers_are_those_of_float(words):
    data = np.frombuffer((" " * 8 + " ".join(words) + "  ").encode(), np.uint8)
    gaps = np.flatnonzero(data == 32)[7:-1]
    try:
        wanted = [float(word) for word in words]
    except ValueError:
        with pytest.raises(ValueError):
            _decimals(data, gaps[:-1] + 1, gaps[1:])
        return
    assert _decimals(data, gaps[:-1] + 1, gaps[1:]).tolist() == wanted


def test_crlf_reads_alike(file, frames):
    bodies = read_ntu_bodies(file)[1]
    file.write_bytes(ntu_text(frames, "\r\n").encode())
    assert np.array_equal(read_ntu_bodies(file)[1][0].xyz, bodies[0].xyz)


def test_unusual_spacing_reads_alike(file, frames):
    bodies = read_ntu_bodies(file)[1]
    text = ntu_text(frames).replace(" 277.4", "   277.4 ").replace("25\n", "25 \n")
    file.write_text(text)
    assert np.array_equal(read_ntu_bodies(file)[1][1].xyz, bodies[1].xyz)


def test_missing_newline_at_the_end_is_no_damage(file, frames):
    file.write_text(ntu_text(frames).rstrip())
    assert len(read_ntu_bodies(file)[1]) == 2


def test_joint_that_the_sensor_could_not_place_is_nan(file, frames):
    text = ntu_text(frames)
    line = text.splitlines()[5]  # joint 2 of the first body
    file.write_text(text.replace(line, " ".join(["nan"] * 3 + line.split()[3:]), 1))

    xyz = read_ntu_bodies(file)[1][0].xyz
    assert np.isnan(xyz).sum() == 3
    assert np.isnan(xyz[0, 1]).all()


def test_nan_outside_of_x_y_z_does_not_matter(file, frames):
    before = read_ntu_bodies(file)[1][0].xyz
    file.write_text(ntu_text(frames).replace(" 277.4", " NaN", 1))
    assert np.array_equal(read_ntu_bodies(file)[1][0].xyz, before)


# --- damage


def test_every_damage_is_named(file, frames):
    good = ntu_text(frames)
    lines = good.splitlines()
    last_joint = " ".join(lines[-2].split()[:3])
    after_id = lines[5][lines[5].index(" ") :]
    broken = {
        "": ": the file is empty",
        "\n".join(
            lines[:20]
        ): ":21: expected 12 numbers of joint 17 of 25 (frame 0 of 4), found the",
        "\n".join([*lines[:19], lines[19][:15]]): (
            ":20: expected 12 numbers of joint 16 of 25 (frame 0 of 4)"
        ),
        "\n".join(
            ["5", *lines[1:]]
        ): "expected the body count of frame 4, found the end of the file",
        "\n".join(["3", *lines[1:]]): "expected the end of the file after 3 frames, found '0'",
        good.replace("\n25\n", "\n24\n", 1): ":4: expected the joint count 25, found '24'",
        good.replace(" 277.4", " abc", 1): ":5: expected 12 numbers of joint 1 of 25",
        good.replace(lines[5], after_id, 1): ":6: expected 12 numbers of joint 2 of 25",
        good.replace(B, A): "expected a new body id in frame 1 (this one is there already)",
        good.replace(" 0.0545 2", " 0.0545", 1): ":3: expected 10 values of body 0 in frame 0",
        good.replace("4\n", "four\n", 1): ":1: expected the frame count, found 'four'",
        "\n".join([*lines[:-2], last_joint, lines[-1]]): "expected 12 numbers of joint 25 of 25",
    }
    for text, message in broken.items():
        file.write_text(text)
        with pytest.raises(ParseError) as caught:
            read_ntu_bodies(file)
        assert str(file) in str(caught.value)
        assert message in str(caught.value)


def test_bytes_are_not_text(file):
    file.write_bytes(b"\x80\x02" + bytes(100))
    with pytest.raises(ParseError, match=r"not a text file \(byte 0 is 0x80\)"):
        read_ntu_bodies(file)


def test_every_cut_is_an_error(file, frames):
    good = ntu_text(frames)
    for at in range(0, len(good) - 2, 37):
        file.write_text(good[:at])
        with pytest.raises(ParseError) as caught:
            read_ntu_bodies(file)
        assert str(file) in str(caught.value)


# --- bodies become persons


def body(id, frames, size=1.0, wide=False, seed=0):
    rng = np.random.default_rng([seed, int(id)])
    xyz = rng.normal(size=(len(frames), 25, 3)).astype(np.float32) * size
    xyz[..., 1] *= 0.2 if wide else 3
    return Body(id, np.array(frames), xyz)


ACTOR = body("1", range(0, 40), 1.0)
PARTNER = body("2", range(5, 60), 0.5)
AGAIN = body("3", range(40, 60), 0.9)
GHOST = body("4", range(3, 14))
CHAIR = body("5", range(0, 60), wide=True)
THIRD = body("6", range(0, 30), 0.1)


def test_persons_stay_at_their_true_frames():
    scene = [CHAIR, ACTOR, PARTNER, GHOST, AGAIN, THIRD]
    points, dropped = bodies_to_persons(scene, 60)

    assert points.dtype == np.float32
    assert (~np.isnan(points[:, :, 0, 0])).sum(1).tolist() == [60, 55]
    assert dropped == 3  # the chair, the ghost and the third person
    assert np.array_equal(points[0, :40], ACTOR.xyz)
    assert np.array_equal(points[0, 40:], AGAIN.xyz)
    assert np.array_equal(points[1, 5:], PARTNER.xyz)


def test_a_gap_stays_a_gap():
    later = body("3", range(45, 60))
    points, _ = bodies_to_persons([ACTOR, later], 60)
    assert np.isnan(points[0, 40:45]).all()
    assert np.isfinite(points[0, 45:]).all()


def test_order_in_the_file_does_not_matter():
    points, _ = bodies_to_persons([CHAIR, ACTOR, PARTNER, AGAIN], 60)
    for order in permutations([CHAIR, ACTOR, PARTNER, AGAIN]):
        assert np.array_equal(bodies_to_persons(list(order), 60)[0], points, equal_nan=True)


def test_number_of_persons_is_a_choice():
    points, dropped = bodies_to_persons([ACTOR, PARTNER, THIRD], 60, persons=3)
    assert (~np.isnan(points[:, :, 0, 0])).sum(1).tolist() == [40, 55, 30]
    assert dropped == 0


def ids(bodies):
    return [b.id for b in bodies]


def test_the_last_body_is_never_dropped():
    assert ids(clean_bodies([GHOST])) == ["4"]
    assert ids(clean_bodies([CHAIR])) == ["5"]
    assert ids(clean_bodies([GHOST, CHAIR])) == ["5"]
    assert clean_bodies([]) == []


def test_of_two_short_bodies_the_longer_stays():
    assert ids(clean_bodies([GHOST, body("8", range(2))])) == ["4"]


def test_twelve_frames_are_enough_and_eleven_are_not():
    assert ids(clean_bodies([ACTOR, body("7", range(12))])) == ["1", "7"]
    assert ids(clean_bodies([ACTOR, body("7", range(11))])) == ["1"]


# --- the reader


def test_clip_of_a_file(file):
    pose = poses()
    file.write_text(ntu_text([{A: next(pose), B: next(pose)} for _ in range(20)]))
    clip = read_ntu(file)

    assert clip.name == "S001C002P003R001A050"
    assert clip.points.shape == (2, 20, 25, 3)
    assert clip.points.dtype == np.float32
    assert clip.label == 49
    assert (clip.setup, clip.camera, clip.subject, clip.replication) == (1, 2, 3, 1)
    assert clip.present.sum(1).tolist() == [20, 20]


def test_nobody_in_the_file_is_an_empty_clip(file):
    file.write_text("2\n0\n0\n")
    with pytest.raises(EmptyClipError, match="no body in any of 2 frames"):
        read_ntu(file)


def test_bodies_without_a_single_joint_are_nobody(file, frames):
    nowhere = np.full((25, 3), np.nan)
    file.write_text(ntu_text([{A: nowhere}, {A: nowhere}]))
    with pytest.raises(EmptyClipError, match="no body in any of 2 frames"):
        read_ntu(file)


def test_present_means_that_any_joint_was_seen():
    points = np.full((1, 3, 25, 3), np.nan, np.float32)
    points[0, 1, 7] = 1
    assert Clip("x", points, 0).present.tolist() == [[False, True, False]]
