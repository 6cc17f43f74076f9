"Sources of every kind in; names over time, JSON and a film out."

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from camera_films import needs_mediapipe, read, slide, write, write_sound
from conftest import ROOT

import last
from last import watchers
from last.cli import main
from last.core import EmptyClipError, ParseError
from last.hdm05 import read_pack
from last.live import LiveConfig, live, show_live
from last.overlay import draw_frame, write_film
from last.pose import ESTIMATORS, Estimator, PoseConfig, Shot, Sight
from last.predict import (
    PredictConfig,
    describe,
    predict,
    show_prediction,
    timeline,
    write_overlay,
)
from last.predictions import Prediction, find_actions, names_now
from last.preprocessing import PreprocessConfig
from last.recognizer import Recognizer
from last.skeletons import get_skeleton
from last.sources import open_source
from last.store import toy_store
from last.streaming import StreamingRecognizer
from last.tracking import Person
from last.training import TrainConfig, train
from last.watchers import (
    SEEN,
    ClipWatcher,
    StreamWatcher,
    even_frames,
    fit_joints,
    open_watcher,
    whole_enough,
)

NANO, CAUSAL = (str(ROOT / "nbs/trained" / name) for name in ("hdm05_nano", "hdm05_causal"))
CLIPS = {clip.name: clip.points[0] for clip in read_pack() if "_tr_" in clip.name}  # (T, 31, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Clips of HDM05, a film of a photograph, and a network for Kinect's joints."
    folder = tmp_path_factory.mktemp("predict")
    kick, squat = (next(c for n, c in CLIPS.items() if word in n) for word in ("kick", "squat"))
    np.save(folder / "kick.npy", kick)
    np.save(folder / "long.npy", np.concatenate([kick, squat, kick]))
    frames = min(len(kick), len(squat))
    np.save(folder / "pair.npy", np.stack([kick[:frames], squat[:frames]]))

    store = toy_store(folder / "store", clips=16, classes=3)
    pre = PreprocessConfig(frames=8)
    short = dict(model="nano", part="train", epochs=1, warmup=0, device="cpu")
    settings = TrainConfig(f"{folder}/store", f"{folder}/run", "given", pre=pre, **short)
    train(settings, quiet=True)
    assert store.skeleton.name == "ntu25"
    return folder


def ask(source, model, **changes):
    cfg = PredictConfig(str(source), str(model), **changes)
    watcher = open_watcher(cfg.model, cfg.pose.people, cfg.window, cfg.step)
    sights = open_source(cfg.source, watcher.skeleton, cfg.pose, cfg.joints)
    return find_actions(sights, watcher, cfg.source, cfg.model)


# clips


def test_a_short_clip_gets_the_answer_of_load(folder):
    kick = np.load(folder / "kick.npy")
    for changes in ({}, {"window": 0.0}):
        result = predict(PredictConfig(f"{folder}/kick.npy", NANO, **changes))
        assert result.probabilities.shape == (2, 1, 11)
        assert np.allclose(result.probabilities[0], last.load(NANO)(kick), atol=1e-6)
    assert result.people() == [0] and result.top()[0][0] == "kick"


def test_a_causal_network_gets_every_frame(folder):
    clip = np.load(folder / "long.npy")
    result = ask(folder / "long.npy", CAUSAL)
    stream = StreamingRecognizer(CAUSAL)
    wanted = stream.forward_steps(clip, np.arange(len(clip)) / 30)
    at = np.round(result.times * 30).astype(int)
    assert len(at) == stream.answers
    assert np.allclose(result.probabilities[0], wanted[at], atol=1e-5)
    assert result.events()[0].label == "kick"


@pytest.mark.parametrize("model", [NANO, CAUSAL], ids=["clips", "stream"])
def test_every_person_gets_an_answer(folder, model):
    both = ask(folder / "pair.npy", model)
    pair = np.load(folder / "pair.npy")
    for person, clip in enumerate(pair):
        np.save(folder / "one.npy", clip)
        alone = ask(folder / "one.npy", model)
        assert np.allclose(both.probabilities[person], alone.probabilities[0], atol=1e-5)
    assert both.people() == [0, 1] and alone.people() == [0]


def test_skeleton_files(folder, synthetic):
    path = sorted(synthetic.glob("*.skeleton"))[0]
    result = ask(path, folder / "run")
    assert result.skeleton.name == "ntu25" and result.probabilities.shape[2] == 3
    assert result.people()[0] == 0


