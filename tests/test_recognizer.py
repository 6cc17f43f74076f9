"`last.load`: one call for folders and files, clear errors, and imports that stay light."

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import last
from last.core import config_from_dict
from last.export import ExportConfig, export
from last.onnx_files import onnx_bytes
from last.predict import PredictConfig, predict
from last.preprocessing import PreprocessConfig
from last.recognizer import check_clip, feeds_of, joint_feed, needs_mask, one_person
from last.runs import load_run, load_weights
from last.skeletons import get_skeleton
from last.store import toy_store
from last.training import TrainConfig, train

HEAVY = ("torch", "matplotlib", "sklearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recognizer")


@pytest.fixture(scope="module")
def toy(folder):
    return toy_store(folder / "store", clips=40)


@pytest.fixture(scope="module")
def clips(toy):
    return [toy[i] for i in range(12)]


def train_run(folder, name, **pre):
    cfg = TrainConfig(
        str(folder / "store"),
        str(folder / name),
        "given",
        model="nano",
        epochs=1,
        warmup=0,
        batch=8,
        device="cpu",
        pre=config_from_dict(PreprocessConfig, {"frames": 16, **pre}),
    )
    train(cfg, quiet=True)
    return folder / name


@pytest.fixture(scope="module")
def run(folder, toy):
    return train_run(folder, "one")


@pytest.fixture(scope="module")
def pair_run(folder, toy):
    return train_run(folder, "two", persons=2, stream="all", align=True)


def exported(folder, run, **options):
    name = "_".join([run.name, *options])
    file = folder / f"{name}.onnx"
    if not file.exists():
        export(ExportConfig(str(run), str(file), data=str(folder / "store"), **options))
    return file


@pytest.fixture(scope="module")
def joints_file(folder, run):
    return exported(folder, run, joints=True)


@pytest.fixture(scope="module")
def recognizer(joints_file):
    return last.load(joints_file)


@pytest.mark.parametrize("which", ["run", "pair_run"])
@pytest.mark.parametrize(
    "options, tolerance",
    [
        ({}, 1e-5),
        ({"joints": True}, 1e-5),
        ({"fp16": True}, 1e-2),
        ({"int8": True}, 0.2),
        ({"int8": True, "joints": True}, 0.2),
    ],
    ids=lambda o: "_".join(o) if isinstance(o, dict) else "",
)
def test_every_file_gives_the_probabilities_of_its_run(
    request, folder, clips, which, options, tolerance
):
    run = request.getfixturevalue(which)
    expected = last.load(run)(clips)
    file = last.load(exported(folder, run, **options))
    assert file.persons == last.load(run).persons == {"run": 1, "pair_run": 2}[which]
    found = file(clips)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-3)


def test_a_clip_without_a_person_axis_gives_the_same_answer(recognizer, clips):
    np.testing.assert_allclose(recognizer(clips[0][0]), recognizer(clips[0]), atol=1e-6)


def test_a_file_names_the_actions_of_a_source(tmp_path, run, joints_file, clips):
    np.save(tmp_path / "clip.npy", clips[0])
    found = []
    for model in (run, joints_file):
        found.append(predict(PredictConfig(f"{tmp_path}/clip.npy", str(model), window=0.0)))
    np.testing.assert_allclose(found[0].probabilities, found[1].probabilities, atol=1e-5)
    np.testing.assert_allclose(found[0].probabilities[0], last.load(run)(clips[0]), atol=1e-5)


def test_a_clip_of_nested_lists_gives_the_same_answer(recognizer, clips):
    nested = [clips[0][0].tolist()]
    np.testing.assert_allclose(recognizer(nested), recognizer(clips[0]), atol=1e-6)


def test_more_clips_than_one_batch_come_back_in_order(recognizer, toy):
    many = [toy[i] for i in range(20)]
    found = recognizer(many)
    assert found.shape == (20, 2)
    np.testing.assert_allclose(found[17:18], recognizer(many[17]), atol=1e-5)


@pytest.mark.parametrize(
    "clip, message",
    [
        (np.zeros((4, 17, 3)), r"expected clips \(T, 25, 3\) or \(M, T, 25, 3\) of ntu25 joints"),
        (np.zeros((4, 25, 2)), r"found \(4, 25, 2\)"),
        (np.zeros((0, 25, 3)), r"a clip without frames, \(0, 25, 3\)"),
        (np.zeros((2, 0, 25, 3)), r"a clip without frames, \(2, 0, 25, 3\)"),
        (np.ones((12, 4, 25, 3)), "12 persons; several clips are given as a list"),
    ],
)
def test_a_wrong_clip_is_refused(recognizer, clip, message):
    with pytest.raises(ValueError, match=message):
        recognizer(clip)


