"""Scores, what is computed from them, and sums of several networks."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from last.core import ParseError
from last.scores import (
    EnsembleConfig,
    Scores,
    ensemble,
    metrics,
    plot_calibration,
    plot_confusion,
    reliability,
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
    plot_confusion(part, CLASSES)


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
