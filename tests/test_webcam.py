"Clips as a webcam sees them, and the weights that come with the package."

import pytest
import torch

import last
from last.core import WEIGHTS, find_run
from last.preprocessing import PreprocessConfig
from last.skeletons import get_skeleton
from last.store import toy_store
from last.streaming import StreamingRecognizer
from last.training import SkeletonTask, TrainConfig
from last.webcam import few_pictures, hold_lost, lost_joints, through_webcam


@pytest.mark.parametrize("name", ("core15", "coco17", "ntu25", "hdm05"))
def test_any_skeleton_and_two_persons(name):
    skeleton = get_skeleton(name)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(6, 3, 24, skeleton.V, 2, generator=g)
    mask = torch.rand(6, 24, 2, generator=g) < 0.8
    seen = through_webcam(x, mask, skeleton, g)
    assert seen.shape == x.shape
    assert seen.isfinite().all()
    assert not torch.equal(seen[:, : skeleton.dims], x[:, : skeleton.dims])
    again = through_webcam(x, mask, skeleton, torch.Generator().manual_seed(5))
    same = through_webcam(x, mask, skeleton, torch.Generator().manual_seed(5))
    assert torch.equal(again, same)
    assert torch.equal((seen != 0).any(3).any(1), mask)


def test_every_picture_is_the_clip_itself():
    x = torch.randn(2, 3, 17, 15, 1)
    every = torch.tensor([1, 3])
    shown = few_pictures(x, torch.ones(2, 17, 1, dtype=torch.bool), every)
    assert torch.equal(shown[0], x[0])
    torch.testing.assert_close(shown[1][:, 1::3], x[1][:, 1::3])  # the last one is a picture
    assert not torch.allclose(shown[1], x[1])


def test_nobody_is_mixed_with_nobody():
    x, mask = torch.zeros(1, 3, 17, 15, 1), torch.zeros(1, 17, 1, dtype=torch.bool)
    x[:, :, 5:10], mask[:, 5:10] = 1, True
    shown = few_pictures(x, mask, torch.tensor([3]))
    assert (shown[:, :, 5:10] == 1).all()


def test_lost_feet_lie_at_the_root():
    core = get_skeleton("core15")
    x = torch.randn(1, 3, 10, core.V, 1)
    ankle = core.joints.index("left ankle")
    lost = torch.zeros(1, 10, core.V, dtype=torch.bool)
    lost[..., ankle] = True
    held = hold_lost(x, lost, core)
    torch.testing.assert_close(held[..., ankle, :], held[..., core.root[0], :])
    assert lost_joints(300, 10, core, torch.Generator().manual_seed(0)).any((0, 1)).sum() == 8


def test_amounts_are_in_heights_of_a_body(tmp_path):
    toy_store(tmp_path / "store")
    store = last.store.Store(tmp_path / "store")
    cfg = TrainConfig(str(tmp_path / "store"), "run", "given", pre=PreprocessConfig(scale="std"))
    cfg.aug.webcam_p = 0.5
    with pytest.raises(ValueError, match=r"--pre\.scale body"):
        SkeletonTask(cfg, store)


@pytest.mark.parametrize("name", sorted(file.parent.name for file in WEIGHTS.glob("*/config.json")))
def test_shipped_weights_open_by_their_name(name):
    size = sum(file.stat().st_size for file in find_run(name).iterdir())
    assert size < 3_000_000
    network = StreamingRecognizer(name) if name == "core15" else last.load(name)
    assert len(network.classes) in (11, 12)


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_run("core15") == WEIGHTS / "core15"
    (tmp_path / "core15").mkdir()
    assert str(find_run("core15")) == "core15"
    with pytest.raises(FileNotFoundError, match="these ship: core15, hdm05"):
        find_run("core16")
