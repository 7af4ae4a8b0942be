"""Stationary Markov chains with known parameters, as backgrounds of simulated sequences.

A chain is a `sequences.markov.MarkovModel` whose lower-order tables are the marginals of its highest order: the first
bases of a sequence are distributed as any others, and cutting the tables off at a lower order gives the chain with the
same short words. Sampling anywhere in this room uses nothing of a generator but `random()`, compared with cumulative
probabilities, so that the same seed gives the same bases on every platform.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.markov import MarkovModel
from glmbench.sequences.typing import Codes

Floats = NDArray[np.float64]

_STATIONARY_TOLERANCE = 1e-14
_STATIONARY_STEPS = 100_000
_DECIMALS = 6


def base_probabilities(chain: MarkovModel, codes: Codes) -> Floats:
    """Probability (n, length) of each base of codes (n, length), given the bases before it."""
    result = np.empty(codes.shape)
    context = np.zeros(codes.shape[0], dtype=np.intp)
    for position in range(codes.shape[1]):
        result[:, position] = chain.tables[min(position, chain.order)][context, codes[:, position]]
        context = next_context(context, codes[:, position], min(position + 1, chain.order))
    return result


def next_context(context: NDArray[np.intp], base: Codes, order: int) -> NDArray[np.intp]:
    """The contexts of the next position: the last `order` bases after appending `base`."""
    return np.asarray((context * 4 + base) % 4**order)


def cumulative_probabilities(probabilities: Floats) -> Floats:
    """Cumulative probabilities along the last axis, without the last column; what is impossible is never chosen."""
    cumulative = np.cumsum(probabilities, axis=-1)
    return np.asarray(cumulative[..., :-1] / cumulative[..., -1:])


def choose(cumulative: Floats, uniform: Floats) -> Codes:
    """The outcome (n,) that each uniform number falls on; `cumulative` (n, outcomes - 1)."""
    return np.asarray((uniform[:, None] >= cumulative).sum(axis=1), dtype=np.uint8)


def chain_from_transitions(transitions: Floats) -> MarkovModel:
    """The stationary chain of a transition table (4^k, 4).

    Raises:
        ValueError: the table has another shape, a probability is not positive, or a row does not sum to one.
    """
    table = np.asarray(transitions, dtype=np.float64)
    if not (table > 0).all() or not np.allclose(table.sum(axis=1), 1, atol=1e-9):
        raise ValueError("a transition table needs positive probabilities and rows that sum to 1")
    words = stationary_words(table)
    return chain_from_words((words[:, None] * table).reshape(-1))


def chain_from_words(words: Floats) -> MarkovModel:
    """The order-(w-1) chain whose distribution of w-mers is `words` (4^w,).

    The distribution must be stationary (the first and the last w-1 bases of a word are distributed alike), as it is for
    words read at a random position of any stationary sequence; then the chain has just these w-mers.
    """
    tables = []
    marginal = np.asarray(words, dtype=np.float64) / np.sum(words)
    while marginal.size > 1:
        rows = marginal.reshape(-1, 4)
        tables.append(rows / rows.sum(axis=1, keepdims=True))
        marginal = rows.sum(axis=1)
    return MarkovModel(len(tables) - 1, tuple(reversed(tables)))


def stationary_words(transitions: Floats) -> Floats:
    """The stationary distribution (4^k,) of the contexts of a transition table (4^k, 4), by power iteration."""
    order = _order_of(transitions)
    words = np.full(4**order, 4.0**-order)
    for _ in range(_STATIONARY_STEPS):
        following = (words[:, None] * transitions).reshape(4, -1).sum(axis=0)
        if np.abs(following - words).sum() < _STATIONARY_TOLERANCE * 4**order:
            return np.asarray(following)
        words = following
    raise ValueError("the chain has no stationary distribution that power iteration finds")


def _order_of(table: Floats) -> int:
    """The order k of a table (4^k, 4)."""
    order = max(int(table.shape[0]).bit_length() - 1, 0) // 2
    if table.ndim != 2 or table.shape != (4**order, 4):
        raise ValueError(f"a transition table has shape (4^k, 4), got {table.shape}")
    return order


def dinucleotide_chain(gc: float, cpg: float = 1.0) -> MarkovModel:
    """An order-1 chain with a GC content near `gc` and C-to-G steps scaled by `cpg` before normalisation.

    `cpg` below 1 imitates the CpG depletion of vertebrate genomes; with `cpg` = 1 the bases are independent and the GC
    content is exactly `gc`.
    """
    if not 0 < gc < 1 or cpg <= 0:
        raise ValueError(f"want 0 < gc < 1 and cpg > 0, got gc={gc}, cpg={cpg}")
    weights = np.tile([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2], (4, 1))
    weights[1, 2] *= cpg
    return chain_from_transitions(weights / weights.sum(axis=1, keepdims=True))


def random_chain(order: int, strength: float, seed: int) -> MarkovModel:
    """An order-k chain with transitions between uniform (`strength` 0) and Dirichlet(1) draws (`strength` 1)."""
    if not 0 <= strength < 1:
        raise ValueError(f"want 0 <= strength < 1, got {strength}")
    exponential = -np.log1p(-np.random.default_rng(seed).random((4**order, 4)))
    # Rounded, so that a last-bit difference between platforms' logarithms cannot reach the sequences.
    random = np.round(exponential / exponential.sum(axis=1, keepdims=True), _DECIMALS)
    mixed = strength * random + (1 - strength) / 4
    return chain_from_transitions(mixed / mixed.sum(axis=1, keepdims=True))


def matched_chain(chain: MarkovModel, order: int) -> MarkovModel:
    """The chain of a lower `order` with the same distribution of (order+1)-mers as `chain`.

    Raises:
        ValueError: `order` is above that of the chain.
    """
    if order > chain.order:
        raise ValueError(f"a chain of order {chain.order} cannot be matched at the higher order {order}")
    return MarkovModel(order, chain.tables[: order + 1])
