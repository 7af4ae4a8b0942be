"""The metrics: what each measures, its direction, bounds and chance level, and its value under many sets of weights.

Definitions are those of scikit-learn and SciPy. Under weights a metric is what it would be on rows repeated that often,
so a bootstrap replicate is one row of weights and thousands of replicates are one call.

Undefined values are NaN: AUROC and AUPRC where only one class is present, correlations where a side is constant.
(scikit-learn gives AUPRC 0 or 1 there, which says nothing.) MCC of a constant prediction is 0, as in scikit-learn.
Metrics of several yes/no labels are means over the labels that have both values among the rows; without any, NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.metrics.predictions import Kind, prediction_arrays

Labels = NDArray[Any]
Scores = NDArray[np.float64]
Weights = NDArray[np.uint16]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are. `direction` is +1 where more is better (so far everywhere)."""

    name: str
    title: str
    kinds: tuple[Kind, ...]
    bounds: tuple[float, float]
    chance: Callable[[Labels], float]
    """Best expected value of predictions that ignore the sequence, from the labels: (n,), or n lists of 0 and 1."""
    weighted: Callable[[Labels, Scores, Weights], Values]
    """Values (R,) from labels (n,) or (n, C), scores (n, C), and how often each row is in a resample: (R, n) uint16."""
    direction: int = 1

    def value(self, labels: Labels, scores: Scores) -> float:
        """The metric of all rows, each once; NaN where it is undefined."""
        return float(self.weighted(labels, scores, np.ones((1, len(labels)), np.uint16))[0])


