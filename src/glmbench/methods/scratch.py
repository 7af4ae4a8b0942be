"""The method `scratch`: train a network on the labelled data alone, with early stopping on held-out rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.method import Fit, Start
from glmbench.methods.network_fit import Training, fit_network
from glmbench.methods.training import Positive
from glmbench.models.fitted.building import Form
from glmbench.models.model import Model, Trainable
from glmbench.tasks.budget import Budget
from glmbench.tasks.task import Task

if TYPE_CHECKING:
    from glmbench.training.plan import Plan


@dataclass(frozen=True)
class ScratchRecipe:
    """The settings of `Scratch`, for sequences of 70 to 500 bp and 20 to 50,000 rows."""

    epochs: Positive = 20
    """Passes over the training rows at most."""
    min_steps: Positive = 200
    """Few rows are passed over more often, until so many optimiser steps are planned."""
    max_steps: Positive | None = None
    batch_size: Positive = 128
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises; then it falls as half a cosine."""
    evaluations: Positive = 20
    """The held-out loss is looked at so many times at most, and at most once an epoch."""
    patience: Positive | None = 5
    """Evaluations in a row without a better held-out loss before training stops."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the training rows that is held out to stop early, where the task's dev split cannot serve."""
    held_out_from: int = 300
    """With fewer training rows than this none are held out, and all planned steps are taken."""
    reverse_complement: bool = False
    """Train on either strand at random and average the predictions of both."""
    retries: Annotated[int, Field(ge=0)] = 1
    """Further attempts, each from another seed, while a training has collapsed on the rows that it was stopped on."""
    precision: Literal["fp32", "bf16"] = "fp32"
    version: Literal[3] = 3
    """Of this code: grows whenever the same settings would give other numbers, so that results get a new address."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> ScratchRecipe:
        """The recipe with `values` over the defaults.

        Raises:
            UsageError: a key is unknown, or a value has the wrong type or is out of range.
        """
        try:
            return TypeAdapter(cls).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise UsageError(f"scratch recipe {values}: {error}") from None

    def plan(self, batches: int, *, higher_is_better: bool) -> Plan:
        """How to train with so many batches an epoch."""
        from glmbench.training.plan import Plan
        from glmbench.training.schedule import Schedule

        steps = max(self.epochs * batches, self.min_steps)
        steps = steps if self.max_steps is None else min(steps, self.max_steps)
        return Plan(
            steps=steps,
            schedule=Schedule("cosine", warmup=round(self.warmup * steps)),
            precision=self.precision,
            evaluate_every=max(batches, steps // self.evaluations),
            patience=self.patience,
            higher_is_better=higher_is_better,
        )


class Scratch:
    """Train a fresh network on the training rows of a budget; see `network_fit.fit_network`.

    When to stop is decided by the lowest held-out loss.

    Args:
        recipe: values over the defaults of `ScratchRecipe`.
        checkpoints: folder for checkpoints of long trainings. A training that was killed is gone on with by the next
            fit of the same network on the same rows with the same recipe and seed; what it leaves is removed when it
            has finished.
    """

    name = "scratch"
    needs: type = Trainable
    stochastic = True
    starts_from: Start | None = "fresh"

    def __init__(self, recipe: dict[str, Any] | None = None, checkpoints: Path | None = None) -> None:
        self._recipe, self._checkpoints = ScratchRecipe.of(recipe or {}), checkpoints
        self.recipe: dict[str, Any] = asdict(self._recipe)

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """See `methods.method.Method`.

        Raises:
            Unsupported: the model cannot be trained, or has weights already; or the task has no such budget.
            MissingData: the task's files are absent.
            DivergenceError: the loss became infinite.
        """
        if not isinstance(model, Trainable) or model.card.weights != self.starts_from:
            raise Unsupported(
                f"{model.card.reference} cannot be trained from random weights; method scratch wants a model such as "
                "onehot-cnn"
            )

        training = Training(
            self.name, model, self._recipe, self.recipe, Form(), select="loss", checkpoints=self._checkpoints
        )
        return fit_network(training, task, budget=budget, seed=seed)
