"Every other format: read completely, or an error that names what is wrong."

import json
import os
import pickle
import re
import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from last.array_formats import Skipped, read_ctrgcn, read_pyskl, read_stgcn, stgcn_files
from last.core import EmptyClipError, ParseError
from last.formats import (
    ZERO_MEANS_LOST,
    lost_to_nan,
    read_kinetics,
    read_nw_ucla,
    read_sbu,
    read_utd_mhad,
    sbu_name,
    track_people,
)
from last.pickles import load_pickle

rng = np.random.default_rng(0)


def error(read, path, *args):
    "The message of the ParseError that a reader raises; it always names the file."
    with pytest.raises(ParseError) as caught:
        read(path, *args)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- Northwestern-UCLA


def test_nw_ucla_clip(tmp_path):
    points = rng.normal(size=(7, 20, 3))
    path = tmp_path / "a08_s01_e02_v03.json"
    path.write_text(json.dumps({"file_name": "x", "skeletons": points.tolist(), "label": 7}))

    clip = read_nw_ucla(path)
    assert clip.points.shape == (1, 7, 20, 3)
    assert np.allclose(clip.points[0], points, atol=1e-6)
    assert (clip.label, clip.subject, clip.replication, clip.camera) == (6, 1, 2, 3)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"label": 7, "skeletons": [[1, 2', ":1: broken JSON, Expecting ',' delimiter at column"),
        ('{"label": 8, "skeletons": []}', "expected label 7 as in the file's name, found 8"),
        ('{"skeletons": []}', "expected label 7 as in the file's name, found None"),
        ('{"label": 7}', "expected skeletons of shape ('any', 20, 3), found ()"),
        ('{"label": 7, "skeletons": []}', "expected skeletons of shape ('any', 20, 3), found (0,)"),
        ('{"label": 7, "skeletons": [[[1, 2, 3]]]}', "found (1, 1, 3)"),
        ('{"label": 7, "skeletons": [[1], [1, 2]]}', "skeletons is not an array of numbers"),
        ('{"label": 7, "skeletons": "abc"}', "skeletons is not an array of numbers"),
        ("[1, 2]", "expected a JSON object, found list"),
    ],
)
def test_damaged_nw_ucla_is_named(tmp_path, text, message):
    path = tmp_path / "a08_s01_e02_v01.json"
    path.write_text(text)
    assert message in error(read_nw_ucla, path)


def test_nan_in_an_array_is_named(tmp_path):
    points = np.full((2, 20, 3), np.nan)
    path = tmp_path / "a08_s01_e02_v01.json"
    path.write_text(json.dumps({"skeletons": points.tolist(), "label": 7}))
    assert "skeletons holds NaN or infinity" in error(read_nw_ucla, path)


def test_json_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "a08_s01_e02_v01.json"
    path.write_bytes(b'{"label": "\xff"}')
    assert "not a text file" in error(read_nw_ucla, path)


def test_unused_nw_ucla_action_is_named(tmp_path):
    path = tmp_path / "a07_s01_e02_v01.json"
    path.write_text("{}")
    assert "no action a07; known: (1, 2, 3" in error(read_nw_ucla, path)


# --- UTD-MHAD


def test_utd_mhad_clip(tmp_path):
    skeleton = rng.normal(size=(20, 3, 9))
    path = tmp_path / "a27_s8_t4_skeleton.mat"
    savemat(path, {"d_skel": skeleton})

    clip = read_utd_mhad(path)
    assert clip.name == "a27_s8_t4"
    assert clip.points.shape == (1, 9, 20, 3)
    assert np.allclose(clip.points[0, 4], skeleton[:, :, 4], atol=1e-6)
    assert (clip.label, clip.subject, clip.replication) == (26, 8, 4)


def test_damaged_utd_mhad_is_named(tmp_path):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    savemat(path, {"d_skle": 1})
    assert "expected the variable d_skel, found d_skle" in error(read_utd_mhad, path)

    savemat(path, {"d_skel": np.zeros((20, 3))})
    assert "expected d_skel of shape (20, 3, 'any'), found (20, 3)" in error(read_utd_mhad, path)

    path.write_bytes(b"nothing")
    assert "not a readable .mat file" in error(read_utd_mhad, path)


