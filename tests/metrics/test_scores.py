from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.metrics.predictions import prediction_arrays
from glmbench.metrics.scores import METRICS, evaluate, metric_named

CLASSIFICATION = [m.name for m in METRICS.values() if "classification" in m.kinds]
REGRESSION = [m.name for m in METRICS.values() if "regression" in m.kinds]
MULTILABEL = [m.name for m in METRICS.values() if "multilabel" in m.kinds]


def oracle(name, labels, scores):
    """The metric as scikit-learn or SciPy computes it."""
    if name == "spearman":
        return scipy.stats.spearmanr(labels, scores[:, 0]).statistic
    if name == "pearson":
        return scipy.stats.pearsonr(labels, scores[:, 0]).statistic
    predicted = scores.argmax(axis=1)
    if name == "accuracy":
        return sklearn.metrics.accuracy_score(labels, predicted)
    if name == "mcc":
        return sklearn.metrics.matthews_corrcoef(labels, predicted)
    if name == "macro_f1":
        return sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    if scores.shape[1] == 2:
        binary = {"auroc": sklearn.metrics.roc_auc_score, "auprc": sklearn.metrics.average_precision_score}[name]
        return binary(labels, scores[:, 1])
    if name == "auroc":
        return sklearn.metrics.roc_auc_score(labels, scores, multi_class="ovo", average="macro")
    return sklearn.metrics.average_precision_score(np.eye(scores.shape[1])[labels], scores, average="macro")


def classified(rng, rows, classes, *, ties):
    labels = np.concatenate([np.arange(classes), np.arange(classes), rng.integers(0, classes, rows - 2 * classes)])
    raw = rng.integers(1, 5, (rows, classes)) if ties else rng.random((rows, classes)) + 0.01
    return labels, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_metrics_equal_scikit_learn(name, classes, ties):
    rng = np.random.default_rng(classes)
    for rows in (20, 200):
        labels, scores = classified(rng, rows, classes, ties=ties)
        assert metric_named(name).value(labels, scores) == pytest.approx(oracle(name, labels, scores), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_equal_scipy(name, ties):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 6, 60).astype(float) if ties else rng.normal(size=60)
    scores = (labels + rng.integers(-2, 3, 60) if ties else labels + rng.normal(size=60)).reshape(-1, 1)
    assert metric_named(name).value(labels, scores) == pytest.approx(oracle(name, labels, scores), abs=1e-12)


def test_by_hand():
    # Scores of class 1: .9 .8 .8 .3 .2, labels 1 1 0 1 0; pairs (1, 0): 6, of which 4 right, 1 wrong, 1 tied.
    labels, positive = np.array([1, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.8, 0.3, 0.2])
    scores = np.column_stack([1 - positive, positive])
    value = {name: metric_named(name).value(labels, scores) for name in CLASSIFICATION}
    assert value["accuracy"] == pytest.approx(3 / 5)
    assert value["auroc"] == pytest.approx(4.5 / 6)
    # thresholds .9: 1 of 1; .8: 2 of 3; .3: 3 of 4, each adding a third of the recall
    assert value["auprc"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    # confusion [[1, 1], [1, 2]]: F1 of class 0 is 2/4, of class 1 is 4/6; MCC (2 - 1) / sqrt(2 * 3 * 2 * 3)
    assert value["macro_f1"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert value["mcc"] == pytest.approx(1 / 6)


@st.composite
def weighted_rows(draw):
    rows, classes = draw(st.integers(4, 12)), draw(st.sampled_from([2, 3]))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    raw = draw(st.lists(st.integers(1, 4), min_size=rows * classes, max_size=rows * classes))
    weights = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows).filter(any))
    scores = np.array(raw, float).reshape(rows, classes)
    return np.array(labels), scores / scores.sum(axis=1, keepdims=True), np.array(weights, np.uint16)


@settings(max_examples=60, deadline=None)
@given(weighted_rows())
def test_a_weight_is_a_number_of_repetitions(case):
    labels, scores, weights = case
    repeated = np.repeat(np.arange(labels.size), weights)
    both = np.stack([weights, np.ones_like(weights)])
    for name in CLASSIFICATION + REGRESSION:
        metric, y = metric_named(name), labels.astype(float) if name in REGRESSION else labels
        weighted = metric.weighted(y, scores, both)
        assert weighted[0] == pytest.approx(metric.value(y[repeated], scores[repeated]), abs=1e-12, nan_ok=True)
        assert weighted[1] == pytest.approx(metric.value(y, scores), abs=1e-12, nan_ok=True)


