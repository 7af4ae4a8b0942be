"""From the frame of predictions (columns in `tasks.task`) to checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError

Kind = Literal["classification", "regression"]

_ROUNDING = 1e-3
"""How far the scores of a row may be from a sum of 1 and still be probabilities (bfloat16 softmax reaches 4e-4)."""


@dataclass(frozen=True)
class PredictionArrays:
    """Labels (n,) and finite scores (n, C) of one fit on one split; C >= 2 for a classification, 1 for a regression."""

    labels: NDArray[np.float64] | NDArray[np.int64]
    scores: NDArray[np.float64]


def prediction_arrays(predictions: pl.DataFrame, kind: Kind) -> PredictionArrays:
    """Check a frame of predictions and take its numbers out.

    Class scores that are rows of probabilities stay as they are, so ties and order are those of the model. Others are
    taken for logits and normalised: what orders the examples of a class is the log of its softmax, for two classes
    the difference of the two columns. One column of class scores is the probability of class 1.

    Raises:
        DataError: a column is missing, there are no rows, a label or a score is null, NaN or infinite, a label has no
            score column, or the number of score columns does not fit the kind.
    """
    columns = _score_columns(predictions)
    if predictions.height == 0:
        raise DataError("predictions have no rows: there is nothing to score")
    scores = _finite(predictions, columns)
    labels = _finite(predictions, ["label"])[:, 0]
    if kind == "regression":
        if len(columns) != 1:
            raise DataError(f"predictions of a regression have {len(columns)} score columns, want one: score_0")
        return PredictionArrays(labels, scores)
    scores = _class_scores(scores)
    classes = labels.astype(np.int64)
    if np.any(classes != labels) or classes.min() < 0 or classes.max() >= scores.shape[1]:
        wrong = labels[(classes != labels) | (classes < 0) | (classes >= scores.shape[1])][0]
        raise DataError(
            f"label {wrong:g} has no score column: labels are whole numbers from 0 to {scores.shape[1] - 1} here"
        )
    return PredictionArrays(classes, scores)


def _score_columns(predictions: pl.DataFrame) -> list[str]:
    """Names of the score columns in the order of the classes."""
    columns = [f"score_{i}" for i in range(sum(name.startswith("score_") for name in predictions.columns))]
    missing = [name for name in ["label", *(columns or ["score_0"])] if name not in predictions.columns]
    if missing:
        got = ", ".join(predictions.columns)
        raise DataError(
            f"predictions lack the columns {', '.join(missing)}; got {got}; want label, score_0, score_1, …"
        )
    return columns


def _finite(predictions: pl.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Columns as float64 (n, columns); refuses what is not a finite number."""
    values = np.column_stack([predictions[name].cast(pl.Float64).to_numpy() for name in columns])
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        name = predictions["id"][row] if "id" in predictions.columns else f"row {row}"
        raise DataError(
            f"{bad.any(axis=1).sum()} of {predictions.height} predictions hold a missing, NaN or infinite number, "
            f"first {columns[column]} of {name}: {values[row, column]}; a fit that diverged cannot be scored"
        )
    return np.ascontiguousarray(values)


def _class_scores(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n, C >= 2) whose columns order the examples by class and whose rows order the classes."""
    unit = bool(scores.min() >= 0 and scores.max() <= 1 + _ROUNDING)
    if scores.shape[1] == 1:
        if not unit:
            raise DataError(
                "one column of class scores must be the probability of class 1, got values from "
                f"{scores.min():g} to {scores.max():g}; give logits as two columns, score_0 and score_1"
            )
        return np.column_stack([1 - scores[:, 0], scores[:, 0]])
    if unit and bool(np.all(np.abs(scores.sum(axis=1) - 1) < _ROUNDING * scores.shape[1])):
        return scores
    if scores.shape[1] == 2:
        difference = scores[:, 1] - scores[:, 0]
        return np.column_stack([-difference, difference])
    top = scores.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
    return normalised
