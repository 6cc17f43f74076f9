"""Files that `export` writes: the same network, described, and refused where something is wrong."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import last
from last import export as room
from last.export import (
    ExportConfig,
    FromJoints,
    Network,
    check_difference,
    example,
    export,
    joints_file,
    network_file,
    some_clips,
    verify_file,
)
from last.joints import Skeleton
from last.onnx_files import onnx_bytes, onnx_session
from last.preprocessing import PreprocessConfig
from last.recognizer import feeds_of, joint_feed, logits_of_run
from last.runs import load_run, load_weights
from last.store import Store, toy_store
from last.training import TrainConfig, train

SETTINGS = dict(model="nano", schedule="cosine", warmup=1, lr=4e-3, batch=8, device="cpu")


def fit(data, out, epochs, **pre):
    "A run on the toy store."
    settings = PreprocessConfig(frames=16, **pre)
    cfg = TrainConfig(
        str(data), str(out), "given", epochs=epochs, part="train", pre=settings, **SETTINGS
    )
    train(cfg, quiet=True)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "store"
    toy_store(folder)
    return folder


@pytest.fixture(scope="module")
def one(data, tmp_path_factory):
    "Folder of a run that reads one person."
    return fit(data, tmp_path_factory.mktemp("one") / "run", epochs=8)


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    "Folder of a run that reads two persons, in all streams."
    folder = tmp_path_factory.mktemp("two") / "run"
    return fit(data, folder, epochs=2, persons=2, stream="all", align=True)


@pytest.fixture(scope="module")
def clips(data):
    store = Store(data)
    return [store[i] for i in range(16)]  # each (1, T, 25, 3)


@pytest.fixture(scope="module")
def pairs(clips):
    "Clips of two persons and of one, in turns."
    out = []
    for i, clip in enumerate(clips):
        beside = clip + np.float32([0.8, 0, 0])
        out.append(clip if i % 2 else np.concatenate([clip, beside]))

    return out


@pytest.fixture(scope="module")
def written(data, one, two, tmp_path_factory):
    "Every kind of file, of one run or the other: (run, kind) -> (path, result)."
    folder = tmp_path_factory.mktemp("files")
    kinds = {
        "fp32": {},
        "fp32-joints": dict(joints=True),
        "fp16": dict(fp16=True),
        "fp16-joints": dict(fp16=True, joints=True),
        "int8": dict(int8=True),
        "int8-joints": dict(int8=True, joints=True),
    }
    chosen = [("one", kind) for kind in ("fp32", "fp32-joints", "fp16", "int8")]
    chosen += [("two", kind) for kind in ("fp32", "fp16-joints", "int8-joints")]
    folders = dict(one=one, two=two)

    out = {}
    for name, kind in chosen:
        path = folder / f"{name}-{kind}.onnx"
        cfg = ExportConfig(str(folders[name]), str(path), data=str(data), clips=32, **kinds[kind])
        out[name, kind] = path, export(cfg)

    return out


def test_float_files_decide_as_the_run(written):
    for (name, kind), (_, result) in written.items():
        least = 0.9 if "int8" in kind else 1
        assert result["agreement"] >= least, (name, kind)
        assert result["compared"] == 32 and result["clips"] == "training clips"


def test_every_file_gives_the_probabilities_of_the_run(written, one, two, clips):
    tolerance = {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.2}
    expected = {"one": last.load(one)(clips), "two": last.load(two)(clips)}
    for (name, kind), (path, _) in written.items():
        got = last.load(path)(clips)
        np.testing.assert_allclose(got.sum(1), 1, atol=1e-3 if "fp16" in kind else 1e-5)
        np.testing.assert_allclose(got, expected[name], atol=tolerance[kind.split("-")[0]])


def test_smaller_precisions_make_smaller_files(written):
    sizes = [written["one", kind][1]["bytes"] for kind in ("fp32", "fp16", "int8")]
    assert sizes[0] > sizes[1] > sizes[2]


def test_file_names_its_weights_and_they_start_a_training(written, one):
    path = written["one", "fp32"][0]
    weights = path.with_suffix(".safetensors")
    facts = onnx_session(str(path)).get_modelmeta().custom_metadata_map
    assert facts["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    assert load_weights(load_run(one).model, weights) == []


def test_file_says_what_it_is(written, data, two):
    facts = onnx_session(str(written["two", "int8-joints"][0])).get_modelmeta().custom_metadata_map
    store = Store(data)
    assert json.loads(facts["classes"]) == list(store.classes)
    assert json.loads(facts["joints"]) == list(store.skeleton.joints)
    assert json.loads(facts["preprocessing"])["stream"] == "all"
    assert json.loads(facts["environment"])["torch"] == torch.__version__
    assert facts["data_fingerprint"] == store.fingerprint
    assert (facts["persons"], facts["frames"]) == ("2", "16")
    assert Skeleton.from_dict(json.loads(facts["skeleton"])) == store.skeleton
    assert (facts["model"], facts["protocol"], facts["seed"]) == ("nano", "given", "0")
    assert (facts["precision"], facts["input"]) == ("int8", "joints")


def test_place_of_an_absent_person_is_not_read(two, pairs):
    run = load_run(two)
    feed = feeds_of(run.pipeline, pairs, joints=False)[0]
    session = onnx_session(onnx_bytes(Network(run.model), example(run)))
    logits = session.run(None, feed)[0]
    np.testing.assert_allclose(logits, logits_of_run(run, pairs), atol=1e-4)

    lone = ~feed["mask"].any(1)[:, 1]  # (B,)
    assert lone.tolist() == [False, True] * 8
    feed["skeleton"][lone, ..., 1] = 7.0
    np.testing.assert_allclose(session.run(None, feed)[0], logits, atol=1e-5)


def test_joints_of_two_persons_may_have_any_length_and_gaps(two, pairs):
    run = load_run(two)
    session = onnx_session(joints_file(run, pairs))
    for T in (1, 31, 64, 300):
        clip = np.resize(pairs[0], (2, T, 25, 3))
        clip[0, T // 3, 5] = np.nan
        both = [clip, pairs[1]]
        expected = torch.from_numpy(logits_of_run(run, both)).softmax(-1)
        got = session.run(None, joint_feed(both, 2))[0]
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_preprocessing_inside_is_the_same_as_outside(one, clips):
    run = load_run(one)
    module = FromJoints(run.model, run.pipeline).eval()
    feed = {k: torch.from_numpy(v) for k, v in joint_feed(clips, 1).items()}
    with torch.no_grad():
        got = module(**feed)
    expected = torch.from_numpy(logits_of_run(run, clips)).softmax(-1)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_network_file_needs_no_run(one, clips):
    run = load_run(one)
    x, _ = run.pipeline.clips(clips)
    session = onnx_session(network_file(run.model, tuple(x.shape[1:4])))
    got = session.run(None, dict(skeleton=x[..., 0].numpy()))[0]
    np.testing.assert_allclose(got, logits_of_run(run, clips), atol=1e-4)


def test_export_without_data_is_checked_on_invented_clips(one, tmp_path):
    result = export(ExportConfig(str(one), str(tmp_path / "blind.onnx")))
    assert result["clips"] == "invented clips" and result["compared"] == 32


def test_clips_are_spread_over_those_trained_on(one, data):
    run = load_run(one)
    store = Store(data)
    trained = store.part("given", "train")
    some = some_clips(run, one, str(data), 2)
    assert len(some) == 2
    np.testing.assert_array_equal(some[0], store[int(trained[0])])
    np.testing.assert_array_equal(some[1], store[int(trained[-1])])
    assert len(some_clips(run, one, str(data), 10_000)) == len(trained)


def test_too_few_clips_and_foreign_data_are_refused(one, tmp_path):
    run = load_run(one)
    toy_store(tmp_path / "other", clips=8, seed=1)
    with pytest.raises(ValueError, match="--clips must be at least 2"):
        some_clips(run, one, "", 1)
    with pytest.raises(ValueError, match=r"not the data that .* was trained on"):
        some_clips(run, one, str(tmp_path / "other"), 8)


def test_margin_is_the_clearest_decision_that_changed(one, clips):
    run = load_run(one)
    file = network_file(run.model, (3, 16, 25))
    exact = logits_of_run(run, clips)

    changed = load_run(one)
    changed.model.head.bias.data[0] += 100  # the changed run always answers 0
    check = verify_file(file, changed, clips, joints=False)
    other = exact.argmax(1) == 1
    shifted = exact + np.float32([100, 0])
    lead = (shifted[:, 0] - shifted[:, 1])[other].max() / np.abs(shifted).max()
    assert check["agreement"] == 1 - other.mean()
    assert check["margin"] == pytest.approx(lead, rel=1e-4)
    assert check["clips"] == len(clips)


def test_wrong_file_is_not_written(one, tmp_path, monkeypatch):
    class Broken(Network):
        def __init__(self, model, half=False):
            super().__init__(model, half)
            self.model.head.bias.data[0] += 0.1

    monkeypatch.setattr(room, "Network", Broken)
    out = tmp_path / "never.onnx"
    with pytest.raises(ValueError, match=r"would differ .* nothing was written"):
        export(ExportConfig(str(one), str(out)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["difference", "margin"])
@pytest.mark.parametrize("precision, limit", [("fp32", 1e-4), ("fp16", 1e-2)])
def test_limits(precision, limit, key):
    check = dict(clips=9, difference=0.0, agreement=1.0, margin=0.0)
    check_difference(check | {key: 0.99 * limit}, precision, "run")
    check_difference(check | {key: 1.0}, "int8", "run")
    with pytest.raises(ValueError, match=f"run: the {precision} file would differ"):
        check_difference(check | {key: 1.01 * limit}, precision, "run")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(int8=True), "--int8 needs --data"),
        (dict(int8=True, fp16=True), "choose one of --fp16 and --int8"),
        (dict(out="model.pt"), "ends in .onnx"),
        (dict(run="none"), "no such run or file"),
    ],
)
def test_bad_settings_are_refused(one, tmp_path, change, message):
    cfg = ExportConfig(str(one), str(tmp_path / "m.onnx"))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        export(replace(cfg, **change))


def test_folder_of_a_run_is_not_written_into(one):
    with pytest.raises(ValueError, match="this is a run's folder"):
        export(ExportConfig(str(one), str(one / "best.onnx")))


def test_file_without_metadata_is_refused(one, tmp_path):
    run = load_run(one)
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(network_file(run.model, (3, 16, 25)))
    with pytest.raises(ValueError, match=r"not one of `python -m last export`"):
        last.load(foreign)


def test_network_without_layers_worth_it_is_not_quantized(one, data, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "quantizable_nodes", lambda file: {})
    with pytest.raises(ValueError, match="no layer worth quantizing"):
        export(ExportConfig(str(one), str(tmp_path / "m.onnx"), int8=True, data=str(data)))


def test_recognizer_takes_single_clips_lists_and_refuses_others(written, clips):
    recognizer = last.load(written["one", "fp32-joints"][0])
    expected = recognizer(clips[0])
    np.testing.assert_allclose(recognizer(clips[0][0]), expected, atol=1e-6)
    np.testing.assert_allclose(recognizer([clips[0][0].tolist()]), expected, atol=1e-6)
    for bad, message in (
        (np.zeros((4, 17, 3)), r"expected clips \(T, 25, 3\)"),
        ([], "no clips"),
        (np.ones((12, 4, 25, 3)), "given as a list"),
        (np.ones((0, 25, 3)), "without frames"),
    ):
        with pytest.raises(ValueError, match=message):
            recognizer(bad)
