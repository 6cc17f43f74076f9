"The loop: killed and continued to the last bit, and strict about settings."

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from last.augmentation import AugmentConfig
from last.batches import make_loader, predict
from last.cli import main
from last.core import check_settings
from last.loop import needs_whole_batches
from last.parsing import Clip
from last.preprocessing import PreprocessConfig
from last.progress import describe_average, ends_since_best, is_best, list_warnings
from last.runs import load_run, trained_on
from last.schedule import cycle_ends, lr_at, ramped_average
from last.store import toy_store, write_store
from last.training import SkeletonTask, TrainConfig, train

RECIPE = dict(epochs=4, lr=4e-3, batch=8, schedule="cosine", warmup=1, ema=0.9)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("toy") / "store", clips=80)


@pytest.fixture(scope="module")
def cfg(store, tmp_path_factory):
    "Settings of a run that has been trained to its end."
    out = tmp_path_factory.mktemp("runs") / "whole"
    pre = PreprocessConfig(frames=8)
    cfg = TrainConfig(
        str(store.path), str(out), "given", "nano", pre=pre, device="cpu", threads=1, **RECIPE
    )
    train(cfg, quiet=True)
    return cfg


def path_of(cfg):
    return Path(cfg.out)


def history_of(cfg):
    return json.loads((path_of(cfg) / "history.json").read_text())


def changed(cfg, tmp_path, **change):
    return dataclasses.replace(cfg, out=str(tmp_path / "run"), **change)


def same_weights(a, b):
    a, b = load_file(a), load_file(b)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Interrupted(SkeletonTask):
    "Raises KeyboardInterrupt in the middle of the fourth epoch."

    batches = 0

    def loss(self, *args):
        self.batches += 1
        if self.batches > 3.5 * math.ceil(len(self.numbers) / self.cfg.batch):
            raise KeyboardInterrupt
        return super().loss(*args)


# --- the learning rate


def test_warmup_is_linear_and_cosine_follows_the_formula():
    assert lr_at(0, 70) == 0
    assert lr_at(2.5, 70) == pytest.approx(5e-4)
    quarter = 1e-6 + (1e-3 - 1e-6) * (1 + math.cos(0.75 * math.pi)) / 2
    assert lr_at(7.5, 70) == pytest.approx(quarter)


def test_rate_ends_low_and_restarts_at_the_peak():
    assert lr_at(69.999, 70) == pytest.approx(1e-6, abs=1e-8)
    assert lr_at(30, 70) == pytest.approx(1e-3)
    assert lr_at(49.999, 50, schedule="cosine") == pytest.approx(1e-6, abs=1e-8)
    assert lr_at(5, 50, schedule="cosine") == pytest.approx(1e-3)


def test_a_flat_rate_never_falls():
    assert lr_at(2.5, 50, schedule="flat") == pytest.approx(5e-4)
    assert [lr_at(e, 50, schedule="flat") for e in (5, 30, 50)] == [1e-3] * 3
    assert cycle_ends(50, "flat") == [50]


def test_warmup_as_long_as_the_run_divides_nothing_by_zero():
    assert lr_at(4.5, 5, schedule="cosine", warmup=5) == pytest.approx(9e-4)
    assert lr_at(5, 5, schedule="cosine", warmup=5) == pytest.approx(1e-3)


def test_cycle_ends():
    assert cycle_ends(70) == [10, 30, 70]
    assert cycle_ends(100) == [10, 30, 70]
    assert cycle_ends(4) == []
    assert cycle_ends(50, "cosine") == [50]


# --- averaged weights


def test_average_ramps_up_to_its_decay():
    average, current = [torch.zeros(1)], [torch.ones(1)]
    ramped_average(0.9)(average, current, torch.tensor(0))
    assert average[0].item() == pytest.approx(0.9)  # decay 1 / 10
    average = [torch.zeros(1)]
    ramped_average(0.9)(average, current, torch.tensor(10_000))
    assert average[0].item() == pytest.approx(0.1)


# --- what a run leaves behind