@pytest.mark.parametrize("packed", [False, True])
def test_a_mat_file_that_claims_too_much_is_named(tmp_path, packed):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    savemat(path, {"d_skel": np.ones((20, 3, 5))})
    data = bytearray(path.read_bytes())
    at = data.index(np.ones(1).tobytes())  # the first number; its count stands before it
    data[at - 4 : at] = (4_000_000_000).to_bytes(4, "little")
    if packed:
        inner = zlib.compress(bytes(data[128:]))
        data[128:] = struct.pack("<II", 15, len(inner)) + inner
    path.write_bytes(data)
    assert "4,000,000,000 bytes are announced and 2,400 are" in error(read_utd_mhad, path)


def test_a_mat_file_with_an_unknown_kind_of_numbers_is_named(tmp_path):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    savemat(path, {"d_skel": np.ones((20, 3, 5))})
    data = bytearray(path.read_bytes())
    at = data.index(np.ones(1).tobytes())
    data[at - 7] = 4  # of the kind, which was 9
    path.write_bytes(data)
    assert "an element of the unknown kind 1033" in error(read_utd_mhad, path)


@pytest.mark.parametrize("packed", [False, True])
def test_packed_mat_files_are_read(tmp_path, packed):
    path = tmp_path / "a1_s1_t1_skeleton.mat"
    savemat(path, {"other": "words", "d_skel": np.ones((20, 3, 5))}, do_compression=packed)
    assert read_utd_mhad(path).points.shape == (1, 5, 20, 3)


# --- SBU


@pytest.fixture
def sbu(tmp_path):
    path = tmp_path / "s01s02/08/001/skeleton_pos.txt"
    path.parent.mkdir(parents=True)
    return path


def test_sbu_clip(sbu):
    values = rng.uniform(size=(5, 90)).round(4)
    sbu.write_text("\n".join(",".join(map(str, [t, *row])) for t, row in enumerate(values)))

    clip = read_sbu(sbu)
    assert clip.name == sbu_name(sbu) == "s01s02_08_001"
    assert clip.points.shape == (2, 5, 15, 3)
    assert (clip.label, clip.subject, clip.replication) == (7, 102, 1)

    # the authors' formula in millimetres: joint 3 of the second person in frame 4
    x, y, z = values[4, 45 + 9 : 45 + 12]
    expected = np.array([1280 - 2560 * x, 960 - 1920 * y, 10000 * z / 7.8125]) / 1000
    assert np.allclose(clip.points[1, 4, 3], expected, atol=1e-5)


@pytest.mark.parametrize("line", ["1,2,3", "x," + ",".join(["1"] * 90), ",".join(["1"] * 92)])
def test_damaged_sbu_is_named(sbu, line):
    good = ",".join(["1"] * 91)
    sbu.write_text(f"{good}\n{line}")
    assert ":2: expected 91 comma-separated numbers" in error(read_sbu, sbu)


def test_nan_in_sbu_is_named(sbu):
    sbu.write_text(",".join(["nan"] * 91))
    assert "the clip holds NaN or infinity" in error(read_sbu, sbu)


# --- Kinetics


def still(score, x):
    person = np.full((18, 3), x)
    person[:, 2] = score
    return person


def test_people_are_followed_while_their_scores_change():
    frames = [
        np.stack([still(score, 0.2), still(1 - score, 0.8)])
        for score in rng.uniform(0.2, 0.8, size=30)
    ]
    frames[10] = frames[10][:1]
    frames[11] = frames[11][:0]
    leaders = {np.argmax(f[:, 0, 2]) for f in frames if len(f) == 2}
    assert leaders == {0, 1}  # sorting by score would swap them

    tracks = track_people(frames)
    for x in tracks[..., 0, 0]:
        assert len(np.unique(x[np.isfinite(x)])) == 1
    assert np.isnan(tracks[:, 11]).all()


