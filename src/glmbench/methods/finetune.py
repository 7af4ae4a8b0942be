"""The methods `finetune` and `lora`: train a pre-trained network on with a fresh head, all of it or adapters alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import polars as pl
from pydantic import Field, TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.lora import LoraRecipe, add_adapters
from glmbench.methods.method import Fit, Start
from glmbench.methods.target import Target, target_of
from glmbench.methods.training import (
    Positive,
    Split,
    TrainedNetwork,
    collapse,
    loss_on,
    make_batches,
    metric_on,
    split_rows,
    train_module,
    training_folder,
)
from glmbench.models.model import Model, Trainable
from glmbench.models.reporting import NotesInput
from glmbench.tasks.budget import Budget, training_rows
from glmbench.tasks.task import Task
from glmbench.training.batches import Collate, InMemoryBatches

if TYPE_CHECKING:
    from glmbench.training.loop import Evaluate
    from glmbench.training.plan import Plan

PREDICTION_TOKENS = 16_384


@dataclass(frozen=True)
class FinetuneRecipe:
    """The settings of `Finetune`; lengths are in tokens, special ones included."""

    epochs: Positive = 3
    """Passes over the training rows at most."""
    min_steps: Positive = 100
    """Few rows are passed over more often, until so many optimiser steps are planned."""
    max_steps: Positive | None = None
    batch_size: Positive = 32
    lr: Annotated[float, Field(gt=0)] = 3e-5
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """So many steps instead of a share."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    max_length: Positive | None = None
    """Longest input; None: the context of the model."""
    too_long: Literal["refuse", "truncate"] = "refuse"
    """What becomes of longer sequences; how many were cut is in the result."""
    evaluate_every: Positive | None = None
    """Steps between looks at the held-out rows; None: after each epoch."""
    select: Literal["metric", "loss"] = "metric"
    """What decides on the held-out rows whose weights are kept: the task's metric, or the lowest loss."""
    patience: Positive | None = None
    """Evaluations in a row without a better one before training stops."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the training rows that is held out, where the task's dev split cannot serve."""
    held_out_from: int = 300
    """With fewer training rows than this none are held out, and the last weights are kept."""
    reverse_complement: bool = False
    """Train on either strand at random and average the predictions of both."""
    lora: LoraRecipe | None = None
    """Train adapters and the head alone; None: all weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    version: Literal[1] = 1
    """Of this code: grows whenever the same settings would give other numbers, so that results get a new address."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> FinetuneRecipe:
        """The recipe with `values` over the defaults.

        Raises:
            UsageError: a key is unknown, or a value has the wrong type or is out of range.
        """
        try:
            return TypeAdapter(cls).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise UsageError(f"finetune recipe {values}: {error}") from None

    def plan(self, batches: int, *, higher_is_better: bool) -> Plan:
        """How to train with so many batches an epoch."""
        from glmbench.training.plan import Plan
        from glmbench.training.schedule import Schedule

        steps = max(self.epochs * batches, self.min_steps)
        steps = steps if self.max_steps is None else min(steps, self.max_steps)
        warmup = round(self.warmup * steps) if self.warmup_steps is None else min(self.warmup_steps, steps)
        return Plan(
            steps=steps,
            schedule=Schedule(self.schedule, warmup=warmup),
            precision=self.precision,
            clip_norm=self.clip_norm,
            evaluate_every=self.evaluate_every or batches,
            patience=self.patience,
            higher_is_better=higher_is_better,
        )


@runtime_checkable
class LimitsLength(Collate, Protocol):
    """A collate whose inputs can be kept shorter than the model's context."""

    def limited(self, length: int | None, *, truncate: bool) -> Collate:
        """The same for at most so many tokens; longer sequences are cut at their end, or refused."""


