"Run folders: read whole, or refused with a message that names what is wrong."

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from last.continuation import config_diff, continue_info
from last.preprocessing import PreprocessConfig
from last.runs import (
    FIRST_VERSIONS,
    RunInfo,
    describe_head,
    load_run,
    load_weights,
    outdated,
    trained_on,
    versions_today,
)
from last.skeletons import get_skeleton
from last.training import TrainConfig
from last.zoo import build_model

CLASSES = ["up", "down", "rest"]


@pytest.fixture
def info():
    pre = PreprocessConfig(frames=16)
    cfg = TrainConfig("store", "run", "given", model="nano", lr=4e-3, pre=pre)
    config, skeleton = dataclasses.asdict(cfg), get_skeleton("ntu25")
    return RunInfo(config, "own", skeleton, CLASSES, "f00d", {"torch": "2"})


@pytest.fixture
def run(tmp_path, info):
    "A run's folder with an untrained network."
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(build_model("nano", "ntu25", 3).state_dict(), folder / "last.safetensors")
    (folder / "config.json").write_text(json.dumps(info.as_dict()))
    (folder / "trained_on.txt").write_text("a\nb\n")
    return folder


def settings_of(run):
    return TrainConfig(**{**RunInfo.read(run).config, "pre": PreprocessConfig(frames=16)})


def test_info_survives_writing_and_reading(run, info):
    again = RunInfo.read(run)
    assert json.dumps(again.as_dict()) == json.dumps(info.as_dict())
    assert again.skeleton == info.skeleton
    assert again.pre == PreprocessConfig(frames=16)
    assert "teacher" not in again.as_dict()


def test_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run here .*python -m last train"):
        RunInfo.read(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no run here"):
        load_run(tmp_path)


@pytest.mark.parametrize("text", ("{}", "[]", "{", '{"config": 3}', '"text"'))
def test_broken_config_is_named(run, text):
    (run / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"run/config.json: not a run's settings"):
        RunInfo.read(run)


def test_config_that_is_no_table_is_named(run, info):
    (run / "config.json").write_text(json.dumps(info.as_dict() | dict(config=[1])))
    with pytest.raises(ValueError, match=r"config.json: not a run's settings"):
        RunInfo.read(run)


def test_missing_setting_is_named(run, info):
    facts = info.as_dict()
    facts["config"] = {k: v for k, v in facts["config"].items() if k not in ("seed", "part")}
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"not a run's settings .config has no part, seed."):
        RunInfo.read(run)


@pytest.mark.parametrize("change", (dict(pre=None), dict(pre={"frame": 3})))
def test_run_without_preprocessing_is_not_a_skeleton_run(run, info, change):
    facts = info.as_dict()
    facts["config"] = facts["config"] | change
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"config.json: not a skeleton run's settings"):
        load_run(run)


def test_loaded_run_is_in_eval_mode_with_its_weights(run):
    loaded = load_run(run)
    assert not loaded.model.training
    for name, value in load_file(run / "last.safetensors").items():
        assert torch.equal(loaded.model.state_dict()[name], value)


def test_other_number_of_classes_leaves_out_the_head_alone(run):
    model = build_model("nano", "ntu25", 9)
    assert sorted(load_weights(model, run)) == ["head.bias", "head.weight"]
    saved = load_file(run / "last.safetensors")
    assert torch.equal(model.stem.weight, saved["stem.weight"])
    assert model.head.weight.shape == (9, 48)


def test_head_that_does_not_fit_config_is_refused(run, info):
    other = dataclasses.replace(info, classes=["up", "down"])
    (run / "config.json").write_text(json.dumps(other.as_dict()))
    with pytest.raises(ValueError, match=r"weights and config.json do not belong together"):
        load_run(run)


def test_weights_of_another_skeleton_are_refused(run):
    with pytest.raises(ValueError, match=r"do not fit this model .* for instance"):
        load_weights(build_model("nano", "coco17", 3), run)


