"Pictures, times and turns; the person in them, followed, with true left and right."

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from camera_films import needs_mediapipe, quadrants, slide, write, write_sound
from hypothesis import given, settings
from hypothesis import strategies as st

from last.core import ParseError
from last.pictures import PictureConfig, open_pictures
from last.placement import Placement
from last.pose import (
    ESTIMATORS,
    Estimator,
    MediaPipe,
    PoseConfig,
    Shot,
    camera_space,
    find_people,
    keypoint_shots,
    mediapipe_pose,
    watch_people,
)
from last.skeletons import get_skeleton
from last.tracking import LOST, Person, Tracker

MEDIAPIPE = get_skeleton("mediapipe33")
NOSE, LEFT, RIGHT = (MEDIAPIPE.joints.index(j) for j in ("nose", "left shoulder", "right shoulder"))


def pictures_of(path, **settings):
    times, pictures = zip(*open_pictures(str(path), PictureConfig(**settings)))
    return np.array(times), np.stack(pictures)


# pictures


@pytest.mark.parametrize("quarters", range(4))
def test_films_are_upright(tmp_path, quarters):
    path = write(tmp_path / "phone.mp4", [quadrants()] * 3, quarters=quarters)
    _, pictures = pictures_of(path)
    assert pictures.shape == (3, 96, 128, 3)
    assert np.abs(pictures[0].astype(int) - quadrants()).mean() < 6


