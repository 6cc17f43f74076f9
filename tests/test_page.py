"""The page without a server that computes: built, and tried in a browser without a network.

Numbers come from Python and from the page, for the same frames and the same landmarks.
"""

import json
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from browsing import NODE_MODULES, need_browser, run_node, served
from camera_films import SIZE, slide
from conftest import ROOT

from last.hdm05 import ACTIONS
from last.joint_maps import map_joints
from last.placement import Placement
from last.pose import MediaPipe, PoseConfig
from last.skeletons import get_skeleton
from last.streaming import StreamingRecognizer
from last.watchers import whole_enough

sys.path.insert(0, str(ROOT / "tools"))
import page

SHOTS = os.environ.get("LAST_SHOTS", "-")
CORE15 = get_skeleton("core15")
LANDMARKS = ROOT / "tests/mediapipe_landmarks.json"  # MediaPipe 0.10.21, `slide(x)` at `time`


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "The page's folder, with the weights that ship."
    if not (NODE_MODULES / "onnxruntime-web").is_dir():
        need_browser()
        pytest.fail("no onnxruntime-web: make node")
    out = tmp_path_factory.mktemp("page") / "page"
    page.write_page("core15", out)
    return out


def landmarks():
    "Stored ones, and the last of them once more with everything inside of the picture and seen."
    stored = json.loads(LANDMARKS.read_text(encoding="utf-8"))
    whole = json.loads(json.dumps(stored[-1]))
    whole["time"] += 0.05
    for mark in whole["image"]:
        mark[:2] = [0.2 + 0.3 * mark[0], 0.1 + 0.3 * mark[1]]
    for mark in whole["image"] + whole["world"]:
        mark[3] = 0.9
    return [*stored, whole]


def streams(built):
    "A sample as it is; and with joints and frames lost, at moments that vary, with long breaks."
    joints = json.loads((built / "samples.json").read_text(encoding="utf-8"))[0]["joints"]
    frames = np.float32(joints).reshape(-1, CORE15.V, 3)[:240] / np.float32(1000)
    rng = np.random.default_rng(0)
    lost = frames.copy()
    lost[rng.random(lost.shape[:2]) < 0.1] = np.nan
    lost[60:75] = np.nan
    lost[90, 3, 1] = np.nan  # a single coordinate

    gaps = rng.uniform(0.01, 0.08, len(frames))
    gaps[120] = 0.8  # too long to be bridged
    gaps[200] = 11.0  # long enough to forget everything
    return [(frames, None), (lost, (gaps.cumsum() + 5.0).tolist())]


def plain(array):
    "For JSON: NaN as null."
    return [[None if np.isnan(v) else float(v) for v in frame.ravel()] for frame in array]


@pytest.fixture(scope="module")
def tried(built, tmp_path_factory):
    "What a browser made of the page, of the streams and of the landmarks."
    need_browser()
    folder = tmp_path_factory.mktemp("tried")
    sent = [(plain(frames), times) for frames, times in streams(built)]
    given = dict(
        streams=[dict(frames=frames, times=times) for frames, times in sent],
        landmarks=landmarks(),
        size=SIZE,
    )
    with served(built) as base, served(folder) as elsewhere:
        given["elsewhere"] = elsewhere
        (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
        said = run_node("page.mjs", base, "sample", folder / "given.json", SHOTS, timeout=400)

    return json.loads(said) | {"base": base}


def write_webcam(path):
    "What the webcam shows, again and again: the photograph of the first stored landmarks."
    from PIL import Image

    with path.open("wb") as film:
        for _ in range(15):
            Image.fromarray(slide(80)).save(film, "jpeg", quality=95)


def test_the_page_holds_what_it_needs_and_says_what_that_is(built):
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    needed = {"index.html", "model.onnx", "model.json", "samples.json", "NOTICE.txt"}
    needed |= {f"vendor/mediapipe/{name}" for name in page.MEDIAPIPE}
    assert needed <= files
    assert page.megabytes(built) < 35

    text = (built / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]+https?:", text)
    assert "CC BY-SA 3.0" in text and "Müller" in text
    notice = (built / "NOTICE.txt").read_text(encoding="utf-8")
    for words in ("onnxruntime-web 1", "@mediapipe/pose 0", "MIT License", "Apache License"):
        assert words in notice
    assert "{" not in notice.split("Apache License\n")[0]


def test_samples_are_clips_that_the_network_never_saw(built):
    samples = json.loads((built / "samples.json").read_text(encoding="utf-8"))
    assert [sample["name"] for sample in samples] == ["Actor 4", "Actor 5"]
    for sample in samples:
        assert "never saw" in sample["words"]
        assert len(sample["joints"]) == 3 * CORE15.V * len(sample["labels"])
        assert set(sample["labels"]) == set(range(12))


def test_networks_that_a_page_cannot_show_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"hdm05_causal: expected a causal network .* core15"):
        page.write_page(str(ROOT / "nbs/trained/hdm05_causal"), tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    need_browser()
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="holds something else than a page"):
        page.write_page("core15", tmp_path)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.timeout(600)
