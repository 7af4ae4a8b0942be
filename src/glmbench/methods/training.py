"""What methods that train a network share: rows to stop on, the training itself with its checkpoints, the predictor."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from glmbench.methods.held_out import held_out_rows, usable_dev_rows
from glmbench.methods.target import Target
from glmbench.models.model import ModelCard
from glmbench.models.reporting import NotesInput
from glmbench.sequences.encoding import reverse_complement
from glmbench.storage.hashing import sha256_json
from glmbench.tasks.budget import FULL, Budget
from glmbench.tasks.task import Task
from glmbench.training.batches import Collate, Encoded, InMemoryBatches

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from glmbench.training.batches import Batch
    from glmbench.training.loop import Evaluate, TrainingRecord
    from glmbench.training.plan import Plan

PREDICTION_BATCH = 512
CHECKPOINT_SECONDS = 60.0
"""What a killed training may lose; shorter ones write no checkpoint."""
COLLAPSED_BELOW = 0.05
"""A classifier whose MCC on the rows it was stopped on is below has collapsed, as has one that predicts one class."""

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Split:
    """Rows to train on, rows that decide when to stop, and where the latter are from."""

    train: pl.DataFrame
    stop_on: pl.DataFrame | None
    source: str

    def details(self) -> dict[str, Any]:
        """Plain values for a result."""
        return {
            "train_rows": self.train.height + (self._held_out() if self.stop_on is not None else 0),
            "trained_on": self.train.height,
            "bases": int(self.train["sequence"].str.len_bytes().sum()),
            "stopped_on": self.source,
            "stopped_on_rows": 0 if self.stop_on is None else self.stop_on.height,
        }

    def _held_out(self) -> int:
        assert self.stop_on is not None
        return 0 if self.source == "dev split" else self.stop_on.height


def split_rows(
    task: Task, rows: pl.DataFrame, budget: Budget, seed: int, *, held_out: float, held_out_from: int
) -> Split:
    """The dev split at the full budget, else a share of the training rows, else, where these are few, nothing.

    Test rows are never among them.

    Raises:
        MissingData: the task lists a dev split whose file is absent.
    """
    dev = usable_dev_rows(task, rows) if budget == FULL else None
    if dev is not None:
        return Split(rows, dev, "dev split")
    if rows.height < held_out_from:
        return Split(rows, None, "nothing: a fixed number of steps")
    out = held_out_rows(rows, held_out, seed, stratify=task.card.kind == "classification")
    return Split(rows.filter(~out), rows.filter(out), "held-out training rows")


def make_batches(
    collate: Collate,
    target: Target,
    rows: pl.DataFrame,
    *,
    batch_size: int,
    seed: int,
    reverse_complements: bool = False,
) -> InMemoryBatches:
    """Batches of labelled rows; with reverse complements either strand at random."""
    sequences = rows["sequence"].to_list()
    views = 1
    if reverse_complements:
        sequences += [reverse_complement(sequence) for sequence in sequences]
        views = 2
    targets = target.encode(rows["label"])
    return InMemoryBatches(collate, collate.encode(sequences), targets, batch_size=batch_size, seed=seed, views=views)


def training_folder(
    checkpoints: Path | None,
    card: ModelCard,
    recipe: dict[str, Any],
    target: Target,
    module: nn.Module,
    sources: Sequence[InMemoryBatches | None],
) -> Path | None:
    """Named by all that decides the weights; by the rows themselves, as a view of a task has its task's hash."""
    if checkpoints is None:
        return None
    rows = [source.content_hash() for source in sources if source is not None]
    device = next(module.parameters()).device.type
    return checkpoints / sha256_json([card.fingerprint, recipe, asdict(target), rows, device])


def batch_loss(target: Target) -> Callable[[nn.Module, Batch], Tensor]:
    """The target's loss of what a module makes of a batch."""

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        return target.loss(module(*batch.inputs), batch.targets)

    return loss


def loss_on(target: Target, batches: InMemoryBatches) -> Evaluate:
    """Scores a module by its mean loss over held-out rows."""
    loss = batch_loss(target)

    def evaluate(module: nn.Module) -> float:
        device = next(module.parameters()).device
        total = sum(loss(module, batch.to(device)).item() * batch.size for batch in batches.epoch(0))
        return total / len(batches.targets)

    return evaluate


def metric_on(target: Target, batches: InMemoryBatches, name: str) -> Evaluate:
    """Scores a module by a metric over held-out rows; -1 where it is undefined, as for constant predictions."""
    from glmbench.metrics.scores import metric_named

    metric = metric_named(name)

    def evaluate(module: nn.Module) -> float:
        value = metric.value(*_answers(module, target, batches))
        return value if np.isfinite(value) else -1.0

    return evaluate