def metric_named(name: str) -> Metric:
    """The metric of a name.

    Raises:
        UsageError: there is no such metric.
    """
    if name not in METRICS:
        raise UsageError(f"no metric {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


def evaluate(predictions: pl.DataFrame, names: Iterable[str]) -> dict[str, float]:
    """Metrics of a frame of predictions (columns label, score_0, …), by name; NaN where a metric is undefined.

    Raises:
        UsageError: there is no metric of a name.
        DataError: the predictions cannot be scored (see `predictions.prediction_arrays`).
    """
    metrics = [metric_named(name) for name in names]
    arrays = {kind: prediction_arrays(predictions, kind) for kind in {metric.kinds[0] for metric in metrics}}
    return {m.name: m.value(arrays[m.kinds[0]].labels, arrays[m.kinds[0]].scores) for m in metrics}


def _confusion(labels: Labels, scores: Scores, weights: Weights) -> NDArray[np.int64]:
    """Confusion matrices (R, C, C), true class by predicted class; the first of tied classes is predicted."""
    from glmbench.metrics import weighted_kernels

    classes = scores.shape[1]
    cells = labels.astype(np.int64) * classes + scores.argmax(axis=1)
    counts: NDArray[np.int64] = weighted_kernels.cell_counts(cells, classes * classes, weights)
    return counts.reshape(-1, classes, classes)


def _accuracy(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Share of rows whose highest score is that of their class."""
    confusion = _confusion(labels, scores, weights)
    values: Values = np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))
    return values


def _mcc(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Matthews correlation; for several classes Gorodkin's R_K (Comput. Biol. Chem. 28, 367, 2004)."""
    confusion = _confusion(labels, scores, weights)
    true, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    rows = confusion.sum(axis=(1, 2))
    covariance = np.trace(confusion, axis1=1, axis2=2) * rows - (true * predicted).sum(axis=1)
    spread = (rows**2 - (true**2).sum(axis=1)).astype(float) * (rows**2 - (predicted**2).sum(axis=1))
    values: Values = np.divide(covariance, np.sqrt(spread), out=np.zeros(rows.size), where=spread > 0)
    return values


def _macro_f1(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Mean of the classes' F1, over classes that are present among labels or predictions."""
    confusion = _confusion(labels, scores, weights)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    either = confusion.sum(axis=1) + confusion.sum(axis=2)
    f1 = np.divide(2 * hits, either, out=np.zeros(hits.shape), where=either > 0)
    values: Values = f1.sum(axis=1) / (either > 0).sum(axis=1)
    return values


def _sorted(values: NDArray[Any], rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows in ascending order of their values, and which places end a run of ties."""
    chosen = np.arange(values.size) if rows is None else rows
    order = chosen[np.argsort(values[chosen], kind="stable")]
    return order, np.append(values[order][1:] != values[order][:-1], True)


def _mean_of_defined(columns: list[Values]) -> Values:
    """Mean over columns (R,) that are defined in a replicate; NaN where none is."""
    stacked = np.stack(columns)
    defined = np.isfinite(stacked)
    total = np.where(defined, stacked, 0.0).sum(axis=0)
    count = defined.sum(axis=0)
    mean: Values = np.divide(total, count, out=np.full(total.size, np.nan), where=count > 0)
    return mean


def _auroc(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Area under the ROC curve; for several classes the mean over ordered pairs of classes that are present.

    One-versus-one by Hand & Till (Machine Learning 45, 171, 2001): in a pair, each class is ranked by its own score.
    """
    from glmbench.metrics import weighted_kernels

    def pair(positive: int, negative: int) -> Values:
        rows = np.flatnonzero((labels == positive) | (labels == negative))
        order, last = _sorted(scores[:, positive], rows)
        values: Values = weighted_kernels.auroc(order, labels[order] == positive, last, weights)
        return values

    classes = range(scores.shape[1])
    if len(classes) == 2:
        return pair(1, 0)
    return _mean_of_defined([pair(a, b) for a in classes for b in classes if a != b])


def _auprc(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Average precision, not interpolated; for several classes the mean over those present, each against the rest."""
    from glmbench.metrics import weighted_kernels

    def one_against_rest(positive: int) -> Values:
        order, last = _sorted(scores[:, positive])
        values: Values = weighted_kernels.average_precision(order, labels[order] == positive, last, weights)
        return values

    classes = range(1, 2) if scores.shape[1] == 2 else range(scores.shape[1])
    return _mean_of_defined([one_against_rest(positive) for positive in classes])


def _pearson(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Pearson's correlation of label and score."""
    from glmbench.metrics import weighted_kernels

    x, y = np.ascontiguousarray(scores[:, 0]), labels.astype(float)
    values: Values = weighted_kernels.pearson(x, y, weights)
    return values


def _spearman(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """Spearman's rank correlation of label and score; ties share their mean rank."""
    from glmbench.metrics import weighted_kernels

    values: Values = weighted_kernels.spearman(*_sorted(scores[:, 0]), *_sorted(labels), weights)
    return values


def _class_shares(labels: Labels) -> NDArray[np.float64]:
    """Shares of the classes that occur."""
    shares: NDArray[np.float64] = np.unique_counts(labels).counts / labels.size
    return shares


def _chance_auprc(labels: Labels) -> float:
    """Prevalence of class 1; for several classes the mean prevalence."""
    shares = _class_shares(labels)
    return float(np.mean(labels == 1)) if shares.size <= 2 and labels.max() <= 1 else float(shares.mean())


def _positive_f1(labels: Labels, scores: Scores, weights: Weights) -> Values:
    """F1 of class 1 of two; NaN where it is neither there nor predicted."""
    confusion = _confusion(labels, scores, weights)
    either = confusion[:, 1].sum(axis=1) + confusion[:, :, 1].sum(axis=1)
    values: Values = np.divide(2 * confusion[:, 1, 1], either, out=np.full(either.size, np.nan), where=either > 0)
    return values


def _mean_over_labels(
    binary: Callable[[Labels, Scores, Weights], Values],
) -> Callable[[Labels, Scores, Weights], Values]:
    """A metric of two classes made the mean over yes/no labels (n, C) with their probabilities (n, C).

    A label is predicted where its probability is above one half. Of each replicate the mean is over the labels that
    have both values among its rows.
    """

    def mean(labels: Labels, scores: Scores, weights: Weights) -> Values:
        from glmbench.metrics import weighted_kernels

        columns = []
        for label, probability in zip(labels.T, scores.T, strict=True):
            counts = weighted_kernels.cell_counts(label.astype(np.int64), 2, weights)
            values = binary(label, np.column_stack([1 - probability, probability]), weights)
            columns.append(np.where(counts.all(axis=1), values, np.nan))
        return _mean_of_defined(columns)

    return mean


def _shares_of_labels(labels: Labels) -> NDArray[np.float64]:
    """Share of rows that have each label, of the labels that some rows have and some do not."""
    shares: NDArray[np.float64] = np.mean(np.stack(list(labels)), axis=0)
    told: NDArray[np.float64] = shares[(shares > 0) & (shares < 1)]
    return told


def _chance_mean_auprc(labels: Labels) -> float:
    """Mean prevalence."""
    shares = _shares_of_labels(labels)
    return float(shares.mean()) if shares.size else float("nan")


def _chance_mean_f1(labels: Labels) -> float:
    """Mean F1 where every row is said to have every label: precision is the prevalence p, so F1 is 2p / (1 + p)."""
    shares = _shares_of_labels(labels)
    return float((2 * shares / (1 + shares)).mean()) if shares.size else float("nan")


_CLASSIFICATION: tuple[Kind, ...] = ("classification",)
_REGRESSION: tuple[Kind, ...] = ("regression",)
_MULTILABEL: tuple[Kind, ...] = ("multilabel",)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", "Accuracy", _CLASSIFICATION, (0, 1), lambda y: float(_class_shares(y).max()), _accuracy),
            Metric("mcc", "MCC", _CLASSIFICATION, (-1, 1), lambda _: 0.0, _mcc),
            Metric("macro_f1", "Macro F1", _CLASSIFICATION, (0, 1), lambda y: 1 / _class_shares(y).size, _macro_f1),
            Metric("auroc", "AUROC", _CLASSIFICATION, (0, 1), lambda _: 0.5, _auroc),
            Metric("auprc", "AUPRC", _CLASSIFICATION, (0, 1), _chance_auprc, _auprc),
            Metric("spearman", "Spearman ρ", _REGRESSION, (-1, 1), lambda _: 0.0, _spearman),
            Metric("pearson", "Pearson r", _REGRESSION, (-1, 1), lambda _: 0.0, _pearson),
            Metric("mean_auroc", "Mean AUROC", _MULTILABEL, (0, 1), lambda _: 0.5, _mean_over_labels(_auroc)),
            Metric("mean_auprc", "Mean AUPRC", _MULTILABEL, (0, 1), _chance_mean_auprc, _mean_over_labels(_auprc)),
            Metric("mean_mcc", "Mean MCC", _MULTILABEL, (-1, 1), lambda _: 0.0, _mean_over_labels(_mcc)),
            Metric("mean_f1", "Mean F1", _MULTILABEL, (0, 1), _chance_mean_f1, _mean_over_labels(_positive_f1)),
        )
    }
)
