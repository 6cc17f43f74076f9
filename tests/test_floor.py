"The floor: repeatable, blind to absent persons, able to learn, and written down whole."

import json

import numpy as np
import pytest
import torch

from last.floor import (
    TAPS,
    FloorConfig,
    RandomConvolutions,
    convolve,
    draw_kernels,
    floor,
    maximum_and_share,
)
from last.preprocessing import PreprocessConfig
from last.store import Store, toy_store


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "store"
    toy_store(folder, clips=80, classes=3)
    return folder


def settings(toy, out, **changes):
    return FloorConfig(str(toy), "given", str(out), **{"kernels": 50, **changes})


@pytest.fixture
def clips():
    "Four clips of one person; the last one is seen in its first half only."
    g = torch.Generator().manual_seed(1)
    x, mask = torch.randn(4, 3, 32, 5, 1, generator=g), torch.ones(4, 32, 1, dtype=torch.bool)
    mask[3, 16:] = False
    return x * mask[:, None, :, None], mask


def convolutions_for(clips, seed=0):
    found = RandomConvolutions(15, 32, kernels=20, seed=seed)
    found.set_thresholds(*clips)
    return found


def test_kernels_answer_to_movement_alone():
    kernels = draw_kernels(7, 12, 3, torch.Generator().manual_seed(0))
    assert kernels.shape == (7, 12, TAPS)
    assert ((kernels != 0).any(2).sum(1) == 3).all()
    assert kernels.sum(2).abs().max() < 1e-5

    still = torch.ones(1, 12, 40)
    assert convolve(still, kernels, 2)[..., 8:-8].abs().max() < 1e-4


def test_a_dilated_kernel_equals_a_sum():
    g = torch.Generator().manual_seed(0)
    series, kernels = torch.randn(1, 4, 40, generator=g), draw_kernels(2, 4, 4, g)
    t, d = 20, 3
    by_hand = sum(kernels[:, :, i] @ series[0, :, t + d * (i - 4)] for i in range(TAPS))
    torch.testing.assert_close(convolve(series, kernels, d)[0, :, t], by_hand)


def test_frames_that_are_not_valid_do_not_count():
    y = torch.tensor([[[5.0, 1.0, 2.0, 3.0]]])
    valid = torch.tensor([[False, True, True, True]])
    found = maximum_and_share(y, torch.tensor([1.5]), valid)
    torch.testing.assert_close(found, torch.tensor([[3.0, 2 / 3]]))


def test_a_seed_decides_everything(clips):
    vectors = convolutions_for(clips)(*clips)
    assert torch.equal(vectors, convolutions_for(clips)(*clips))
    assert not torch.equal(vectors, convolutions_for(clips, seed=1)(*clips))


def test_absent_persons_do_not_matter(clips):
    convolutions = convolutions_for(clips)
    x, mask = clips
    garbage = torch.full_like(x, 1e6)
    absent = torch.zeros_like(mask)
    for order in ((x, garbage), (garbage, x)):
        masks = (mask, absent) if order[0] is x else (absent, mask)
        both = convolutions(torch.cat(order, -1), torch.cat(masks, -1))
        torch.testing.assert_close(both, convolutions(x, mask))


def test_thresholds_come_from_persons_who_are_present(clips):
    x, mask = clips
    x, mask = torch.cat([x, torch.zeros_like(x)], -1), torch.cat([mask, torch.zeros_like(mask)], -1)
    for thresholds in convolutions_for((x, mask)).thresholds:
        assert (thresholds != 0).all()


def test_a_present_second_person_matters(clips):
    x, mask = clips
    convolutions = convolutions_for(clips)
    both = convolutions(torch.cat([x, x.flip(2)], -1), torch.cat([mask, mask.flip(1)], -1))
    assert not torch.allclose(both, convolutions(x, mask), atol=1e-2)


def test_more_padding_changes_nothing(clips):
    x, mask = (part[:3] for part in clips)
    convolutions = convolutions_for((x, mask))
    frames = torch.cat([x, torch.zeros_like(x)], 2), torch.cat([mask, torch.zeros_like(mask)], 1)
    torch.testing.assert_close(convolutions(*frames), convolutions(x, mask))


def test_nobody_at_all_is_a_vector_of_zeros(clips):
    x, mask = clips
    convolutions = convolutions_for(clips)
    assert (convolutions(x, torch.zeros_like(mask)) == 0).all()


def test_learns_a_small_set_and_writes_it_down(toy, tmp_path):
    out = tmp_path / "new" / "floor.json"
    result = floor(settings(toy, out))
    assert result["metrics"]["top1"] >= 95
    assert result["metrics"]["clips"] == len(result["correct"]) == 20
    assert result["correct"].count("1") == round(0.2 * result["metrics"]["top1"])

    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["config"]["seed"] == 0
    assert written["fingerprint"] == Store(toy).fingerprint
    assert written["part"] == "test"
    assert {"torch", "numpy", "scikit-learn", "commit"} <= set(written["environment"])
    assert written["cpu_seconds"] > 0 and written["alpha"] > 0
    features = 2 * 50 * 3  # maximum and share, kernels, dilations
    assert written["parameters"] == 3 * (features + 1)


def test_the_same_seed_gives_the_same_result(toy, tmp_path):
    marks = [floor(settings(toy, tmp_path / f"{i}.json", kernels=2, read=1)) for i in range(2)]
    assert marks[0]["correct"] == marks[1]["correct"]
    assert marks[0]["alpha"] == marks[1]["alpha"]


def test_validation_judges_while_choosing(toy, tmp_path):
    result = floor(settings(toy, tmp_path / "f.json", part="fit"))
    store = Store(toy)
    assert result["part"] == "val"
    assert result["metrics"]["clips"] == len(store.part("given", "val"))


def test_test_labels_are_not_learned_from(toy, tmp_path, monkeypatch):
    "Other labels in the test part change the score and nothing else."
    honest = floor(settings(toy, tmp_path / "a.json"))
    opened = Store.__init__

    def scramble(store, path):
        opened(store, path)
        test = store.part("given", "test")
        store.index.labels[test] = (store.index.labels[test] + 1) % 3

    monkeypatch.setattr(Store, "__init__", scramble)
    fooled = floor(settings(toy, tmp_path / "b.json"))
    assert fooled["alpha"] == honest["alpha"]
    assert fooled["metrics"]["top1"] <= 5


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(kernels=0), "kernels and read must be at least 1"),
        (dict(pre=PreprocessConfig(frames=8)), "pre.frames: kernels span 9 frames, found 8"),
        (dict(protocol="xsub"), "no protocol 'xsub'"),
    ],
)
def test_bad_settings_are_named(toy, tmp_path, changes, words):
    cfg = settings(toy, tmp_path / "f.json")
    for key, value in changes.items():
        setattr(cfg, key, value)
    with pytest.raises(ValueError, match=words):
        floor(cfg)
    assert not (tmp_path / "f.json").exists()


def test_command_line(toy, tmp_path, capsys):
    from last.cli import main

    line = ["--data", str(toy), "--protocol", "given", "--out", str(tmp_path / "f.json")]
    assert main(["floor", *line, "--kernels", "50"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("20 clips   top-1 ") and "s of CPU time" in shown
    assert np.isfinite(json.loads((tmp_path / "f.json").read_text("utf-8"))["metrics"]["top1"])
