"""The target: how the labels of a task meet the outputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.tasks.task import Task, class_count

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Target:
    """How the labels of a task meet the outputs of a network."""

    outputs: int
    mean: float | None = None
    """Mean and standard deviation of the training labels of a regression, which is learned on standardised labels."""
    scale: float = 1.0

    @property
    def regression(self) -> bool:
        """Whether labels are measured values."""
        return self.mean is not None

    def encode(self, labels: pl.Series) -> NDArray[Any]:
        """Class indices int64 (rows,), or standardised values float32 (rows, 1)."""
        if self.mean is None:
            return labels.cast(pl.Int64).to_numpy()
        return ((labels.cast(pl.Float64).to_numpy() - self.mean) / self.scale).astype(np.float32)[:, None]

    def loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats, or mean squared error in units of the labels' variance."""
        from torch.nn import functional

        score = scores.float()
        return functional.mse_loss(score, targets) if self.regression else functional.cross_entropy(score, targets)

    def decode(self, scores: Tensor) -> Tensor:
        """Probabilities (rows, classes), or values in the unit of the labels (rows, 1)."""
        return scores.float().softmax(1) if self.mean is None else scores.float() * self.scale + self.mean


def target_of(task: Task, rows: pl.DataFrame) -> Target:
    """Classes as the card names them, and never fewer than the labels of the training rows, dev and test show.

    A class that only dev or test has, or that no row has (a gap in the numbers), keeps an output of its own.

    Raises:
        DataError: a label is negative.
    """
    if task.card.kind == "regression":
        labels = rows["label"].cast(pl.Float64).to_numpy()
        return Target(outputs=1, mean=float(labels.mean()), scale=float(labels.std()) or 1.0)
    seen = [rows["label"], *(task.load(split)["label"] for split in ("dev", "test") if split in task.splits())]
    labels = pl.concat([labels.cast(pl.Int64) for labels in seen]).to_numpy()
    if (lowest := int(labels.min())) < 0:
        raise DataError(f"{task.card.reference}: a label is {lowest}; wanted classes numbered from 0")
    return Target(outputs=class_count(task.card, labels))
