"Untrimmed windows for training, simulated streams for tests, and what is measured on them."

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from last.cli import main
from last.datasets import NOTHING
from last.distillation import DistillConfig, distill
from last.evaluation import EvaluateConfig, evaluate
from last.hdm05 import read_pack
from last.idle import sway, untrimmed_windows
from last.normalization import collate
from last.pipeline import Pipeline
from last.preprocessing import PreprocessConfig
from last.simulated_streams import make_stream
from last.skeletons import get_skeleton
from last.spotting import SpotConfig, answer_streams, measure, segments, spot
from last.store import Store, toy_store
from last.streaming import StreamingRecognizer
from last.training import TrainConfig, train

HDM05 = get_skeleton("hdm05")
CLIPS = read_pack()[:40:5]
LABELS = torch.arange(len(CLIPS))
NONE = len(CLIPS)


def windows(seed: int, T: int = 96):
    "Untrimmed windows of some clips of HDM05 in heights of a body, and the clips' lengths."
    raw, lengths = collate([clip.points for clip in CLIPS])
    x = raw.nan_to_num()[:, [0, 2, 1]] / 1.7
    mask = (torch.arange(x.shape[2]) < lengths[:, None])[..., None]
    steps = torch.arange(T).float().repeat(len(CLIPS), 1)
    parts = steps, torch.zeros(len(CLIPS)), (lengths - 1).float()
    g = torch.Generator().manual_seed(seed)
    return x, untrimmed_windows(x, mask, LABELS, NONE, *parts, HDM05, 30.0, g)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_untrimmed_windows(seed):
    x, (window, present, what) = windows(seed)
    assert window.isfinite().all()
    assert present.all()
    for row, labels in enumerate(what):
        mine = labels == row
        others = {*labels.tolist()} - {row, NONE}
        assert others <= {(row - 1) % len(CLIPS)}
        assert mine.any()
        spans = segments(labels.numpy(), NONE)
        assert [s.label for s in spans] in ([row], [(row - 1) % len(CLIPS), row])

        # the clip itself is shown as it is, some frames from its edges
        at = mine.nonzero().flatten()
        final = x[row, :, : len(CLIPS[row].points[0])].shape[1] - 1
        inner = at[(at > at[0] + 5) & (at < at[-1] - 5)]
        moments = final - (at[-1] - inner)
        torch.testing.assert_close(window[row][:, inner], x[row][:, moments], atol=1e-5, rtol=0)

    # nobody jumps: a height of a body per second is 0.033 per frame
    root = window[:, :2, :, HDM05.center, 0]
    assert (root[..., 1:] - root[..., :-1]).norm(dim=1).max() < 0.15


@pytest.mark.parametrize("T", (8, 12, 16))
def test_short_windows_do_not_mix_clips(T):
    "A window without another clip before its own shows nothing of another one."
    for seed in range(6):
        x, (window, _, what) = windows(seed, T)
        for row, labels in enumerate(what.tolist()):
            if set(labels) == {row}:
                final = CLIPS[row].points.shape[1] - 1
                shown = x[row][:, final - T + 1 : final + 1]
                torch.testing.assert_close(window[row], shown, atol=1e-5, rtol=0)


def test_nothing_fills_a_good_part_of_the_frames():
    shares = [(windows(seed)[1][2] == NONE).float().mean() for seed in range(20)]
    assert 0.2 < float(torch.stack(shares).mean()) < 0.6


def test_swaying_is_repeatable_and_slow():
    g = torch.Generator().manual_seed(3)
    one = sway(4, 300, HDM05, 30.0, g)
    two = sway(4, 300, HDM05, 30.0, torch.Generator().manual_seed(3))
    torch.testing.assert_close(one, two)
    assert (one[:, :, 1:] - one[:, :, :-1]).abs().max() < 0.02


