"""The method `scratch`: train a network on the labelled data alone, with early stopping on held-out rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.method import Fit, Start
from glmbench.methods.target import target_of
from glmbench.methods.training import (
    Positive,
    TrainedNetwork,
    collapse,
    loss_on,
    make_batches,
    split_rows,
    train_module,
    training_folder,
)
from glmbench.models.model import Model, Trainable
from glmbench.tasks.budget import Budget, training_rows
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
    precision: Literal["fp32", "bf16"] = "fp32"
    version: Literal[1] = 1
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

    def steps(self, batches: int) -> int:
        """Optimiser steps to plan for epochs of so many batches."""
        steps = max(self.epochs * batches, self.min_steps)
        return steps if self.max_steps is None else min(steps, self.max_steps)


class Scratch:
    """Train a fresh network on the training rows of a budget.

    Labels outside the budget are never used. At the full budget the task's dev split decides when to stop, less any of
    its rows that are also in test or train (Splice-40's whole dev split is). Otherwise some training rows are held out
    for that, whole groups at a time, unless there are too few.

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
        from glmbench.training.device import preferred_device
        from glmbench.training.optimiser import adamw

        if not isinstance(model, Trainable) or model.card.weights != self.starts_from:
            raise Unsupported(
                f"{model.card.reference} cannot be trained from random weights; method scratch wants a model such as "
                "onehot-cnn"
            )
        recipe = self._recipe
        rows = training_rows(task, budget, seed)
        split = split_rows(task, rows, budget, seed, held_out=recipe.held_out, held_out_from=recipe.held_out_from)
        target = target_of(task, rows)
        module, collate = model.trainable(target.outputs, seed=seed)
        module.to(preferred_device())
        batches, stop_on = (
            part
            if part is None
            else make_batches(
                collate,
                target,
                part,
                batch_size=recipe.batch_size,
                seed=seed,
                reverse_complements=recipe.reverse_complement,
            )
            for part in (split.train, split.stop_on)
        )
        assert batches is not None
        record = train_module(
            module,
            batches,
            target,
            lambda: adamw(module, lr=recipe.lr, weight_decay=recipe.weight_decay),
            self._plan(len(batches)),
            seed=seed,
            evaluate=None if stop_on is None else loss_on(target, stop_on),
            folder=training_folder(self._checkpoints, model.card, self.recipe, target, module, (batches, stop_on)),
            description=self.name,
        )
        predictor = TrainedNetwork(
            model.card,
            module,
            collate,
            target,
            precision=recipe.precision,
            reverse_complements=recipe.reverse_complement,
        )
        details = {
            **split.details(),
            "outputs": target.outputs,
            **collapse(module, target, stop_on, recipe.precision),
            **record.summary(),
        }
        return Fit(predictor, details)

    def _plan(self, batches: int) -> Plan:
        """How to train with so many batches an epoch."""
        from glmbench.training.plan import Plan
        from glmbench.training.schedule import Schedule

        recipe = self._recipe
        steps = recipe.steps(batches)
        return Plan(
            steps=steps,
            schedule=Schedule("cosine", warmup=round(recipe.warmup * steps)),
            precision=recipe.precision,
            evaluate_every=max(batches, steps // recipe.evaluations),
            patience=recipe.patience,
        )