def _answers(module: nn.Module, target: Target, batches: InMemoryBatches) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Labels (n,) as they are encoded and decoded scores (n, outputs) of all rows."""
    device = next(module.parameters()).device
    labels, scores = [], []
    for batch in batches.epoch(0):
        labels.append(batch.targets.flatten().numpy())
        inputs = (x if x is None else x.to(device) for x in batch.inputs)
        scores.append(target.decode(module(*inputs)).cpu().numpy().astype(np.float64))
    return np.concatenate(labels), np.concatenate(scores)


def collapse(
    module: nn.Module, target: Target, batches: InMemoryBatches | None, precision: Literal["fp32", "bf16"]
) -> dict[str, Any]:
    """Whether a classifier collapsed, by the rows it was stopped on alone: one rule for every model and method.

    It has where it predicts one class for all of them, or their MCC is below `COLLAPSED_BELOW`. None where there are
    no such rows, or no classes.
    """
    import torch

    from glmbench.metrics.scores import metric_named
    from glmbench.training.precision import resolve

    if batches is None or target.regression:
        return {"collapsed": None}
    device = next(module.parameters()).device
    resolved = resolve(precision, device)
    with torch.inference_mode(), resolved.matmuls(), resolved.forward(device):
        labels, scores = _answers(module, target, batches)
    predicted = len(np.unique(scores.argmax(axis=1)))
    mcc = metric_named("mcc").value(labels, scores)
    return {
        "collapsed": predicted == 1 or mcc < COLLAPSED_BELOW,
        "stopped_on_mcc": mcc,
        "stopped_on_classes_predicted": predicted,
    }


def train_module(
    module: nn.Module,
    batches: InMemoryBatches,
    target: Target,
    optimiser: Callable[[], torch.optim.Optimizer],
    plan: Plan,
    *,
    seed: int,
    evaluate: Evaluate | None,
    folder: Path | None,
    description: str,
) -> TrainingRecord:
    """Train the module in place; with a folder go on from a checkpoint there, if it is whole.

    Raises:
        DivergenceError: the loss became infinite.
    """
    from glmbench.training.checkpoint import CheckpointError
    from glmbench.training.loop import DivergenceError, train

    def attempt(checkpoint: Path | None) -> TrainingRecord:
        return train(
            module,
            batches,
            batch_loss(target),
            optimiser(),
            plan,
            seed=seed,
            evaluate=evaluate,
            checkpoint=checkpoint,
            checkpoint_every=CHECKPOINT_SECONDS,
            description=description,
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
    """A network after training: answers in probabilities, or in the unit of a regression's labels.

    Args:
        card: of the model it came from.
        module: trained, in evaluation mode.
        collate: makes its batches.
        target: what its outputs mean.
        precision: of its arithmetic.
        reverse_complements: average the answers for both strands.
        batch_codes: bases or tokens in a batch at most, where rows are long.
    """

    def __init__(
        self,
        card: ModelCard,
        module: nn.Module,
        collate: Collate,
        target: Target,
        *,
        precision: Literal["fp32", "bf16"],
        reverse_complements: bool = False,
        batch_codes: int | None = None,
    ) -> None:
        self.card = card
        self.module, self.collate, self.target = module, collate, target
        self._precision, self._both, self._codes = precision, reverse_complements, batch_codes

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities (sequences, classes), or values (sequences, 1); independent of what else is asked."""
        scores = self._predict(sequences)
        if self._both:
            scores += self._predict([reverse_complement(sequence) for sequence in sequences])
            scores /= 2
        return scores

    def notes(self, sequences: Sequence[str]) -> dict[str, int | float]:
        """What became of sequences on their way in, where the collate says it; see `models.reporting.NotesInput`."""
        return self.collate.notes(sequences) if isinstance(self.collate, NotesInput) else {}

    def _predict(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        import torch

        from glmbench.training.precision import resolve

        device = next(self.module.parameters()).device
        precision = resolve(self._precision, device)
        encoded = self.collate.encode(sequences)
        out = np.empty((len(sequences), self.target.outputs), np.float32)
        with torch.inference_mode(), precision.matmuls(), precision.forward(device):
            for rows in _by_length(encoded, self._codes):
                inputs = (x if x is None else x.to(device) for x in self.collate.batch(encoded, rows))
                out[rows] = self.target.decode(self.module(*inputs)).cpu().numpy()
        return out


def _by_length(encoded: Encoded, codes: int | None) -> list[NDArray[np.intp]]:
    """Rows in batches, the shortest first."""
    order = np.argsort(encoded.lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = order[start : start + PREDICTION_BATCH]
        if codes is not None:
            fits = encoded.lengths[rows] * np.arange(1, len(rows) + 1) <= codes  # padded to the longest, the last
            rows = rows[: max(1, int(fits.sum()))]
        batches.append(rows)
        start += len(rows)
    return batches
