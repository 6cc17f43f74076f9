"""Scores, what is computed from them, and sums of several networks."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from last.core import ParseError
from last.scores import (
    EnsembleConfig,
    Scores,
    ensemble,
    load_together,
    metrics,
    plot_calibration,
    plot_confusion,
    reliability,
    search_weights,
    worst_confusions,
)

CLASSES = list("abcdef")


@pytest.fixture
def scores():
    "300 clips of six classes; class c is often taken for d."
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 300)
    logits = rng.normal(size=(300, 6)).astype(np.float32)
    logits[np.arange(300), labels] += 2
    logits[labels == 2, 3] += 2
    return Scores(np.array([f"clip{i}" for i in range(300)]), labels, logits)


def saved(scores, file):
    scores.save(file)
    return str(file)


def test_saved_scores_come_back(scores, tmp_path):
    again = Scores.load(saved(scores, tmp_path / "s.npz"))
    assert np.array_equal(again.logits, scores.logits)
    assert np.array_equal(again.names, scores.names)
    assert np.allclose(scores.probabilities.sum(1), 1)


def test_what_is_no_scores_file_is_named(tmp_path):
    (tmp_path / "bad.npz").write_text("x")
    with pytest.raises(ParseError, match="not a scores file"):
        Scores.load(tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Scores.load(tmp_path / "none.npz")


def test_metrics_by_hand(scores):
    found = metrics(scores, CLASSES)
    predicted = scores.logits.argmax(1)
    assert found["top1"] == pytest.approx(100 * accuracy_score(scores.labels, predicted))
    per_class = [100 * np.mean(predicted[scores.labels == c] == c) for c in range(6)]
    assert list(found["per_class"].values()) == pytest.approx(per_class)
    assert found["mean_class"] == pytest.approx(np.mean(per_class))
    truth = scores.probabilities[np.arange(300), scores.labels]
    assert found["cross_entropy"] == pytest.approx(-np.log(truth).mean(), abs=1e-5)


def test_all_right_and_all_wrong():
    labels = np.arange(4) % 2
    sure = np.eye(2, dtype=np.float32)[labels] * 50
    names = np.array(list("wxyz"))
    assert metrics(Scores(names, labels, sure), ["a", "b"])["top1"] == 100
    wrong = metrics(Scores(names, 1 - labels, sure), ["a", "b"])
    assert wrong["top1"] == 0 and wrong["ece"] == pytest.approx(1)


def test_absent_classes_have_no_accuracy(scores):
    some = scores.labels != 5
    part = Scores(scores.names[some], scores.labels[some], scores.logits[some])
    assert set(metrics(part, CLASSES)["per_class"]) == set("abcde")


def tick_labels(ax):
    return [[t.get_text() for t in axis.get_ticklabels()] for axis in (ax.xaxis, ax.yaxis)]


@pytest.mark.parametrize("n", [6, 120])
def test_every_row_of_the_confusions_has_its_name_whoever_is_absent(n):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.delete(np.arange(n), [1, 3]), 2))
    logits = rng.normal(size=(len(labels), n)).astype(np.float32)
    names = [f"A{c + 1:03}" for c in range(n)]
    ax = plot_confusion(Scores(np.arange(len(labels)).astype(str), labels, logits), names).axes[0]
    assert tick_labels(ax) == [names, names]

    cells = ax.collections[0].get_array().reshape(n, n)
    assert np.ma.getmaskarray(cells)[[1, 3]].all() and not np.ma.getmaskarray(cells)[0].any()
    counted = np.bincount(logits.argmax(1)[labels == n - 1], minlength=n)
    assert np.allclose(cells[n - 1], 50 * counted)


def test_two_classes_of_one_name_are_two_classes():
    labels = np.array([0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 0, 0, 2, 2, 2])  # 100, 0 and 100 %
    s = Scores(labels.astype(str), labels, np.eye(3, dtype=np.float32)[predicted])
    found = metrics(s, ["wave", "walk", "wave"])
    assert found["mean_class"] == pytest.approx(200 / 3)
    assert found["per_class"] == {"wave [0]": 100, "walk": 0, "wave [2]": 100}
    assert worst_confusions(s, ["wave", "wave", "walk"]) == [("wave [1]", "wave [0]", 2)]


def test_reliability_counts_every_clip(scores):
    confidence, accuracy, fraction = reliability(scores)
    assert fraction.sum() == pytest.approx(1)
    full = fraction > 0
    assert (accuracy[full] * fraction[full]).sum() == pytest.approx(
        np.mean(scores.logits.argmax(1) == scores.labels)
    )
    assert np.isnan(confidence[~full]).all()


def test_worst_confusion_comes_first(scores):
    assert worst_confusions(scores, CLASSES, 1)[0][:2] == ("c", "d")
    plot_calibration(scores)


def test_an_ensemble_of_one_is_itself(scores, tmp_path):
    together, _ = ensemble(EnsembleConfig([saved(scores, tmp_path / "s.npz")]))
    assert np.allclose(together.probabilities, scores.probabilities, atol=1e-5)


def test_files_may_be_in_another_order(scores, tmp_path):
    order = np.random.default_rng(1).permutation(300)
    other = Scores(scores.names[order], scores.labels[order], scores.logits[order])
    files = [saved(scores, tmp_path / "a.npz"), saved(other, tmp_path / "b.npz")]
    out = tmp_path / "e.json"
    together, result = ensemble(EnsembleConfig(files, out=str(out)))
    assert np.allclose(together.probabilities, scores.probabilities, atol=1e-5)
    assert json.loads(out.read_text()) == result


def test_weights_weigh(scores, tmp_path):
    noise = np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32)
    other = Scores(scores.names, scores.labels, noise)
    files = [saved(scores, tmp_path / "a.npz"), saved(other, tmp_path / "b.npz")]
    together, _ = ensemble(EnsembleConfig(files, weights=[1.0, 0.0]))
    assert np.allclose(together.probabilities, scores.probabilities, atol=1e-5)


def test_scores_that_do_not_fit_are_named(scores, tmp_path):
    first = saved(scores, tmp_path / "a.npz")
    fewer = Scores(scores.names[1:], scores.labels[1:], scores.logits[1:])
    relabeled = Scores(scores.names, (scores.labels + 1) % 6, scores.logits)
    narrow = Scores(scores.names, scores.labels, scores.logits[:, :5])
    cases = ((fewer, "not the same clips"), (relabeled, "other classes"), (narrow, "other classes"))
    for other, why in cases:
        files = [first, saved(other, tmp_path / "b.npz")]
        with pytest.raises(ValueError, match=why):
            ensemble(EnsembleConfig(files))


def test_nothing_and_wrong_weights_are_refused(scores, tmp_path):
    with pytest.raises(ValueError, match="no scores given"):
        ensemble(EnsembleConfig([]))
    with pytest.raises(ValueError, match="1 score files but 2 weights"):
        ensemble(EnsembleConfig([saved(scores, tmp_path / "a.npz")], weights=[1.0, 2.0]))


def opposed(folder):
    "Two files whose sums by logits and by softmax name different classes."
    names, labels = np.array(["x"]), np.array([0])
    one = Scores(names, labels, np.array([[9.0, 0.0, 8.0]], np.float32))
    two = Scores(names, labels, np.array([[0.0, 9.0, 8.0]], np.float32))
    return [saved(one, folder / "one.npz"), saved(two, folder / "two.npz")]


def test_logits_are_added_unless_softmax_is_asked_for(tmp_path):
    files = opposed(tmp_path)
    together, result = ensemble(EnsembleConfig(files))
    assert together.predicted.tolist() == [2] and result["space"] == "logits"
    assert together.logits.tolist() == [[4.5, 4.5, 8.0]]
    together, result = ensemble(EnsembleConfig(files, space="softmax", weights=[2, 1]))
    assert together.predicted.tolist() == [0] and result["space"] == "softmax"


def test_weights_are_found_on_validation_and_only_there(scores, tmp_path):
    noise = 20 * np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32)
    useless = Scores(scores.names, scores.labels, noise)
    weights = search_weights([scores, useless])
    assert weights[0] == 1 and weights[1] < 0.2

    half = np.arange(300) < 150
    files = {}
    for part, rows in (("val", half), ("test", ~half)):
        for name, s in (("good", scores), ("useless", useless)):
            some = Scores(s.names[rows], s.labels[rows], s.logits[rows])
            files.setdefault(part, []).append(saved(some, tmp_path / f"{name}_{part}.npz"))

    _, result = ensemble(EnsembleConfig(files["test"], val=files["val"]))
    assert result["weights"][1] < 0.2 and result["weights_from"] == files["val"]
    _, plain = ensemble(EnsembleConfig(files["test"]))
    assert result["metrics"]["top1"] > plain["metrics"]["top1"]
    assert plain["weights_from"] == "given"
    with pytest.raises(ValueError, match=r"clip\d+ is also tested"):
        ensemble(EnsembleConfig(files["test"], val=files["test"]))
    with pytest.raises(ValueError, match="choose one of --weights and --val"):
        ensemble(EnsembleConfig(files["test"], val=files["val"], weights=[1.0, 1.0]))


def peer_file(scores, path, names=None):
    "A score file as CTR-GCN writes it."
    names = scores.names.tolist() if names is None else names
    path.write_bytes(pickle.dumps(dict(zip(names, scores.logits))))
    return str(path)


def test_the_score_files_of_peers_go_in(scores, tmp_path):
    peer = peer_file(scores, tmp_path / "epoch1_test_score.pkl")
    together, result = ensemble(EnsembleConfig([peer, saved(scores, tmp_path / "a.npz")]))
    assert np.allclose(together.logits, scores.logits)
    assert result["metrics"]["top1"] == metrics(scores, CLASSES)["top1"]
    with pytest.raises(ValueError, match="no label for clip0; --data STORE says the labels"):
        ensemble(EnsembleConfig([peer]))


def test_clips_that_ctrgcn_numbered_get_the_names_of_our_reader(scores, tmp_path):
    peer = peer_file(scores, tmp_path / "s.pkl", [f"test_{i}" for i in range(300)])
    ours = Scores(np.array([f"test_{i:06d}" for i in range(300)]), scores.labels, scores.logits)
    both = load_together([peer, saved(ours, tmp_path / "a.npz")])
    assert np.array_equal(both[0].logits, both[1].logits)
    assert np.array_equal(both[0].labels, scores.labels)


def test_a_store_says_the_labels_and_the_names_of_classes(scores, tmp_path):
    from last.store import toy_store

    store = toy_store(tmp_path / "store", clips=12)
    logits = np.eye(2, dtype=np.float32)[store.index.labels]
    peer = peer_file(Scores(store.index.names, store.index.labels, logits), tmp_path / "s.pkl")
    _, result = ensemble(EnsembleConfig([peer], data=str(tmp_path / "store")))
    assert result["metrics"]["top1"] == 100
    assert set(result["metrics"]["per_class"]) == set(store.classes)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("bomb_went_off"),)


@pytest.mark.parametrize(
    "content, why",
    [
        (Bomb(), "refused: the pickle wants"),
        ([1, 2], "expected a dict of clip name -> logits"),
        ({}, "expected a dict of clip name -> logits"),
        ({"a": np.ones(3), "b": np.ones(4)}, "expected a dict of clip name -> logits"),
        ({"a": 1.0}, "expected one row of logits per clip"),
    ],
)
def test_other_pickles_are_named_and_nothing_runs(tmp_path, monkeypatch, content, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ParseError, match=rf"s\.pkl: .*{why}"):
        Scores.load(tmp_path / "s.pkl")
    assert not (tmp_path / "bomb_went_off").exists()


def test_weights_that_cannot_be_meant_are_refused(scores, tmp_path):
    file = saved(scores, tmp_path / "a.npz")
    for weights in ([-1.0], [0.0]):
        with pytest.raises(ValueError, match="weights must be 0 or more, and not all 0"):
            ensemble(EnsembleConfig([file], weights=weights))
