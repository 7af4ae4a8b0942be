"""Divergence: numbers that are not finite, and losses that rise and stay up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from glmbench.errors import GlmbenchError


class DivergenceError(GlmbenchError):
    """The loss, its gradient or an evaluation is not a finite number any more, or the loss rose and stayed up."""


@dataclass(frozen=True)
class Guard:
    """When a loss counts as diverged: smoothed, it stands `rise` above its lowest value for `steps` steps in a row."""

    rise: float = 1.0
    """In the unit of the loss: nats for a cross-entropy."""
    steps: int = 100
    smoothing: float = 0.98
    """Weight of the past in the smoothed loss: 0.98 remembers about 50 steps."""


class Smoothed:
    """An exponential moving average, unbiased from its first value on."""

    def __init__(self, smoothing: float) -> None:
        self._smoothing, self._sum, self._weight = smoothing, 0.0, 0.0

    def update(self, value: float) -> float:
        """Take a value in and return the average."""
        self._sum = self._smoothing * self._sum + (1 - self._smoothing) * value
        self._weight = self._smoothing * self._weight + 1 - self._smoothing
        return self._sum / self._weight


class Watch:
    """Follows a loss step by step; built anew from the losses so far when a training goes on.

    Args:
        guard: when to stop.
        losses: of the steps so far.
    """

    def __init__(self, guard: Guard, losses: Iterable[float] = ()) -> None:
        self._guard, self._smoothed = guard, Smoothed(guard.smoothing)
        self._lowest, self._above, self._steps = math.inf, 0, 0
        for loss in losses:
            self.update(loss)

    def update(self, loss: float) -> None:
        """Look at the loss of one more step.

        Raises:
            DivergenceError: the loss has been up for too long.
        """
        now = self._smoothed.update(loss)
        self._steps += 1
        self._lowest = min(self._lowest, now)
        self._above = self._above + 1 if now > self._lowest + self._guard.rise else 0
        if self._above >= self._guard.steps:
            raise DivergenceError(
                f"training diverged: up to step {self._steps} the smoothed loss, now {now:.4g}, has stood more than "
                f"{self._guard.rise:g} above its lowest value, {self._lowest:.4g}, for {self._above} steps; "
                "lower the learning rate, lengthen the warm-up, or clip the gradient at a smaller norm"
            )


def finite(value: float, what: str, step: int, lr: float) -> float:
    """The value itself.

    Raises:
        DivergenceError: it is not finite.
    """
    if not math.isfinite(value):
        raise DivergenceError(
            f"training diverged: the {what} is {value} in step {step} at learning rate {lr:.3g}; "
            "lower the learning rate, lengthen the warm-up, or look for non-finite targets"
        )
    return value