def test_two_walking_people_keep_their_tracks():
    x = np.linspace(0, 0.4, 20)
    frames = [np.stack([still(0.5, 0.1 + dx), still(0.6, 0.9 - dx)]) for dx in x]
    frames[::2] = [people[::-1] for people in frames[::2]]  # the file's order changes

    tracks = track_people(frames)
    assert np.allclose(tracks[0, :, 0, 0], 0.9 - x)
    assert np.allclose(tracks[1, :, 0, 0], 0.1 + x)


def test_most_confident_people_are_kept_and_the_best_track_is_first():
    frames = [np.stack([still(0.1, 0.1), still(0.5, 0.5), still(0.9, 0.9)])] * 3
    tracks = track_people(frames)
    assert np.allclose(tracks[:, 0, 0, 0], [0.9, 0.5])
    assert track_people(frames, persons=3).shape == (3, 3, 18, 3)


def test_confidence_of_the_whole_clip_decides_who_is_first():
    first = [np.stack([still(0.9, 0.1), still(0.8, 0.9)])]
    later = [np.stack([still(0.2, 0.1), still(0.8, 0.9)])] * 5
    assert np.allclose(track_people(first + later)[:, 0, 0, 0], [0.9, 0.1])


PERSON = {"pose": [0.5] * 36, "score": [0.9] * 18}


def write_kinetics(path, frames, **more):
    path.write_text(json.dumps({"label": "x", "data": frames, **more}))
    return path


def test_kinetics_clip(tmp_path):
    frames = [{"frame_index": 1, "skeleton": []}, {"frame_index": 2, "skeleton": [PERSON]}]
    clip = read_kinetics(write_kinetics(tmp_path / "abc.json", frames, label_index=7))
    assert clip.name == "abc"
    assert clip.label == 7
    assert clip.points.shape == (2, 2, 18, 3)
    assert clip.present.tolist() == [[False, True], [False, False]]


def test_kinetics_frames_that_are_left_out_have_nobody(tmp_path):
    frames = [{"frame_index": 2, "skeleton": [PERSON]}, {"frame_index": 5, "skeleton": [PERSON]}]
    clip = read_kinetics(write_kinetics(tmp_path / "abc.json", frames))
    assert clip.present[0].tolist() == [False, True, False, False, True]
    assert clip.label == -1


@pytest.mark.parametrize(
    "frame",
    [
        {"skeleton": [{"pose": [1], "score": []}]},
        {"skeleton": [{"pose": [0.5] * 36}]},
        {"skeleton": [{"pose": [float("nan")] * 36, "score": [0.9] * 18}]},
        {"skeleton": [], "frame_index": 0},
        {"skeleton": [], "frame_index": 10**6},
        {"frame_index": 1},
        "text",
        3,
    ],
)
def test_damaged_kinetics_frame_is_named(tmp_path, frame):
    path = write_kinetics(tmp_path / "abc.json", [frame])
    message = "frame 0: expected a rising `frame_index` and people with 36 `pose` and 18 `score`"
    assert message in error(read_kinetics, path)


def test_kinetics_frame_index_must_rise(tmp_path):
    frames = [{"frame_index": 2, "skeleton": [PERSON]}, {"frame_index": 2, "skeleton": [PERSON]}]
    path = write_kinetics(tmp_path / "abc.json", frames)
    assert "frame 1: expected a rising `frame_index`" in error(read_kinetics, path)


def test_damaged_kinetics_file_is_named(tmp_path):
    path = tmp_path / "abc.json"
    path.write_text('{"data": 3}')
    assert "expected a list `data` of frames" in error(read_kinetics, path)

    write_kinetics(path, [{"skeleton": [PERSON]}], label_index="seven")
    assert "expected a number as `label_index`, found 'seven'" in error(read_kinetics, path)


def test_kinetics_without_people_is_an_empty_clip(tmp_path):
    path = write_kinetics(tmp_path / "abc.json", [{"skeleton": []}] * 3)
    with pytest.raises(EmptyClipError, match="no body in any of 3 frames"):
        read_kinetics(path)


