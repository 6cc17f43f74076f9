"Training on videos: which video belongs to which clip, augmentation, and runs that go on."

import dataclasses
import shutil
import warnings

import numpy as np
import pytest
import torch
from small_videos import make_videos

from last.batches import EpochOrder
from last.core import ParseError
from last.preprocessing import PreprocessConfig
from last.training import TrainConfig, train
from last.video import normalize_video
from last.video_networks import build_video_network, video_shape
from last.video_training import (
    FinetuneConfig,
    VideoClips,
    VideoPipeline,
    VideoTask,
    find_videos,
    finetune,
    load_video_run,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_videos(folder)
    return folder


@pytest.fixture(scope="module")
def store(place):
    from last.store import Store

    return Store(place / "store")


@pytest.fixture
def cfg(place, tmp_path):
    "Settings for a second of training."
    return FinetuneConfig(
        data=str(place / "store"),
        videos=str(place / "raw"),
        out=str(tmp_path / "run"),
        protocol="xsub",
        model="tsm",
        size=32,
        frames=4,
        cache=str(place / "cache"),
        epochs=2,
        warmup=0,
        batch=6,
        lr=4e-3,
        layer_decay=1.0,
        device="cpu",
    )


def names_of(store):
    return store.index.names.tolist()


def first_batch(cfg, store, n=4):
    task = VideoTask(cfg, store)
    raw, labels, _ = next(iter(task.loader(task.numbers, n)))
    return raw, labels


# ---- videos of clips


def test_every_clip_has_its_video(place, store):
    files = find_videos(place / "raw", names_of(store))
    assert set(files) == set(names_of(store))
    assert all(file.stem == f"{name}_rgb" for name, file in files.items())


def test_clips_without_a_video_are_left_out(place, store):
    found = find_videos(place / "raw", [*names_of(store), "another"])
    assert set(found) == set(names_of(store))


def test_name_alone_and_other_kinds_are_found_in_folders_below(place, store, tmp_path):
    name = names_of(store)[0]
    file = find_videos(place / "raw", names_of(store))[name]
    (tmp_path / "deep").mkdir()
    shutil.copy(file, tmp_path / "deep" / f"{name}.MP4")
    assert list(find_videos(tmp_path, names_of(store))) == [name]


def test_folders_behind_links_are_searched(place, store, tmp_path):
    (tmp_path / "link").symlink_to(place / "raw")
    assert len(find_videos(tmp_path, names_of(store))) == len(store)


def test_two_videos_of_one_clip_are_refused(place, store, tmp_path):
    name = names_of(store)[0]
    file = find_videos(place / "raw", names_of(store))[name]
    shutil.copy(file, tmp_path / f"{name}.avi")
    shutil.copy(file, tmp_path / f"{name}_depth.avi")
    with pytest.raises(ValueError, match="two videos of one clip"):
        find_videos(tmp_path, names_of(store))


def test_folder_without_videos_says_what_was_expected(place, store):
    with pytest.raises(ValueError, match=rf"{min(names_of(store))}_rgb\.avi"):
        find_videos(place / "store", names_of(store))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_videos(place / "none", names_of(store))


# ---- clips


@pytest.mark.parametrize("training", (False, True))
def test_cache_and_file_give_the_same_frames(cfg, store, training):
    files = find_videos(cfg.videos, names_of(store))
    order = EpochOrder(9, 0) if training else None
    decoded = VideoClips(store, files, np.arange(9), cfg, "", order)
    cached = VideoClips(store, files, np.arange(9), cfg, cfg.cache, order)
    for _ in range(2):  # written, then read
        assert torch.equal(decoded[3][0], cached[3][0])
    assert decoded[3][0].shape == (4, 32, 32, 3)


def test_random_frames_depend_on_epoch_and_seed(cfg, store):
    files = find_videos(cfg.videos, names_of(store))

    def frames(epoch, seed):
        order = EpochOrder(9, seed)
        order.epoch = epoch
        settings = dataclasses.replace(cfg, seed=seed)
        clips = VideoClips(store, files, np.arange(9), settings, cfg.cache, order)
        return torch.cat([clips[k][0] for k in range(9)])

    assert torch.equal(frames(1, 0), frames(1, 0))
    assert not torch.equal(frames(1, 0), frames(2, 0))
    assert not torch.equal(frames(1, 0), frames(1, 1))


def test_another_clip_stands_in_for_a_damaged_one(cfg, store, tmp_path):
    files = find_videos(cfg.videos, names_of(store))
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"text")
    files[names_of(store)[3]] = bad
    clips = VideoClips(store, files, np.arange(9), cfg)
    with pytest.warns(UserWarning, match=r"bad\.avi.* another clip stands in"):
        assert clips[3][2] == 4
    assert clips[4][2] == 4


