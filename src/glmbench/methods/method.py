"""The noun Method: a procedure that fits a model to a task's labelled data under a budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from glmbench.models.model import Model, Predicts, PredictsEachBase
from glmbench.tasks.budget import Budget
from glmbench.tasks.task import Task

Start = Literal["given", "fresh"]
"""Weights that a training starts from; see `models.model.ModelCard.weights`."""


@dataclass(frozen=True)
class Fit:
    """A fitted predictor and what is worth keeping of how it was fitted."""

    predictor: Predicts | PredictsEachBase
    details: dict[str, Any] = field(default_factory=dict)
    """Plain values for the result: rows and bases seen, chosen penalty, epochs, convergence, dropped or cut bases."""
    first_attempt: Predicts | PredictsEachBase | None = None
    """Where a training collapsed and was done again: what the first came to, so that both can be scored."""
    checkpoints: tuple[Path, ...] = ()
    """Folders that a killed run goes on from, of no more use when the result is kept."""


class Method(Protocol):
    """A procedure. It holds no state between fits."""

    name: str
    recipe: dict[str, Any]
    """The recipe as resolved: the suite's values over the method's defaults, all of them."""
    needs: type
    """The capability it asks of a model."""
    stochastic: bool
    """Whether two seeds on the same rows give two fits; if not, seeds beyond the task's draws are not planned."""
    starts_from: Start | None
    """Of a method that trains: weights that it wants of a model; None: any."""

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """Fit on the training rows of draw `seed` of the budget.

        Raises:
            Unsupported: the model lacks the capability, or the task has no such budget.
            MissingData: the task's files are absent.
        """
