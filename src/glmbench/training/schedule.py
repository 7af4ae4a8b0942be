"""Learning-rate schedules: the multiplier of the base rate as a pure function of the step, with no state to save."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Shape = Literal["constant", "linear", "cosine", "inverse-sqrt", "wsd"]


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up from 0, then one of these shapes.

    `constant`; `linear`, a line down to `final`; `cosine`, half a cosine down to `final`; `inverse-sqrt`, the square
    root of warm-up over steps (Raffel et al. 2020, arXiv 1910.10683); `wsd`, constant, then a line down to `final`
    (Hu et al. 2024, arXiv 2404.06395).
    """

    shape: Shape = "cosine"
    warmup: int = 0
    """Steps of warm-up; step `warmup` (from 0) is the first at the full rate."""
    final: float = 0.0
    """Multiplier of the last step, of the shapes that go down to it."""
    decay: float = 0.2
    """Share of all steps in which `wsd` goes down."""

    def multiplier(self, step: int, steps: int) -> float:
        """Multiplier of the learning rate in step `step` of 0 … `steps` - 1."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.shape == "constant":
            return 1.0
        if self.shape == "inverse-sqrt":
            return math.sqrt((self.warmup + 1) / (step + 1))
        start = self.warmup if self.shape != "wsd" else max(self.warmup, steps - 1 - round(self.decay * steps))
        left = 1 - max(0, step - start) / max(1, steps - 1 - start)  # 1 until it goes down, 0 in the last step
        share = (1 - math.cos(math.pi * left)) / 2 if self.shape == "cosine" else left
        return self.final + (1 - self.final) * share