def oracle_of_labels(name, labels, scores):
    """The mean over labels that have both values, of what scikit-learn computes of each."""
    one = {
        "mean_auroc": sklearn.metrics.roc_auc_score,
        "mean_auprc": sklearn.metrics.average_precision_score,
        "mean_mcc": lambda y, p: sklearn.metrics.matthews_corrcoef(y, p > 0.5),
        "mean_f1": lambda y, p: sklearn.metrics.f1_score(y, p > 0.5, zero_division=0),
    }[name]
    told = [j for j in range(labels.shape[1]) if 0 < labels[:, j].sum() < len(labels)]
    return np.mean([one(labels[:, j], scores[:, j]) for j in told]) if told else np.nan


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", MULTILABEL)
def test_metrics_of_several_labels_equal_scikit_learn(name, ties):
    rng = np.random.default_rng(5)
    for rows, number in ((6, 2), (200, 5)):
        labels = rng.integers(0, 2, (rows, number))
        labels[:, 0] = 1  # without both values: left out
        scores = rng.integers(0, 5, (rows, number)) / 4 if ties else rng.random((rows, number))
        assert metric_named(name).value(labels, scores) == pytest.approx(oracle_of_labels(name, labels, scores))


def test_several_labels_by_hand():
    # Label 0: scores .9 .4 .6 .1 of 1 1 0 0: 3 of 4 pairs right, a hit, a miss, a false alarm. Label 1: perfect.
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    scores = np.array([[0.9, 0.2], [0.4, 0.7], [0.6, 0.8], [0.1, 0.5]])
    value = {name: metric_named(name).value(labels, scores) for name in MULTILABEL}
    assert value["mean_auroc"] == pytest.approx((3 / 4 + 1) / 2)
    assert value["mean_auprc"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert value["mean_mcc"] == pytest.approx((0 + 1) / 2)
    assert value["mean_f1"] == pytest.approx((1 / 2 + 1) / 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_weight_is_a_number_of_repetitions_of_a_row_of_labels(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 9))
    labels, scores = rng.integers(0, 2, (rows, 3)), rng.integers(0, 5, (rows, 3)) / 4
    weights = rng.integers(0, 3, (2, rows)).astype(np.uint16)
    weights[:, 0] = 1
    for name in MULTILABEL:
        metric = metric_named(name)
        for row, value in zip(weights, metric.weighted(labels, scores, weights), strict=True):
            repeated = np.repeat(np.arange(rows), row)
            expected = oracle_of_labels(name, labels[repeated], scores[repeated])
            assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_chance_and_bounds_of_several_labels():
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1]])
    # Label 0 is always there and tells nothing; the others have a quarter and a half.
    wanted = {"mean_auroc": 0.5, "mean_auprc": 3 / 8, "mean_mcc": 0, "mean_f1": (2 / 5 + 2 / 3) / 2}
    assert {name: METRICS[name].chance(labels) for name in MULTILABEL} == pytest.approx(wanted)
    as_a_column = pl.Series(labels.tolist()).to_numpy()
    assert {name: METRICS[name].chance(as_a_column) for name in MULTILABEL} == pytest.approx(wanted)
    everywhere = np.ones((3, 2), int)
    assert np.isnan([METRICS[name].chance(everywhere) for name in ("mean_auprc", "mean_f1")]).all()
    for name in MULTILABEL:
        assert METRICS[name].value(labels, labels.astype(float)) == METRICS[name].bounds[1]
        assert np.isnan(METRICS[name].value(everywhere, everywhere / 2))


def test_a_class_absent_from_labels_counts_in_macro_f1_only_if_predicted():
    labels = np.array([0, 0, 1, 1])
    never = np.array([[0.8, 0.2, 0], [0.8, 0.2, 0], [0.2, 0.8, 0], [0.8, 0.2, 0]])
    once = never.copy()
    once[3] = [0, 0, 1]
    for scores in (never, once):
        expected = sklearn.metrics.f1_score(labels, scores.argmax(1), average="macro", zero_division=0)
        assert metric_named("macro_f1").value(labels, scores) == pytest.approx(expected)
    # the remaining classes still have an AUROC: the two classes, each by its own score
    pairs = [sklearn.metrics.roc_auc_score(labels == positive, never[:, positive]) for positive in (0, 1)]
    assert metric_named("auroc").value(labels, never) == pytest.approx(np.mean(pairs))


