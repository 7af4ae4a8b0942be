"""Learning-rate schedules: the multiplier of the base rate as a pure function of the step, with no state to save."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up from 0, then a constant rate, a line down to `final`, or half a cosine down to `final`."""

    shape: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: int = 0
    """Steps of warm-up; step `warmup` (from 0) is the first at the full rate."""
    final: float = 0.0
    """Multiplier of the last step."""

    def multiplier(self, step: int, steps: int) -> float:
        """Multiplier of the learning rate in step `step` of 0 … `steps` - 1."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.shape == "constant":
            return 1.0
        left = 1 - (step - self.warmup) / max(1, steps - 1 - self.warmup)  # 1 after the warm-up, 0 in the last step
        share = left if self.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
        return self.final + (1 - self.final) * share
