"""GeneMask as its released code really masked at three dates: without ever looking at the sequence.

The code looks up the rank of a token's position instead of the rank of its id, so where it masks depends on the random
numbers and on the positions only. These protocols repeat that, for replication studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.centres import Batch, Centres, draw_centres, hide, nothing_hidden, window
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.genemask import wide
from glmbench.pretraining.objectives.objective import START, Masked, Situation
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.tokenizers.tokenizer import Tokens

Protocol = Literal["released-2023-07", "released-2023-09", "released-2025-03"]
PROTOCOLS: tuple[Protocol, ...] = ("released-2023-07", "released-2023-09", "released-2025-03")

ALL_WIDENED_BELOW = 5
"""Where half the centres are fewer than this, the code widens all of them."""
NO_RANK = 0
"""What the code's table answers for a special token: better than every k-mer."""


@dataclass(frozen=True)
class ReleasedGeneMask:
    """The masks of the public GeneMask code (github.com/roysoumya/GeneMask) as it stood after three changes.

    - `released-2023-07`: all public code until 2023-09-16. Every span of 2k - 1 tokens is laid around the same token,
      the last centre visited, so one centre a sequence is widened and about 11 % of tokens are hidden.
    - `released-2023-09`: until March 2025. Spans lie where they should, but which half is widened is decided before
      sorting, by the order in which a Python set gives the centres.
    - `released-2025-03`: the half is taken after sorting.

    In all three the rank of position i in its sequence ([CLS] is position 0) is that of the vocabulary's entry i,
    positions 1 to 4 are better than all others, a sequence of at most 8 centres has all of them widened, unknown tokens
    can be centres and can be hidden, and the corruption draws from all ids.

    Attributes:
        corruption: what is seen at hidden tokens; published: `replacements="all"`.
        k: length of the overlapping k-mers.
        ranks: in the order of DNABERT's vocabulary (A, T, C, G) if masks shall lie where the code laid them.
        protocol: the date.
        probability: that a token is a centre.
    """

    corruption: Corruption
    k: int
    ranks: Ranks
    protocol: Protocol
    probability: float

    @property
    def name(self) -> str:
        """See `MaskingObjective.name`."""
        return f"genemask-{self.protocol}"

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """All but the tokens that frame a sequence: an unknown token counts as any other."""
        eligible = self.corruption.ordinary.copy()
        eligible[self.corruption.special.unknown] = True
        return eligible

    @cached_property
    def _rank_of_position(self) -> NDArray[np.int32]:
        values = self.ranks.values.copy()
        values[list(self.corruption.special.ids)] = NO_RANK
        return values

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """See `MaskingObjective.mask`; the situation changes nothing. Unknown tokens may be hidden.

        Raises:
            UsageError: a sequence has more positions than the vocabulary has ids.
        """
        from glmbench.pretraining.objectives.span_kernels import best_in_windows

        longest = int(tokens.lengths.max(initial=0))
        if longest > self.corruption.vocabulary:
            raise UsageError(
                f"{self.name} got a sequence of {longest} tokens; it ranks positions by a vocabulary of "
                f"{self.corruption.vocabulary} ids and can go no further. Use shorter sequences, or `genemask`."
            )
        batch = Batch(tokens, self.eligible)
        centres = _as_a_set_gives_them(draw_centres(batch, self.probability, rng), tokens.offsets)
        positions = (np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], tokens.lengths)).astype(np.int32)
        ids, reach, ranks = tokens.ids, window(self.k), self._rank_of_position
        best, scores = best_in_windows(
            ids, tokens.offsets, self.eligible, positions, ranks, centres.at, centres.bounds, *reach
        )
        if self.protocol == "released-2023-07":
            best = np.repeat(centres.at[centres.bounds[1:][np.diff(centres.bounds) > 0] - 1], _counts(centres))
        hidden = nothing_hidden(batch)
        hide(batch, hidden, centres, reach)
        widened = self._widened(scores, centres)
        hide(batch, hidden, Centres(best, centres.bounds), wide(self.k), wanted=widened)
        return self.corruption.apply(tokens, hidden, rng)

    def settings(self) -> dict[str, Any]:
        """See `MaskingObjective.settings`."""
        own = {"name": self.name, "k": self.k, "probability": self.probability, "ranks": self.ranks.settings()}
        return own | {"corruption": self.corruption.settings()}

    def _widened(self, scores: NDArray[np.float64], centres: Centres) -> NDArray[np.bool_]:
        from glmbench.pretraining.objectives.span_kernels import lower_half

        before_sorting = np.arange(len(centres), dtype=np.float64)
        half = lower_half(scores if self.protocol == "released-2025-03" else before_sorting, centres.bounds)
        counts = np.diff(centres.bounds)
        return half | np.repeat((counts + 1) // 2 < ALL_WIDENED_BELOW, counts)


def _counts(centres: Centres) -> NDArray[np.int64]:
    counts = np.diff(centres.bounds)
    return counts[counts > 0]


def _as_a_set_gives_them(centres: Centres, offsets: NDArray[np.int64]) -> Centres:
    """The centres of every row in the order of a Python set of their positions in the row, as the code visits them."""
    at = centres.at.copy()
    for row, (begin, end) in enumerate(pairwise(centres.bounds.tolist())):
        first = offsets[row]
        at[begin:end] = first + np.array(list(set((at[begin:end] - first).tolist())), dtype=np.int64)
    return Centres(at, centres.bounds)