def test_the_page_answers_as_python_does(tried, built):
    recognizer = StreamingRecognizer("core15")
    for (frames, times), answers in zip(streams(built), tried["answers"]):
        recognizer.clean_state()
        expected = recognizer.forward_steps(frames, times)
        found = np.array(answers, float)  # JSON has null for NaN
        assert found.shape == expected.shape
        assert np.isfinite(found).any() and np.isnan(found).any()
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.timeout(600)
def test_landmarks_become_the_same_joints_as_in_python(tried):
    finder = object.__new__(MediaPipe)  # without its networks
    finder.least = page.VISIBLE
    finder.found = True
    finder.place = Placement(PoseConfig.view)
    picture = np.zeros((*SIZE[::-1], 3), np.uint8)
    for stored, found in zip(landmarks(), tried["people"], strict=True):
        finder.network = SimpleNamespace(process=lambda _, stored=stored: as_found(stored))
        (person,) = finder(picture, stored["time"])
        for name, dims in (("joints", 3), ("image", 2)):
            expected = map_joints(getattr(person, name), MediaPipe.skeleton, CORE15)
            mapped = np.array(found[name], float).reshape(-1, dims)
            np.testing.assert_allclose(mapped, expected, rtol=1e-4, atol=1e-4)

        body = map_joints(person.joints, MediaPipe.skeleton, CORE15)
        assert found["enough"] == np.isfinite(whole_enough(body, CORE15)).any()

    assert [found["enough"] for found in tried["people"]].count(True) == 1
    assert np.isfinite(mapped).all(), "the last one is seen as a whole"


def as_found(stored):
    "Stored landmarks as MediaPipe returns them."
    names = ("x", "y", "z", "visibility")
    marks = {
        key: [SimpleNamespace(**dict(zip(names, mark))) for mark in stored[key]]
        for key in ("image", "world")
    }
    return SimpleNamespace(
        pose_landmarks=SimpleNamespace(landmark=marks["image"]),
        pose_world_landmarks=SimpleNamespace(landmark=marks["world"]),
    )


@pytest.mark.timeout(600)
def test_a_sample_plays_and_nobody_else_is_asked(tried):
    assert tried["errors"] == []
    assert tried["sample"]["answer"] in [*ACTIONS.values(), "nothing"]
    assert re.search(r"network \d+\.\d ms .* 15 of 15 joints seen", tried["sample"]["cost"])
    assert "CC BY-SA 3.0" in tried["note"]
    assert len(tried["bars"]) == 12 and abs(sum(tried["bars"]) - 1) < 1e-3
    assert tried["wider"] <= 0, "wider than a telephone"

    assert [u for u in tried["requests"] if not u.startswith((tried["base"], "blob:"))] == []
    assert tried["refused"] == "connect-src"


@pytest.mark.timeout(600)
def test_a_webcam_shows_a_person(built, tmp_path):
    need_browser()
    write_webcam(tmp_path / "webcam.mjpeg")
    with served(built) as base:
        said = run_node("page.mjs", base, "webcam", tmp_path / "webcam.mjpeg", SHOTS, timeout=550)
    tried = json.loads(said)

    assert tried["errors"] == []
    assert [u for u in tried["requests"] if not u.startswith((base, "blob:"))] == []
    assert "pose" in tried["webcam"]["cost"]
    stored = landmarks()[0]
    head = np.mean([stored["image"][i][:2] for i in (7, 8)], 0) * SIZE  # the ears
    shown = np.array(tried["person"]["image"], float).reshape(-1, 2)
    assert np.abs(shown[0] - head).max() < 25, "pixels; a lighter network than Python's"

    # her left is to the right of the picture, where x is smaller; up is up
    joints = np.array(tried["person"]["joints"], float).reshape(-1, 3)
    named = dict(zip(CORE15.joints, joints))
    assert named["left shoulder"][0] < named["right shoulder"][0]
    assert named["head"][1] > named["neck"][1]
    assert 0.3 < named["head"][2] < 3, "meters before the camera"
    assert tried["after"].startswith("Actor 5")
