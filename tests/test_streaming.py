"Frames at any moments in, answers out: by a run and by its file, alike."

import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import last
from last.cli import main
from last.evaluation import EvaluateConfig, evaluate, summary
from last.events import ActionSpotter
from last.export import ExportConfig, export
from last.preprocessing import PreprocessConfig
from last.resampling import Resampler
from last.runs import load_run
from last.store import toy_store
from last.streaming import (
    StreamConfig,
    StreamingRecognizer,
    parse_frames,
    stream,
)
from last.training import TrainConfig, train
from last.watchers import StreamWatcher

CHANGES = dict(
    model="causal-nano channels=16,16 strides=1,2 attention=linear",
    part="train",
    epochs=2,
    warmup=0,
    lr=4e-3,
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    "A store, a causal run for two persons, and its files."
    folder = tmp_path_factory.mktemp("stream")
    store = toy_store(folder / "store", clips=32, classes=3)
    for persons in (1, 2):
        pre = PreprocessConfig(frames=16, causal=True, persons=persons)
        where = f"{folder}/store", f"{folder}/run{persons}"
        settings = TrainConfig(*where, "given", pre=pre, device="cpu", batch=8, **CHANGES)
        train(settings, quiet=True)
        export(ExportConfig(where[1], f"{folder}/file{persons}.onnx", data=where[0]))
    export(ExportConfig(f"{folder}/run1", f"{folder}/int8.onnx", data=where[0], int8=True))
    return folder, store


def walk(T, M=1, seed=0):
    "A body that moves; some joints are lost."
    rng = np.random.default_rng(seed)
    clip = rng.normal(size=(1, M, 25, 3)) + rng.normal(size=(T, M, 25, 3)).cumsum(0) * 0.02
    clip[rng.random(clip.shape[:3]) < 0.1] = np.nan
    return clip.astype(np.float32)


@pytest.mark.parametrize("persons", (1, 2))
def test_run_file_and_clip_agree(toy, persons):
    folder, _ = toy
    frames = walk(40, persons)
    run = StreamingRecognizer(folder / f"run{persons}")
    file = last.StreamingRecognizer(folder / f"file{persons}.onnx")
    a, b = run.forward_steps(frames), file.forward_steps(frames)
    assert np.isnan(a[:3]).all() and np.isfinite(a[3:]).all()
    np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_array_equal(a[7:11], a[7:8].repeat(4, 0))  # the answer holds
    np.testing.assert_allclose(a[3:].sum(1), 1, atol=1e-5)

    whole = last.load(folder / f"run{persons}")(frames.swapaxes(0, 1))
    np.testing.assert_allclose(a[-1], whole[0], atol=1e-4)


def test_a_thousand_frames_stay_together(toy):
    folder, _ = toy
    frames = walk(1000, seed=1)
    a = StreamingRecognizer(folder / "run1").forward_steps(frames)
    b = StreamingRecognizer(folder / "file1.onnx").forward_steps(frames)
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_int8_is_near(toy):
    folder, _ = toy
    frames = walk(200, seed=2)
    a = StreamingRecognizer(folder / "file1.onnx").forward_steps(frames)[3:]
    b = StreamingRecognizer(folder / "int8.onnx").forward_steps(frames)[3:]
    assert 0 < np.abs(a - b).max() < 0.2


def test_streams_do_not_mix(toy):
    folder, _ = toy
    clips = np.stack([walk(24, 2, seed) for seed in range(3)], 1)  # (T, N, M, V, 3)
    together = StreamingRecognizer(folder / "file2.onnx", streams=3).forward_steps(clips)
    for n in range(3):
        alone = StreamingRecognizer(folder / "file2.onnx").forward_steps(clips[:, n])
        np.testing.assert_allclose(together[:, n], alone, atol=1e-5)


def test_nobody_yet_is_no_answer(toy):
    recognizer = StreamingRecognizer(toy[0] / "file1.onnx")
    empty = np.full((25, 3), np.nan)
    assert np.isnan(recognizer.forward_steps(np.stack([empty] * 9))).all()
    assert np.isfinite(recognizer.forward_steps(walk(4))[-1]).all()
    recognizer.reset()
    assert np.isnan(recognizer.answer).all()


@pytest.mark.parametrize("kind", ("run1", "file1.onnx"))
def test_saved_memory_goes_on(toy, tmp_path, kind):
    frames, times = walk(60), np.arange(60) / 41 + 5
    whole = StreamingRecognizer(toy[0] / kind).forward_steps(frames, times)
    first = StreamingRecognizer(toy[0] / kind)
    first.forward_steps(frames[:27], times[:27])
    first.save(tmp_path / "memory.npz")
    second = StreamingRecognizer(toy[0] / kind)
    second.restore(tmp_path / "memory.npz")
    rest = second.forward_steps(frames[27:], times[27:])
    np.testing.assert_allclose(rest, whole[27:], atol=1e-6)


def test_memory_of_another_network_is_refused(toy, tmp_path):
    StreamingRecognizer(toy[0] / "file2.onnx").save(tmp_path / "memory.npz")
    with pytest.raises(ValueError, match="memory of another network"):
        StreamingRecognizer(toy[0] / "file1.onnx").restore(tmp_path / "memory.npz")


def test_wrong_shapes_are_named(toy):
    recognizer = StreamingRecognizer(toy[0] / "file1.onnx")
    with pytest.raises(ValueError, match=r"V = 25 \(ntu25\), found \(17, 3\)"):
        recognizer.forward_step(np.zeros((17, 3)))


def test_a_clip_network_is_refused(toy, tmp_path):
    folder, _ = toy
    settings = TrainConfig(f"{folder}/store", f"{tmp_path}/run", "given", epochs=1, device="cpu")
    settings.model = "nano"
    settings.part = "train"
    settings.pre.frames = 8
    train(settings, quiet=True)
    export(ExportConfig(f"{tmp_path}/run", f"{tmp_path}/clip.onnx"))
    for path in ("run", "clip.onnx"):
        with pytest.raises(ValueError, match="answers whole clips"):
            StreamingRecognizer(tmp_path / path)
    with pytest.raises(ValueError, match="StreamingRecognizer"):
        last.load(folder / "file1.onnx")


def test_the_same_at_any_frame_rate(toy):
    "A motion filmed at 24, 30 and 60 frames per second gives nearly the same answers."
    recognizer = StreamingRecognizer(toy[0] / "file1.onnx")
    body = walk(1)[0, 0] * 0.3
    body = np.where(np.isnan(body), 0, body)

    def filmed(rate):
        t = np.arange(int(3 * rate)) / rate
        moving = body + np.sin(2 * t)[:, None, None] * body[::-1] * 0.5
        recognizer.clean_state()
        return recognizer.forward_steps(moving, t)[-1]

    for rate in (24, 60):
        np.testing.assert_allclose(filmed(rate), filmed(30), atol=0.02)


# Resampling


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.005, 0.2), min_size=1, max_size=80))
def test_moments_are_regular_and_poses_lie_on_the_way(gaps):
    resampler, found = Resampler(30.0), []
    for t in np.cumsum(gaps):
        found += resampler.push(float(t), np.full((1, 2, 3), 3 * t))

    moments = np.array([t for t, _ in found])
    np.testing.assert_allclose(np.diff(moments), 1 / 30, atol=1e-6)
    assert len(found) == int(np.floor((np.cumsum(gaps)[-1] - gaps[0]) * 30 + 1e-6)) + 1
    poses = np.array([pose[0, 0, 0] for _, pose in found])
    np.testing.assert_allclose(poses, 3 * moments, atol=1e-4)


