"A class from a few clips: what is written, what it knows, and what is refused."

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from camera_films import needs_mediapipe, slide, write
from conftest import ROOT

from last import new_class, own_clips
from last import teach as room
from last.checksums import damaged_files
from last.cli import main
from last.core import ParseError
from last.hdm05 import read_pack
from last.new_class import balanced, fitted, imprinted, known_clips
from last.own_clips import clip_of, moving_part, record
from last.pose import ESTIMATORS, Estimator, PoseConfig, Shot
from last.predict import PredictConfig, predict
from last.recognizer import logits_of_run
from last.runs import load_run, trained_on
from last.skeletons import get_skeleton
from last.store import toy_store
from last.streaming import StreamingRecognizer
from last.teach import CLIPS, TeachConfig, digest, teach
from last.tracking import Person

CAUSAL, NANO = (str(ROOT / "nbs/trained" / name) for name in ("hdm05_causal", "hdm05_nano"))
UP = {  # nobody gets up in HDM05's clips; played backwards, those who lie down do
    clip.name: np.ascontiguousarray(clip.points[0, ::-1])
    for clip in read_pack()
    if "lieDown" in clip.name
}


@pytest.fixture(scope="module", autouse=True)
def quick():
    "One window per clip instead of three."
    patch = pytest.MonkeyPatch()
    patch.setattr(new_class.add_class, "__defaults__", (1, 0))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Clips of somebody who gets up, and the network that has learned from three of them."
    folder = tmp_path_factory.mktemp("teach")
    for i, name in enumerate(name for name in UP if "_dg_" in name):
        np.save(folder / f"up{i}.npy", UP[name])
    sources = tuple(f"{folder}/up{i}.npy" for i in range(3))
    teach(TeachConfig("get up", sources, CAUSAL, f"{folder}/mine"), say=lambda line: None)
    return folder


def test_others_are_recognized_and_old_classes_stay(folder):
    run, old = load_run(folder / "mine"), load_run(CAUSAL)
    assert run.info.classes == [*old.info.classes[:-1], "get up", "nothing"]

    strangers = [clip[None] for name, clip in UP.items() if "_mm_" in name or "_tr_" in name]
    answers = logits_of_run(run, strangers).argmax(1)
    assert (answers == 11).mean() >= 0.8, answers

    clips = [clip for clip in read_pack() if clip.subject > 3][::2]
    labels = np.array([clip.label for clip in clips])
    points = [clip.points for clip in clips]
    right = [(logits_of_run(r, points).argmax(1) == labels).mean() for r in (old, run)]
    assert right[1] >= right[0] - 0.1, right


def test_everything_below_the_head_is_as_before(folder):
    new, old = (load_run(path).model.state_dict() for path in (folder / "mine", CAUSAL))
    assert new.keys() == old.keys()
    below = [key for key in old if not key.startswith("head.")]
    assert below and all(torch.equal(new[key], old[key]) for key in below)


def test_predict_and_stream_take_it(folder):
    result = predict(PredictConfig(f"{folder}/up3.npy", f"{folder}/mine"))
    assert "get up" in [event.label for event in result.events()]
    assert "get up" in StreamingRecognizer(folder / "mine").classes


def test_the_folder_says_where_it_comes_from(folder):
    assert damaged_files(folder / "mine") == []
    facts = json.loads((folder / "mine/config.json").read_text(encoding="utf-8"))
    (entry,) = facts["config"]["taught"]
    assert entry["class"] == "get up" and entry["run"] == "hdm05_causal"
    assert [clip["source"] for clip in entry["clips"]] == ["up0.npy", "up1.npy", "up2.npy"]
    with np.load(folder / "mine" / CLIPS) as file:
        assert [clip["sha256"] for clip in entry["clips"]] == [
            digest(clip) for clip in file.values()
        ]
    new = trained_on(folder / "mine") - trained_on(CAUSAL)
    assert new == {"get up: up0.npy", "get up: up1.npy", "get up: up2.npy"}


def test_teaching_goes_on_from_there(folder):
    rng = np.random.default_rng(0)
    for i in range(2):
        shaken = np.load(folder / f"up{i}.npy")[:1] + rng.normal(0, 0.2, (40, 31, 3))
        np.save(folder / f"shake{i}.npy", shaken)
    sources = (f"{folder}/shake0.npy", f"{folder}/shake1.npy")
    done = teach(TeachConfig("shake", sources, f"{folder}/mine", f"{folder}/both"), say=print)
    assert done.classes[-3:] == ["get up", "shake", "nothing"] and done.after == ["shake"] * 2

    up = np.load(folder / "up3.npy")[None]
    run = load_run(folder / "both")
    assert run.info.classes[logits_of_run(run, [up]).argmax(1)[0]] == "get up"
    assert len(run.info.config["taught"]) == 2
    with np.load(folder / "both" / CLIPS) as file:
        assert len(file.files) == 5


