"""What a person sees of a training: one bar with the loss, the score and the speed, and warnings that are said once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from glmbench.progress import Bar, progress
from glmbench.training.guard import Smoothed

_REFRESH_S = 0.5
_SMOOTHING = 0.95
"""The loss shown remembers about 20 steps."""


@dataclass(frozen=True)
class Wording:
    """How a training is spoken of."""

    description: str
    score: str
    """What an evaluation gives: `bits/base`."""
    unit: str
    """What `Batch.size` counts: `tokens`."""


class Display:
    """The bar of one training; without a bar, on all processes but the first, it shows nothing.

    Args:
        wording: words to use.
        bar: where to draw.
    """

    def __init__(self, wording: Wording, bar: Bar | None) -> None:
        self._wording, self._bar = wording, bar
        self._loss, self._warned = Smoothed(_SMOOTHING), set[str]()
        self._shown = 0.0

    def skip(self, steps: int) -> None:
        """Count steps as done that an interrupted training took."""
        if self._bar is not None:
            self._bar.advance(steps)

    def step(self, loss: float, score: float | None, units_per_s: float | None) -> None:
        """Count one step and, twice a second, say how it goes."""
        if self._bar is None:
            return
        smoothed = self._loss.update(loss)
        self._bar.advance()
        if perf_counter() - self._shown >= _REFRESH_S:
            self._shown = perf_counter()
            self._bar.describe(self._text(smoothed, score, units_per_s))

    def warn(self, about: str, text: str) -> None:
        """Say the first warning about something on standard error; more would say the same."""
        if self._bar is not None and about not in self._warned:
            self._warned.add(about)
            print(f"glmbench: {text}", file=sys.stderr)

    def _text(self, loss: float, score: float | None, units_per_s: float | None) -> str:
        held_out = "" if score is None else f", {self._wording.score} {score:.4f}"
        speed = "" if units_per_s is None else f", {units_per_s:,.0f} {self._wording.unit}/s"
        return f"{self._wording.description}: loss {loss:.4f}{held_out}{speed}"


@contextmanager
def display(wording: Wording, steps: int, *, shown: bool) -> Iterator[Display]:
    """Yield the display of a training of so many steps; not `shown`: one that is silent."""
    if not shown:
        yield Display(wording, None)
        return
    with progress(wording.description, steps) as bar:
        yield Display(wording, bar)
