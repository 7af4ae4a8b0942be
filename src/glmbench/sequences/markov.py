"""Order-k Markov models of bases: fit, sample, likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.alphabet import EncodedBatch, flatten
from glmbench.sequences.typing import Codes

MAX_ORDER = 11


@dataclass(frozen=True, slots=True)
class MarkovModel:
    """Probabilities of the next base given the `order` bases before it.

    A base with fewer known bases before it, at the start of a sequence or after an N, is given the model of the
    highest order that they allow; so every order from 0 up is kept.

    Attributes:
        order: number of bases in the context.
        tables: one float64 array (4^j, 4) per order j = 0..order; rows are contexts in base-4 order and sum to 1.
    """

    order: int
    tables: tuple[NDArray[np.float64], ...]


def fit_markov(sequences: EncodedBatch | Codes, order: int, *, pseudocount: float = 1.0) -> MarkovModel:
    """Estimate a Markov model from base codes.

    Args:
        sequences: a batch, codes (n, length), or one sequence (length,). Transitions across an N are left out.
        order: 0 to 11.
        pseudocount: added to the count of every base in every context, so that nothing is impossible.

    Raises:
        ValueError: order or pseudocount is out of range.
    """
    from glmbench.sequences.markov_kernels import count_transitions

    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"order is {order}, it must be from 0 to {MAX_ORDER}")
    if not pseudocount > 0:
        raise ValueError(f"pseudocount is {pseudocount}, it must be above 0: contexts that were not seen need a value")
    counts = np.zeros(((4 ** (order + 1) - 1) // 3, 4), dtype=np.int64)
    count_transitions(*flatten(sequences), order, counts)
    smoothed = counts + pseudocount
    return _model(order, smoothed / smoothed.sum(axis=1, keepdims=True))


def sample_markov(model: MarkovModel, n: int, length: int, rng: np.random.Generator) -> Codes:
    """Draw `n` sequences of `length` bases, uint8 (n, length); the generator alone decides the outcome."""
    from glmbench.sequences.markov_kernels import sample_bases

    codes = np.empty((n, length), dtype=np.uint8)
    sample_bases(rng, model.order, np.cumsum(_stacked(model), axis=1), codes)
    return codes


def log_likelihood(model: MarkovModel, sequences: EncodedBatch | Codes) -> NDArray[np.float64]:
    """The log probability of each sequence in nats, float64 (n,); an N adds nothing and ends the context."""
    from glmbench.sequences.markov_kernels import sum_log_probabilities

    codes, offsets = flatten(sequences)
    sums = np.empty(len(offsets) - 1, dtype=np.float64)
    with np.errstate(divide="ignore"):  # a hand-made model may hold zeros
        log_probabilities = np.log(_stacked(model))
    sum_log_probabilities(codes, offsets, model.order, log_probabilities, sums)
    return sums


def bits_per_base(model: MarkovModel, sequences: EncodedBatch | Codes) -> float:
    """The mean of -log2 p over all known bases of all sequences; 2 for a model that knows nothing.

    Raises:
        ValueError: there is no known base.
    """
    known = int((flatten(sequences)[0] < 4).sum())
    if known == 0:
        raise ValueError("bits per base need at least one base that is not N")
    return float(-log_likelihood(model, sequences).sum() / known / math.log(2))


def _stacked(model: MarkovModel) -> NDArray[np.float64]:
    """The tables of all orders one below the other, as the kernels take them."""
    return np.concatenate(model.tables)


def _model(order: int, stacked: NDArray[np.float64]) -> MarkovModel:
    first_rows = [(4**j - 1) // 3 for j in range(order + 2)]
    return MarkovModel(order, tuple(stacked[a:b] for a, b in pairwise(first_rows)))
