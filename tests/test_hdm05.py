"""The embedded data: what is in it, that it equals the raw files, and its license."""

import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT

from last.cli import main
from last.core import ParseError
from last.datasets import DATASETS
from last.hdm05 import ACTORS, PACK, clip_of, read_hdm05, read_pack, write_pack
from last.kinematics import read_amc, read_asf
from last.preparation import PrepareConfig, prepare
from last.skeletons import get_skeleton
from last.store import Store

SENTENCE = "The data used in this project was obtained from HDM05."


@pytest.fixture(scope="module")
def clips():
    return read_pack()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare(PrepareConfig(out=str(tmp_path_factory.mktemp("stores") / "hdm05")))


@pytest.fixture(scope="module")
def raw():
    "Folder of the raw files."
    if "LAST_DATA" not in os.environ:
        pytest.skip("LAST_DATA is not set")
    return next(Path(os.environ["LAST_DATA"]).rglob("HDM_bd.asf")).parent


def test_the_pack_is_small_and_complete(clips):
    assert len(PACK.read_bytes()) <= 2e6
    assert len(clips) == len({clip.name for clip in clips}) == 287
    assert {clip.label for clip in clips} == set(range(11))
    assert {clip.points.shape[::2] for clip in clips} == {(1, 31)}
    assert all(clip.points.dtype == np.float32 and clip.present.all() for clip in clips)


def test_pack_and_raw_files_are_the_same_clips(clips, raw):
    paths = sorted(raw.glob("HDM_*_120.amc"), key=lambda path: path.stem)
    assert [path.stem for path in paths] == [clip.name for clip in clips]
    for path, packed in zip(paths[::10], clips[::10]):
        clip = read_hdm05(path)
        assert (clip.label, clip.subject) == (packed.label, packed.subject)
        assert clip.replication == packed.replication
        assert np.abs(clip.points - packed.points).max() <= 0.0005 + 1e-6


def test_the_skeleton_is_that_of_the_file(raw):
    motion = read_amc(raw / "HDM_bd_squat1Reps_012_120.amc", read_asf(raw / "HDM_bd.asf"))
    skeleton = get_skeleton("hdm05")
    assert skeleton.parents == motion.parents
    for joint, name in zip(skeleton.joints, motion.names):
        if joint.split()[0] in ("left", "right"):
            assert joint[0] == name[0]


def test_written_and_read_again_nothing_changes(clips, tmp_path):
    write_pack(tmp_path / "pack.npz", clips[:5])
    for clip, again in zip(clips, read_pack(tmp_path / "pack.npz")):
        assert clip.name == again.name
        assert np.array_equal(clip.points, again.points)


def test_a_damaged_pack_is_named(tmp_path):
    data = PACK.read_bytes()
    (tmp_path / "pack.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ParseError, match=r"pack.npz.*damaged"):
        read_pack(tmp_path / "pack.npz")


def test_a_name_of_another_class_is_refused():
    with pytest.raises(ParseError, match="HDM_bd_walk_001_120"):
        clip_of("HDM_bd_walk_001_120", np.zeros((3, 31, 3)))


def test_protocols_have_the_sizes_of_the_literature(store):
    parts = {part: store.part("xsub", part) for part in ("train", "fit", "val", "test")}
    assert (len(parts["train"]), len(parts["test"])) == (188, 99)
    for turn, actor in (("xsub-bd", 1), ("xsub-bk", 2), ("xsub", 3)):
        assert set(store.index.subjects[store.part(turn, "val")]) == {actor}
        assert set(store.index.subjects[store.part(turn, "test")]) == {4, 5}

    for number, actor in enumerate(ACTORS, 1):
        assert set(store.index.subjects[store.part(f"actor-{actor}", "test")]) == {number}
        assert number not in store.index.subjects[store.part(f"actor-{actor}", "train")]


def test_prepare_needs_nothing_and_info_names_the_license(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time there is nothing to do
        assert main(["prepare", "--dataset", "hdm05"]) == 0
    capsys.readouterr()
    assert main(["info", "stores/hdm05"]) == 0
    shown = capsys.readouterr().out
    assert "CC BY-SA 3.0" in shown
    assert SENTENCE in shown
    assert len(Store(tmp_path / "stores/hdm05")) == 287


def test_other_datasets_still_need_their_files(tmp_path, capsys):
    assert main(["prepare", "--dataset", "ntu60", "--out", str(tmp_path / "s")]) == 2
    assert "ntu60 does not come with the package" in capsys.readouterr().err


def test_the_license_lies_beside_the_data():
    folder = ROOT / "last/hdm05_pack"
    assert "Attribution-ShareAlike 3.0 Unported" in (folder / "LICENSE").read_text()
    about = (folder / "README.md").read_text()
    assert SENTENCE in about
    assert "CG-2007-2" in about
    assert "CC BY-SA 3.0" in DATASETS["hdm05"].license
    for page in ("NOTICE", "README.md", "docs/model_card.md"):
        assert "CC BY-SA 3.0" in (ROOT / page).read_text(encoding="utf-8"), page
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_notebooks_that_show_these_people_say_so():
    "Their pictures carry the line that the license asks for (`last.drawing.attribute`)."
    shown = []
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        code = "\n".join(c.source for c in cells if not c.source.startswith("#| export"))
        pictures = any("image/png" in o.get("data", {}) for c in cells for o in c.outputs)
        drawn = re.search(r"draw_(pose|clip)\(|animate_clip\(|read_amc\(kick", code)
        if pictures and drawn and re.search(r"read_pack\(|read_amc\(kick", code):
            shown.append(path.stem)
            assert "CREDIT" in code, path.name

    assert {"04_kinematics", "05_hdm05", "07_normalization", "10_pipeline"} <= set(shown)


def test_the_pack_goes_into_another_skeleton(store, tmp_path):
    core = prepare(PrepareConfig(out=str(tmp_path / "core"), as_skeleton="core15"))
    assert core.skeleton.name == "core15"
    head = store.skeleton.joints.index("head")
    assert np.array_equal(core[0][:, :, 0], store[0][:, :, head])
    kinect = prepare(PrepareConfig(out=str(tmp_path / "ntu"), as_skeleton="ntu25", up="-y"))
    assert kinect.points.shape[1:] == (25, 3)
    assert np.nanmean(kinect.points[:, 3, 1]) < 0  # heads down, as was asked for


def test_the_demo_has_the_recipe_that_was_measured():
    import yaml

    config = yaml.safe_load((ROOT / "last/configs/hdm05.yaml").read_text(encoding="utf-8"))
    grid = yaml.safe_load((ROOT / "experiments/grids/real_hdm05.yaml").read_text(encoding="utf-8"))
    assert config == grid["settings"] | {"protocol": "xsub", "part": "train"}
