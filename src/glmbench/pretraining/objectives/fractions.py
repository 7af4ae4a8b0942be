"""Realised fractions: how much of a batch an objective really hid, in tokens and in bases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.tokenizers.tokenizer import Tokens


@dataclass(frozen=True, slots=True)
class Realised:
    """Fractions of a batch, 0 to 1.

    Attributes:
        tokens: hidden tokens among those that cover bases, unknown ones included.
        nucleotides: hidden bases among all; a base is hidden where every token that covers it is.
    """

    tokens: float
    nucleotides: float


def realised(tokens: Tokens, positions: NDArray[np.int64]) -> Realised:
    """What is hidden where the tokens at `positions` are (int64, ascending, as `Masked.positions`).

    Overlap between tokens is read from their spans. A batch that covers no base gives zeros.
    """
    from glmbench.pretraining.objectives.fractions_kernels import count_hidden

    hidden_tokens, all_tokens, hidden_bases, bases = count_hidden(tokens.offsets, tokens.starts, tokens.ends, positions)
    return Realised(hidden_tokens / max(all_tokens, 1), hidden_bases / max(bases, 1))
