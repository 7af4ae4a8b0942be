"""Curricula: objectives that go from an easy mask to a hard one while the training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from glmbench.pretraining.objectives.objective import START, Masked, MaskingObjective, Situation
from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True)
class CMGems:
    """CM-GEMS (Roy et al., 2024, ECAI): GeneMask until the perplexity stops moving, Global-PMI from then on.

    The rule is explicit here: the switch comes with the first evaluation whose perplexity differs from the one before
    by less than `threshold`, and there is no way back. Perplexities are those of `Situation`, under one fixed mask;
    the published code compared evaluations under changing masks, and read the ones of earlier runs too.

    Attributes:
        easy: before the switch.
        hard: after it.
        threshold: in units of perplexity; the published default is 1.
    """

    easy: MaskingObjective
    hard: MaskingObjective
    threshold: float = 1.0

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "cm-gems"

    def switched(self, situation: Situation) -> bool:
        """Whether the hard objective is on."""
        return any(abs(after - before) < self.threshold for before, after in pairwise(situation.perplexities))

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; `situation.perplexities` decides which objective masks."""
        return (self.hard if self.switched(situation) else self.easy).mask(tokens, rng, situation)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "threshold": self.threshold}
        return own | {"easy": self.easy.settings(), "hard": self.hard.settings()}


@dataclass(frozen=True)
class CMStep:
    """CM-STEP (Roy et al., 2024, ECAI): a batch is masked by one objective or the other, the hard one ever more often.

    Its probability is the finished fraction of the training in whole per cents, from 0 to 1. Every step counts, however
    short the training.

    Attributes:
        easy: published: DNABERT's contiguous masking.
        hard: published: Global-PMI.
    """

    easy: MaskingObjective
    hard: MaskingObjective

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "cm-step"

    def chance(self, situation: Situation) -> float:
        """The probability of the hard objective, a multiple of 0.01."""
        return min(100 * situation.step // max(situation.steps, 1), 100) / 100

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; `situation.step` and `.steps` decide which objective is likely."""
        hard = rng.random() < self.chance(situation)
        return (self.hard if hard else self.easy).mask(tokens, rng, situation)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        return {"name": self.name, "easy": self.easy.settings(), "hard": self.hard.settings()}
