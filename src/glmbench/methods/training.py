"""What methods that train a network share: batches, the training itself with its checkpoints, the number of pieces."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from glmbench.methods.judging import batch_loss
from glmbench.models.fitted.target import Target
from glmbench.models.fitted.trained_network import reverse_complemented
from glmbench.models.model import Input, ModelCard
from glmbench.storage.hashing import sha256_json
from glmbench.training.batches import Collate, InMemoryBatches

if TYPE_CHECKING:
    import polars as pl
    import torch
    from torch import nn

    from glmbench.training.loop import Evaluate, TrainingRecord
    from glmbench.training.plan import Plan

CHECKPOINT_SECONDS = 60.0
"""What a killed training may lose; shorter ones write no checkpoint."""

Positive = Annotated[int, Field(ge=1)]


def make_batches(
    collate: Collate,
    target: Target,
    inputs: Sequence[Input],
    labels: pl.Series,
    *,
    batch_size: int,
    seed: int,
    reverse_complements: bool = False,
    at_once: int | None = None,
) -> InMemoryBatches:
    """Batches of labelled inputs; with reverse complements either strand at random.

    With `at_once`, a batch is cut into as many micro-batches as keep each below so many bases or tokens; all processes
    that train together share them, so that a batch has `batch_size` examples whatever their number.
    """
    from glmbench.training.distributed import processes

    views = 1
    if reverse_complements:
        inputs = [*inputs, *(reverse_complemented(one) for one in inputs)]
        views = 2
    return InMemoryBatches(
        collate,
        collate.encode(inputs),
        target.encode(labels),
        batch_size=batch_size,
        seed=seed,
        views=views,
        at_once=at_once,
        processes=processes(),
    )


def training_folder(
    checkpoints: Path | None,
    card: ModelCard,
    recipe: dict[str, Any],
    target: Target,
    module: nn.Module,
    sources: Sequence[InMemoryBatches | None],
    metric: str,
) -> Path | None:
    """Named by all that decides the weights; by the rows themselves, as a view of a task has its task's hash."""
    if checkpoints is None:
        return None
    rows = [source.content_hash() for source in sources if source is not None]
    device = next(module.parameters()).device.type
    return checkpoints / sha256_json([card.fingerprint, recipe, asdict(target), rows, device, metric])


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

    What the folder holds at the end is the training's last state: `discard` it when the result is safe.

    Raises:
        DivergenceError: the loss became infinite.
        CheckpointError: the checkpoint is damaged, and other processes train along.
    """
    from glmbench.training.checkpoint import CheckpointError
    from glmbench.training.distributed import processes
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
        return attempt(folder)
    except CheckpointError:  # damaged, or written by another version of the loop; nothing was changed yet
        if processes() > 1:  # the others may have found it whole, or gone
            raise
        discard(folder)
        return attempt(folder if folder and not folder.exists() else None)
    except DivergenceError:
        discard(folder)
        raise


def discard(folder: Path | None) -> None:
    """Remove the checkpoints of a training."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
