"""Order-k Markov models as the baseline of the frozen evaluation: what counting k-mers of the corpus already knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.pretraining.bits_per_base import BitsPerBase, HiddenBases, measure
from glmbench.pretraining.corpus import Corpus
from glmbench.sequences.markov import MAX_ORDER, MarkovModel, log_likelihood
from glmbench.sequences.typing import Integers

Reach = Literal["left", "both"]
_COUNTS_PER_CONTEXT = 40
"""Bases of the corpus, both strands, that a context must have on average: 10 for each base that can follow."""

_PSEUDOCOUNTS = 40
"""Of a context. With fewer, products over both sides grow overconfident in high orders."""


def highest_order(bases: int) -> int:
    """The order up to which a corpus of so many bases fills the contexts, 11 at most."""
    order = 0
    while order < MAX_ORDER and 4 ** (order + 1) * _COUNTS_PER_CONTEXT <= 2 * bases:
        order += 1
    return order


def fit_corpus(corpus: Corpus, order: int | None = None, *, both_strands: bool = True) -> MarkovModel:
    """Fit a Markov model to the training stretches; its first tables are those of all lower orders.

    To every context forty pseudocounts are added, shared out in proportion to what the order below says, so that rare
    contexts fall back on shorter ones.

    Args:
        corpus: what to count.
        order: 0 to 11; None for `highest_order`.
        both_strands: count the reverse complement too, as networks see it.
    """
    from glmbench.sequences.markov_kernels import count_transitions

    order = highest_order(corpus.training_bases) if order is None else order
    counts = np.zeros(((4 ** (order + 1) - 1) // 3, 4), dtype=np.int64)
    for codes in corpus.codes(corpus.training):
        count_transitions(codes, np.array([0, codes.size]), order, counts)
    return MarkovModel(order, _backed_off(counts, order, both_strands))


def lower_order(model: MarkovModel, order: int) -> MarkovModel:
    """The model of a lower order that was fitted along with one of a higher order."""
    return MarkovModel(order, model.tables[: order + 1])


@dataclass(frozen=True)
class MarkovBases:
    """A Markov model as a predictor of hidden bases.

    `left` uses the bases before the hidden one. `both` also uses those after it: p(b | left, right) is in proportion to
    the product of the transition probabilities of all windows of order + 1 bases that hold b, which is exact for a
    Markov chain.
    """

    model: MarkovModel
    reach: Reach

    def log_probabilities(self, hidden: HiddenBases) -> NDArray[np.float64]:
        """See `bits_per_base.BasePredictor`."""
        order = self.model.order
        around = hidden.around(order, order if self.reach == "both" else 0)
        candidates = np.repeat(around, 4, axis=0)
        candidates[:, order] = np.tile(np.arange(4, dtype=np.uint8), len(around))
        # What precedes the hidden base adds the same to all four, so it cancels.
        joint = log_likelihood(self.model, candidates).reshape(-1, 4)
        return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)


def markov_baselines(
    corpus: Corpus,
    hidden: HiddenBases,
    orders: Sequence[int] | None = None,
    *,
    reaches: Sequence[Reach] = ("left", "both"),
) -> dict[tuple[int, Reach], BitsPerBase]:
    """Measure Markov models of the corpus on the hidden bases, by order and reach.

    Args:
        corpus: its training stretches are counted once, for all orders.
        hidden: what is asked.
        orders: which; None for all from 0 to `highest_order`.
        reaches: which sides of the hidden base they see.
    """
    wanted = range(highest_order(corpus.training_bases) + 1) if orders is None else orders
    model = fit_corpus(corpus, max(wanted))
    return {
        (order, reach): measure(MarkovBases(lower_order(model, order), reach), hidden)
        for order in wanted
        for reach in reaches
    }


def best_order(results: dict[tuple[int, Reach], BitsPerBase], reach: Reach) -> int:
    """The order with the fewest bits per base: chosen on the hidden bases themselves, in the baseline's favour."""
    return min((result.value, order) for (order, side), result in results.items() if side == reach)[1]


def baseline_table(results: dict[tuple[int, Reach], BitsPerBase]) -> pl.DataFrame:
    """One row a model: order, reach, bits_per_base, low, high, accuracy."""
    rows = [
        (order, reach, result.value, *result.interval, result.accuracy) for (order, reach), result in results.items()
    ]
    return pl.DataFrame(rows, schema=["order", "reach", "bits_per_base", "low", "high", "accuracy"], orient="row")


def _backed_off(counts: Integers, order: int, both_strands: bool) -> tuple[NDArray[np.float64], ...]:
    tables: list[NDArray[np.float64]] = []
    below = np.full((1, 4), 0.25)
    for j in range(order + 1):
        first = (4**j - 1) // 3
        table = counts[first : first + 4**j]
        if both_strands:
            # Axis i holds base i of a (j + 1)-mer: reversing all axes and their order is its reverse complement.
            kmers = table.reshape((4,) * (j + 1))
            table = (kmers + np.flip(kmers.transpose())).reshape(4**j, 4)
        # The first digit of a context is its oldest base: without it, contexts of the order below repeat in order.
        prior = _PSEUDOCOUNTS * (np.tile(below, (4, 1)) if j else below)
        below = (table + prior) / (table.sum(axis=1, keepdims=True) + _PSEUDOCOUNTS)
        tables.append(below)
    return tuple(tables)
