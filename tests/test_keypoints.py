"Files in the exact format of each program, and what damaged ones are told."

import json

import numpy as np
import pytest

from last.core import ParseError
from last.keypoints import KEYPOINT_FORMATS, KeypointFormat, read_keypoints


def person(K, seed=0):
    "(K, 3): x, y in pixels, score."
    rng = np.random.default_rng(seed)
    xy = rng.uniform(100, 400, (K, 2))
    return np.c_[xy.round(2), rng.uniform(0.5, 1, K).round(3)]


def save(path, data):
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def openpose(folder, frames, key="pose_keypoints_2d"):
    "One file per frame, as `--write_json` writes them."
    folder.mkdir()
    for number, people in frames.items():
        entries = []
        for p in people:
            others = {f"{part}_keypoints_2d": [] for part in ("face", "hand_left", "hand_right")}
            entries.append({"person_id": [-1], key: p.ravel().tolist(), **others})
        data = {"version": 1.3, "people": entries}
        save(folder / f"walk 2_{number:012}_keypoints.json", data)
    return folder


@pytest.mark.parametrize("K, skeleton", [(25, "body25"), (18, "openpose18")])
def test_openpose(tmp_path, K, skeleton):
    frames = {0: [person(K)], 1: [], 2: [person(K, 1), person(K, 2)]}
    found = read_keypoints(openpose(tmp_path / "json", frames), fps=25)
    assert found.skeleton.name == skeleton
    assert [len(people) for people in found.people] == [1, 0, 2]
    assert np.allclose(found.people[2][1], person(K, 2))
    assert np.allclose(found.times, [0, 0.04, 0.08])


def test_openpose_before_version_1_2_and_numbers_that_are_missing(tmp_path):
    frames = {7: [person(18)], 9: [person(18, 1)]}
    found = read_keypoints(openpose(tmp_path / "json", frames, "pose_keypoints"))
    assert [len(people) for people in found.people] == [1, 0, 1]


def test_openpose_counts_beyond_nine(tmp_path):
    frames = {t: [person(25, t)] for t in (10, 9, 8, 11)}
    found = read_keypoints(openpose(tmp_path / "json", frames))
    assert np.allclose(found.people[2][0], person(25, 10))


@pytest.mark.parametrize("K", [17, 26, 136])
def test_alphapose(tmp_path, K):
    entries = []
    for t, seed, idx in ((1, 0, 1), (3, 1, 1), (3, 2, [2.0])):
        entry = {"image_id": f"{t}.jpg", "category_id": 1, "score": 2.9, "box": [1, 2, 3, 4]}
        entries.append(entry | {"keypoints": person(K, seed).ravel().tolist(), "idx": idx})
    found = read_keypoints(save(tmp_path / "alphapose-results.json", entries))
    assert found.skeleton.name == "coco17"
    assert [len(people) for people in found.people] == [0, 1, 0, 2]
    assert np.allclose(found.people[3][1], person(K, 2)[:17])


def test_alphapose_of_pictures_with_names(tmp_path):
    names = ("b.png", "a.png", "b.png")
    entries = [
        {"image_id": name, "keypoints": person(17, i).ravel().tolist(), "score": 1}
        for i, name in enumerate(names)
    ]
    found = read_keypoints(save(tmp_path / "alphapose-results.json", entries))
    assert [len(people) for people in found.people] == [1, 2]
    assert np.allclose(found.people[0][0], person(17, 1))


def instance(p):
    return {
        "keypoints": p[:, :2].tolist(),
        "keypoint_scores": p[:, 2].tolist(),
        "bbox": [[0, 0, 10, 10]],
        "bbox_score": 0.9,
    }


def test_mmpose_of_a_video(tmp_path):
    frames = [
        {"frame_id": t, "instances": [instance(person(17, seed)) for seed in range(t)]}
        for t in (0, 1, 2)
    ]
    for data in (frames, {"meta_info": {"dataset_name": "coco"}, "instance_info": frames}):
        found = read_keypoints(save(tmp_path / "results.json", data))
        assert [len(people) for people in found.people] == [0, 1, 2]
        assert np.allclose(found.people[2][1], person(17, 1))


def test_mmpose_of_a_folder_of_pictures(tmp_path):
    for t in range(12):
        save(tmp_path / f"{t}.json", [instance(person(133, t))] if t != 5 else [])
    found = read_keypoints(tmp_path)
    assert [len(people) for people in found.people] == [1] * 5 + [0] + [1] * 6
    assert np.allclose(found.people[10][0], person(133, 10)[:17])


def test_a_folder_with_the_file_of_a_whole_video(tmp_path):
    entries = [
        {"image_id": f"{t}.jpg", "keypoints": person(17, t).ravel().tolist()} for t in (0, 1, 3)
    ]
    save(tmp_path / "alphapose-results.json", entries)
    found = read_keypoints(tmp_path)
    assert [len(people) for people in found.people] == [1, 1, 0, 1]
    assert np.allclose(found.people[3][0], person(17, 3))

    save(tmp_path / "other.json", entries[:1])
    with pytest.raises(ParseError, match=r"alphapose-results\.json holds a whole video, and there"):
        read_keypoints(tmp_path)