# --- pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_is_read(tmp_path, protocol):
    path = tmp_path / "fine.pkl"
    path.write_bytes(pickle.dumps((["a", "b"], np.arange(2), np.float32(3)), protocol))
    names, numbers, scalar = load_pickle(path)
    assert names == ["a", "b"]
    assert numbers.tolist() == [0, 1]
    assert scalar == 3


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_code_in_a_pickle_is_refused_before_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"x": Evil()}))
    assert "refused: the pickle wants posix.mkdir" in error(load_pickle, path)
    assert not (tmp_path / "evil").exists()


def test_damaged_pickle_is_named(tmp_path):
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps(np.arange(100))[:50])
    assert "not a readable pickle" in error(load_pickle, path)


# --- arrays of ST-GCN, CTR-GCN, pyskl


@pytest.fixture
def truth():
    "Two persons: one in frames 0 to 8, one in frames 2 to 4; zeros up to frame 11."
    points = np.zeros((2, 12, 25, 3), np.float32)
    points[0, :9] = rng.normal(size=(9, 25, 3))
    points[1, 2:5] = rng.normal(size=(3, 25, 3))
    return points


def write_stgcn(folder, truth, part="train"):
    np.save(folder / f"{part}_data.npy", truth.transpose(3, 1, 2, 0)[None])
    (folder / f"{part}_label.pkl").write_bytes(pickle.dumps((["clip"], [4])))
    return folder / f"{part}_data.npy"


def write_ctrgcn(path, truth, one_hot=True):
    x = truth.transpose(1, 0, 2, 3).reshape(1, 12, -1)
    y = np.eye(9)[[4]] if one_hot else np.array([4])
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path


def write_pyskl(path, *annotations, **splits):
    splits = splits or {"xsub_train": ["clip"], "xsub_val": []}
    path.write_bytes(pickle.dumps({"split": splits, "annotations": list(annotations)}))
    return path


def annotation(truth, name="clip", **more):
    return {"frame_dir": name, "label": 4, "keypoint": truth, **more}


def test_three_formats_hold_the_same_clip(tmp_path, truth):
    clips = [
        next(read_stgcn(write_stgcn(tmp_path, truth))),
        next(read_ctrgcn(write_ctrgcn(tmp_path / "ctr.npz", truth))),
        next(read_pyskl(write_pyskl(tmp_path / "p.pkl", annotation(truth)))),
    ]
    for clip in clips:
        assert clip.points.shape == (2, 9, 25, 3)
        assert np.array_equal(clip.points[0], truth[0, :9])
        assert clip.present.sum(1).tolist() == [9, 3]
        assert (clip.label, clip.split) == (4, "train")


def test_zeros_in_some_joints_are_no_absence(tmp_path, truth):
    truth[0, 3, 1:] = 0
    clip = next(read_stgcn(write_stgcn(tmp_path, truth)))
    assert np.isfinite(clip.points[0, 3]).all()


def test_empty_clip_has_no_frames(tmp_path, truth):
    clip = next(read_stgcn(write_stgcn(tmp_path, 0 * truth)))
    assert clip.points.shape == (2, 0, 25, 3)


def test_stgcn_split_follows_the_file_name(tmp_path, truth):
    val = write_stgcn(tmp_path, truth, "val")
    assert next(read_stgcn(val)).split == "test"
    assert next(read_stgcn(val, split="train")).split == "train"


def test_stgcn_files_belong_together(tmp_path, truth):
    train = write_stgcn(tmp_path, truth, "train")
    assert stgcn_files(train) == [train]
    val = write_stgcn(tmp_path, truth, "val")
    assert stgcn_files(train) == stgcn_files(val) == [train, val]


def test_stgcn_labels_of_a_stream_are_those_of_the_part(tmp_path, truth):
    joint = tmp_path / "train_data_joint.npy"
    write_stgcn(tmp_path, truth).rename(joint)
    assert next(read_stgcn(joint)).label == 4