def test_incomplete_weights_are_refused(run):
    weights = load_file(run / "last.safetensors")
    del weights["stem.weight"]
    save_file(weights, run / "last.safetensors")
    with pytest.raises(ValueError, match=r"1 weights do not fit this model .* stem\.weight"):
        load_weights(build_model("nano", "ntu25", 3), run)


def test_missing_and_damaged_weights_are_named(run):
    model = build_model("nano", "ntu25", 3)
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such weights"):
        load_weights(model, run / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"best.safetensors: no such weights"):
        load_run(run, "best")

    file = run / "last.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"last.safetensors: not a readable \.safetensors file"):
        load_weights(model, run)


def test_trained_on_lists_names(run):
    assert trained_on(run) == {"a", "b"}
    (run / "trained_on.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"nobody knows what the run has seen"):
        trained_on(run)


def test_same_settings_continue(run, info):
    cfg = settings_of(run)
    elsewhere = dataclasses.replace(cfg, data="moved", out="moved", threads=3, device="cpu")
    assert continue_info(run, elsewhere, info).as_dict() == RunInfo.read(run).as_dict()


def test_differences_are_named_with_both_values(run):
    pre = PreprocessConfig(frames=8)
    cfg = dataclasses.replace(settings_of(run), lr=1e-4, pre=pre)
    diff = config_diff(cfg, RunInfo.read(run).config)
    assert diff == ["lr 0.004 -> 0.0001", "pre.frames 16 -> 8"]


def test_setting_that_an_older_file_lacks_had_its_default(run):
    cfg = settings_of(run)
    older = {k: v for k, v in RunInfo.read(run).config.items() if k != "patience"}
    assert config_diff(cfg, older) == []
    assert config_diff(dataclasses.replace(cfg, patience=2), older) == ["patience 0 -> 2"]


@pytest.mark.parametrize(
    "change, message",
    [(dict(fingerprint="beef"), "the data"), (dict(teacher="cafe"), "the teacher's logits")],
)
def test_other_data_and_other_teacher_are_refused(run, info, change, message):
    fresh = dataclasses.replace(info, **change)
    with pytest.raises(ValueError, match=f"other settings .{message}.; choose another --out"):
        continue_info(run, settings_of(run), fresh)


def test_run_of_another_command_is_refused(run, info):
    facts = info.as_dict()
    facts["config"]["videos"] = "folder"  # a setting that `train` does not have
    (run / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"holds a run of another command .* choose another --out"):
        continue_info(run, settings_of_train(), info)


def settings_of_train():
    return TrainConfig("store", "run", "given", model="nano")


def test_head_follows_the_names_of_the_classes(run):
    saved = load_file(run / "last.safetensors")
    model = build_model("nano", "ntu25", 3)
    assert load_weights(model, run, ["rest", "up", "down"]) == []
    assert torch.equal(model.head.weight, saved["head.weight"][[2, 0, 1]])
    assert torch.equal(model.head.bias, saved["head.bias"][[2, 0, 1]])


def test_head_of_other_classes_of_the_same_number_is_left_out(run):
    model = build_model("nano", "ntu25", 3)
    fresh = model.head.weight.clone()
    assert sorted(load_weights(model, run, ["a", "b", "c"])) == ["head.bias", "head.weight"]
    assert torch.equal(model.head.weight, fresh)


@pytest.mark.parametrize(
    "classes, words",
    [
        (CLASSES, "head taken over: same classes"),
        (CLASSES[::-1], "in another order: the head's rows were reordered"),
        (["a", "b", "c"], "head left out: classes differ"),
        (["up", "down"], "head left out: classes differ"),
    ],
    ids=("same", "reordered", "others", "fewer"),
)
@pytest.mark.parametrize("file", ("", "last.safetensors"), ids=("folder", "file"))
def test_it_is_said_what_became_of_the_head(run, classes, words, file):
    left_out = load_weights(build_model("nano", "ntu25", len(classes)), run / file, classes)
    assert words in describe_head(run / file, classes, left_out)


def test_weights_without_a_run_name_no_classes(run, tmp_path):
    alone = tmp_path / "elsewhere.safetensors"
    alone.write_bytes((run / "last.safetensors").read_bytes())
    left_out = load_weights(build_model("nano", "ntu25", 3), alone, CLASSES[::-1])
    assert left_out == []
    assert describe_head(alone, CLASSES[::-1], left_out).startswith("head taken over: as many")


def longer(run, more=20):
    cfg = settings_of(run)
    return dataclasses.replace(cfg, epochs=cfg.epochs + more)


def test_more_epochs_than_a_finished_run_had_are_another_run(run, info):
    way = f"finished.*--init {run} --epochs 20 --schedule cosine --out {run}-more$"
    with pytest.raises(ValueError, match=rf"epochs 70 -> 90.*{way}"):
        continue_info(run, longer(run), info)


def test_more_epochs_than_an_unfinished_run_wants(run, info):
    (run / "last.safetensors").unlink()
    with pytest.raises(ValueError, match=r"epochs 70 -> 90.*go on with --epochs 70, or choose"):
        continue_info(run, longer(run), info)


@pytest.mark.parametrize("change", (dict(more=-20), dict(more=20, lr=1.0)), ids=("fewer", "lr too"))
def test_other_changes_name_no_way_on(run, info, change):
    more = change.pop("more")
    cfg = dataclasses.replace(longer(run, more), **change)
    with pytest.raises(ValueError, match=r"other settings .*; choose another --out$"):
        continue_info(run, cfg, info)


def trained(model="nano", ema=0.0, **versions):
    return dict(config=dict(model=model, ema=ema), versions=FIRST_VERSIONS | versions)


@pytest.mark.parametrize(
    "made, moved",
    [
        (trained(), []),
        (trained(ema=0.99), ["training 1 -> 2"]),
        (trained(ema=0.99, training=2), []),
        (trained("stgcn"), ["network 1 -> 2"]),
        (trained("stgcn", ema=0.99), ["network 1 -> 2", "training 1 -> 2"]),
        (trained("stgcn", network=2), []),
        (trained(pipeline=9), ["pipeline 9 -> 1"]),
        (trained("reference-v1 shift=0"), []),
        (trained("reference shift=0"), ["network 1 -> 2"]),
        (
            dict(config=dict(model="infogcn")),
            ["network 1 -> 2"],
        ),  # says nothing: the first versions
    ],
)
def test_what_is_outdated(monkeypatch, made, moved):
    monkeypatch.setattr("last.runs.PIPELINE_VERSION", 1)
    monkeypatch.setattr("last.runs.TRAINING_VERSION", 2)
    assert outdated(made) == moved


def test_a_change_of_all_training_concerns_every_run(monkeypatch):
    monkeypatch.setattr("last.runs.TRAINING_VERSION", 3)
    assert outdated(trained(training=2)) == ["training 2 -> 3"]


def test_a_new_run_has_the_versions_of_today(tmp_path):
    from last.store import toy_store

    cfg = TrainConfig(str(tmp_path), "run", "given", model="stgcn")
    info = RunInfo.of(cfg, toy_store(tmp_path, clips=4), CLASSES)
    assert info.as_dict()["versions"] == versions_today("stgcn")


def test_weights_of_an_earlier_network_are_refused(run, info):
    earlier = dataclasses.replace(info, versions=FIRST_VERSIONS | {"network": 0})
    (run / "config.json").write_text(json.dumps(earlier.as_dict()))
    with pytest.raises(ValueError, match=r"weights of version 0 of nano, which has version 1 now"):
        load_run(run)


def test_a_run_of_earlier_code_is_not_continued(run, info):
    earlier = dataclasses.replace(info, versions=FIRST_VERSIONS | {"network": 0})
    (run / "config.json").write_text(json.dumps(earlier.as_dict()))
    with pytest.raises(ValueError, match=r"other settings \(network 0 -> 1\)"):
        continue_info(run, settings_of(run), info)