def test_plain_windows_are_as_without_the_setting():
    raw, _ = collate([clip.points for clip in CLIPS])
    pipeline = Pipeline(HDM05, PreprocessConfig(frames=32, causal=True), nothing=NONE)
    _, mask, labels = pipeline(raw, LABELS, torch.Generator().manual_seed(0))
    assert labels.shape == LABELS.shape

    pipeline.aug.untrimmed_p = 1e-9
    _, same_mask, per_frame = pipeline(raw, LABELS, torch.Generator().manual_seed(0))
    assert per_frame.shape == (len(CLIPS), 32)
    assert (per_frame == LABELS[:, None]).all()
    assert (mask == same_mask).all()


def stream_of(seed=0, clips=CLIPS):
    g = torch.Generator().manual_seed(seed)
    points = [clip.points for clip in clips]
    return make_stream(points, list(range(len(clips))), NONE, HDM05, 30.0, g)


def test_a_stream_holds_its_clips():
    frames, what = stream_of()
    assert len(frames) == len(what)
    assert np.isfinite(frames).all()
    for clip, found in zip(CLIPS, segments(what, NONE), strict=True):
        shown = frames[found.start : found.end, 0]
        assert len(shown) == clip.points.shape[1]
        way = shown[:1, :1] - clip.points[0, :1, :1]
        assert abs(way[..., 1]).max() == 0  # heights stay
        np.testing.assert_allclose(shown, clip.points[0] + way, atol=1e-5)

    pauses = segments((what != NONE).astype(int), 1)
    assert all(60 <= pause.end - pause.start <= 240 for pause in pauses)
    step = np.linalg.norm(np.diff(frames[:, 0, HDM05.center, [0, 2]], axis=0), axis=1)
    assert step.max() < 0.25


def test_nobody_is_invented_beside_a_person():
    alone = [np.concatenate([c.points, np.full_like(c.points, np.nan)]) for c in CLIPS[:3]]
    behind = alone[1][::-1].copy()  # the first person is the one who never comes
    g = torch.Generator().manual_seed(0)
    frames, what = make_stream([alone[0], behind, alone[2]], [0, 1, 2], NONE, HDM05, 30.0, g)
    seen = np.isfinite(frames).all((2, 3))  # (T, 2)
    assert seen[what == 0, 0].all() and not seen[what == 0, 1].any()
    assert seen[what == 1, 1].all() and not seen[what == 1, 0].any()
    first = np.flatnonzero(what == 0)[0]
    assert seen[:first, 0].all() and not seen[:first, 1].any()


def test_a_stream_is_repeatable():
    assert (stream_of(1)[0] == stream_of(1)[0]).all()
    assert len(stream_of(1)[0]) != len(stream_of(2)[0])


def ideal(what: np.ndarray, classes: int, late: int = 0) -> np.ndarray:
    "Sure and right answers, some frames late."
    p = np.full((len(what), classes), 0.1 / (classes - 1), np.float32)
    said = np.roll(what, late)
    said[:late] = classes - 1
    p[np.arange(len(what)), said] = 0.9
    return p


CLASSES = [*map(str, range(NONE)), NOTHING]


def test_right_answers_are_right():
    _, what = stream_of()
    found = measure([ideal(what, NONE + 1)], [what], CLASSES, NONE, 4, 30.0)
    assert found["frame_accuracy"] == 100
    assert found["f1_50"] == 100
    assert found["delay_median"] == found["missed"] == found["false_alarms_per_hour"] == 0
    assert found["actions"] == len(CLIPS)


def test_late_answers_have_a_delay():
    _, what = stream_of()
    found = measure([ideal(what, NONE + 1, late=6)], [what], CLASSES, NONE, 4, 30.0)
    assert found["delay_median"] == pytest.approx(0.2)
    assert found["frame_accuracy_nothing"] < 100


def test_wrong_answers_are_alarms():
    _, what = stream_of()
    wrong = np.where(what == NONE, NONE, (what + 1) % NONE)
    found = measure([ideal(wrong, NONE + 1)], [what], CLASSES, NONE, 4, 30.0)
    assert found["frame_accuracy_actions"] == found["f1_50"] == 0
    assert found["missed"] == 100
    assert found["delay_median"] is None
    alarms = found["false_alarms_per_hour"] * found["hours"]
    assert round(alarms) == len(CLIPS)