def test_damaged_stgcn_is_named(tmp_path, truth):
    data = write_stgcn(tmp_path, truth)
    labels = tmp_path / "train_label.pkl"

    def first(path):
        return next(read_stgcn(path))

    for pair in (
        (["clip"], [4, 5]),
        (["clip", "other"], [4, 5]),
        (["clip"],),
        3,
        (["clip"], ["x"]),
    ):
        labels.write_bytes(pickle.dumps(pair))
        with pytest.raises(ParseError) as caught:
            first(data)
        assert f"{labels}: expected (names, labels) of 1 clips" in str(caught.value)

    labels.unlink()
    with pytest.raises(FileNotFoundError, match="names and labels of train_data"):
        first(data)

    np.save(data, truth)
    assert "expected (N, C, T, V, M), found shape (2, 12, 25, 3)" in error(first, data)
    data.write_bytes(b"nothing")
    assert "not a readable .npy file" in error(first, data)


def test_ctrgcn_has_train_and_test_and_made_up_names(tmp_path, truth):
    clips = list(read_ctrgcn(write_ctrgcn(tmp_path / "ctr.npz", truth, one_hot=False)))
    assert [c.name for c in clips] == ["train_000000", "test_000000"]
    assert [c.split for c in clips] == ["train", "test"]
    assert [c.label for c in clips] == [4, 4]


def test_damaged_ctrgcn_is_named(tmp_path, truth):
    def first(path, *args):
        return next(read_ctrgcn(path, *args))

    whole = write_ctrgcn(tmp_path / "ctr.npz", truth)
    assert "expected x_train (N, T, M*7*3) and as many labels" in error(first, whole, 7)

    half = tmp_path / "half.npz"
    np.savez(half, x_train=truth)
    assert "y_train" in error(first, half)

    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:500])
    assert "not a readable .npz file" in error(first, cut)


def test_pyskl_splits(tmp_path, truth):
    clips = [annotation(truth, name) for name in ("a", "b", "c")]
    path = write_pyskl(tmp_path / "p.pkl", *clips, xsub_train=["a"], xsub_val=["b"])
    assert [c.split for c in read_pyskl(path)] == ["train", "test", ""]

    path = write_pyskl(tmp_path / "p.pkl", *clips, x_train=["a"], x_test=["c"])
    assert [c.split for c in read_pyskl(path, "x")] == ["train", "", "test"]

    path = write_pyskl(tmp_path / "p.pkl", *clips, train=["b"], val=["c"])
    assert [c.split for c in read_pyskl(path, "")] == ["", "train", "test"]


def test_pyskl_pixels_become_parts_of_the_image(tmp_path):
    keypoint = np.tile(np.float32([960, 270]), (1, 4, 17, 1))
    score = np.full((1, 4, 17), 0.7, np.float32)
    clip = annotation(keypoint, keypoint_score=score, img_shape=(1080, 1920))
    points = next(read_pyskl(write_pyskl(tmp_path / "p.pkl", clip))).points
    assert points.shape == (1, 4, 17, 3)
    assert np.allclose(points[0, 0, 0], [0.5, 0.25, 0.7])


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(label=1.5), "expected a class of 0 or more"),
        (dict(label=-2), "expected a class of 0 or more"),
        (dict(keypoint=np.zeros((3, 17, 2))), "keypoint has shape"),
        (dict(keypoint=np.full((1, 2, 25, 3), np.inf)), "infinity among the coordinates"),
        (dict(keypoint_score=np.full((1, 4, 17), np.nan)), "NaN among keypoint_score"),
        (dict(keypoint_score=np.ones((1, 3, 17))), r"keypoint_score has shape \(1, 3, 17\)"),
        (dict(frame_dir=None, keypoint=None), "TypeError|ValueError"),
    ],
)
def test_a_bad_annotation_is_skipped_and_the_next_one_read(tmp_path, change, reason):
    keypoint = np.tile(np.float32([960, 270]), (1, 4, 17, 1))
    good = annotation(keypoint, keypoint_score=np.ones((1, 4, 17)), img_shape=(1080, 1920))
    path = write_pyskl(tmp_path / "p.pkl", {**good, **change}, good)
    skipped, clip = read_pyskl(path)
    assert isinstance(skipped, Skipped)
    assert re.search(reason, skipped.reason)
    assert clip.points.shape == (1, 4, 17, 3)


