"""The record of a training: what happened, and what it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from glmbench.training.cost import TrainingCost
from glmbench.training.precision import Precision


@dataclass(frozen=True)
class TrainingRecord:
    """What happened."""

    steps: int
    epochs: float
    losses: tuple[float, ...]
    """Training loss of each step: the mean over the targets of all its micro-batches, on all processes."""
    evaluations: tuple[tuple[int, float], ...]
    """Steps taken and score of each evaluation."""
    best_step: int | None
    """Of the best evaluation, where the weights are from unless the plan keeps the last; None without evaluations."""
    best_score: float | None
    stopped: Literal["steps", "patience"]
    precision: Precision
    cost: TrainingCost

    def summary(self) -> dict[str, Any]:
        """Plain values for a result, without the loss of every step."""
        return {
            "steps": self.steps,
            "epochs": round(self.epochs, 3),
            "last_loss": self.losses[-1] if self.losses else None,
            "best_step": self.best_step,
            "best_score": self.best_score,
            "stopped": self.stopped,
            "precision": asdict(self.precision),
            "cost": asdict(self.cost),
        }
