"""GeneMask: longer spans around the k-mers of best rank. And the control that chooses at random instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glmbench.pretraining.objectives.centres import Batch, Centres, draw_centres, hide, nothing_hidden, window
from glmbench.pretraining.objectives.contiguous import TOKEN_BUDGET
from glmbench.pretraining.objectives.corruption import Corruption, draw_seed
from glmbench.pretraining.objectives.objective import START, Masked, Situation
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True)
class GeneMask:
    """GeneMask as its authors describe it (Roy et al., 2023, ECAI): ranks of the k-mers that are really there.

    Centres are drawn independently. Of the k tokens around each, the one of best rank stands for it; among equals the
    centre, then the leftmost. The better half of a row's centres (ceil(m / 2) of m, the earlier of equals) hides the
    2k - 1 tokens that share a base with that best token; the other half hides DNABERT's k tokens around the centre.
    Unknown tokens are never centres, never candidates, never hidden.

    Attributes:
        corruption: what is seen at hidden tokens.
        k: length of the overlapping k-mers.
        ranks: 1 is best; only their order matters.
        probability: that a token is a centre; published: 0.15 / 8.5 = 0.0176 for k = 6. As spans merge, this hides .141
            of 510 tokens; 0.0188 hides .150 (`calibration.calibrated` finds such values).
    """

    corruption: Corruption
    k: int
    ranks: Ranks
    probability: float

    @property
    def name(self) -> str:
        """`genemask`, or `genemask-inverse` and the like where the ranks are not NPMI's."""
        return "genemask" if self.ranks.name == "npmi" else f"genemask-{self.ranks.name}"

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing."""
        from glmbench.pretraining.objectives.span_kernels import best_in_windows, lower_half

        batch = Batch(tokens, self.corruption.ordinary)
        centres = draw_centres(batch, self.probability, rng)
        ids, reach = tokens.ids, window(self.k)
        best, scores = best_in_windows(
            ids, tokens.offsets, batch.eligible, ids, self.ranks.values, centres.at, centres.bounds, *reach
        )
        hidden = nothing_hidden(batch)
        hide(batch, hidden, centres, reach)  # the longer span of the better half contains the window of its centre
        widened = lower_half(scores, centres.bounds)
        hide(batch, hidden, Centres(best, centres.bounds), wide(self.k), wanted=widened)
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "k": self.k, "probability": self.probability, "ranks": self.ranks.settings()}
        return own | {"corruption": self.corruption.settings()}


@dataclass(frozen=True)
class RandomSpans:
    """GeneMask's span lengths without its choice: which half is widened, and around which token, is drawn at random."""

    corruption: Corruption
    k: int
    probability: float

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return "random-spans"

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing."""
        from glmbench.pretraining.objectives.span_kernels import any_in_windows, lower_half

        batch = Batch(tokens, self.corruption.ordinary)
        centres = draw_centres(batch, self.probability, rng)
        reach = window(self.k)
        chosen = any_in_windows(
            tokens.ids, tokens.offsets, batch.eligible, centres.at, centres.bounds, *reach, draw_seed(rng)
        )
        hidden = nothing_hidden(batch)
        hide(batch, hidden, centres, reach)
        widened = lower_half(rng.random(len(centres)), centres.bounds)
        hide(batch, hidden, Centres(chosen, centres.bounds), wide(self.k), wanted=widened)
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "k": self.k, "probability": self.probability}
        return own | {"corruption": self.corruption.settings()}


def wide(k: int) -> tuple[int, int]:
    """How many tokens before and after a k-mer share a base with it: 2k - 1 tokens with the k-mer itself."""
    return k - 1, k - 1


def genemask_probability(k: int) -> float:
    """The published rule, rounded as published: 0.15 over the mean of k and 2k - 1; 0.0176 for k = 6."""
    return round(TOKEN_BUDGET / ((k + 2 * k - 1) / 2), 4)
