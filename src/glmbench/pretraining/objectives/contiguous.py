"""Contiguous masking: always k overlapping k-mers in a row, as DNABERT does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glmbench.pretraining.objectives.centres import Batch, draw_centres, hide, nothing_hidden, window
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.objective import START, Masked, Situation
from glmbench.tokenizers.tokenizer import Tokens

TOKEN_BUDGET = 0.15
"""Fraction of tokens that the published probabilities aim at, counted before spans merge."""


@dataclass(frozen=True)
class ContiguousMasking:
    """Hides the k tokens that contain one base, around centres drawn independently (Ji et al., 2021, DNABERT).

    The k = 6 tokens at -2..+3 of a centre are all those that contain the base at +3, so at least one base is hidden.

    Attributes:
        corruption: what is seen at hidden tokens.
        k: length of the overlapping k-mers.
        probability: that a token is a centre; DNABERT: 0.15 / k = 0.025 for k = 6.
    """

    corruption: Corruption
    k: int
    probability: float

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "contiguous"

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing."""
        batch = Batch(tokens, self.corruption.ordinary)
        hidden = nothing_hidden(batch)
        hide(batch, hidden, draw_centres(batch, self.probability, rng), window(self.k))
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "k": self.k, "probability": self.probability}
        return own | {"corruption": self.corruption.settings()}


def contiguous_probability(k: int) -> float:
    """DNABERT's: 0.025 for k = 6."""
    return TOKEN_BUDGET / k
