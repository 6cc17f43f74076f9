"Batches that can be repeated, and folds that share nobody's performance."

import copy
import dataclasses

import numpy as np
import pytest
import torch

from last.batches import EpochOrder, make_loader, parse_fold, seed_of, training_clips
from last.store import toy_store
from last.training import TrainConfig

CFG = TrainConfig("store", "run", "given")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("toy") / "store", clips=80)


@pytest.fixture(scope="module")
def views(store):
    "The same clips, as if two of a class were always two views of one performance."
    other = copy.copy(store)
    ones, fours = np.ones(len(store), int), np.arange(len(store)) // 4
    other.index = dataclasses.replace(store.index, subjects=ones, replications=fours)
    return other


def fold(text):
    return dataclasses.replace(CFG, fold=text)


def test_seed_depends_on_every_number():
    seeds = {seed_of(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
    assert seed_of(1, 2) == seed_of(1, 2)
    assert all(0 <= seed < 2**62 for seed in seeds)


def test_order_is_a_permutation_of_seed_and_epoch():
    order = EpochOrder(50, 0)
    again = EpochOrder(50, 0)
    other = EpochOrder(50, 1)
    first = list(order)
    assert sorted(first) == list(range(50))
    assert list(order) == first == list(again) != list(other)
    order.epoch = 1
    assert list(order) != first


def test_global_generator_is_left_alone(store):
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    list(make_loader(store, np.arange(8), 4, order=EpochOrder(8, 0)))
    assert torch.equal(torch.rand(3), wanted)


def test_workers_give_the_same_batches(store):
    for a, b in zip(
        make_loader(store, np.arange(6), 4), make_loader(store, np.arange(6), 4, workers=1)
    ):
        assert torch.equal(a[0].nan_to_num(9), b[0].nan_to_num(9))
        assert torch.equal(a[1], b[1]) and torch.equal(a[2], b[2])


def test_every_clip_is_left_out_by_one_fold(store):
    everything = training_clips(CFG, store)
    thirds = [training_clips(fold(f"{i}/3"), store) for i in (1, 2, 3)]
    clips, times = np.unique(np.concatenate(thirds), return_counts=True)
    assert clips.tolist() == sorted(everything.tolist())
    assert set(times) == {2}


def test_folds_hold_every_class_alike(store):
    for i in (1, 2, 3):
        counts = np.bincount(store.index.labels[training_clips(fold(f"{i}/3"), store)])
        assert np.ptp(counts) <= 1


def test_folds_keep_views_of_a_performance_together(views):
    def shown(clips):
        return {(views.index.labels[n], n // 4) for n in clips}

    everything = set(training_clips(CFG, views).tolist())
    for i in (1, 2, 3):
        kept = set(training_clips(fold(f"{i}/3"), views).tolist())
        assert 0 < len(kept) < len(everything)
        assert not shown(kept) & shown(everything - kept)


@pytest.mark.parametrize("text", ("4/3", "0/3", "1/1", "1", "a/b", "1/3/5", "-1/3", "١/٣"))
def test_impossible_folds_are_refused(text):
    with pytest.raises(ValueError, match=f"expected for instance 1/3, found '{text}'"):
        parse_fold(text)


def test_more_folds_than_clips_of_a_class_are_refused(store):
    with pytest.raises(ValueError, match=r"fold: 200 parts, but one class has only \d+ clips"):
        training_clips(fold("1/200"), store)


def test_protocol_without_clips_is_named(store):
    none = copy.copy(store)
    none.index = dataclasses.replace(store.index, splits=np.full(len(store), "test"))
    with pytest.raises(ValueError, match=r"protocol given has no fit clips in this store"):
        training_clips(CFG, none)