@pytest.mark.parametrize("value", [np.nan, 0], ids=["NaN", "zeros"])
def test_an_empty_clip_has_nobody_and_no_class(recognizer, run, clips, value):
    empty = np.full((4, 25, 3), value)
    for recognize in (recognizer, last.load(run)):
        found = recognize([empty, clips[0], empty])
        assert np.isnan(found[[0, 2]]).all()
        np.testing.assert_allclose(found[1:2], recognize(clips[0]), atol=1e-6)
        names = recognize.names([empty, clips[0]])
        assert names == ["nobody", recognize.classes[found[1].argmax()]]


def test_a_person_who_is_never_seen_does_not_hide_the_other(recognizer, clips):
    first = np.concatenate([np.full_like(clips[0], np.nan), clips[0]])
    np.testing.assert_allclose(recognizer(first), recognizer(clips[0]), atol=1e-6)


def test_no_clips_are_refused(recognizer):
    with pytest.raises(ValueError, match="no clips given"):
        recognizer([])


def test_six_persons_are_one_clip():
    assert check_clip(np.ones((6, 4, 25, 3)), get_skeleton("ntu25")).shape == (6, 4, 25, 3)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: no such run or file"):
        last.load(tmp_path / "gone")


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "bad.onnx"
    file.write_bytes(b"not onnx")
    with pytest.raises(ValueError, match=r"bad\.onnx: not an ONNX file"):
        last.load(file)


def test_an_onnx_file_of_another_program_is_named(tmp_path):
    file = tmp_path / "foreign.onnx"
    file.write_bytes(onnx_bytes(nn.Linear(3, 2).eval(), {"x": torch.randn(2, 3)}))
    with pytest.raises(ValueError, match=r"foreign\.onnx: .* not one of `python -m last export`"):
        last.load(file)


def test_the_weights_beside_a_file_start_a_training(run, joints_file):
    load_weights(load_run(run).model, joints_file.with_suffix(".safetensors"))


def test_shorter_clips_are_padded_with_nobody(clips):
    short, long = sorted(clips[:2], key=lambda clip: clip.shape[1])
    feed = joint_feed([short, long], persons=1)
    assert feed["joints"].shape == (2, long.shape[1], 25, 3)
    assert feed["present"].sum(1).tolist() == [short.shape[1], long.shape[1]]
    assert np.isnan(feed["joints"][0, short.shape[1] :]).all()


def test_persons_that_a_file_does_not_take_are_left_out():
    clip = np.arange(3.0)[:, None, None, None] + np.ones((3, 4, 25, 3))
    feed = joint_feed([clip], persons=2)
    assert feed["joints"].shape == (1, 4, 25, 3, 2)
    assert feed["joints"][0, 0, 0, 0].tolist() == [1, 2]


def test_a_file_for_two_persons_takes_one():
    feed = joint_feed([np.ones((1, 4, 25, 3))], persons=2)
    assert feed["present"].tolist() == [[[True, False]] * 4]


def test_a_mask_is_fed_only_where_something_can_be_missing(run, pair_run, clips):
    for path, names in ((run, {"skeleton"}), (pair_run, {"skeleton", "mask"})):
        pipeline = load_run(path).pipeline
        (feed,) = feeds_of(pipeline, clips, joints=False)
        assert set(feed) == names
    assert needs_mask(PreprocessConfig(sampling="pad"))
    assert not needs_mask(PreprocessConfig())


def test_feeds_come_in_batches(run, clips):
    feeds = feeds_of(load_run(run).pipeline, clips, joints=True, batch=5)
    assert [len(feed["joints"]) for feed in feeds] == [5, 5, 2]


def test_the_person_axis_is_dropped_only_for_one_person():
    a = np.ones((2, 3, 1))
    assert one_person(a, PreprocessConfig(persons=1)).shape == (2, 3)
    assert one_person(a, PreprocessConfig(persons=2)).shape == (2, 3, 1)


def modules_after(code, *args):
    "Which of the heavy modules a fresh process has loaded after some code."
    report = f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report, *map(str, args)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_importing_last_loads_nothing_heavy():
    assert modules_after("import last") == ["[]"]


def test_importing_the_recognizer_loads_nothing_heavy():
    assert modules_after("import last.recognizer") == ["[]"]


def test_a_file_with_preprocessing_inside_answers_without_torch(joints_file, toy, folder):
    clip = folder / "clip.npy"
    np.save(clip, toy[0])
    code = (
        "import sys, numpy, last\n"
        "recognizer = last.load(sys.argv[1])\n"
        "print(recognizer(numpy.load(sys.argv[2])).shape)"
    )
    assert modules_after(code, joints_file, clip) == ["(1, 2)", "[]"]
