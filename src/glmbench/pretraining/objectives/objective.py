"""The noun Objective: tokens in, what the network sees and what it is asked about them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True, slots=True)
class Masked:
    """A batch of tokens of which some are hidden.

    Attributes:
        ids: int32 (tokens,), what the network sees; same offsets and spans as the tokens it was made from.
        positions: int64 (masked,), ascending: which tokens are asked about, indices into `ids`.
        targets: int32 (masked,): the true ids at `positions`.
    """

    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    targets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a training stands, for objectives that change with it."""

    step: int = 0
    steps: int = 1
    perplexities: tuple[float, ...] = ()
    """Of the validation tokens under one fixed mask, one value an evaluation so far."""


START = Situation()


class MaskingObjective(Protocol):
    """Hides tokens and asks for them. All randomness comes from `rng`; the same generator state gives the same mask."""

    @property
    def name(self) -> str:
        """Short, for tables: `uniform`, `contiguous`, `genemask` …."""

    def mask(self, tokens: Tokens, rng: np.random.Generator, situation: Situation = START) -> Masked:
        """Hide tokens of a batch that has its [CLS] and [SEP].

        Special and unknown tokens are never hidden, but by published protocols that are documented to do so.
        """

    def settings(self) -> dict[str, Any]:
        """All that decides its masks, as plain values, for manifests and training identities."""