def test_degenerate_predictions():
    labels, constant = np.array([0, 1, 1, 0, 1]), np.tile([0.4, 0.6], (5, 1))
    assert metric_named("mcc").value(labels, constant) == 0
    assert metric_named("auroc").value(labels, constant) == 0.5
    assert metric_named("auprc").value(labels, constant) == pytest.approx(3 / 5)
    for name in ("auroc", "auprc"):
        assert np.isnan(metric_named(name).value(np.zeros(5, int), np.random.default_rng(0).dirichlet([1, 1], 5)))
    for name in REGRESSION:
        assert np.isnan(metric_named(name).value(np.arange(5.0), np.full((5, 1), 0.1)))


def test_bounds_direction_and_chance():
    labels = np.array([0] * 6 + [1] * 4)
    chance = {name: METRICS[name].chance(labels) for name in CLASSIFICATION + REGRESSION}
    assert chance == {
        "accuracy": 0.6, "mcc": 0, "macro_f1": 0.5, "auroc": 0.5, "auprc": 0.4, "spearman": 0, "pearson": 0,
    }  # fmt: skip
    assert METRICS["auprc"].chance(np.array([0, 1, 2, 2])) == pytest.approx(1 / 3)
    perfect = np.eye(2)[labels] * 0.8 + 0.1
    for name in CLASSIFICATION:
        assert METRICS[name].value(labels, perfect) == METRICS[name].bounds[1]
        assert METRICS[name].direction == 1


def test_logits_give_what_their_probabilities_give(frame):
    rng = np.random.default_rng(8)
    for classes in (2, 4):
        labels, logits = rng.integers(0, classes, 80), rng.normal(size=(80, classes)) * 3 + rng.normal(size=(80, 1))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert evaluate(frame(labels, logits), CLASSIFICATION) == pytest.approx(
            evaluate(frame(labels, probabilities), CLASSIFICATION)
        )
    labels = np.array([0, 1])
    far = frame(labels, [[50.0, 0.0], [40.0, 0.0]])  # both probabilities of class 0 round to 1
    assert evaluate(far, ["auroc"])["auroc"] == 1


def test_one_column_is_the_probability_of_class_1(frame):
    labels, positive = np.array([0, 1, 1, 0]), np.array([0.2, 0.7, 0.4, 0.6])
    two = frame(labels, np.column_stack([1 - positive, positive]))
    assert evaluate(frame(labels, positive), CLASSIFICATION) == evaluate(two, CLASSIFICATION)
    with pytest.raises(DataError, match="two columns"):
        evaluate(frame(labels, positive * 10 - 5), ["auroc"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_scores_that_are_no_numbers_are_refused(frame, bad):
    good = frame([0, 1, 1], [0.1, 0.2, 0.3])
    broken = good.with_columns(score_0=pl.Series([0.1, bad, 0.3], dtype=pl.Float64))
    with pytest.raises(DataError, match=r"1 of 3 predictions .* score_0 of test/1"):
        evaluate(broken, ["accuracy"])


def test_frames_that_cannot_be_scored_say_why(frame):
    good = frame([0, 1], [[0.4, 0.6], [0.5, 0.5]])
    with pytest.raises(DataError, match="lack the columns score_0"):
        evaluate(good.drop("score_0", "score_1"), ["accuracy"])
    with pytest.raises(DataError, match="lack the columns score_1"):
        evaluate(good.rename({"score_1": "score_2"}), ["accuracy"])
    with pytest.raises(DataError, match="no rows"):
        evaluate(good.clear(), ["accuracy"])
    with pytest.raises(DataError, match="label 2 has no score column"):
        evaluate(good.with_columns(label=pl.Series([0, 2])), ["accuracy"])
    with pytest.raises(DataError, match="2 score columns, want one"):
        evaluate(good, ["spearman"])
    with pytest.raises(UsageError, match="no metric 'auc'; there are accuracy"):
        evaluate(good, ["auc"])


def test_probabilities_are_left_as_they_are():
    scores = np.array([[0.25, 0.75], [1.0, 1e-12]])
    frame = pl.DataFrame(
        {"id": ["a", "b"], "group": ["a", "b"], "label": [0, 1], "score_0": scores[:, 0], "score_1": scores[:, 1]}
    )
    assert np.array_equal(prediction_arrays(frame, "classification").scores, scores)