def test_a_folder_with_the_frames_of_two_videos(tmp_path):
    folder = openpose(tmp_path / "json", {0: [person(25)], 1: [person(25)]})
    one = folder / f"walk 2_{0:012}_keypoints.json"
    (folder / "run_0_keypoints.json").write_bytes(one.read_bytes())
    with pytest.raises(ParseError, match=r"run_0_.*and walk 2_0.*are both frame 0"):
        read_keypoints(folder)


def detection(p, visible=True):
    points = {"x": p[:, 0].tolist(), "y": p[:, 1].tolist()}
    if visible:
        points["visible"] = p[:, 2].tolist()
    box = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": box, "keypoints": points}


def test_ultralytics(tmp_path):
    frames = [[detection(person(17))], [], [detection(person(17, 1)), detection(person(17, 2))]]
    found = read_keypoints(save(tmp_path / "frames.json", frames))
    assert [len(people) for people in found.people] == [1, 0, 2]
    assert np.allclose(found.people[2][0], person(17, 1))

    one = read_keypoints(save(tmp_path / "one.json", [detection(person(17, 3), visible=False)]))
    assert np.allclose(one.people[0][0][:, 2], 1)


def test_arrays(tmp_path):
    points = np.stack([person(17, t) for t in range(4)])
    np.savez(tmp_path / "one.npz", keypoints=points, times=[5, 5.1, 5.3, 5.4])
    found = read_keypoints(tmp_path / "one.npz")
    assert np.allclose(found.people[3][0], points[3]) and np.allclose(found.times[2], 0.3)

    pair = np.stack([points, np.where(np.arange(4)[:, None, None] < 2, points, 0)], 1)
    np.savez(tmp_path / "two.npz", keypoints=pair[..., :2])
    assert [len(people) for people in read_keypoints(tmp_path / "two.npz").people] == [2, 2, 1, 1]


def test_what_was_not_found_is_nan(tmp_path):
    p = person(17)
    p[3] = 0
    p[4, 2] = 0.1
    entry = {"image_id": "0.jpg", "keypoints": p.ravel().tolist(), "score": 1}
    path = save(tmp_path / "alphapose-results.json", [entry])
    lost = np.isnan(read_keypoints(path).people[0][0]).any(1)
    assert np.flatnonzero(lost).tolist() == [3, 4]
    lost = np.isnan(read_keypoints(path, least=0.05).people[0][0]).any(1)
    assert np.flatnonzero(lost).tolist() == [3]


@pytest.mark.parametrize(
    "text, message",
    [
        ('[{"image_id": "0.jpg", "keypo', r":1: broken JSON"),
        ("", r":1: broken JSON"),
        ("5", "not keypoints, found only '5'"),
        ('{"frames": 3}', "not keypoints of a known program; known: OpenPose"),
        ("[]", "not keypoints of a known program"),
        ('[{"image_id": "0.jpg", "score": 1}]', r"not keypoints of alphapose \(no 'keypoints'\)"),
        ('[{"image_id": "0.jpg", "keypoints": [1, 2, 3]}]', "expected 17, 26, 136 keypoints"),
        ('[{"image_id": "0.jpg", "keypoints": [1, 2]}]', "expected rows of x, y and score"),
        ('[{"image_id": "0.jpg", "keypoints": "ab"}]', "expected rows of x, y and score"),
        ('{"people": []}', "nobody in any of 1 frames"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [[1, 2, 3]]}]}]', r"keypoints \(K, 2\)"),
        ('[{"frame_id": Infinity, "instances": []}]', "not keypoints of mmpose"),
        ('[{"frame_id": 0, "instances": []}, {"frame_id": 9999999, "instances": []}]', "more than"),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path, text, message):
    path = tmp_path / "found.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParseError, match=message) as e:
        read_keypoints(path)
    assert str(path) in str(e.value)


def test_damaged_folders_and_arrays(tmp_path):
    with pytest.raises(ParseError, match="no such file or folder"):
        read_keypoints(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParseError, match="no keypoint files"):
        read_keypoints(tmp_path / "empty")

    (tmp_path / "bad.npz").write_bytes(b"PK no")
    np.savez(tmp_path / "other.npz", points=np.zeros((3, 17, 3)))
    np.savez(tmp_path / "times.npz", keypoints=np.ones((3, 17, 3)), times=[0, 2, 1])
    np.savez(tmp_path / "share.npz", keypoints=np.full((3, 17, 3), 0.5))
    messages = dict(
        bad="not a readable", other="expected `keypoints`", times="3 rising", share="pixels"
    )
    for name, message in messages.items():
        with pytest.raises(ParseError, match=message):
            read_keypoints(tmp_path / f"{name}.npz")


def test_people_of_two_formats_do_not_mix(tmp_path):
    frames = {0: [person(25)], 1: [person(18)]}
    with pytest.raises(ParseError, match="different numbers of keypoints"):
        read_keypoints(openpose(tmp_path / "json", frames))


def test_another_program_is_a_row_more(tmp_path, monkeypatch):
    def people(data, where):
        return {i: [np.float32(p)] for i, p in enumerate(data["mine"])}

    row = KeypointFormat("mine", lambda data: "mine" in data, people, 0.5)
    monkeypatch.setitem(KEYPOINT_FORMATS, "mine", row)
    path = save(tmp_path / "mine.json", {"mine": [person(17).tolist()]})
    assert np.allclose(read_keypoints(path).people[0][0], person(17))