def test_clips_of_another_skeleton_are_mapped(folder):
    np.save(folder / "other.npy", np.zeros((9, 33, 3)) + np.arange(33)[:, None])
    with pytest.raises(
        ValueError, match=r"33 joints, as mediapipe33 has; the network reads 31 \(hdm05\)"
    ):
        ask(folder / "other.npy", NANO)
    with pytest.raises(ParseError, match="31 joints, mediapipe33 has 33"):
        ask(folder / "kick.npy", NANO, joints="mediapipe33")
    assert len(ask(folder / "other.npy", folder / "run").frames) == 9
    mapped = ask(folder / "kick.npy", folder / "run")  # 31 joints, a network for 25
    assert mapped.skeleton.name == "hdm05" and mapped.people() == [0]


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((4, 31)), r"expected \(T, V, 3\) or \(M, T, V, 3\), found \(4, 31\)"),
        (np.zeros((0, 31, 3)), "found"),
        (
            np.zeros((9, 7, 3)),
            r"clip.npy: 7 joints, as no known skeleton has; the network reads 31 \(hdm05\)",
        ),
        (np.full((9, 31, 3), np.nan), "nobody in any of 9 frames"),
        (np.zeros((9, 31, 3)), "nobody in any of 9 frames"),
        (np.array(["a"]), "not a readable .npy clip"),
    ],
)
def test_clips_that_are_none(tmp_path, array, message):
    np.save(tmp_path / "clip.npy", array)
    with pytest.raises(ValueError, match=message):
        ask(tmp_path / "clip.npy", NANO)


def test_mirrored_clips_get_their_true_sides(folder, tmp_path):
    kick = np.load(folder / "kick.npy")
    swap = list(get_skeleton("hdm05").mirror)
    np.save(tmp_path / "mirror.npy", kick[:, swap] * [-1, 1, 1])
    true = ask(folder / "kick.npy", NANO).probabilities
    found = ask(tmp_path / "mirror.npy", NANO, pose=PoseConfig(mirrored=True)).probabilities
    assert np.allclose(found, true, atol=1e-5, equal_nan=True)


def test_somebody_beyond_those_who_are_read_is_nobody(folder, tmp_path):
    kick = np.load(folder / "kick.npy")
    np.save(tmp_path / "third.npy", np.stack([0 * kick, 0 * kick, kick]))
    with pytest.raises(EmptyClipError, match=r"only the first 2 of 3 persons are read: --people"):
        ask(tmp_path / "third.npy", NANO)
    three = ask(tmp_path / "third.npy", NANO, pose=PoseConfig(people=3))
    assert three.people() == [2]


def test_one_person_is_drawn_as_one_however_many_are_looked_for(folder):
    alone, beside = (
        ask(folder / "kick.npy", NANO, pose=PoseConfig(people=n)).image[0] for n in (1, 2)
    )
    np.testing.assert_array_equal(alone, beside)


def test_a_skeleton_file_without_bodies(tmp_path, folder):
    (tmp_path / "S001C001P001R001A001.skeleton").write_text("2\n0\n0\n", encoding="utf-8")
    with pytest.raises(EmptyClipError, match="no body in any of 2 frames"):
        ask(tmp_path / "S001C001P001R001A001.skeleton", folder / "run")


# windows


def recorder(seen, persons=1, skeleton="core15"):
    "A network that keeps what it is asked."

    def answer(clips):
        seen.extend(clips)
        return np.tile(np.float32([[0.7, 0.3]]), (len(clips), 1))

    return Recognizer(["one", "two"], get_skeleton(skeleton), answer, persons)


def test_windows_move_along():
    seen = []
    watcher = ClipWatcher(recorder(seen), window=1.0, step=0.25, rate=30.0)
    walk = np.random.default_rng(0).normal(size=(76, 1, 15, 3))
    answers = [watcher.push(t / 30, pose) for t, pose in enumerate(walk)]
    times = [answer[0] for answer in answers if answer is not None]
    assert np.allclose(times, [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5], atol=0.04)
    assert all(clip.shape == (1, 31, 15, 3) for clip in seen)
    assert np.allclose(seen[0][0], walk[:31, 0])
    assert watcher.finish() is None  # the last window ended with the last frame


