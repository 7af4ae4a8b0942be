"""Centres: tokens that a k-mer objective draws first, and the spans it then hides around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.pretraining.objectives.corruption import draw_seed
from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True)
class Batch:
    """Tokens and which of their ids may be chosen or hidden, bool (vocabulary,)."""

    tokens: Tokens
    eligible: NDArray[np.bool_]


@dataclass(frozen=True)
class Centres:
    """Chosen tokens.

    Attributes:
        at: int64 (centres,), indices into the tokens of the batch.
        bounds: int64 (rows + 1,); row r has the centres `bounds[r]` to before `bounds[r + 1]`.
    """

    at: NDArray[np.int64]
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)


def window(k: int) -> tuple[int, int]:
    """How many tokens before and after a centre DNABERT hides with it: -2..+3 for k = 6, -1..+1 for k = 3."""
    return (k - 1) // 2, k // 2


def draw_centres(batch: Batch, probability: float, rng: np.random.Generator) -> Centres:
    """Each eligible token with one probability, on its own; ascending."""
    from glmbench.pretraining.objectives import span_kernels

    tokens = batch.tokens
    seed = draw_seed(rng)
    return Centres(*span_kernels.draw_centres(tokens.ids, tokens.offsets, batch.eligible, probability, seed))


def nothing_hidden(batch: Batch) -> NDArray[np.bool_]:
    """A bool (tokens,) to paint on."""
    return np.zeros(len(batch.tokens.ids), dtype=np.bool_)


def hide(
    batch: Batch,
    hidden: NDArray[np.bool_],
    centres: Centres,
    reach: tuple[int, int],
    *,
    wanted: NDArray[np.bool_] | None = None,
) -> None:
    """Paint onto `hidden` the tokens within `reach` (before, after) of the wanted centres, clipped to their row."""
    from glmbench.pretraining.objectives.span_kernels import hide_around

    chosen = np.ones(len(centres), dtype=np.bool_) if wanted is None else wanted
    ids, offsets = batch.tokens.ids, batch.tokens.offsets
    hide_around(ids, offsets, batch.eligible, centres.at, centres.bounds, chosen, *reach, hidden)