def test_long_gaps_are_empty_and_time_runs_forward():
    resampler = Resampler(30.0)
    list(resampler.push(0.0, np.zeros((1, 2, 3))))
    found = list(resampler.push(1.0, np.ones((1, 2, 3))))
    assert len(found) == 30
    assert all(np.isnan(pose).all() for _, pose in found[:-1])
    assert (found[-1][1] == 1).all()
    with pytest.raises(ValueError, match="in order: 1 s after 1 s"):
        list(resampler.push(1.0, np.ones((1, 2, 3))))


def test_a_lost_joint_comes_from_the_nearer_frame():
    a, b = np.zeros((1, 2, 3)), np.ones((1, 2, 3))
    b[0, 1] = np.nan
    resampler = Resampler(10.0)
    list(resampler.push(0.0, a))
    found = [pose for _, pose in resampler.push(0.4, b)]
    assert [float(p[0, 0, 0]) for p in found] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert found[0][0, 1, 0] == 0
    assert np.isnan(found[2][0, 1, 0])


def test_ten_seconds_of_nothing_is_a_new_beginning(toy):
    recognizer = StreamingRecognizer(toy[0] / "file1.onnx")
    fresh = recognizer.forward_steps(walk(12), np.arange(12) / 30)
    recognizer.forward_steps(walk(50, seed=9), np.arange(50) / 30 + 1)
    late = recognizer.forward_steps(walk(12), np.arange(12) / 30 + 60)
    np.testing.assert_allclose(late, fresh, atol=1e-6)


# Events


def spotted(rows, **settings):
    "What a spotter says to probabilities of (rest, kick, nothing)."
    spotter = ActionSpotter(["rest", "kick", "nothing"], **dict(on=0.6, off=0.4) | settings)
    found = []
    for t, p in enumerate(rows):
        event = spotter.update(float(t), np.array(p))
        if event is not None:
            found.append(("ends" if event.end is not None else "begins", event.label, t))
    return found