def test_the_end_is_asked_about_too():
    seen = []
    watcher = ClipWatcher(recorder(seen), window=1.0, step=0.5, rate=30.0)
    for t in range(35):
        watcher.push(t / 30, np.ones((1, 15, 3)) * t)
    time, p = watcher.finish()
    assert np.isclose(time, 34 / 30) and p.shape == (1, 2)
    assert seen[-1][0, -1, 0, 0] == 34


def test_who_is_hardly_there_gets_no_answer():
    seen = []
    watcher = ClipWatcher(recorder(seen), window=0.0, step=0.5, rate=30.0)
    poses = np.ones((20, 2, 15, 3))
    poses[round(20 * SEEN) - 1 :, 1] = np.nan
    for t, pose in enumerate(poses):
        watcher.push(t / 30, pose)
    _, p = watcher.finish()
    assert np.isfinite(p[0]).all() and np.isnan(p[1]).all() and len(seen) == 1


def test_a_network_for_two_persons_gets_both():
    seen = []
    watcher = ClipWatcher(recorder(seen, persons=2), window=0.0, step=0.5, rate=30.0)
    for t in range(9):
        watcher.push(t / 30, np.ones((3, 15, 3)))
    assert watcher.finish()[1].shape == (1, 2) and seen[0].shape == (2, 9, 15, 3)


def test_an_answer_about_the_whole_source_is_about_its_middle():
    watcher = ClipWatcher(recorder([]), window=0.0, step=0.5, rate=30.0)
    shot = Shot(0.0, [], get_skeleton("core15"), (640, 480))
    poses, image = np.ones((1, 15, 3)), np.ones((1, 15, 2))
    sights = (Sight(replace(shot, time=t / 10), poses, image, image) for t in range(41))
    assert find_actions(sights, watcher).about().tolist() == [2.0]


@pytest.mark.parametrize("kind, watcher", [("joints", ClipWatcher), ("steps", StreamWatcher)])
def test_a_file_is_opened_once(tmp_path, monkeypatch, kind, watcher):
    skeleton = json.dumps(get_skeleton("core15").as_dict())
    facts = dict(classes='["one", "two"]', skeleton=skeleton, preprocessing="{}", input=kind)
    facts |= dict(persons="1", stride="4", rate="30")
    inputs = [SimpleNamespace(name="frames", shape=(1, 4, 15, 3))]
    session = SimpleNamespace(
        get_modelmeta=lambda: SimpleNamespace(custom_metadata_map=facts), get_inputs=lambda: inputs
    )
    opened = []
    monkeypatch.setattr("last.recognizer.onnx_session", lambda path: opened.append(path) or session)
    (tmp_path / "net.onnx").write_bytes(b"")
    assert isinstance(open_watcher(f"{tmp_path}/net.onnx", people=2), watcher)
    assert opened == [f"{tmp_path}/net.onnx"]


def test_uneven_frames_become_even():
    times = np.array([0, 0.03, 0.1, 0.2, 0.21, 0.33, 0.4])
    points = times[:, None, None, None] * np.ones((1, 1, 1, 3))
    moments, even = even_frames(times, points, 10.0)
    assert np.allclose(moments, [0, 0.1, 0.2, 0.3, 0.4])
    assert np.allclose(even[:, 0, 0, 0], moments)
    regular = np.arange(7) / 25
    assert even_frames(regular, points, 10.0)[1] is points


# joints


def test_pictures_have_no_depth(folder, tmp_path, capsys):
    people = [{"image_id": f"{t}.jpg", "keypoints": [9.0, 8.0, 1.0] * 17} for t in range(4)]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(people), encoding="utf-8")
    assert main(["predict", str(path), "--model", f"{folder}/run"]) == 2
    message = capsys.readouterr().err
    assert "coco17 keypoints lie in the picture (2-D)" in message
    assert "ntu25 joints in space (3-D)" in message


