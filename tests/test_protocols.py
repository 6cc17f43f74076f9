"Protocols: who trains, validates and tests, at the boundaries and in the published files."

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from last.datasets import DATASETS, get_dataset, label_flip
from last.formats import UCLA_NAME
from last.protocols import (
    NTU_TRAIN_SUBJECTS,
    Protocol,
    clips_with,
    complement,
    hashed,
    index_from_names,
    minus,
    split_by,
)
from last.small_datasets import _SBU_FOLDS, _sbu_pairs, duplicates_of

DATA = os.environ.get("LAST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="LAST_DATA is not set")


def masks(dataset, protocol, index):
    return DATASETS[dataset].protocols[protocol].masks(index)


def numbers(mask):
    return np.flatnonzero(mask).tolist()


@pytest.fixture
def edge():
    "Clips at the boundaries of NTU's splits."
    places = ((32, 1, 103), (31, 2, 104), (2, 3, 1), (1, 1, 3))
    return index_from_names([f"S{s:03}C{c:03}P{p:03}R001A001" for s, c, p in places])


def test_subject_103_trains_and_104_tests(edge):
    assert masks("ntu120", "xsub", edge)["train"].tolist() == [True, False, True, False]
    assert masks("ntu120", "xsub", edge)["test"].tolist() == [False, True, False, True]


def test_setup_32_trains_and_31_tests(edge):
    assert masks("ntu120", "xset", edge)["train"].tolist() == [True, False, True, False]
    assert masks("ntu120", "xset", edge)["test"].tolist() == [False, True, False, True]


def test_camera_1_tests(edge):
    assert masks("ntu60", "xview", edge)["train"].tolist() == [False, True, True, False]
    assert masks("ntu60", "xview", edge)["test"].tolist() == [True, False, False, True]


def test_53_training_subjects_20_of_them_in_ntu60():
    assert len(NTU_TRAIN_SUBJECTS) == len(set(NTU_TRAIN_SUBJECTS)) == 53
    assert sum(s <= 38 for s in NTU_TRAIN_SUBJECTS) == 20


def test_an_index_takes_what_the_names_say():
    index = index_from_names(iter(["S001C002P003R004A005", "S018C003P042R002A120"]))
    assert len(index) == 2
    assert index.labels.tolist() == [4, 119]
    assert index.subjects.tolist() == [3, 42]
    assert index.cameras.tolist() == [2, 3]
    assert index.setups.tolist() == [1, 18]
    assert index.replications.tolist() == [4, 2]


def test_masks_are_put_together(edge):
    near = clips_with("cameras", (1,))
    assert numbers(near(edge)) == [0, 3]
    assert numbers(complement(near)(edge)) == [1, 2]
    assert numbers(minus(near, clips_with("setups", (1,)))(edge)) == [0]


def test_train_and_test_may_not_overlap(edge):
    everybody = clips_with("cameras", (1, 2, 3))
    leaking = Protocol("", everybody, everybody, val=clips_with("cameras", (1,)))
    with pytest.raises(AssertionError, match="may not train on its test clips"):
        leaking.masks(edge)


def test_split_by_may_leave_clips_out(edge):
    protocol = split_by("cameras", (2,), "subjects", (104,), test=(1,))
    found = protocol.masks(edge)
    assert numbers(found["train"]) == [1]
    assert numbers(found["test"]) == [0, 3]  # not camera 3


# Northwestern-UCLA: clip 1 (view 2, trains) and clip 3 (view 3, tests) are copies.


@pytest.fixture
def ucla():
    names = ["a01_s01_e00_v01", "a02_s01_e00_v02", "a01_s01_e00_v02"]
    index = index_from_names([*names, "a02_s01_e00_v03", "a01_s01_e00_v03"], UCLA_NAME)
    index.digests = np.array(list("wxyxz"))
    return index


def test_duplicates_are_found_by_content(ucla):
    training, tests = clips_with("cameras", (1, 2)), clips_with("cameras", (3,))
    assert numbers(duplicates_of(training, among=tests)(ucla)) == [1]
    assert numbers(duplicates_of(tests, among=training)(ucla)) == [3]


@pytest.mark.parametrize(
    "protocol, train, test",
    [("a", [0, 1, 2], [3, 4]), ("b", [0, 2], [3, 4]), ("c", [0, 1, 2], [4])],
)
def test_copies_do_not_choose(ucla, protocol, train, test):
    found = masks("nw-ucla", protocol, ucla)
    assert numbers(found["train"]) == train
    assert numbers(found["test"]) == test
    assert numbers(found["val"]) == [2]
    assert numbers(found["fit"]) == [0]


@pytest.fixture
def persons():
    "Ten persons in three views; a02 is missing in view 2, as if its copies had been removed."
    names = [f"a01_s{s:02}_e00_v{v:02}" for s in range(1, 11) for v in (1, 2, 3)]
    names += [f"a02_s{s:02}_e00_v{v:02}" for s in range(1, 11) for v in (1, 3)]
    index = index_from_names(names, UCLA_NAME)
    index.digests = index.names
    return index


TURNS = [name for name in DATASETS["nw-ucla"].protocols if name.startswith(("b-v", "b-p"))]


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_changes_only_what_chooses(persons, turn):
    main, found = masks("nw-ucla", "b", persons), masks("nw-ucla", turn, persons)
    assert (found["train"] == main["train"]).all()
    assert (found["test"] == main["test"]).all()
    assert (found["val"] != main["val"]).any()
    assert not (found["val"] & found["fit"]).any()
    assert not (found["val"] & ~found["train"]).any()


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_uses_the_classes_of_both_sides(persons, turn):
    found = masks("nw-ucla", turn, persons)
    val, fit = (set(persons.labels[found[part]]) for part in ("val", "fit"))
    assert val == fit
    assert val == ({0} if turn == "b-view1" else {0, 1})


@pytest.mark.parametrize("turn, pair", [("b-classes1", (0, 8)), ("b-classes2", (6, 9))])
def test_two_more_classes_train_from_one_view(turn, pair):
    who = [(a, s, v) for a in range(1, 11) for s in range(1, 11) for v in (1, 2, 3)]
    index = index_from_names([f"a{a:02}_s{s:02}_e00_v{v:02}" for a, s, v in who], UCLA_NAME)
    index.digests = index.names
    main, found = masks("nw-ucla", "b", index), masks("nw-ucla", turn, index)
    assert (found["train"] == main["train"]).all() and (found["test"] == main["test"]).all()
    assert (found["fit"] == found["train"] & ~found["val"]).all()

    of_pair = np.isin(index.labels, pair)
    assert set(index.cameras[found["val"]]) == {2}
    assert set(index.cameras[found["fit"] & of_pair]) == {1}
    assert set(index.cameras[found["fit"] & ~of_pair]) == {1, 2}
    assert set(index.labels[found["val"]]) == set(range(10))
    assert set(index.subjects[found["val"] & ~of_pair]) == {3, 6, 9}


def test_every_training_person_validates_in_one_turn(persons):
    turns = [masks("nw-ucla", f"b-persons{k}", persons)["val"] for k in (1, 2, 3)]
    assert (np.sum(turns, axis=0) == masks("nw-ucla", "b", persons)["train"]).all()


def test_turns_of_utd_mhad_validate_on_each_training_subject():
    index = index_from_names([f"S001C001P{s:03}R001A001" for s in range(1, 9)])
    for protocol, subject in (("xsub", 7), ("xsub-1", 1), ("xsub-3", 3), ("xsub-5", 5)):
        found = masks("utd-mhad", protocol, index)
        assert index.subjects[found["val"]].tolist() == [subject]
        assert index.subjects[found["train"]].tolist() == [1, 3, 5, 7]
        assert index.subjects[found["test"]].tolist() == [2, 4, 6, 8]


def test_sbu_folds_test_every_pair_once():
    pairs = np.array([pair for fold in _SBU_FOLDS for pair in _sbu_pairs(fold)])
    index = index_from_names(["S001C001P001R001A001"] * len(pairs))
    index.subjects = pairs
    tested = []
    for k in range(5):
        found = masks("sbu", f"fold{k + 1}", index)
        assert (found["train"] ^ found["test"]).all()
        following = _sbu_pairs(_SBU_FOLDS[(k + 1) % 5])[0]
        assert pairs[found["val"]].tolist() == [following]
        tested += pairs[found["test"]].tolist()

    assert len(pairs) == len(set(pairs)) == 21
    assert sorted(tested) == sorted(pairs)


def test_the_split_of_files_is_kept_and_validation_depends_on_names_only():
    index = index_from_names([f"S001C001P001R001A{i:03}" for i in range(1, 1000)])
    index.splits = np.array((["train", "train", "test"] * 333)[:999])
    found = masks("own", "given", index)
    assert (found["train"] == (index.splits == "train")).all()
    assert (found["test"] == (index.splits == "test")).all()
    assert 40 < found["val"].sum() < 95  # a tenth of 666

    order = np.random.default_rng(0).permutation(999)
    shuffled = index_from_names(index.names[order].tolist())
    assert (hashed(10)(shuffled) == hashed(10)(index)[order]).all()


def test_class_names():
    ntu, kinetics = DATASETS["ntu120"].classes, DATASETS["kinetics"].classes
    assert (len(ntu), len(kinetics)) == (120, 400)
    assert (ntu[0], ntu[49]) == ("drink water", "punching/slapping other person")
    assert kinetics[317] == "smoking hookah"
    assert DATASETS["ntu60"].classes == ntu[:60]
    sizes = [len(DATASETS[n].classes) for n in ("nw-ucla", "utd-mhad", "sbu", "synthetic")]
    assert sizes == [10, 27, 8, 14]


def test_535_clips_of_ntu_are_known_to_be_missing():
    assert len(DATASETS["ntu120"].known_missing) == 535


def test_ntu60_is_the_first_17_setups_and_60_actions():
    keep = DATASETS["ntu60"].keep
    assert keep("S017C001P001R001A060")
    assert not keep("S018C001P001R001A060")
    assert not keep("S017C001P001R001A061")


def test_flips_swap_left_and_right_of_utd_mhad():
    classes = DATASETS["utd-mhad"].classes
    partners = {classes[a]: classes[b] for a, b in label_flip(classes).items()}
    assert partners == {
        "swipe left": "swipe right",
        "swipe right": "swipe left",
        "draw circle clockwise": "draw circle counter-clockwise",
        "draw circle counter-clockwise": "draw circle clockwise",
    }


def test_a_class_without_a_mirrored_partner_stays():
    assert label_flip(["raise left hand", "left", "bow", "right", "leftover"]) == {1: 3, 3: 1}
    assert label_flip(["wave_left", "wave_right"]) == {0: 1, 1: 0}


@pytest.mark.parametrize("row", DATASETS.values(), ids=list(DATASETS))
def test_every_row_is_complete(row):
    assert DATASETS[row.name] is row
    assert row.protocols and all(p.text for p in row.protocols.values())
    assert not (row.read and row.read_all)
    assert bool(row.read) == bool(row.pattern)
    assert len(set(row.classes)) == len(row.classes)


def test_unknown_dataset_lists_the_known():
    with pytest.raises(ValueError, match="unknown dataset 'ntu'; known: ntu60, ntu120"):
        get_dataset("ntu")


@pytest.fixture(scope="module")
def ntu():
    file = next(Path(DATA).rglob("ntu120-available-names.txt.gz"))
    names = gzip.decompress(file.read_bytes()).decode().split()
    small = [name for name in names if name[17:] <= "060"]
    return {"ntu120": index_from_names(names), "ntu60": index_from_names(small)}


@needs_data
@pytest.mark.parametrize(
    "dataset, protocol, train, test",
    [
        ("ntu120", "xsub", 63026, 50919),
        ("ntu120", "xset", 54468, 59477),
        ("ntu60", "xsub", 40091, 16487),
        ("ntu60", "xview", 37646, 18932),
    ],
)
def test_ntu_has_the_published_sizes(ntu, dataset, protocol, train, test):
    index = ntu[dataset]
    found = masks(dataset, protocol, index)
    assert (found["train"].sum(), found["test"].sum()) == (train, test)
    assert len(index) == train + test

    # fit and val make up train, and every part holds every class
    assert (found["fit"] ^ found["val"])[found["train"]].all()
    assert (found["fit"].sum() + found["val"].sum()) == train
    for mask in found.values():
        assert len(set(index.labels[mask])) == len(DATASETS[dataset].classes)
