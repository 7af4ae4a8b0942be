"""From the frame of predictions (columns in `tasks.task`) to checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError

Kind = Literal["classification", "regression", "multilabel"]
"""What predictions are of; those of a task with labels by base are a classification (`per_base_frame`)."""

COPIED = "copied"
"""A column that kept predictions may have: whether another split has the row's example (`evaluation.leakage`)."""

_ROUNDING = 1e-3
"""How far the scores of a row may be from a sum of 1 and still be probabilities (bfloat16 softmax reaches 4e-4)."""


@dataclass(frozen=True)
class PredictionArrays:
    """Labels (n,) and finite scores (n, C) of one fit on one split; C >= 2 for a classification, 1 for a regression.

    Of several yes/no labels: labels (n, C), 0 or 1, and the probability of each (n, C).
    """

    labels: NDArray[np.float64] | NDArray[np.int64]
    scores: NDArray[np.float64]


def prediction_arrays(predictions: pl.DataFrame, kind: Kind) -> PredictionArrays:
    """Check a frame of predictions and take its numbers out.

    Class scores that are rows of probabilities stay as they are, so ties and order are those of the model. Others are
    taken for logits and normalised: what orders the examples of a class is the log of its softmax, for two classes
    the difference of the two columns. One column of class scores is the probability of class 1. The scores of several
    yes/no labels must be probabilities.

    Raises:
        DataError: a column is missing, there are no rows, a label or a score is null, NaN or infinite, a label has no
            score column, the number of score columns does not fit the kind, or, of several labels, one is neither 0 nor
            1 or its score no probability.
    """
    columns = _score_columns(predictions)
    if predictions.height == 0:
        raise DataError("predictions have no rows: there is nothing to score")
    scores = _finite(predictions, columns)
    if kind == "multilabel":
        return PredictionArrays(_several_labels(predictions, len(columns)), _probabilities(scores, predictions))
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


def per_base_frame(examples: pl.DataFrame, scores: Sequence[NDArray[np.floating[Any]]]) -> pl.DataFrame:
    """Predictions of a classification with a row for each labelled base: `test/3:0017` is base 17 of example `test/3`.

    Args:
        examples: columns id, group, and label: List(Int64), the class of every base, -1 where it has none.
        scores: of each example, in order, an array (length, classes).

    Returns:
        Columns id, group (that of the example), label, score_0, …; bases without a label are left out.

    Raises:
        DataError: there are no examples, or scores do not fit the labels; names the example.
    """
    lengths = examples["label"].list.len().to_numpy().astype(np.int64)
    _require_scores_by_base(examples["id"], lengths, scores)
    number = np.repeat(np.arange(lengths.size), lengths)
    place = np.arange(number.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    by_base = pl.DataFrame({"id": pl.Series(place).cast(pl.String).str.zfill(4)}).with_columns(
        id=examples["id"].gather(number) + ":" + pl.col("id"),
        group=examples["group"].gather(number),
        label=examples["label"].explode(),
    )
    flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in scores])
    columns = [pl.Series(f"score_{label}", column) for label, column in enumerate(flat.T)]
    return by_base.with_columns(columns).filter(pl.col("label") >= 0)


def _require_scores_by_base(
    ids: pl.Series, lengths: NDArray[np.int64], scores: Sequence[NDArray[np.floating[Any]]]
) -> None:
    if not lengths.size or len(scores) != lengths.size:
        raise DataError(f"{len(scores)} arrays of scores for {lengths.size} examples; want one each, of at least one")
    classes = scores[0].shape[-1]
    for identifier, length, one in zip(ids, lengths, scores, strict=True):
        if one.shape != (length, classes):
            raise DataError(
                f"scores by base of {identifier} have the shape {one.shape}, want {(int(length), classes)}: a row "
                "for each label, and as many classes in all"
            )


def _several_labels(predictions: pl.DataFrame, columns: int) -> NDArray[np.int64]:
    """Labels (n, columns) of 0 and 1 from a column of lists."""
    labels = predictions["label"]
    if not isinstance(labels.dtype, pl.List):
        raise DataError(f"predictions of several labels have a column label of {labels.dtype}; want a list of 0 and 1")
    wrong = (labels.list.len() != columns).fill_null(True)
    flat = labels.explode()
    if not wrong.any() and not (strange := ~flat.is_in([0, 1]).fill_null(False)).any():
        return flat.cast(pl.Int64).to_numpy().reshape(-1, columns)
    row = int(wrong.arg_max() or 0) if wrong.any() else int(strange.arg_max() or 0) // columns
    raise DataError(
        f"label {labels[row].to_list() if labels[row] is not None else None} of {_name(predictions, row)}: want 0 or 1 "
        f"for each of the {columns} score columns"
    )


def _probabilities(scores: NDArray[np.float64], predictions: pl.DataFrame) -> NDArray[np.float64]:
    """The scores (n, C), refused where one is not from 0 to 1; what rounding put beyond is put back."""
    if (beyond := (scores < -_ROUNDING) | (scores > 1 + _ROUNDING)).any():
        row, column = (int(i) for i in np.argwhere(beyond)[0])
        raise DataError(
            f"score_{column} of {_name(predictions, row)} is {scores[row, column]:g}; want the probability of label "
            f"{column}, from 0 to 1"
        )
    return np.clip(scores, 0, 1)


def _name(predictions: pl.DataFrame, row: int) -> str:
    return str(predictions["id"][row]) if "id" in predictions.columns else f"row {row}"


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
        raise DataError(
            f"{bad.any(axis=1).sum()} of {predictions.height} predictions hold a missing, NaN or infinite number, "
            f"first {columns[column]} of {_name(predictions, row)}: {values[row, column]}; a fit that diverged cannot "
            "be scored"
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