def test_a_network_for_whole_clips_learns_too(folder):
    sources = tuple(f"{folder}/up{i}.npy" for i in range(3))
    done = teach(TeachConfig("get up", sources, NANO, f"{folder}/clips"), say=print)
    assert len(done.classes) == 12 and done.classes[-1] == "get up"
    strangers = [clip[None] for name, clip in UP.items() if "_mm_" in name or "_tr_" in name]
    assert (logits_of_run(load_run(folder / "clips"), strangers).argmax(1) == 11).mean() >= 0.8


# parts


def test_the_gate_stays_last_and_what_is_held_stays():
    torch.manual_seed(0)
    head = torch.nn.Linear(4, 3)
    rows, labels = torch.rand(20, 4), torch.arange(20) % 4
    rows[:, 0] += (labels == 2).float()
    larger = imprinted(head, 2, rows, labels)
    assert torch.equal(larger.weight[[0, 1, 3]], head.weight)
    assert torch.equal(larger.bias[[0, 1, 3]], head.bias)

    keep = torch.tensor([1e3, 1e3, 1e-3, 1e3])
    moved = fitted(larger, 2, rows, labels, True, keep)
    ways = (moved.weight - larger.weight).norm(dim=1)
    assert ways[[0, 1, 3]].max() < 0.01 < 0.5 < ways[2]
    usual = fitted(larger, 2, rows, labels, True)
    ways = (usual.weight - larger.weight).norm(dim=1)
    assert 2 * ways[3] < ways[:3].min()

    more, less = (fitted(larger, 2, rows, labels, True, emphasis=e)(rows)[:, 2] for e in (9, 1))
    assert more.mean() > less.mean()