KICK = (0.1, 0.9, 0)
FADING = (0.45, 0.5, 0.05)
OVER = (0.5, 0.3, 0.2)
IDLE = (0, 0.05, 0.95)


def test_an_action_begins_when_it_is_clear_and_ends_when_it_is_gone():
    assert spotted([IDLE, KICK, KICK, KICK, FADING, KICK, FADING, OVER, IDLE]) == [
        ("begins", "kick", 3),
        ("ends", "kick", 7),
    ]


def test_a_flash_and_nothing_are_no_actions():
    assert spotted([KICK, KICK, FADING, KICK, IDLE] + [IDLE] * 5) == []


def test_a_begun_event_says_when_it_began():
    spotter = ActionSpotter(["rest", "kick", "nothing"])
    events = [spotter.update(float(t), np.array(KICK)) for t in range(3)]
    assert events[:2] == [None, None]
    assert events[2].start == 0


def test_nobody_ends_an_action():
    assert spotted([KICK] * 3 + [(np.nan,) * 3])[-1] == ("ends", "kick", 3)


def test_thresholds_are_checked():
    with pytest.raises(ValueError, match="0 < off <= on < 1"):
        ActionSpotter(["a"], on=0.3, off=0.5)


# The command


def lines_of(frames, times=None):
    rows = []
    for i, frame in enumerate(frames):
        joints = [None if np.isnan(j).any() else j.tolist() for j in frame[0]]
        rows.append({"joints": joints} | ({} if times is None else {"time": float(times[i])}))
    return "\n".join(map(json.dumps, rows)) + "\n"


def test_command_reads_lines_and_writes_lines(toy, tmp_path, capsys, monkeypatch):
    frames = walk(21)
    (tmp_path / "clip.jsonl").write_text(lines_of(frames), encoding="utf-8")
    np.save(tmp_path / "clip.npy", frames[:, 0])
    file = str(toy[0] / "file1.onnx")
    printed = []
    for source in ("clip.jsonl", "clip.npy", "-"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines_of(frames)))
        path = source if source == "-" else str(tmp_path / source)
        assert main(["stream", "--run", file, "--source", path, "--top", "2"]) == 0
        printed.append(capsys.readouterr().out)

    assert printed[0] == printed[1] == printed[2]
    rows = [json.loads(line) for line in printed[0].splitlines()]
    assert len(rows) == 5
    assert [row["time"] for row in rows] == [round(t / 30, 3) for t in (3, 7, 11, 15, 19)]
    expected = StreamingRecognizer(file).forward_steps(frames)[-1]
    classes = json.loads(json.dumps(StreamingRecognizer(file).classes))
    best = classes[int(expected.argmax())]
    assert next(iter(rows[-1]["probabilities"])) == best
    assert abs(rows[-1]["probabilities"][best] - expected.max()) < 1e-3


def test_command_counts_what_it_saw(toy, tmp_path, capsys):
    np.save(tmp_path / "clip.npy", walk(40, 2).swapaxes(0, 1))
    cfg = StreamConfig(str(toy[0] / "file2.onnx"), str(tmp_path / "clip.npy"), on=0.02, off=0.01)
    result = stream(cfg)
    assert (result["frames"], result["answers"], len(result["events"])) == (40, 10, 1)
    assert '"event": {"begins":' in capsys.readouterr().out


def test_an_action_does_not_go_on_through_a_long_gap(toy, tmp_path, capsys):
    times = [*np.arange(24) / 30, *(np.arange(24) / 30 + 60)]
    (tmp_path / "film.jsonl").write_text(lines_of(walk(48), times), encoding="utf-8")
    film = str(tmp_path / "film.jsonl")
    stream(StreamConfig(str(toy[0] / "file1.onnx"), film, on=0.02, off=0.01))
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [(row["time"], *row["event"]) for row in rows if "event" in row]
    assert [name for _, name in events] == ["begins", "ends", "begins"]
    assert events[1][0] == round(23 / 30, 3)
    assert len(rows) == 6 + 1 + 6  # answers, the end, answers


@pytest.mark.parametrize(
    "line", ["{", '{"time": 1}', '{"joints": 5}', '{"joints": [[1, "a", 2]]}', "[]"]
)
def test_a_bad_line_is_named(line):
    good = json.dumps({"joints": [[0, 0, 0]]})
    with pytest.raises(ValueError, match="film, line 2: expected"):
        list(parse_frames([good, line], "film", 30.0))


