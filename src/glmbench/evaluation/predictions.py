"""From what a predictor answers to the frame of predictions that is kept and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.metrics.predictions import per_base_frame
from glmbench.models.model import Input, Predicts, PredictsEachBase


def predictions_of(
    predictor: Predicts | PredictsEachBase, examples: pl.DataFrame, inputs: Sequence[Input]
) -> pl.DataFrame:
    """Predictions of a split, a row for each example, or for each base that has a label.

    Raises:
        DataError: the scores are not one finite row per example or base.
    """
    if isinstance(predictor, PredictsEachBase):
        scores = predictor.predict_bases(cast("Sequence[str]", inputs))
        for example, (answer, text) in enumerate(zip(scores, inputs, strict=True)):
            if answer.shape[0] != len(text) or not np.isfinite(answer).all():
                raise DataError(
                    f"the model gave scores of shape {answer.shape} for the {len(text)} bases of "
                    f"{examples['id'][example]}, or some are NaN; want a finite row for every base"
                )
        return per_base_frame(examples, scores)
    return frame_of(examples, predictor.predict(cast("Sequence[str]", inputs)))


def frame_of(examples: pl.DataFrame, scores: NDArray[np.float32]) -> pl.DataFrame:
    """Predictions of a split: `id`, `group`, `label` of its examples, and one column per score.

    Raises:
        DataError: the scores are not one finite row per example.
    """
    if scores.ndim != 2 or len(scores) != examples.height:
        raise DataError(f"the model gave scores of shape {scores.shape} for {examples.height} sequences")
    if bad := int(np.count_nonzero(~np.isfinite(scores).all(axis=1))):
        raise DataError(f"the model gave NaN or infinite scores for {bad} of {len(scores)} sequences")
    columns = {f"score_{i}": scores[:, i] for i in range(scores.shape[1])}
    return examples.select("id", "group", "label").with_columns(**{k: pl.Series(v) for k, v in columns.items()})


def defined(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are a number; JSON has no NaN."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