def test_a_network_for_2d_joints_reads_keypoints_and_mediapipe(tmp_path):
    points = np.random.default_rng(0).uniform(50, 400, (17, 2)) + np.arange(6)[:, None, None]
    np.savez(tmp_path / "found.npz", keypoints=points)
    seen = []
    flat = get_skeleton("openpose18")
    watcher = ClipWatcher(recorder(seen, skeleton="openpose18"), 0.0, 0.5, 30.0)
    find_actions(open_source(f"{tmp_path}/found.npz", flat, PoseConfig()), watcher)
    wrist = flat.joints.index("left wrist"), get_skeleton("coco17").joints.index("left wrist")
    assert np.allclose(seen[0][0, :, wrist[0], :2], points[:, wrist[1]])

    turned = []
    watcher = ClipWatcher(recorder(turned, skeleton="openpose18"), 0.0, 0.5, 30.0)
    mirrored = PoseConfig(mirrored=True)
    find_actions(open_source(f"{tmp_path}/found.npz", flat, mirrored), watcher)
    other = flat.joints.index("right wrist")
    assert np.allclose(turned[0][0, :, other, :2], points[:, wrist[1]] * [-1, 1])

    body, image = np.ones((2, 33, 3)), np.random.default_rng(1).uniform(0, 9, (2, 33, 2))
    image[0, 15] = np.nan  # left wrist
    fitted = fit_joints(body, image, get_skeleton("mediapipe33"), flat)
    assert np.isnan(fitted[0, wrist[0]]).all()
    assert np.allclose(fitted[1, wrist[0]], [*image[1, 15], 1])


def test_mirrored_people_reach_2d_networks_with_true_sides(monkeypatch):
    "Somebody in space, read by a network for joints in the picture."
    body = np.ones((33, 3), np.float32)
    image = np.random.default_rng(0).uniform(0, 400, (33, 2)).astype(np.float32)

    def shots(source, cfg):
        for t in range(4):
            yield Shot(t / 30, [Person(body, image)], mediapipe, (640, 480))

    mediapipe, flat = get_skeleton("mediapipe33"), get_skeleton("openpose18")
    monkeypatch.setitem(ESTIMATORS, "mine", Estimator("mine", shots))
    seen = []
    pose = PoseConfig(estimator="mine", mirrored=True)
    watcher = ClipWatcher(recorder(seen, skeleton="openpose18"), 0.0, 0.5, 30.0)
    result = find_actions(open_source("anything", flat, pose), watcher)
    right, taken = flat.joints.index("right wrist"), mediapipe.joints.index("left wrist")
    assert np.allclose(seen[0][0, 2, right, :2], image[taken] * [-1, 1])
    drawn = result.image[0, 2, mediapipe.joints.index("right wrist")]
    assert np.allclose(drawn, image[taken])  # where the picture shows it


def test_who_is_there_is_there_without_a_joint_in_the_picture():
    core = get_skeleton("core15")
    poses, lost = np.ones((1, 15, 3)), np.full((1, 15, 2), np.nan)
    shots = (Shot(t / 10, [], core, (640, 480)) for t in range(10))
    sights = (
        Sight(shot, poses if shot.time < 0.7 else np.nan * poses, lost, lost) for shot in shots
    )
    result = find_actions(sights, ClipWatcher(recorder([]), 0.0, 0.5, 30.0))
    assert result.seen.tolist() == [[True] * 7 + [False] * 3]
    assert "person 1, seen in 70 % of the frames" in describe(result)


# what comes out


def made(times, p, stream=False, lag=0.0):
    "A prediction without a network."
    frames = np.arange(11) / 10
    seen, image = np.ones((1, 11), bool), np.ones((1, 11, 15, 2))
    p = np.asarray(p, np.float32)[None]
    core = get_skeleton("core15")
    spent = dict(decoding=0.011, pose=0.0, network=0.022)
    facts = "film.mp4", "run", ["one", "two"], core, frames, seen, image, (640, 480)
    return Prediction(*facts, np.array(times), p, stream, lag, False, spent)


def test_which_answer_holds():
    windows = made([0.6, 0.8, 1.0], np.ones((3, 2)), lag=0.3)
    assert [windows.at(t) for t in (0.0, 0.3, 0.5, 0.9)] == [0, 0, 1, 2]
    stream = made([0.2, 0.4], np.ones((2, 2)), stream=True)
    assert [stream.at(t) for t in (0.0, 0.2, 0.3, 0.9)] == [None, 0, 0, 1]
    assert made([], np.ones((0, 2))).at(0.5) is None