def test_run_learns_and_leaves_its_files(cfg):
    names = sorted(p.name for p in path_of(cfg).iterdir())
    assert names == [
        "best.safetensors",
        "checkpoint.pt",
        "checksums.sha256",
        "config.json",
        "history.json",
        "last.safetensors",
        "tensorboard",
        "trained_on.txt",
    ]
    history = history_of(cfg)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["top1"] > 0.8


def test_saved_weights_are_the_validated_ones(cfg, store):
    run = load_run(cfg.out)
    loader = make_loader(store, store.part("given", "val"), 16)
    logits, labels, _ = predict(run.model, loader, run.pipeline)
    top1 = (logits.argmax(1) == labels).float().mean().item()
    assert top1 == pytest.approx(history_of(cfg)[-1]["val_top1"])


def test_names_of_the_training_clips_are_written_down(cfg, store):
    names = store.index.names[store.part("given", "fit")].tolist()
    assert trained_on(cfg.out) == set(names)


def test_same_seed_gives_the_same_weights_and_another_gives_others(cfg, tmp_path):
    train(changed(cfg, tmp_path), quiet=True)
    assert same_weights(path_of(cfg) / "last.safetensors", tmp_path / "run/last.safetensors")
    other = dataclasses.replace(cfg, out=str(tmp_path / "other"), seed=1)
    train(other, quiet=True)
    assert not same_weights(path_of(cfg) / "last.safetensors", path_of(other) / "last.safetensors")


# --- killed and continued


def test_interrupted_run_continues_to_the_last_bit(cfg, tmp_path):
    cut = changed(cfg, tmp_path, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(cut, quiet=True, kind=Interrupted)
    assert not (tmp_path / "run/last.safetensors").exists()

    train(cut, quiet=True)
    assert same_weights(path_of(cfg) / "last.safetensors", tmp_path / "run/last.safetensors")
    assert history_of(cut) == history_of(cfg)


def test_finished_run_is_not_trained_again(cfg):
    before = (path_of(cfg) / "last.safetensors").stat().st_mtime_ns
    assert train(cfg, quiet=True) == history_of(cfg)
    assert (path_of(cfg) / "last.safetensors").stat().st_mtime_ns == before


def test_run_with_other_settings_is_refused(cfg):
    other = dataclasses.replace(cfg, lr=1e-4, pre=PreprocessConfig(frames=4))
    message = r"other settings \(lr 0.004 -> 0.0001, pre.frames 8 -> 4\)"
    with pytest.raises(ValueError, match=message):
        train(other, quiet=True)


def test_damaged_checkpoint_is_named(cfg, tmp_path):
    cut = changed(cfg, tmp_path, epochs=1)
    train(cut, quiet=True)
    file = tmp_path / "run/checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint.pt: is damaged .*; remove it to start over"):
        train(cut, quiet=True)

    (tmp_path / "run/checksums.sha256").unlink()  # as an earlier version left it
    with pytest.raises(ValueError, match=r"checkpoint.pt: not a readable .* to start over"):
        train(cut, quiet=True)

    torch.save({"model": {}}, file)
    with pytest.raises(ValueError, match=r"checkpoint.pt: not a readable .*; remove it to start"):
        train(cut, quiet=True)


# --- patience


@pytest.mark.parametrize(
    "scores, best, since",
    [
        ((0.5,), True, 0),
        ((0.5, 0.6), True, 0),
        ((0.6, 0.5), False, 1),
        ((0.6, 0.6, 0.5), False, 2),
        ((), False, 0),
    ],
)
def test_best_cycle_end(scores, best, since):
    ends = [10, 20, 30]
    history = [dict(epoch=end, val_top1=score) for end, score in zip(ends, scores)]
    history = history or [dict(epoch=10)]
    assert is_best(history, ends) is best
    assert ends_since_best(history, ends) == since


def test_epochs_inside_a_cycle_do_not_compete():
    history = [dict(epoch=10, val_top1=0.5), dict(epoch=11, val_top1=0.9)]
    assert not is_best(history, [10, 30])
    assert ends_since_best(history, [10, 30]) == 0


