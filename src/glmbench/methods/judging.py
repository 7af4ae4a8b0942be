"""What held-out rows say of a network in training: its loss, a metric, and whether it collapsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.models.fitted.target import NO_LABEL, Target
from glmbench.training.batches import InMemoryBatches

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glmbench.training.batches import Batch
    from glmbench.training.loop import Evaluate

COLLAPSED_BELOW = 0.05
"""A classifier whose MCC on the rows that decide is below has collapsed, as has one that predicts one class."""


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
        rows = (batch for batch in batches.epoch(0) if batch.size)
        total = sum(loss(module, batch.to(device)).item() * batch.size for batch in rows)
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


def collapse(
    module: nn.Module, target: Target, batches: InMemoryBatches | None, precision: Literal["fp32", "bf16"]
) -> dict[str, Any]:
    """Whether a classifier collapsed, by the rows that decide alone: one rule for every model and method.

    It has where it predicts one class for all of them, or their MCC is below `COLLAPSED_BELOW`; of several labels,
    where the mean of theirs is. None where there are no such rows, all have one label, or the answer is a value.
    """
    import torch

    from glmbench.metrics.scores import metric_named
    from glmbench.training.precision import resolve

    if batches is None or target.kind == "values":
        return {"collapsed": None}
    device = next(module.parameters()).device
    resolved = resolve(precision, device)
    with torch.inference_mode(), resolved.matmuls(), resolved.forward(device):
        labels, scores = _answers(module, target, batches)
    if np.all(labels == labels[:1]):
        return {"collapsed": None}
    if target.kind == "labels":
        mcc = metric_named("mean_mcc").value(labels, scores)
        return {"collapsed": not mcc >= COLLAPSED_BELOW, "stopped_on_mcc": mcc if np.isfinite(mcc) else None}
    predicted = len(np.unique(scores.argmax(axis=1)))
    mcc = metric_named("mcc").value(labels, scores)
    return {
        "collapsed": predicted == 1 or mcc < COLLAPSED_BELOW,
        "stopped_on_mcc": mcc,
        "stopped_on_classes_predicted": predicted,
    }


def _answers(module: nn.Module, target: Target, batches: InMemoryBatches) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Labels as they are encoded, and decoded scores, of all rows; of labels by base, of all bases that have one."""
    device = next(module.parameters()).device
    labels, scores = [], []
    for batch in batches.epoch(0):
        if not batch.size:
            continue
        inputs = (x if x is None else x.to(device) for x in batch.inputs)
        answer = target.decode(module(*inputs)).cpu().numpy().astype(np.float64)
        wanted = batch.targets.numpy()
        if target.kind == "bases":
            wanted = wanted[:, : answer.shape[1]]
            there = wanted != NO_LABEL
            wanted, answer = wanted[there], answer[there]
        labels.append(wanted if target.kind == "labels" else wanted.reshape(-1))
        scores.append(answer)
    return np.concatenate(labels), np.concatenate(scores)