def test_the_timeline_shows_what_was_likely_when():
    stream = made([0.5, 0.75], [[1.0, 0.0], [0.0, 1.0]], stream=True)
    one, two, scale = timeline(stream, top=2).split("\n")
    assert one.startswith(" 50.0 %  one") and two.startswith(" 50.0 %  two")
    bars = one[35:]
    assert bars[:20].strip() == "" and bars[30] == "█" and bars[47] == "▁"
    assert scale.endswith("1.0 s") and len(scale) == len(one)


def test_nobody_is_said_to_be_nobody():
    lost = made([0.5], [[np.nan, np.nan]])
    assert lost.people() == [] and lost.top() == [] and lost.events() == []
    cfg = PredictConfig("film.mp4", "run")
    assert "nobody was seen whole enough" in show_prediction(cfg, lost)
    p = np.float32([[0.9, 0.1]])
    assert names_now(p, np.array([False, False]), ["one", "two"]) == [[]]
    assert names_now(p, np.array([False, True]), ["one", "two"])[0][0][0] == "one"


def test_json_is_complete(folder):
    cfg = PredictConfig(f"{folder}/pair.npy", CAUSAL, json=f"{folder}/out/pair.json", top=3)
    result = predict(cfg)
    facts = json.loads(Path(cfg.json).read_text(encoding="utf-8"))
    documented = "last source model settings classes skeleton size frames people seconds"
    assert list(facts) == documented.split()
    assert facts["settings"]["pose"]["mirrored"] is False
    assert len(facts["frames"]) == len(result.frames)
    assert set(facts["seconds"]) == {"decoding", "pose", "network"}

    assert [entry["person"] for entry in facts["people"]] == [1, 2]
    first = facts["people"][0]
    assert list(first) == ["person", "seen", "top", "answers", "events"]
    assert len(first["top"]) == 3 and "kick" in [entry["class"] for entry in first["top"]]
    assert len(first["answers"]) == len(result.times)
    for answer in first["answers"]:
        assert list(answer) == ["time", "about", "probabilities"]
        assert abs(sum(answer["probabilities"]) - 1) < 1e-3
    event = first["events"][0]
    assert list(event) == ["class", "start", "end"] and event["class"] == "kick"
    assert event["end"] is None or event["end"] > event["start"]

    page = " ".join((ROOT / "nbs/74_predict.ipynb").read_text(encoding="utf-8").split())
    for key in ("seen", "top", "answers", "events"):
        assert f"`people[i].{key}`" in page


def test_an_overlay_is_a_film_with_every_frame(folder):
    cfg = PredictConfig(f"{folder}/long.npy", CAUSAL, overlay=f"{folder}/long.mp4")
    result = predict(cfg)
    times, pictures = read(Path(cfg.overlay))
    assert len(pictures) == len(result.frames) and pictures[0].shape == (480, 640, 3)
    assert np.allclose(times, result.frames, atol=2e-3)
    blue = np.array([31, 119, 180])
    assert (np.abs(pictures[20].astype(int) - blue).sum(-1) < 90).sum() > 50  # the left side


