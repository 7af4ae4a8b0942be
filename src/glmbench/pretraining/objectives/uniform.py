"""Uniform masking: every token on its own, as BERT and DNABERT-2 do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glmbench.pretraining.objectives.corruption import Corruption, draw_seed
from glmbench.pretraining.objectives.objective import START, Masked, Situation
from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True)
class UniformMasking:
    """Hides each token with one probability, independently (Devlin et al., 2019; DNABERT-2 with 15 %).

    On overlapping k-mers a lone hidden token hides no base at all: its neighbours spell it out.
    """

    corruption: Corruption
    probability: float = 0.15

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "uniform"

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing."""
        from glmbench.pretraining.objectives.corruption_kernels import draw_tokens

        hidden = draw_tokens(tokens.ids, self.corruption.ordinary, self.probability, draw_seed(rng))
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        return {"name": self.name, "probability": self.probability, "corruption": self.corruption.settings()}