class Finetune:
    """Train a copy of a pre-trained network under a fresh head on the training rows of a budget.

    Labels outside the budget are never used. At the full budget the task's dev split decides whose weights are kept,
    less any of its rows that are also in test or train; otherwise some training rows are held out for that, whole
    groups at a time, unless there are too few. Test rows never decide anything.

    Args:
        recipe: values over the defaults of `FinetuneRecipe`.
        checkpoints: folder for checkpoints of long trainings. A training that was killed is gone on with by the next
            fit of the same network on the same rows with the same recipe and seed; what it leaves is removed when it
            has finished. With adapters a checkpoint holds these and the head alone.
        name: of the method.
    """

    needs: type = Trainable
    stochastic = True
    starts_from: Start | None = "given"

    def __init__(
        self, recipe: dict[str, Any] | None = None, checkpoints: Path | None = None, name: str = "finetune"
    ) -> None:
        self._recipe, self._checkpoints, self.name = FinetuneRecipe.of(recipe or {}), checkpoints, name
        self.recipe: dict[str, Any] = asdict(self._recipe)

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """See `methods.method.Method`.

        Raises:
            Unsupported: the model cannot be trained, or has no weights to start from; sequences are too long and may
                not be cut; or the task has no such budget.
            UsageError: a target of adapters is not there.
            MissingData: the task's files are absent.
            DivergenceError: the loss became infinite.
        """
        from glmbench.training.device import preferred_device
        from glmbench.training.optimiser import adamw

        if not isinstance(model, Trainable) or model.card.weights != self.starts_from:
            raise Unsupported(
                f"{model.card.reference} cannot be fine-tuned; method {self.name} wants a pre-trained model, such as "
                "hf:PATH, or its random twin"
            )
        recipe = self._recipe
        rows = training_rows(task, budget, seed)
        split = split_rows(task, rows, budget, seed, held_out=recipe.held_out, held_out_from=recipe.held_out_from)
        target = target_of(task, rows)
        module, collate = model.trainable(target.outputs, seed=seed)
        collate = self._limited(collate, model)
        adapters = {} if recipe.lora is None else add_adapters(module, recipe.lora, seed)
        module.to(preferred_device())
        batches = self._batches(collate, target, split.train, seed)
        stop_on = None if split.stop_on is None else self._batches(collate, target, split.stop_on, seed)
        record = train_module(
            module,
            batches,
            target,
            lambda: adamw(module, lr=recipe.lr, weight_decay=recipe.weight_decay),
            recipe.plan(len(batches), higher_is_better=recipe.select == "metric"),
            seed=seed,
            evaluate=None if stop_on is None else self._evaluate(task, target, stop_on),
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
            batch_codes=PREDICTION_TOKENS,
        )
        details = {
            **split.details(),
            **_labels(target, split),
            **_read(predictor, split),
            **adapters,
            **collapse(module, target, stop_on, recipe.precision),
            **record.summary(),
            "selected_by": None if stop_on is None else self._selected_by(task),
        }
        return Fit(predictor, details)

    def _limited(self, collate: Collate, model: Model) -> Collate:
        recipe = self._recipe
        if isinstance(collate, LimitsLength):
            truncates = recipe.too_long == "truncate" or bool(getattr(collate, "truncates", False))
            return collate.limited(recipe.max_length, truncate=truncates)
        if recipe.max_length is not None:
            raise Unsupported(f"{model.card.reference} has no tokens to count; leave max_length out of the recipe")
        return collate

    def _batches(self, collate: Collate, target: Target, rows: pl.DataFrame, seed: int) -> InMemoryBatches:
        recipe = self._recipe
        both = recipe.reverse_complement
        size = recipe.batch_size
        return make_batches(collate, target, rows, batch_size=size, seed=seed, reverse_complements=both)

    def _evaluate(self, task: Task, target: Target, stop_on: InMemoryBatches) -> Evaluate:
        if self._recipe.select == "loss":
            return loss_on(target, stop_on)
        return metric_on(target, stop_on, task.card.metric)

    def _selected_by(self, task: Task) -> str:
        return "loss" if self._recipe.select == "loss" else task.card.metric


def _labels(target: Target, split: Split) -> dict[str, Any]:
    """How many outputs there are, and which classes no training row has."""
    if target.regression:
        return {"outputs": target.outputs}
    absent = set(range(target.outputs)) - set(split.train["label"].cast(pl.Int64).to_list())
    return {"outputs": target.outputs, "classes_absent_from_train": sorted(absent)}


def _read(predictor: NotesInput, split: Split) -> dict[str, Any]:
    """What became of the rows' sequences on their way in."""
    notes = {"train_input": predictor.notes(split.train["sequence"].to_list())}
    if split.stop_on is not None:
        notes["stopped_on_input"] = predictor.notes(split.stop_on["sequence"].to_list())
    return {name: values for name, values in notes.items() if values}
