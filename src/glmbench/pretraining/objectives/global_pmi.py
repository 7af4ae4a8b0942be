"""Global-PMI: spans around the best k-mers of a whole sequence, wherever they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glmbench.pretraining.objectives.centres import Batch, Centres, draw_centres, hide, nothing_hidden
from glmbench.pretraining.objectives.contiguous import TOKEN_BUDGET
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.genemask import wide
from glmbench.pretraining.objectives.objective import START, Masked, Situation
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True)
class GlobalPMI:
    """The hard stage of CM-GEMS (Roy et al., 2024, ECAI): only how many centres a sequence gets is random.

    As many tokens as the draw has centres, those of best rank in the sequence (the earlier of equals), each hide the
    2k - 1 tokens that overlap them. Unknown tokens are never centres, never hidden.

    Attributes:
        corruption: what is seen at hidden tokens.
        k: length of the overlapping k-mers.
        ranks: 1 is best.
        probability: that a token counts as one centre more; published: 0.15 / 11 = 0.0136 for k = 6.
    """

    corruption: Corruption
    k: int
    ranks: Ranks
    probability: float

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "global-pmi"

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing."""
        from glmbench.pretraining.objectives.span_kernels import best_of_rows

        batch = Batch(tokens, self.corruption.ordinary)
        drawn = draw_centres(batch, self.probability, rng)
        best = best_of_rows(tokens.ids, tokens.offsets, batch.eligible, self.ranks.values, drawn.bounds)
        hidden = nothing_hidden(batch)
        hide(batch, hidden, Centres(best, drawn.bounds), wide(self.k))
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "k": self.k, "probability": self.probability, "ranks": self.ranks.settings()}
        return own | {"corruption": self.corruption.settings()}


def global_probability(k: int) -> float:
    """The published rule, rounded as published: 0.15 / (2k - 1); 0.0136 for k = 6."""
    return round(TOKEN_BUDGET / (2 * k - 1), 4)
