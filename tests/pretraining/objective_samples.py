"""Tokens and ranks that the tests of objectives share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.objective import Masked
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokens, with_ends

SPECIAL = SpecialTokens(unknown=1, cls=2, sep=3, pad=0, mask=4)
FIRST = 5


def corruption(k: int = 6) -> Corruption:
    return Corruption(SPECIAL, FIRST + 4**k)


def kmer_tokens(rows: int, length: int, *, k: int = 6, seed: int = 0) -> Tokens:
    """Overlapping k-mers of random bases, `length` a row and its [CLS] and [SEP]."""
    bases = np.random.default_rng(seed).integers(0, 4, (rows, length + k - 1))
    ids = sum(bases[:, j : j + length] * 4 ** (k - 1 - j) for j in range(k)) + FIRST
    starts = np.tile(np.arange(length, dtype=np.int32), rows)
    offsets = np.arange(rows + 1, dtype=np.int64) * length
    return with_ends(Tokens(np.asarray(ids).reshape(-1).astype(np.int32), offsets, starts, starts + k), SPECIAL)


def ragged(rows: list[list[int]], *, k: int = 6) -> Tokens:
    """Overlapping k-mers of given ids, one list a row, with [CLS] and [SEP]."""
    lengths = np.array([len(row) for row in rows])
    starts = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths] or [np.empty(0, np.int32)])
    ids = np.array([i for row in rows for i in row], dtype=np.int32)
    return with_ends(
        Tokens(ids, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64), starts, starts + k), SPECIAL
    )


def ranks(k: int = 6, *, seed: int = 1) -> Ranks:
    values = np.zeros(FIRST + 4**k, dtype=np.int32)
    values[FIRST:] = np.random.default_rng(seed).permutation(4**k) + 1
    return Ranks("npmi", values)


def flags(tokens: Tokens, masked: Masked) -> NDArray[np.bool_]:
    """A bool (tokens,): which are hidden."""
    hidden = np.zeros(len(tokens.ids), dtype=np.bool_)
    hidden[masked.positions] = True
    return hidden