def test_a_network_without_nothing_is_wrong_between_actions():
    _, what = stream_of()
    always = np.where(what == NONE, 0, what)
    found = measure([ideal(always, NONE)], [what], CLASSES[:-1], NONE, 4, 30.0)
    assert found["frame_accuracy_actions"] == 100
    assert found["frame_accuracy_nothing"] == 0


@pytest.fixture(scope="module", params=(1, 2))
def taught(request, tmp_path_factory):
    "A store, and a causal network that learned from untrimmed windows."
    folder = tmp_path_factory.mktemp("spot")
    toy_store(folder / "store", clips=32, classes=3)
    pre = PreprocessConfig(frames=32, causal=True, persons=request.param)
    cfg = TrainConfig(f"{folder}/store", f"{folder}/run", "given", pre=pre, epochs=2, warmup=0)
    gate = ("", " gate=true")[request.param - 1]
    cfg.model = f"causal-nano channels=16,16 strides=1,2{gate}"
    cfg.part, cfg.device = "train", "cpu"
    cfg.batch = 8
    cfg.aug.untrimmed_p = 0.5
    train(cfg, quiet=True)
    return folder


def test_nothing_is_a_class_of_the_network(taught):
    store = Store(taught / "store")
    recognizer = StreamingRecognizer(taught / "run")
    assert recognizer.classes == [*store.classes, NOTHING]

    scores = taught / "scores.npz"
    cfg = EvaluateConfig(f"{taught}/run", f"{taught}/store", scores=str(scores), device="cpu")
    cfg.early = True
    assert len(evaluate(cfg)["metrics"]["per_class"]) == 3
    assert np.load(scores)["logits"].shape[1] == 3


def test_spot_writes_what_it_measures(taught, capsys):
    out = taught / "streams.json"
    args = ["spot", "--run", f"{taught}/run", "--data", f"{taught}/store", "--out", str(out)]
    assert main([*args, "--streams", "3"]) == 0
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    tested = len(Store(taught / "store").part("given", "test"))
    assert result["streams"]["actions"] == tested
    assert f"{tested} actions" in printed
    assert "false alarms per hour" in printed


def test_streams_side_by_side_are_as_alone(taught):
    clips = [Store(taught / "store")[n] for n in range(4)]
    persons = StreamingRecognizer(taught / "run").stepper.persons
    clips = [np.repeat(clip[:1], persons, 0) for clip in clips]
    streams = [clip.swapaxes(0, 1) for clip in clips]
    together, _, every = answer_streams(taught / "run", streams)
    alone, _, _ = answer_streams(taught / "run", streams[2:3])
    assert every == 4
    np.testing.assert_allclose(together[2], alone[0], atol=1e-5)


def test_what_is_refused(taught):
    run, data = f"{taught}/run", f"{taught}/store"
    with pytest.raises(ValueError, match="expected 0 < least <= most"):
        spot(SpotConfig(run, data, least=0))

    cfg = TrainConfig(data, f"{taught}/other", "given", model="nano", device="cpu")
    cfg.aug.untrimmed_p = 0.5
    with pytest.raises(ValueError, match=r"needs --pre\.causal"):
        train(cfg, quiet=True)

    cfg = TrainConfig(data, f"{taught}/other", "given", model="causal-nano gate=true", device="cpu")
    cfg.pre.causal = True
    with pytest.raises(ValueError, match="class for nothing only with"):
        train(cfg, quiet=True)

    taught_by = DistillConfig(data, f"{taught}/other", "given", model="causal-nano", device="cpu")
    taught_by.pre.causal, taught_by.aug.untrimmed_p = True, 0.5
    taught_by.teachers = [run]
    with pytest.raises(ValueError, match="teachers answer clips"):
        distill(taught_by, quiet=True)