def test_the_settings_are_those_that_were_chosen(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import teach as experiment

    found = json.loads((ROOT / "results/teach/choose.json").read_text(encoding="utf-8"))
    scores = {way: experiment.balance(found["rows"], way) for way in experiment.WAYS}
    assert max(scores, key=scores.get) == found["chosen"]
    known, new, gate, emphasis = experiment.WAYS[found["chosen"]]
    assert known == new == new_class.KEEP
    assert (gate, emphasis) == (new_class.KEEP_GATE, new_class.EMPHASIS)


def test_classes_with_few_clips_are_repeated():
    examples = [(None, "many")] * 20 + [(None, "few")] * 2
    names = [name for _, name in balanced(examples)]
    assert names.count("many") == 20 and names.count("few") == 12


def test_only_clips_of_the_training_come_back():
    known = known_clips(CAUSAL, load_run(CAUSAL))
    assert len(known) == len(trained_on(CAUSAL)) < len(read_pack())


def test_still_ends_are_cut():
    t = np.r_[np.zeros(60), np.linspace(0, 1, 30), np.ones(60)]
    clip = np.zeros((1, 150, 4, 3)) + t[None, :, None, None]
    clip += np.random.default_rng(0).normal(0, 0.003, clip.shape)
    part = moving_part(clip)
    assert 28 <= part.shape[1] <= 42 and abs(part[0, 0, 0, 0]) < 0.1 < 0.9 < part[0, -1, 0, 0]


# the camera


def sights_of(rate, seconds, start=5.0):
    "Empty pictures at a camera's times."
    times = start + np.arange(round(seconds * rate)) / rate
    return (SimpleNamespace(shot=SimpleNamespace(time=t, picture=0)) for t in times)


def test_recording_counts_down_before_each_clip():
    said = []
    taken = list(record(sights_of(15, 60), 2, 1.5, said.append))
    assert [len(clip) for clip in taken] == [24, 24]
    first, second = (clip[0].shot.time for clip in taken)
    assert first == pytest.approx(8) and second == pytest.approx(8 + 1.6 + 3, abs=0.15)
    assert said[:4] == ["clip 1 of 2 in 3 ...", "clip 1 of 2 in 2 ...", "clip 1 of 2 in 1 ...",
                        "clip 1 of 2: go! (1.5 s)"]  # fmt: skip
    assert said[-1] == "thank you" and all(s.shot.picture is None for clip in taken for s in clip)
    with pytest.raises(ParseError, match="before clip 2 of 2 was over"):
        list(record(sights_of(15, 6), 2, 1.5, said.append))


def test_recorded_clips_are_learned(folder, monkeypatch):
    skeleton = get_skeleton("hdm05")
    up = np.load(folder / "up0.npy")

    def shots(source, cfg):
        for t in range(2 * (90 + len(up) + 2)):
            body = up[min(max(t % (90 + len(up) + 2) - 90, 0), len(up) - 1)].astype(np.float32)
            image = 100 * body[:, :2] + [320, 240]
            yield Shot(t / 30, [Person(body, image)], skeleton, (640, 480))

    monkeypatch.setitem(ESTIMATORS, "mine", Estimator("mine", shots))
    cfg = TeachConfig("get up", (), CAUSAL, f"{folder}/filmed", record=2, seconds=len(up) / 30)
    cfg.pose = PoseConfig(estimator="mine", people=1)
    said = []
    done = teach(cfg, say=said.append)
    assert done.after == ["get up"] * 2 and "thank you" in said
    assert all(0.4 * len(up) < frames <= len(up) + 3 for frames in done.frames)
    entry = load_run(folder / "filmed").info.config["taught"][0]
    assert entry["clips"][1]["source"] == "camera 0, clip 2"


@needs_mediapipe
def test_a_film_as_the_camera(tmp_path, monkeypatch):
    "MediaPipe sees her in both recordings."
    monkeypatch.setattr(own_clips, "COUNTDOWN", 0.4)
    film = write(tmp_path / "film.mp4", [slide(6 * t) for t in range(40)])
    info = SimpleNamespace(
        pre=SimpleNamespace(rate=30.0, persons=1), skeleton=get_skeleton("mediapipe33")
    )
    said = []
    shown = record(room.watch_people(str(film), PoseConfig(people=1)), 2, 0.6, said.append)
    samples = [clip_of(iter(sights), "film", SimpleNamespace(info=info)) for sights in shown]
    assert len(samples) == 2 and said[-1] == "thank you"
    assert all(sample.points.shape[1:] == (sample.points.shape[1], 33, 3) for sample in samples)


# mistakes


@pytest.mark.parametrize(
    "words, message",
    [
        (["kick", "up0.npy"], "knows 'kick' already"),
        (["nothing", "up0.npy"], "knows 'nothing' already"),
        ([" ", "up0.npy"], "name: expected a word"),
        (["new", "gone.npy"], "gone.npy: no such file or folder"),
        (["new"], "give clips of the action, or --record 3"),
        (["new", "up0.npy", "--record", "3"], "give clips of the action, or --record 3"),
        (["new", "up0.npy", "--out", "full"], "full: is there already"),
        (["new", "short.npy"], "short.npy: too short, somebody moves in 5 frames; expected 10"),
        (["new", "nobody.npy"], "nobody.npy: nobody in any of 20 frames"),
        (["new", "kinect.npy"], "25 joints, as ntu25 has; the network reads 31 (hdm05)"),
        (["new", "odd.npy"], "7 joints, as no known skeleton has"),
        (["new", "up0.npy", "--run", "none"], "none: no such run or file"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(0)
    Path("full").mkdir(exist_ok=True)
    Path("full/note.txt").write_text("mine", encoding="utf-8")
    np.save("short.npy", np.load("up0.npy")[:5])
    np.save("nobody.npy", np.full((20, 31, 3), np.nan))
    np.save("kinect.npy", rng.normal(size=(20, 25, 3)))
    np.save("odd.npy", rng.normal(size=(20, 7, 3)))
    out = [] if "--out" in words else ["--out", "never"]
    run = [] if "--run" in words else ["--run", CAUSAL]
    assert main(["teach", *words, *run, *out]) == 2
    assert message in capsys.readouterr().err
    assert not Path("never").exists() and [f.name for f in Path("full").iterdir()] == ["note.txt"]


def test_a_run_of_other_clips_needs_its_store(folder):
    store = toy_store(folder / "toy", clips=4, classes=2)
    run = load_run(CAUSAL)
    assert store.skeleton.name == "ntu25"
    with pytest.raises(ValueError, match="give the store of its training with --data"):
        known_clips(CAUSAL, run, f"{folder}/toy")


def test_actions_without_clips_are_named_before_anybody_moves(folder, monkeypatch):
    taught = folder / "mine"  # it knows "get up", too
    monkeypatch.setattr(room, "taught_before", lambda path, run: [])
    monkeypatch.setattr(room, "new_samples", lambda *_: pytest.fail("somebody moved"))
    cfg = TeachConfig("wave", (f"{folder}/up0.npy",), str(taught), f"{folder}/never")
    with pytest.raises(ValueError, match="no clips of get up; give the store of its training"):
        teach(cfg, say=print)


def test_nothing_is_the_last_class(folder):
    run = load_run(CAUSAL)
    classes = ["nothing", *run.info.classes[:-1]]
    other = SimpleNamespace(info=SimpleNamespace(classes=classes, model="x"), model=run.model)
    with pytest.raises(ValueError, match="'nothing' must be the last of its classes"):
        room.check_request(TeachConfig("wave", (f"{folder}/up0.npy",), CAUSAL, "never"), other)


def test_a_full_disk_leaves_no_folder(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "save_npz", full)
    sources = (f"{folder}/up0.npy",)
    with pytest.raises(OSError, match="cannot write torn there"):
        teach(TeachConfig("get up", sources, CAUSAL, f"{folder}/torn"), say=print)
    assert not (folder / "torn").exists() and not (folder / "torn.writing").exists()


def test_the_command_says_what_it_has_done(folder, capsys):
    words = ["get up", f"{folder}/up0.npy", f"{folder}/up1.npy", "--run", CAUSAL]
    assert main(["teach", *words, "--out", f"{folder}/spoken"]) == 0
    text = capsys.readouterr().out
    assert "get up: learned from 2 clips" in text and "2 of its own clips" in text
    assert "note: fewer than three clips" in text and "live --model" in text
