"""Compiled metrics under whole-number weights: one pass over the rows per replicate, all replicates in one call.

A weight is how often a row stands in a resample, so each kernel gives what the metric gives on the repeated rows.
Weights are (R, n) uint16; `order` sorts rows by score, ascending; `last[i]` marks the last place of a run of ties in
that order. A resample on which the metric is undefined gives NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Weights = NDArray[np.uint16]


@njit(cache=True, nogil=True)
def cell_counts(cells: NDArray[np.int64], number: int, weights: Weights) -> NDArray[np.int64]:
    """Weight of each cell of a contingency table: (R, number), from the cell (n,) of every row."""
    replicates, rows = weights.shape
    counts = np.zeros((replicates, number), np.int64)
    for r in range(replicates):
        for i in range(rows):
            counts[r, cells[i]] += weights[r, i]
    return counts


@njit(cache=True, nogil=True)
def auroc(
    order: NDArray[np.int64], positive: NDArray[np.bool_], last: NDArray[np.bool_], weights: Weights
) -> NDArray[np.float64]:
    """Area under the ROC curve (R,) as the Mann-Whitney statistic, ties counted half; `positive` is in sorted order."""
    values = np.empty(weights.shape[0])
    for r in range(weights.shape[0]):
        twice, below, positives = np.int64(0), np.int64(0), np.int64(0)
        tied_positives, tied_negatives = np.int64(0), np.int64(0)
        for k in range(order.size):
            weight = np.int64(weights[r, order[k]])
            of_positives = weight * np.int64(positive[k])  # no branch on the label: it cannot be predicted
            tied_positives += of_positives
            tied_negatives += weight - of_positives
            if last[k]:
                twice += tied_positives * (2 * below + tied_negatives)
                below += tied_negatives
                positives += tied_positives
                tied_positives, tied_negatives = np.int64(0), np.int64(0)
        values[r] = twice / (2.0 * below * positives) if below > 0 and positives > 0 else np.nan
    return values


@njit(cache=True, nogil=True)
def average_precision(
    order: NDArray[np.int64], positive: NDArray[np.bool_], last: NDArray[np.bool_], weights: Weights
) -> NDArray[np.float64]:
    """Average precision (R,): precision at each threshold times the recall it adds; `positive` is in sorted order."""
    values = np.empty(weights.shape[0])
    for r in range(weights.shape[0]):
        total, hits, seen, found, area = np.int64(0), np.int64(0), np.int64(0), np.int64(0), 0.0
        for k in range(order.size):
            total += np.int64(weights[r, order[k]])
        for back in range(order.size):
            k = order.size - 1 - back
            weight = np.int64(weights[r, order[k]])
            seen += weight
            found += weight * np.int64(positive[k])
            if (k == 0 or last[k - 1]) and found > 0:
                area += found * (found - hits) / seen
                hits = found
        values[r] = area / hits if 0 < hits < total else np.nan
    return values


@njit(cache=True, nogil=True)
def _weighted_correlation(x: NDArray[np.float64], y: NDArray[np.float64], weights: Weights, r: int) -> float:
    """Pearson's r under the weights of replicate `r`, in two passes; NaN where either side is constant."""
    total, mean_x, mean_y = 0.0, 0.0, 0.0
    low_x, high_x, low_y, high_y = np.inf, -np.inf, np.inf, -np.inf
    for i in range(x.size):
        weight = float(weights[r, i])
        if weight > 0:
            total += weight
            mean_x += weight * x[i]
            mean_y += weight * y[i]
            low_x, high_x = min(low_x, x[i]), max(high_x, x[i])
            low_y, high_y = min(low_y, y[i]), max(high_y, y[i])
    if not (low_x < high_x and low_y < high_y):
        return np.nan
    mean_x /= total
    mean_y /= total
    xx, yy, xy = 0.0, 0.0, 0.0
    for i in range(x.size):
        weight = float(weights[r, i])
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += weight * dx * dx
        yy += weight * dy * dy
        xy += weight * dx * dy
    return max(-1.0, min(1.0, float(xy / np.sqrt(xx) / np.sqrt(yy))))


@njit(cache=True, nogil=True)
def pearson(x: NDArray[np.float64], y: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Pearson's r (R,) of two columns (n,)."""
    values = np.empty(weights.shape[0])
    for r in range(weights.shape[0]):
        values[r] = _weighted_correlation(x, y, weights, r)
    return values


@njit(cache=True, nogil=True)
def _mid_ranks(
    order: NDArray[np.int64], last: NDArray[np.bool_], weights: Weights, r: int, ranks: NDArray[np.float64]
) -> None:
    """Write the rank of every row among the repeated rows; ties share the mean of their ranks."""
    below, tied, start = 0.0, 0.0, 0
    for k in range(order.size):
        tied += float(weights[r, order[k]])
        if last[k]:
            for j in range(start, k + 1):
                ranks[order[j]] = below + (tied + 1.0) / 2.0
            below += tied
            tied = 0.0
            start = k + 1


@njit(cache=True, nogil=True)
def spearman(
    order_x: NDArray[np.int64],
    last_x: NDArray[np.bool_],
    order_y: NDArray[np.int64],
    last_y: NDArray[np.bool_],
    weights: Weights,
) -> NDArray[np.float64]:
    """Spearman's rank correlation (R,): Pearson's r of the mid-ranks within each resample."""
    values = np.empty(weights.shape[0])
    ranks_x, ranks_y = np.empty(order_x.size), np.empty(order_x.size)
    for r in range(weights.shape[0]):
        _mid_ranks(order_x, last_x, weights, r, ranks_x)
        _mid_ranks(order_y, last_y, weights, r, ranks_y)
        values[r] = _weighted_correlation(ranks_x, ranks_y, weights, r)
    return values
