"""The target: how the labels of a task meet the outputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["classes", "labels", "bases", "values"]
"""`classes`: one of several; `labels`: several yes or no; `bases`: a class for every base; `values`: measurements."""

NO_LABEL = -100
"""Stands where a base has no label, and beyond the end of shorter sequences; losses pass over it."""


@dataclass(frozen=True)
class Target:
    """How the labels of a task meet the outputs of a network."""

    kind: Kind
    outputs: int
    """Classes, labels, or 1 for a value."""
    mean: float = 0.0
    """Mean and standard deviation of the training labels of `values`, which are learned standardised."""
    scale: float = 1.0

    def encode(self, labels: pl.Series) -> NDArray[Any]:
        """What the loss compares with.

        Of `classes` indices int64 (rows,); of `labels` 0 or 1, float32 (rows, labels); of `bases` indices int16 (rows,
        longest), `NO_LABEL` where there is none; of `values` standardised, float32 (rows, 1).
        """
        if self.kind == "classes":
            return labels.cast(pl.Int64).to_numpy()
        if self.kind == "labels":
            return np.array(labels.to_list(), dtype=np.float32).reshape(len(labels), self.outputs)
        if self.kind == "bases":
            return _padded(labels)
        return ((labels.cast(pl.Float64).to_numpy() - self.mean) / self.scale).astype(np.float32)[:, None]

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Mean over rows of the cross-entropy in nats (of their labels or bases), or of squared error in variances."""
        from torch.nn import functional

        score = scores.float()
        if self.kind == "classes":
            return functional.cross_entropy(score, targets)
        if self.kind == "labels":
            return functional.binary_cross_entropy_with_logits(score, targets)
        if self.kind == "bases":
            wanted = targets[:, : score.shape[1]].long()
            each = functional.cross_entropy(score.transpose(1, 2), wanted, ignore_index=NO_LABEL, reduction="none")
            of_row = each.sum(1) / (wanted != NO_LABEL).sum(1).clamp(min=1)
            return of_row.mean()
        return functional.mse_loss(score, targets)

    def decode(self, scores: Tensor) -> Tensor:
        """Probabilities (rows, classes or labels) or (rows, longest, classes), or values (rows, 1) in their unit."""
        score = scores.float()
        if self.kind == "labels":
            return score.sigmoid()
        return score * self.scale + self.mean if self.kind == "values" else score.softmax(-1)


def _padded(labels: pl.Series) -> NDArray[np.int16]:
    lengths = labels.list.len().to_numpy()
    inside = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    out = np.full(inside.shape, NO_LABEL, np.int16)
    values = labels.explode().to_numpy()
    out[inside] = np.where(values < 0, NO_LABEL, values)
    return out