def test_a_film_keeps_uneven_times_and_is_written_whole_or_not_at_all(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    times = [0, 0.1, 0.15, 0.6]
    write_film(tmp_path / "film.mp4", ((t, picture) for t in times))
    assert np.allclose(read(tmp_path / "film.mp4")[0], times, atol=1e-3)

    def breaks():
        yield 0.0, picture
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_film(tmp_path / "half.mp4", breaks())
    assert not (tmp_path / "half.mp4").exists()


def test_pictures_of_odd_sides_and_joints_that_are_lost():
    picture = np.full((95, 127, 3), 200, np.uint8)
    image = np.full((1, 15, 2), np.nan)
    drawn = draw_frame(picture, image, get_skeleton("core15"), [], "0 s", (127, 95))
    assert drawn.shape == (94, 126, 3)
    image[0, :3] = [[20, 60], [40, 80], [60, 60]]
    with_bones = draw_frame(picture, image, get_skeleton("core15"), [], "0 s", (127, 95))
    assert (drawn != with_bones).any()


def test_a_film_wider_than_pictures_are_made_fits_its_keypoints(folder, tmp_path):
    wide = np.full((160, 1600, 3), 128, np.uint8)
    write(tmp_path / "wide.mp4", [wide] * 8)
    points = np.random.default_rng(0).uniform(0, 1, (17, 2)) * [40, 100] + [1500, 30]
    np.savez(tmp_path / "found.npz", keypoints=np.tile(points, (8, 1, 1)))
    cfg = PredictConfig(f"{tmp_path}/found.npz", "", film=f"{tmp_path}/wide.mp4")
    cfg.overlay = f"{tmp_path}/seen.mp4"
    watcher = ClipWatcher(recorder([], skeleton="openpose18"), 0.0, 0.5, 30.0)
    sights = open_source(cfg.source, watcher.skeleton, cfg.pose)
    write_overlay(find_actions(sights, watcher), cfg)
    drawn = read(Path(cfg.overlay))[1][4]
    assert drawn.shape == wide.shape
    rows, columns = np.nonzero(np.abs(drawn.astype(int) - 128).max(-1)[:, 800:] > 60)
    assert abs(columns.mean() + 800 - 1520) < 20 and abs(rows.mean() - 80) < 25


@pytest.mark.parametrize(
    "film, message",
    [
        ("none.mp4", "none.mp4: no such file or folder"),
        ("text.mp4", "text.mp4: not a video that can be read"),
        ("sound.m4a", "no video in it, only sound"),
        ("0", "--film 0: a camera; expected the video that the keypoints belong to"),
    ],
)
def test_films_are_checked_before_the_work(tmp_path, monkeypatch, film, message):
    (tmp_path / "text.mp4").write_text("no film")
    write_sound(tmp_path / "sound.m4a")
    np.savez(tmp_path / "found.npz", keypoints=np.full((4, 17, 2), 9.0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("last.predict.open_watcher", lambda *given: pytest.fail("too late"))
    with pytest.raises(ValueError, match=message):
        predict(PredictConfig("found.npz", "run", film=film, overlay="seen.mp4"))


# films


@needs_mediapipe
def test_a_portrait_is_named_nothing(folder):
    "Half a body is not asked about: whatever a network said of it would be nonsense."
    film = write(folder / "portrait.mp4", [slide(12 * t) for t in range(10)])
    cfg = PredictConfig(str(film))
    result = predict(cfg)
    assert result.seen.mean() > 0.4 and result.people() == []
    assert "nobody was seen whole enough" in show_prediction(cfg, result)


def test_feet_may_be_out_of_the_picture_and_hips_may_not():
    core = get_skeleton("core15")
    bodies = np.zeros((3, core.V, 3))
    bodies[0, [core.joints.index(f"{side} ankle") for side in ("left", "right")]] = np.nan
    bodies[1, core.joints.index("mid hip")] = np.nan
    bodies[2, 7:] = np.nan
    assert np.isfinite(whole_enough(bodies, core)).any((1, 2)).tolist() == [True, False, False]

    heard = []
    watcher = ClipWatcher(recorder(heard), 0.0, 0.5, 30.0)
    for t in range(5):
        watcher.push(t / 30, bodies[1:2])
    assert np.isnan(watcher.finish()[1]).all() and heard == []


@needs_mediapipe
def test_a_film(folder, monkeypatch):
    monkeypatch.setattr(watchers, "whole_enough", lambda points, _: points)  # not only portraits
    film = write(folder / "film.mp4", [slide(12 * t) for t in range(10)])
    cfg = PredictConfig(str(film), f"{folder}/run", window=0.4, overlay=f"{folder}/seen.mp4")
    cfg.json = f"{folder}/seen.json"
    result = predict(cfg)
    assert result.skeleton.name == "mediapipe33" and result.filmed
    assert result.people() == [0] and len(result.times) >= 2

    times, pictures = read(Path(cfg.overlay))
    assert len(pictures) == 10 and np.allclose(times, result.frames, atol=2e-3)
    original = slide(96)
    difference = np.abs(pictures[8].astype(int) - original).mean(-1)
    nose = result.image[0, 8, 0].astype(int)
    assert difference[nose[1] - 12 : nose[1] + 12, nose[0] - 12 : nose[0] + 12].max() > 60
    assert difference[250:, :60].mean() < 8  # elsewhere it is the film

    spent = json.loads(Path(cfg.json).read_text(encoding="utf-8"))["seconds"]
    assert spent["decoding"] > 0 and spent["pose"] > 0
    text = show_prediction(cfg, result)
    assert "person 1, seen in 100 % of the frames" in text
    assert "milliseconds per frame: decoding" in text and "written: " in text

    lines = []
    settings = LiveConfig(f"{folder}/run", str(film), window=0.3, screen=False)
    done = live(settings, say=lines.append)
    assert done["frames"] == 10 and "frames/s" in lines[0]
    assert "10 frames; milliseconds per frame: decoding" in show_live(settings, done)


@pytest.fixture
def somebody(monkeypatch):
    "An estimator that sees somebody for a long time, as fast as it is asked."

    def shots(source, cfg):
        for t in range(1000):
            body = np.random.default_rng(t).normal(size=(25, 3)).astype(np.float32)
            image = 200 + 50 * body[:, :2]
            yield Shot(t / 30, [Person(body, image)], get_skeleton("ntu25"), (640, 480))

    monkeypatch.setitem(ESTIMATORS, "mine", Estimator("mine", shots))
    monkeypatch.setattr("last.live.sleep", lambda seconds: None)


def test_live_on_a_screen_ends_with_q(folder, somebody, monkeypatch):
    shown = []
    keys = iter([-1] * 30 + [ord("q")])
    screen = SimpleNamespace(
        imshow=lambda title, picture: shown.append(picture),
        waitKey=lambda wait: next(keys),
        destroyAllWindows=lambda: shown.append(None),
    )
    monkeypatch.setitem(sys.modules, "cv2", screen)
    monkeypatch.setattr("last.live.has_screen", lambda: True)
    pose = PoseConfig(estimator="mine", people=1)
    done = live(LiveConfig(f"{folder}/run", "mine", window=0.5, pose=pose))
    assert done["frames"] == 31 and shown.pop() is None
    assert shown[30].shape == (480, 640, 3)
    orange = np.array([255, 127, 14])[::-1]  # OpenCV's order
    assert (np.abs(shown[30].astype(int) - orange).sum(-1) < 60).any()


def test_live_without_a_screen_stops_when_told(folder, somebody):
    lines = []
    pose = PoseConfig(estimator="mine", people=1)
    cfg = LiveConfig(f"{folder}/run", "mine", window=0.5, seconds=2.0, screen=False, pose=pose)
    assert live(cfg, say=lines.append)["frames"] == 61
    assert len(lines) == 5 and "nobody" in lines[0] and "%" in lines[-1]


# the command line


@pytest.mark.parametrize(
    "words, message",
    [
        (["none.mp4", "--model", NANO], "none.mp4: no such file or folder"),
        (["kick.npy", "--model", "none"], "none: no such run or file"),
        (["0", "--model", NANO], "0: a camera never ends; use `python -m last live`"),
        (["rtsp://door/1", "--model", NANO], "rtsp://door/1: a camera never ends; use `python"),
        (["kick.npy", "--model", NANO, "--film", "a.mp4"], "--film a.mp4: say with --overlay"),
        (
            ["kick.npy", "--model", NANO, "--film", "a.mp4", "--overlay", "b.mp4"],
            "--film a.mp4: only for keypoints, which kick.npy does not hold",
        ),
        (["kick.npy", "--model", NANO, "--json", "kick.npy"], "would be overwritten"),
        (["kick.npy", "--model", NANO, "--overlay", "a.gif"], "expected a name that ends in .mp4"),
        (["kick.npy", "--model", NANO, "--step", "0"], "step > 0"),
        (["kick.npy", "--model", NANO, "--visible", "2"], "visible: expected 0..1"),
    ],
)
def test_mistakes_are_named(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert main(["predict", *words]) == 2
    assert message in capsys.readouterr().err


def test_live_has_no_whole_source(capsys):
    assert main(["live", "0", "--model", NANO, "--window", "0", "--no-screen"]) == 2
    assert (
        "--window 0: the whole source at once, but a camera never ends" in capsys.readouterr().err
    )


def test_the_command_prints_names_and_a_timeline(folder, capsys):
    assert main(["predict", f"{folder}/kick.npy", "--model", NANO, "--people", "1"]) == 0
    text = capsys.readouterr().out
    assert "person 1, seen in 100 % of the frames" in text and "kick" in text and "█" in text
    assert main(["predict", f"{folder}/kick.npy", "--people", "1"]) == 0  # with `core15`
    assert "person 1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["live", "--help"])
    page = capsys.readouterr().out
    assert "--mirrored" in page and "Models:" not in page