def test_no_readable_video_at_all_is_an_error(cfg, store, tmp_path):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"")
    files = {name: bad for name in names_of(store)}
    clips = VideoClips(store, files, np.arange(3), cfg)
    with pytest.warns(UserWarning), pytest.raises(ParseError, match="none of 3 videos"):
        clips[0]


def test_damaged_file_of_the_cache_is_named(cfg, store, tmp_path):
    files = find_videos(cfg.videos, names_of(store))
    clips = VideoClips(store, files, np.arange(3), cfg, str(tmp_path / "cache"))
    clips.read(0)
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    cached.write_bytes(b"x")
    with pytest.raises(ParseError, match=r"not a decoded video .* remove it"):
        clips.read(0)


def test_clips_decoded_in_other_processes_are_the_same(cfg, store):
    raw, _ = first_batch(cfg, store)
    apart = dataclasses.replace(cfg, workers=2, cache="")
    assert torch.equal(first_batch(apart, store)[0], raw)


# ---- augmentation


def pipeline(cfg, **changes):
    return VideoPipeline(dataclasses.replace(cfg, **changes), 14)


def test_without_a_generator_nothing_is_random(cfg, store):
    raw, labels = first_batch(cfg, store)
    x, same = pipeline(cfg)(raw, labels)
    assert torch.equal(x, normalize_video(raw)) and torch.equal(same, labels)


def test_whole_window_without_mixing_changes_nothing(cfg, store):
    raw, labels = first_batch(cfg, store)
    whole = pipeline(cfg, mixup=0.0, cutmix=0.0, crop=(1.0, 1.0))
    x, same = whole(raw, labels, torch.Generator())
    assert torch.allclose(x, normalize_video(raw), atol=1e-4) and torch.equal(same, labels)


def test_some_clips_are_mirrored_as_a_whole(cfg, store):
    raw, labels = first_batch(cfg, store)
    flips = pipeline(cfg, mixup=0.0, cutmix=0.0, crop=(1.0, 1.0), flip=True)
    x, _ = flips(raw, labels, torch.Generator().manual_seed(0))
    plain = normalize_video(raw)
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-4) for a, b in zip(x, plain)]
    assert any(mirrored) and not all(mirrored)
    assert all(m or torch.allclose(a, b, atol=1e-4) for m, a, b in zip(mirrored, x, plain))


def test_all_frames_of_a_clip_share_window_and_partner(cfg, store):
    raw, labels = first_batch(cfg, store)
    still = raw[:, :1].expand_as(raw)
    x, _ = pipeline(cfg)(still, labels, torch.Generator().manual_seed(1))
    assert torch.allclose(x, x[:, :, :1].expand_as(x), atol=1e-5)
    assert (x - normalize_video(still)).abs().max() > 0.1