def test_run_without_progress_stops_and_stays_stopped(cfg, tmp_path):
    "It starts from weights that know everything, so the second cycle end is no better."
    patient = changed(
        cfg, tmp_path, init=cfg.out, schedule="restarts", epochs=70, patience=1, batch=80, lr=1e-12
    )
    assert len(train(patient, quiet=True)) == 30
    assert (tmp_path / "run/last.safetensors").is_file()
    assert len(train(patient, quiet=True)) == 30


# --- starting weights


def test_run_starts_where_the_other_ended(cfg, tmp_path):
    started = train(changed(cfg, tmp_path, init=cfg.out, epochs=1), quiet=True)
    assert started[0]["loss"] < history_of(cfg)[0]["loss"]


def test_the_named_way_to_more_epochs_works(cfg, tmp_path, capsys):
    "The settings that the error names, word for word, on the command line."
    with pytest.raises(ValueError, match="it is finished") as refused:
        train(dataclasses.replace(cfg, epochs=6), quiet=True)
    assert len(history_of(cfg)) == 4

    words = str(refused.value).partition(", use ")[2].split()
    assert words[:4] == ["--init", cfg.out, "--epochs", "2"]
    line = ["train", "--data", cfg.data, "--protocol", "given", "--model", "nano", "--warmup", "1"]
    line += ["--pre.frames", "8", "--device", "cpu", "--threads", "1", *words]
    assert main(line) == 0
    assert f"started from {cfg.out}; head taken over: same classes" in capsys.readouterr().out
    assert trained_on(f"{cfg.out}-more") == trained_on(cfg.out)


def test_a_reordered_head_is_told(cfg, store, tmp_path, capsys):
    "The same two classes, stored in another order."
    clips = [Clip(f"c{i}", store[i], 1 - i % 2, split="train") for i in range(16)]
    other = write_store(tmp_path / "store", clips, "ntu25", store.classes[::-1])
    train(changed(cfg, tmp_path, data=str(other.path), init=cfg.out, epochs=1))
    assert "another order: the head's rows were reordered" in capsys.readouterr().out


