"A dataset, a skeleton and a network become usable by a row each; nothing else knows their names."

import json

import numpy as np
import pytest
import torch
from torch import nn

from last.cli import main
from last.contract import SkeletonModel
from last.datasets import DATASETS, Dataset
from last.joints import Skeleton
from last.parsing import Clip, parse_name
from last.protocols import split_by
from last.skeletons import SKELETONS
from last.store import Store
from last.zoo import NETWORKS

JOINTS = ("hip", "neck", "left shoulder", "right shoulder", "left hand", "right hand")
STICK = Skeleton("stick6", JOINTS, (1, -1, 1, 1, 2, 3), (0,), (1,), (1,), (2, 3))
NAME = r"(?P<action>\d)_person(?P<subject>\d+)_take(?P<replication>\d+)"


def read_csv(path):
    "One frame per line, six joints of x, y and z: a format that no other reader knows."
    info = parse_name(path.stem, NAME)
    points = np.loadtxt(path, np.float32, delimiter=",").reshape(1, -1, 6, 3)
    return Clip(path.stem, points, info.pop("action") - 1, **info)


def write_csv(folder, label, subject, take):
    "Hands that go up (class 0) or down (class 1)."
    rng = np.random.default_rng([label, subject, take])
    body = [[0, 1, 0], [0, 1.5, 0], [-0.2, 1.5, 0], [0.2, 1.5, 0], [-0.3, 1, 0], [0.3, 1, 0]]
    points = np.tile(np.array(body), (12, 1, 1)) + rng.normal(0, 0.01, (12, 6, 3))
    progress = np.linspace(0, 1, 12) if label == 0 else np.linspace(1, 0, 12)
    points[:, 4:, 1] += progress[:, None]
    path = folder / f"{label + 1}_person{subject}_take{take}.csv"
    np.savetxt(path, points.reshape(12, -1), delimiter=",")


class Flat(SkeletonModel):
    "A network that looks at each frame alone."

    def __init__(self, skeleton, classes, in_channels=3):
        super().__init__(16, classes, dropout=0)
        self.joints = nn.Linear(in_channels * skeleton.V, 16)

    def trunk(self, x, mask):
        poses = x.transpose(1, 2).flatten(2)  # (P, T, C * V)
        return torch.relu(self.joints(poses)).mT[..., None], mask  # (P, 16, T, 1)


@pytest.fixture
def rows(monkeypatch):
    "The three rows, for the time of a test."
    protocol = split_by("subjects", (1, 2, 3, 4), "subjects", (4,), text="persons 5 and 6 test")
    dataset = Dataset(
        "hands",
        "stick6",
        classes=("up", "down"),
        protocols={"persons": protocol},
        read=read_csv,
        pattern="*_person*.csv",
    )
    monkeypatch.setitem(SKELETONS, "stick6", STICK)
    monkeypatch.setitem(DATASETS, "hands", dataset)
    monkeypatch.setitem(NETWORKS, "flat", Flat)
    return dataset


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for label in (0, 1):
        for subject in range(1, 7):
            for take in range(4):
                write_csv(folder, label, subject, take)
    (folder / "notes.csv").write_text("not a clip")
    return folder


def run(*words):
    "A command line in this process; 0 if all went well."
    return main([str(word) for word in words])


def prepare(raw, out, *more):
    words = ("prepare", "--root", raw, "--dataset", "hands", "--out", out, "--workers", 1)
    return run(*words, *more)


def test_three_new_rows_go_through_the_command_line(rows, raw, tmp_path, capsys):
    out, trained = tmp_path / "store", tmp_path / "run"
    assert prepare(raw, out) == 0
    text = capsys.readouterr().out
    assert text.startswith("48 clips\n")
    assert "stick6, 6 joints" in text
    assert "persons     train 32, fit 24, val 8, test 16  [persons 5 and 6 test]" in text
    assert Store(out).classes == ["up", "down"]

    words = ("train", "--data", out, "--protocol", "persons", "--model", "flat", "--out", trained)
    recipe = ("--epochs", 2, "--batch", 4, "--lr", 0.03, "--schedule", "cosine", "--warmup", 0)
    assert run(*words, *recipe, "--pre.frames", 8, "--pre.stream", "all", "--device", "cpu") == 0

    assert run("evaluate", "--run", trained, "--data", out, "--device", "cpu") == 0
    result = json.loads((trained / "results_persons_test.json").read_text())
    assert result["dataset"] == "hands"
    assert result["metrics"]["top1"] > 0.9


def test_classes_may_stay_without_names(rows, raw, tmp_path, monkeypatch):
    unnamed = Dataset("hands", "stick6", (), rows.protocols, rows.read, rows.pattern)
    monkeypatch.setitem(DATASETS, "hands", unnamed)
    assert prepare(raw, tmp_path / "store") == 0
    assert Store(tmp_path / "store").classes == ["0", "1"]


def test_a_new_row_works_in_a_pool_of_processes(rows, raw, tmp_path, monkeypatch):
    monkeypatch.setattr("last.preparation.PART", 24)
    assert prepare(raw, tmp_path / "one") == 0
    assert prepare(raw, tmp_path / "two", "--workers", 2) == 0
    assert Store(tmp_path / "one").fingerprint == Store(tmp_path / "two").fingerprint


def test_a_damaged_file_of_a_new_format_is_named(rows, raw, tmp_path, capsys):
    (raw / "1_person1_take0.csv").write_text("1,2,3\n")
    assert prepare(raw, tmp_path / "store") == 0
    assert "1 damaged or empty" in capsys.readouterr().out

    assert prepare(raw, tmp_path / "strict", "--strict") == 2
    assert "1_person1_take0.csv: ValueError" in capsys.readouterr().err


def test_without_its_row_a_dataset_is_unknown(raw, tmp_path, capsys):
    assert prepare(raw, tmp_path / "store") == 2
    assert "unknown dataset 'hands'; known: ntu60" in capsys.readouterr().err