def test_same_generator_same_clips(cfg, store):
    raw, labels = first_batch(cfg, store)
    a, b = (pipeline(cfg)(raw, labels, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_mixed_labels_are_probabilities_and_odd_batches_are_unmixed(cfg, store):
    raw, labels = first_batch(cfg, store)
    _, soft = pipeline(cfg)(raw, labels, torch.Generator())
    assert soft.shape == (4, 14) and torch.allclose(soft.sum(1), torch.ones(4))
    _, hard = pipeline(cfg)(raw[:3], labels[:3], torch.Generator())
    assert torch.equal(hard, labels[:3])


# ---- runs


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(model="i3d"), "unknown video network"),
        (dict(batch=5), "an even number"),
        (dict(crop=(0.0, 1.0)), "crop: expected fractions"),
        (dict(crop=(0.9, 0.5)), "crop: expected fractions"),
        (dict(init="none.pth"), "no such checkpoint"),
        (dict(model="vit_s", size=100), "multiple of"),
    ],
)
def test_impossible_settings_are_refused(cfg, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        finetune(dataclasses.replace(cfg, **change), quiet=True)


def test_batch_is_shared_by_processes(cfg, store, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="an even number of them per step, not 3"):
        VideoTask(cfg, store)


def test_missing_videos_are_counted(cfg, store, tmp_path):
    shutil.copytree(cfg.videos, tmp_path / "some")
    gone = store.index.names[store.part("xsub", "train")[0]]
    (tmp_path / "some" / f"{gone}_rgb.avi").unlink()
    with pytest.warns(UserWarning, match=f"1 of 12 clips have no video .* {gone}"):
        task = VideoTask(dataclasses.replace(cfg, videos=str(tmp_path / "some")), store)
    assert len(task.numbers) == 11


def test_no_video_of_a_training_clip_is_an_error(cfg, store, tmp_path):
    name = store.index.names[store.part("xsub", "test")[0]]
    shutil.copy(f"{cfg.videos}/{name}_rgb.avi", tmp_path)
    with pytest.raises(ValueError, match="no video of a training clip"):
        VideoTask(dataclasses.replace(cfg, videos=str(tmp_path)), store)


def test_training_lowers_the_loss_and_a_finished_run_stays(cfg):
    longer = dataclasses.replace(cfg, epochs=8, mixup=0.0, cutmix=0.0)
    history = finetune(longer, quiet=True)
    assert history[-1]["loss"] < history[0]["loss"]
    assert finetune(longer, quiet=True) == history


def test_folds_share_the_training_clips(cfg, store, tmp_path):
    seen = []
    for k in (1, 2):
        out = tmp_path / f"fold{k}"
        finetune(dataclasses.replace(cfg, out=str(out), fold=f"{k}/2", epochs=1), quiet=True)
        seen.append(set((out / "trained_on.txt").read_text().split()))

    training = set(store.index.names[store.part("xsub", "train")].tolist())
    assert seen[0] | seen[1] == training and not seen[0] & seen[1]


def test_fit_leaves_validation_clips_out_and_reports_on_them(cfg, place, tmp_path):
    (row,) = finetune(dataclasses.replace(cfg, part="fit", epochs=1), quiet=True)
    assert 0 <= row["val_top1"] <= 1


class Killed(VideoTask):
    "Dies in the third epoch, of two steps each."

    steps = 0

    def loss(self, *batch):
        self.steps += 1
        if self.steps == 5:
            raise KeyboardInterrupt
        return super().loss(*batch)


def test_killed_and_continued_run_ends_with_the_same_weights(cfg, tmp_path):
    whole = dataclasses.replace(cfg, epochs=3, layer_decay=0.5, drop_path=0.2)
    cut = dataclasses.replace(whole, out=str(tmp_path / "cut"))
    with pytest.raises(KeyboardInterrupt):
        train(cut, True, Killed)
    assert (tmp_path / "cut/checkpoint.pt").exists()
    assert not (tmp_path / "cut/last.safetensors").exists()

    finetune(cut, quiet=True)
    finetune(whole, quiet=True)
    a, b = (load_video_run(c.out)[0].state_dict() for c in (cut, whole))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_each_layer_learns_at_its_rate(cfg, tmp_path):
    finetune(dataclasses.replace(cfg, epochs=1, layer_decay=0.5), quiet=True)
    state = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    groups = state["optimizer"]["param_groups"]

    base = {round(g["lr"] / g["lr_scale"], 12) for g in groups}
    rates = [g["lr"] for g in groups]
    assert len(base) == 1
    assert min(rates) / max(rates) == pytest.approx(0.5**5)  # stem against head


def test_training_starts_from_a_checkpoint_or_a_run(cfg, tmp_path):
    vit = dataclasses.replace(cfg, model="vit_s", frames=2, epochs=1, lr=0.0)
    network = build_video_network(video_shape("vit_s", 2, 32), 7)
    torch.save({"module": network.state_dict()}, tmp_path / "official.pth")

    first = dataclasses.replace(vit, init=str(tmp_path / "official.pth"))
    finetune(first, quiet=True)
    second = dataclasses.replace(vit, init=first.out, out=str(tmp_path / "second"))
    finetune(second, quiet=True)

    for run in (first, second):
        weight = load_video_run(run.out)[0].patch_embed.proj.weight
        assert torch.allclose(weight, network.patch_embed.proj.weight, atol=1e-4)


def test_folder_of_another_command_is_refused(cfg):
    pre = PreprocessConfig(frames=8)
    options = dict(model="nano", part="train", epochs=1, device="cpu", pre=pre)
    train(TrainConfig(cfg.data, cfg.out, "xsub", **options), quiet=True)
    with pytest.raises(ValueError, match="a run of another command"):
        finetune(cfg, quiet=True)
    with pytest.raises(ValueError, match="not the settings of a video network"):
        load_video_run(cfg.out)


def test_unfinished_run_is_named(cfg, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finetune(dataclasses.replace(cfg, epochs=1), quiet=True)
    (tmp_path / "run/last.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="not trained to the end"):
        load_video_run(cfg.out)