def test_two_dimensions_without_scores_count_as_seen(tmp_path):
    keypoint = np.tile(np.float32([960, 270]), (1, 4, 17, 1))
    keypoint[0, 1, 3] = 0
    path = write_pyskl(tmp_path / "p.pkl", annotation(keypoint, img_shape=(1080, 1920)))
    (clip,) = read_pyskl(path)
    assert clip.points[0, 0, 0].tolist() == [0.5, 0.25, 1]
    assert np.isnan(clip.points[0, 1, 3]).all()
    assert np.isnan(clip.points).any(-1).sum() == 1


def test_pyskl_validation_is_no_test_where_there_is_a_test_list(tmp_path, truth):
    clips = [annotation(truth, name) for name in ("a", "b", "c")]
    path = write_pyskl(
        tmp_path / "p.pkl", *clips, xsub_train=["a"], xsub_val=["b"], xsub_test=["c"]
    )
    assert [c.split for c in read_pyskl(path)] == ["train", "val", "test"]


def test_names_of_ntu_bring_their_numbers(tmp_path, truth):
    (clip,) = read_pyskl(write_pyskl(tmp_path / "p.pkl", annotation(truth, "S001C002P003R001A005")))
    assert (clip.setup, clip.camera, clip.subject, clip.replication) == (1, 2, 3, 1)


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 0], [0.5, 0.5, 0]])
def test_a_label_that_is_not_one_hot_is_skipped(tmp_path, truth, label):
    x = truth.transpose(1, 0, 2, 3).reshape(1, 12, -1)
    path, y = tmp_path / "c.npz", np.array([label], float)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=np.array([[0, 1.0, 0]]))
    skipped, clip = read_ctrgcn(path)
    assert "expected a one-hot label" in skipped.reason
    assert clip.label == 1


# --- zeros


def test_zeros_of_kinect_are_lost_joints(tmp_path):
    skeletons = np.ones((4, 20, 3))
    skeletons[1, 5] = 0
    path = tmp_path / "a01_s01_e00_v01.json"
    path.write_text(json.dumps({"label": 1, "skeletons": skeletons.tolist()}))
    points = read_nw_ucla(path).points
    assert np.isnan(points[0, 1, 5]).all()
    assert np.isfinite(points).all(-1).sum() == 79


def test_every_rule_of_zeros():
    pose = np.ones((2, 3, 3), np.float32)  # frames, joints, numbers
    pose[0, 1] = 0
    pose[1] = 0
    pose[0, 2] = [0.5, 0.5, 0]
    lost = {rule: np.isnan(lost_to_nan(pose, rule)).all(-1) for rule in ("joint", "pose", "score")}
    assert lost["joint"].tolist() == [[False, True, False], [True, True, True]]
    assert lost["pose"].tolist() == [[False, False, False], [True, True, True]]
    assert lost["score"].tolist() == [[False, True, True], [True, True, True]]
    assert set(ZERO_MEANS_LOST.values()) == set(lost)


def test_damaged_pyskl_is_named(tmp_path, truth):
    def first(path, *args):
        return next(read_pyskl(path, *args))

    path = write_pyskl(tmp_path / "p.pkl", annotation(truth))
    assert "no split 'xset'; it has xsub_train, xsub_val" in error(first, path, "xset")

    write_pyskl(path, annotation(truth), xsub_train=["clip"], xsub_val=["clip"])
    assert "clip stands in two of xsub_train, xsub_val" in error(first, path)

    path.write_bytes(pickle.dumps([1]))
    assert "expected a dict with `annotations`" in error(first, path)

    path.write_bytes(pickle.dumps({"annotations": 3}))
    assert "expected `split` as a dict and `annotations` as a list" in error(first, path)