def test_missing_starting_weights_are_named(cfg, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such weights"):
        train(changed(cfg, tmp_path, init=str(tmp_path / "nowhere")), quiet=True)


@pytest.mark.parametrize("file", ("", "last.safetensors"))
def test_clips_known_from_starting_weights_are_written_down(cfg, tmp_path, file):
    "Even if this run leaves out a third of them."
    init = str(path_of(cfg) / file)
    train(changed(cfg, tmp_path, init=init, fold="1/3", epochs=1), quiet=True)
    assert trained_on(tmp_path / "run") == trained_on(cfg.out)


# --- variants and mistakes


@pytest.mark.parametrize("optimizer", ("sgd", "adamw"))
def test_every_option_trains(cfg, tmp_path, optimizer):
    pre = PreprocessConfig(frames=8, persons=2, sampling="pad", stream="all")
    options = dict(optimizer=optimizer, label_smoothing=0.1, amp="bf16", ema=0.0, pre=pre)
    history = train(changed(cfg, tmp_path, epochs=1, **options), quiet=True)
    assert math.isfinite(history[0]["loss"])


def test_whole_training_part_has_no_validation(cfg, tmp_path, store):
    history = train(changed(cfg, tmp_path, part="train", epochs=1), quiet=True)
    assert "val_top1" not in history[0]
    assert not (tmp_path / "run/best.safetensors").exists()
    assert len(trained_on(tmp_path / "run")) == len(store.part("given", "train"))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(protocol="xsub"), "no protocol 'xsub'; it has given"),
        (dict(amp="fp16"), "fp16 needs a GPU; on a CPU use --amp no or bf16"),
        (dict(epochs=0), "epochs, batch and checkpoint-every must be at least 1"),
        (dict(batch=0), "must be at least 1"),
        (dict(checkpoint_every=0), "must be at least 1"),
        (dict(lr=-1.0), "lr and weight-decay must not be negative"),
        (dict(weight_decay=-1.0), "must not be negative"),
        (dict(pre=PreprocessConfig(frames=0)), "pre.frames and pre.persons must be at least 1"),
        (dict(device="gpu"), "unknown device 'gpu'"),
        (dict(fold="4/3"), "expected for instance 1/3"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(cfg, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(changed(cfg, tmp_path, **change), quiet=True)
    assert not (tmp_path / "run").exists()


def test_exploding_loss_stops_the_run(cfg, tmp_path):
    wild = changed(cfg, tmp_path, lr=1e30, clip=0.0, warmup=0)
    with pytest.raises(FloatingPointError, match=r"the loss is .* in epoch 1, step .* --lr"):
        train(wild, quiet=True)


def test_a_teacher_is_no_setting_of_train():
    with pytest.raises(ValueError, match=r"unknown setting teacher"):
        check_settings(TrainConfig, dict(teacher="logits.npz"))


def test_epochs_inside_a_cycle_are_noted(cfg, tmp_path, capsys):
    train(changed(cfg, tmp_path, schedule="restarts", epochs=2))
    words = capsys.readouterr().out
    assert "note: 2 epochs end inside a cycle" in words
    assert "epoch 2/2  lr" in words


# --- what a run says and refuses


def test_a_run_says_what_it_does(cfg, tmp_path, capsys):
    train(changed(cfg, tmp_path, epochs=2))
    words = capsys.readouterr().out
    assert re.search(r"\d+ training and \d+ validation clips, 2 classes, [\d,]+ parameters", words)
    assert re.search(r"cpu, \d+ steps per epoch, 2 epochs", words)
    assert re.search(r"averaged weights: over about the last \d+ of \d+ steps", words)
    assert "s per epoch" in words


def test_average_spans_what_its_decay_says():
    assert "the last 100 of 5000 steps" in describe_average(0.99, 5000)
    assert "the last 2 of 10 steps" in describe_average(0.99, 10)  # decay 11 / 20


def test_a_run_within_its_warmup_is_warned_of(cfg, tmp_path, capsys):
    train(changed(cfg, tmp_path, epochs=1, warmup=5))
    assert "warning: the run of 1 epochs ends within its warm-up" in capsys.readouterr().out


def test_empty_validation_part_is_warned_of(cfg, store):
    task = SkeletonTask(cfg, store)
    task.val = task.val[:0]
    assert any("has no validation clips" in words for words in list_warnings(task, 5))


def test_weights_are_readable_like_other_files(cfg):
    modes = {p.name: p.stat().st_mode & 0o777 for p in path_of(cfg).iterdir() if p.is_file()}
    assert modes["last.safetensors"] == modes["best.safetensors"] == modes["config.json"]


def test_a_folder_with_other_files_is_refused(cfg, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="neither empty nor a run"):
        train(changed(cfg, tmp_path), quiet=True)


def test_more_than_two_persons_are_refused(cfg, tmp_path):
    with pytest.raises(ValueError, match=r"pre\.persons: expected 1 or 2, found 3"):
        train(changed(cfg, tmp_path, pre=PreprocessConfig(persons=3)), quiet=True)


def test_unfinished_run_says_how_far_it_is(cfg, tmp_path):
    cut = changed(cfg, tmp_path, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        train(cut, quiet=True, kind=Interrupted)
    with pytest.raises(FileNotFoundError, match="stopped after 3 of 4 epochs; the same command"):
        load_run(cut.out)


def test_several_processes_refuse_what_needs_whole_batches(tmp_path):
    cfg = TrainConfig(str(tmp_path), "run", "given", model="causal-nano")
    network = torch.nn.Module()
    needs_whole_batches(cfg, network)
    network.carry = 0.5
    with pytest.raises(ValueError, match="in one process"):
        needs_whole_batches(cfg, network)

    network.carry = 0.0
    for setting in ("untrimmed_p", "webcam_p"):
        cfg.aug = AugmentConfig(**{setting: 0.5})
        with pytest.raises(ValueError, match="in one process"):
            needs_whole_batches(cfg, network)