def test_photographs_are_upright(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for i in range(3):
        turned = Image.fromarray(np.rot90(quadrants()).copy())
        turned.save(tmp_path / f"{i}.png", exif=exif)
    _, pictures = pictures_of(tmp_path, fps=10.0)
    assert (pictures[2] == quadrants()).all()


def test_times_are_those_of_the_film(tmp_path):
    times = [0.5, 0.52, 0.6, 1.1, 1.12]
    film = write(tmp_path / "film.mp4", [quadrants(20 * i) for i in range(5)], times)
    found, _ = pictures_of(film)
    assert np.allclose(found, np.array(times) - 0.5, atol=1e-3)


def test_folders_count_beyond_nine(tmp_path):
    from PIL import Image

    for i in range(12):
        Image.fromarray(np.full((64, 64, 3), 10 * i, np.uint8)).save(tmp_path / f"view{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    times, pictures = pictures_of(tmp_path, fps=20.0)
    assert pictures[:, 0, 0, 0].tolist() == [10 * i for i in range(12)]
    assert np.allclose(np.diff(times), 0.05)


def test_large_pictures_are_reduced(tmp_path):
    write(tmp_path / "film.mp4", [quadrants()] * 2)
    assert pictures_of(tmp_path / "film.mp4", longest=64)[1].shape == (2, 48, 64, 3)


def test_files_that_are_no_films(tmp_path):
    whole = write(tmp_path / "whole.mp4", [quadrants(i) for i in range(60)]).read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"this is no film\n" * 20)
    (tmp_path / "head.mp4").write_bytes(whole[:200])
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    write_sound(tmp_path / "sound.m4a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_bytes(b"\x89PNG no")
    messages = {
        "none.mp4": "no such file",
        "empty.mp4": "empty file",
        "text.mp4": "not a video that can be read",
        "head.mp4": "no video in it$",
        "cut.mp4": r"cut short, \d+ of 60 frames|damaged after \d+ frames",
        "sound.m4a": "no video in it, only sound",
        "folder": "no pictures in it",
        "broken": "a.png: not a picture",
    }
    for name, message in messages.items():
        with pytest.raises(ParseError, match=message) as e:
            pictures_of(tmp_path / name)
        assert str(tmp_path / name) in str(e.value) and "\n" not in str(e.value)

    matroska = write(tmp_path / "whole.mkv", [quadrants(i) for i in range(60)]).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(matroska[: len(matroska) // 2])
    assert len(pictures_of(tmp_path / "whole.mkv")[0]) == 60
    with pytest.raises(ParseError, match=r"cut short, \d\.\d of 4\.0 seconds|damaged after"):
        pictures_of(tmp_path / "cut.mkv")

    there = len(pictures_of(tmp_path / "cut.mp4", partial=True)[0])
    assert 10 < there < 60


def test_camera_pictures_have_the_time_at_which_they_came(monkeypatch):
    clock = iter([100.0, 100.5, 101.0, 101.5])
    pictures = iter([(True, quadrants()), (True, quadrants()), (False, None)])
    camera = SimpleNamespace(
        set=lambda *setting: None,
        isOpened=lambda: True,
        read=lambda: next(pictures),
        release=lambda: None,
    )
    opencv = SimpleNamespace(
        setLogLevel=lambda level: None,
        VideoCapture=lambda source: camera,
        CAP_PROP_BUFFERSIZE=38,
        COLOR_BGR2RGB=4,
        resize=lambda picture, size: picture,
        cvtColor=lambda picture, code: picture[..., ::-1],
    )
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    monkeypatch.setattr("last.pictures.perf_counter", lambda: next(clock))
    monkeypatch.setattr("time.time", lambda: pytest.fail("a clock that somebody may set"))
    times, found = zip(*open_pictures("0", PictureConfig()))
    assert times == (0.5, 1.0)
    assert (found[0] == quadrants()[..., ::-1]).all()


@needs_mediapipe
def test_a_camera_that_is_not_there():
    with pytest.raises(OSError, match="camera 97: cannot be opened"):
        next(open_pictures("97", PictureConfig()))


# the person in them


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    "The photograph slides by 12 pixels a frame."
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write(path, [slide(12 * t) for t in range(12)])
    return find_people(str(path))


@needs_mediapipe
def test_a_person_is_found_and_followed(found):
    nose = found.image[0, :, NOSE]
    assert np.isfinite(nose).all()
    assert np.isnan(found.points[1]).all()  # there is no second one
    moved = nose[11] - nose[3]
    assert abs(moved[0] - 8 * 12) < 12 and abs(moved[1]) < 8
    assert np.allclose(nose[6], [12 * 6 + 209, 100 + 115], atol=25)  # where her nose is


@needs_mediapipe
def test_axes_are_those_of_camera_space(found):
    left, right, nose = (found.points[0, 6, j] for j in (LEFT, RIGHT, NOSE))
    assert right[0] - left[0] > 0.15  # whoever faces a camera has their right side at larger x
    assert nose[1] > max(left[1], right[1])
    assert nose[2] < min(left[2], right[2])  # the nose is nearer than the shoulders
    assert 0.4 < left[2] < 3  # before the camera
    assert found.points[0, 11, NOSE, 0] < found.points[0, 2, NOSE, 0] - 0.05  # to the right


@needs_mediapipe
def test_what_is_below_the_picture_is_lost(found):
    below = [j for j, name in enumerate(MEDIAPIPE.joints) if "ankle" in name or "heel" in name]
    assert np.isnan(found.points[0, 3:, below]).all()
    assert np.isnan(found.image[0, 3:, below]).all()


@needs_mediapipe
def test_mirrored_sources(tmp_path):
    from PIL import Image

    for i in range(2):
        Image.fromarray(slide(80)[:, ::-1]).save(tmp_path / f"{i}.png")
    sides = {}
    for mirrored in (False, True):
        sight = list(watch_people(str(tmp_path), PoseConfig(mirrored=mirrored)))[-1]
        sides[mirrored] = sight.image[0, [LEFT, RIGHT], 0]
        assert sight.points[0, RIGHT, 0] > sight.points[0, LEFT, 0]
    assert sides[False][0] > sides[False][1]  # taken for somebody who faces us as people do
    assert np.allclose(sides[True], sides[False][::-1], atol=2)


def landmark(x, y, z=0.0, visibility=0.9):
    return SimpleNamespace(x=x, y=y, z=z, visibility=visibility)


def estimator_that_sees(image, world, visible=0.5):
    "MediaPipe with these landmarks instead of a network."
    answer = SimpleNamespace(
        pose_landmarks=SimpleNamespace(landmark=image),
        pose_world_landmarks=SimpleNamespace(landmark=world),
    )
    find = MediaPipe.__new__(MediaPipe)
    find.least, find.place = visible, Placement(0)
    find.found = True
    find.network = SimpleNamespace(process=lambda picture: answer)
    return find


def test_low_visibility_is_nan():
    image = [landmark(0.5, 0.5) for _ in range(33)]
    world = [landmark(0.1, 0.2, 0.3) for _ in range(33)]
    world[5] = landmark(0.1, 0.2, 0.3, visibility=0.4)
    image[7] = landmark(0.5, 1.2)  # below the edge
    person = estimator_that_sees(image, world)(np.zeros((48, 64, 3), np.uint8), 0.0)[0]
    lost = [5, 7]
    assert np.flatnonzero(np.isnan(person.joints).any(1)).tolist() == lost
    assert np.flatnonzero(np.isnan(person.image).any(1)).tolist() == lost
    assert np.allclose(person.joints[0], [-0.1, -0.2, 0.3])
    assert np.allclose(person.image[0], [32, 24])


def test_to_camera_space_is_a_turn_and_no_reflection():
    turn = camera_space(np.eye(3, dtype=np.float32))
    assert np.isclose(np.linalg.det(turn), 1)


def project(points, size, view):
    "Pixels of points before a camera."
    focal = max(size) / 2 / np.tan(np.radians(view) / 2)
    return points[:, :2] / points[:, 2:] * focal + np.divide(size, 2)


@settings(deadline=None, max_examples=50)
@given(
    st.floats(-1, 1), st.floats(-1, 1), st.floats(1.5, 6), st.integers(0, 1000), st.integers(40, 90)
)
def test_people_stand_where_the_camera_sees_them(x, y, z, seed, view):
    body = np.random.default_rng(seed).normal(size=(12, 3)) * [0.3, 0.5, 0.2]
    place = np.array([x, y, z])
    size = np.array([640, 480])
    image = project(body + place, size, view)
    assert np.allclose(Placement(view)(body, image, size, 0.0), place, atol=1e-3)


def test_the_distance_is_calm():
    rng = np.random.default_rng(0)
    body, size = rng.normal(size=(12, 3)) * [0.3, 0.5, 0.2], np.array([640, 480])
    place = Placement(60)
    distances = []
    for t in range(60):
        image = project(body * rng.normal(1, 0.05) + [0, 0, 3], size, 60)
        distances.append(place(body, image, size, t / 30)[2])
    assert np.std(distances[20:]) < 0.08  # 0.15 without averaging
    assert abs(np.mean(distances[20:]) - 3) < 0.1


def test_without_enough_joints_or_wish_the_body_stays_at_the_origin():
    body = np.full((12, 3), np.nan)
    body[:3] = 1
    assert (Placement(60)(body, body[:, :2], np.array([640, 480]), 0.0) == 0).all()
    assert (Placement(0)(np.ones((12, 3)), np.ones((12, 2)), np.array([640, 480]), 0.0) == 0).all()


def test_without_mediapipe_the_extra_is_named(monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ImportError, match=r'MediaPipe 0\.10\.21: pip install "last\[camera\]"'):
        mediapipe_pose()


# following


def body(x, y=0.0, seed=0):
    "A person at some place, (17, 2) pixels."
    points = np.random.default_rng(seed).uniform(0, 1, (17, 2)) * [60, 170] + [x, y]
    return Person(np.c_[points, np.ones(17)].astype(np.float32), points)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_people_who_cross_keep_their_slots(seed):
    rng = np.random.default_rng(seed)
    speeds = rng.uniform(4, 14, 2) * [1, -1]
    tracker, ways = Tracker(2), []
    for t in range(60):
        pair = [body(0 + speeds[0] * t, 100), body(480 + speeds[1] * t, 100 + rng.uniform(0, 5))]
        order = rng.permutation(2)
        slots = tracker.update(t / 30, [pair[i] for i in order])
        ways.append([next(i for i in (0, 1) if slot is pair[i]) for slot in slots])
    assert len({tuple(way) for way in ways}) == 1


def test_who_is_lost_for_a_moment_keeps_the_slot():
    tracker = Tracker(2)
    for t in range(30):
        both = [body(100), body(400)]
        people = both[1:] if 10 <= t < 25 else both
        first, second = tracker.update(t / 30, people)
        assert second is both[1]
        assert first is (None if 10 <= t < 25 else both[0])


def test_a_slot_is_free_when_its_person_has_gone():
    tracker = Tracker(1)
    tracker.update(0.0, [body(100)])
    assert tracker.update(0.1, [body(500)]) == [None]  # somebody else
    newcomer = body(500)
    assert tracker.update(0.2 + LOST, [newcomer])[0] is newcomer


def test_the_larger_people_are_followed():
    small = Person(body(0).joints, body(0).image * 0.2)
    large = body(300)
    assert Tracker(1).update(0.0, [small, large])[0] is large


def test_an_estimator_is_a_row_more(monkeypatch):
    def shots(source, cfg):
        for t in range(4):
            yield Shot(t / 10, [body(t)], get_skeleton("coco17"), (640, 480))

    monkeypatch.setitem(ESTIMATORS, "mine", Estimator("mine", shots))
    tracks = find_people("anything", PoseConfig(estimator="mine", mirrored=True, people=1))
    assert tracks.points.shape == (1, 4, 17, 3)
    swap = list(get_skeleton("coco17").mirror)
    assert np.allclose(tracks.image[0, 3], body(3).image[swap])  # left is right in a mirror
    assert np.allclose(tracks.points[0, 3, :, 0], -body(3).image[swap, 0])
    sight = next(watch_people("anything", PoseConfig(estimator="mine", mirrored=True)))
    assert np.allclose(sight.flat[0], body(0).image[swap] * [-1, 1])
    assert sight.seen().tolist() == [True, False]
    with pytest.raises(ValueError, match="unknown 'yours'; known: mediapipe, keypoints"):
        find_people("anything", PoseConfig(estimator="yours"))


@pytest.mark.parametrize("wrong", [{"visible": 1.0}, {"view": 180.0}, {"people": 0}, {"fps": 0.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        PoseConfig(**wrong)


def test_joints_that_are_all_unsure_are_named(tmp_path):
    entry = {"image_id": "0.jpg", "keypoints": [100.0, 100.0, 0.01] * 17, "score": 1}
    path = tmp_path / "alphapose-results.json"
    path.write_text(json.dumps([entry]), encoding="utf-8")
    with pytest.raises(ParseError, match="no joint is sure enough; lower --visible"):
        next(keypoint_shots(str(path), PoseConfig()))