def test_a_frame_of_another_skeleton_is_named(toy, tmp_path):
    frames = [*walk(2).tolist(), [[0.0, 0.0, 0.0]]]
    lines = [json.dumps({"joints": frame}) for frame in frames]
    (tmp_path / "film.jsonl").write_text("\n".join(lines), encoding="utf-8")
    cfg = StreamConfig(str(toy[0] / "file1.onnx"), str(tmp_path / "film.jsonl"))
    with pytest.raises(ValueError, match=r"film\.jsonl, frame 3: expected"):
        stream(cfg)


def test_lost_joints_in_every_place():
    text = json.dumps({"joints": [[[1, 2, 3], None], [None, [1, None, 3]]]})
    ((_, frame),) = parse_frames([text], "film", 30.0)
    assert frame.shape == (2, 2, 3)
    assert np.isnan(frame[0, 1]).all() and np.isnan(frame[1, 0]).all()
    assert np.isnan(frame[1, 1, 1])


@pytest.mark.parametrize("persons", (1, 2))
def test_step_stays_a_step_when_it_is_exported(toy, persons):
    run = load_run(toy[0] / f"run{persons}")
    recognizer = StreamingRecognizer(toy[0] / f"file{persons}.onnx")
    assert recognizer.delay == run.model.delay == 3
    assert recognizer.stepper.rate == 30


def test_fp16_and_clip_input_are_refused(toy, tmp_path):
    folder, _ = toy
    with pytest.raises(ValueError, match="--fp16: a step"):
        export(ExportConfig(f"{folder}/run1", f"{tmp_path}/x.onnx", fp16=True))
    settings = TrainConfig(f"{folder}/store", f"{tmp_path}/run", "given", epochs=1, device="cpu")
    settings.model = "causal-nano"
    settings.part = "train"
    settings.pre.frames = 8
    train(settings, quiet=True)
    with pytest.raises(ValueError, match=r"without --pre\.causal"):
        export(ExportConfig(f"{tmp_path}/run", f"{tmp_path}/x.onnx"))


def test_the_lines_of_the_model_card_are_enough(toy, tmp_path, monkeypatch):
    page = Path(__file__).parent.parent / "docs/model_card.md"
    code = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)[1]
    shutil.copy(toy[0] / "file1.onnx", tmp_path / "step.onnx")
    frames = walk(22)[:, 0]
    np.save(tmp_path / "clip.npy", frames)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code, found)
    expected = StreamingRecognizer(toy[0] / "file1.onnx").forward_steps(frames)[-1]
    np.testing.assert_allclose(found["p"][0], expected, atol=1e-6)
    assert found["seen"][0] == 1


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no zip", b"[1, 2]"])
def test_a_source_that_is_no_array_is_named(toy, tmp_path, content):
    (tmp_path / "clip.npy").write_bytes(content)
    cfg = StreamConfig(str(toy[0] / "file1.onnx"), str(tmp_path / "clip.npy"))
    with pytest.raises(ValueError, match=r"clip\.npy: not a readable \.npy clip"):
        stream(cfg)


def test_a_clip_network_that_reads_a_stream_is_no_file(toy, tmp_path):
    folder, _ = toy
    pre = PreprocessConfig(frames=16, causal=True)
    where = f"{folder}/store", f"{tmp_path}/run", "given"
    train(TrainConfig(*where, model="nano", pre=pre, epochs=1, device="cpu"), quiet=True)
    with pytest.raises(ValueError, match="only causal networks become a file, and nano is none"):
        export(ExportConfig(where[1], f"{tmp_path}/x.onnx"))


def test_a_summary_says_what_a_causal_network_reads(toy):
    cfg = EvaluateConfig(f"{toy[0]}/run1", f"{toy[0]}/store", device="cpu")
    assert ", causal input, T=16" in summary(evaluate(cfg))


def test_two_people_are_two_streams_of_a_run_and_of_its_file(toy):
    "What `predict` and `live` do with a causal network."
    folder, _ = toy
    frames = walk(24, M=2)
    answers = {}
    for name in ("run1", "file1.onnx"):
        watcher = StreamWatcher(StreamingRecognizer(folder / name), people=2)
        found = [watcher.push(t / 30, frame) for t, frame in enumerate(frames)]
        answers[name] = np.stack([p for _, p in filter(None, found)], 1)  # (2, n, classes)

    alone = StreamingRecognizer(folder / "run1")
    alone.forward_steps(frames[:, 1], np.arange(24) / 30)
    np.testing.assert_allclose(answers["run1"], answers["file1.onnx"], atol=1e-4)
    np.testing.assert_allclose(answers["run1"][1, -1], alone.answer[0], atol=1e-4)
    for_two = StreamWatcher(StreamingRecognizer(folder / "run2"), people=2)
    assert for_two.push(0.0, frames[0]) is None
