"""The method `scratch`: train a network on the labelled data alone, with early stopping on held-out rows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.held_out import held_out_rows, usable_dev_rows
from glmbench.methods.method import Fit
from glmbench.methods.target import Target, target_of
from glmbench.models.model import Model, ModelCard, Trainable
from glmbench.sequences.encoding import reverse_complement
from glmbench.storage.hashing import sha256_json
from glmbench.tasks.budget import FULL, Budget, training_rows
from glmbench.tasks.task import Task
from glmbench.training.batches import Collate, InMemoryBatches

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glmbench.training.batches import Batch
    from glmbench.training.loop import TrainingRecord

PREDICTION_BATCH = 512
CHECKPOINT_SECONDS = 60.0
"""What a killed training may lose; shorter ones write no checkpoint."""

Positive = Annotated[int, Field(ge=1)]


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

    def __init__(self, recipe: dict[str, Any] | None = None, checkpoints: Path | None = None) -> None:
        self._recipe, self._checkpoints = ScratchRecipe.of(recipe or {}), checkpoints
        self.recipe: dict[str, Any] = asdict(self._recipe)

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """See `methods.method.Method`.

        Raises:
            Unsupported: the model cannot be trained, or the task has no such budget.
            MissingData: the task's files are absent.
            DivergenceError: the loss became infinite.
        """
        from glmbench.training.device import preferred_device

        if not isinstance(model, Trainable):
            raise Unsupported(
                f"{model.card.reference} cannot be trained; method scratch wants a model such as onehot-cnn"
            )
        rows = training_rows(task, budget, seed)
        train_rows, dev_rows, held_out = self._split(task, rows, budget, seed)
        target = target_of(task, rows)
        module, collate = model.trainable(target.outputs, seed=seed)
        module.to(preferred_device())
        batches = _batches(collate, target, train_rows, self._recipe, seed)
        stop_on = None if dev_rows is None else _batches(collate, target, dev_rows, self._recipe, seed)
        folder = self._checkpoint_folder(model, module, target, batches, stop_on)
        record = self._train(module, target, batches, stop_on, seed, folder)
        predictor = TrainedNetwork(model.card, module, collate, target, self._recipe)
        details = {
            "train_rows": rows.height,
            "trained_on": train_rows.height,
            "bases": int(train_rows["sequence"].str.len_bytes().sum()),
            "stopped_on": held_out,
            "stopped_on_rows": 0 if dev_rows is None else dev_rows.height,
            "outputs": target.outputs,
            **record.summary(),
        }
        return Fit(predictor, details)

    def _split(
        self, task: Task, rows: pl.DataFrame, budget: Budget, seed: int
    ) -> tuple[pl.DataFrame, pl.DataFrame | None, str]:
        """Rows to train on, rows to stop on, and where the latter are from."""
        dev = usable_dev_rows(task, rows) if budget == FULL else None
        if dev is not None:
            return rows, dev, "dev split"
        if rows.height < self._recipe.held_out_from:
            return rows, None, "nothing: a fixed number of steps"
        out = held_out_rows(rows, self._recipe.held_out, seed, stratify=task.card.kind == "classification")
        return rows.filter(~out), rows.filter(out), "held-out training rows"

    def _checkpoint_folder(
        self, model: Model, module: nn.Module, target: Target, batches: InMemoryBatches, stop_on: InMemoryBatches | None
    ) -> Path | None:
        """Named by all that decides the weights; by the rows themselves, as a view of a task has its task's hash."""
        if self._checkpoints is None:
            return None
        rows = [source.content_hash() for source in (batches, stop_on) if source is not None]
        device = next(module.parameters()).device.type
        return self._checkpoints / sha256_json([model.card.fingerprint, self.recipe, asdict(target), rows, device])

    def _train(
        self,
        module: nn.Module,
        target: Target,
        batches: InMemoryBatches,
        stop_on: InMemoryBatches | None,
        seed: int,
        folder: Path | None,
    ) -> TrainingRecord:
        """Train the module in place; with a folder go on from a checkpoint there, if it is whole."""
        from glmbench.training.checkpoint import CheckpointError
        from glmbench.training.loop import DivergenceError, Plan, train
        from glmbench.training.optimiser import adamw
        from glmbench.training.schedule import Schedule

        recipe = self._recipe
        steps = recipe.steps(len(batches))
        plan = Plan(
            steps=steps,
            schedule=Schedule("cosine", warmup=round(recipe.warmup * steps)),
            precision=recipe.precision,
            evaluate_every=max(len(batches), steps // recipe.evaluations),
            patience=recipe.patience,
        )

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            return target.loss(module(*batch.inputs), batch.targets)

        evaluate = None
        if stop_on is not None:

            def evaluate(module: nn.Module) -> float:
                device = next(module.parameters()).device
                total = sum(loss(module, batch.to(device)).item() * batch.size for batch in stop_on.epoch(0))
                return total / len(stop_on.targets)

        def attempt(checkpoint: Path | None) -> TrainingRecord:
            return train(
                module,
                batches,
                loss,
                adamw(module, lr=recipe.lr, weight_decay=recipe.weight_decay),
                plan,
                seed=seed,
                evaluate=evaluate,
                checkpoint=checkpoint,
                checkpoint_every=CHECKPOINT_SECONDS,
                description=self.name,
            )

        try:
            record = attempt(folder)
        except CheckpointError:  # damaged, or written by another version of the loop; nothing was changed yet
            _remove(folder)
            record = attempt(folder if folder and not folder.exists() else None)
        except DivergenceError:
            _remove(folder)
            raise
        _remove(folder)
        return record


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class TrainedNetwork:
    """A network after training: answers in probabilities, or in the unit of a regression's labels."""

    def __init__(
        self, card: ModelCard, module: nn.Module, collate: Collate, target: Target, recipe: ScratchRecipe
    ) -> None:
        self.card = card
        self.module, self.collate, self.target, self.recipe = module, collate, target, recipe

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities (sequences, classes), or values (sequences, 1); independent of what else is asked."""
        scores = self._predict(sequences)
        if self.recipe.reverse_complement:
            scores += self._predict([reverse_complement(sequence) for sequence in sequences])
            scores /= 2
        return scores

    def _predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        import torch

        from glmbench.training.precision import resolve

        device = next(self.module.parameters()).device
        precision = resolve(self.recipe.precision, device)
        encoded = self.collate.encode(sequences)
        by_length = np.argsort(encoded.lengths, kind="stable")
        out = np.empty((len(sequences), self.target.outputs), np.float32)
        with torch.inference_mode(), precision.matmuls(), precision.forward(device):
            for start in range(0, len(sequences), PREDICTION_BATCH):
                rows = by_length[start : start + PREDICTION_BATCH]
                inputs = (x if x is None else x.to(device) for x in self.collate.batch(encoded, rows))
                out[rows] = self.target.decode(self.module(*inputs)).cpu().numpy()
        return out


def _batches(collate: Collate, target: Target, rows: pl.DataFrame, recipe: ScratchRecipe, seed: int) -> InMemoryBatches:
    sequences = rows["sequence"].to_list()
    views = 1
    if recipe.reverse_complement:
        sequences += [reverse_complement(sequence) for sequence in sequences]
        views = 2
    return InMemoryBatches(
        collate,
        collate.encode(sequences),
        target.encode(rows["label"]),
        batch_size=recipe.batch_size,
        seed=seed,
        views=views,
    )
