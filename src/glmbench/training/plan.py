"""The plan of a training: how long and how, without what is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from glmbench.training.guard import Guard
from glmbench.training.precision import Format
from glmbench.training.schedule import Schedule


@dataclass(frozen=True)
class Plan:
    """How long and how to train; everything here decides the numbers."""

    steps: int
    """Optimiser steps at most."""
    schedule: Schedule = field(default_factory=Schedule)
    precision: Format = "fp32"
    clip_norm: float | None = 1.0
    """Largest norm of the gradient of all weights together."""
    evaluate_every: int | None = None
    """In steps; None: after every epoch. The last step is always evaluated."""
    patience: int | None = None
    """Stop after so many evaluations in a row without a new best; None: never."""
    higher_is_better: bool = False
    accumulate: int = 1
    """Micro-batches of each process in one optimiser step. The loss of a step is the mean over all their targets."""
    keep: Literal["best", "last"] = "best"
    """Whose weights are left at the end: of the best evaluation, if there is any, or of the last step."""
    guard: Guard | None = None
    """When a loss that rose counts as diverged; None: only when it is not finite."""
    compile: bool = False
    """Compile the loss, and with it what it calls of the module, by `torch.compile`."""
