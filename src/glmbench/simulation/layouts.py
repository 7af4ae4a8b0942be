"""Sequences whose elements may lie in several ways, with exact likelihoods by summing over all of them.

A layout covers a sequence with stretches of Markov background and motif instances. Bases are drawn from left to right:
a motif base from its column of the matrix, a background base from its chain given the bases before it, whatever emitted
those. So the probability of a sequence under one layout is a product over positions, and under the mixture a weighted
sum of such products: nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.markov import MarkovModel
from glmbench.sequences.typing import Codes
from glmbench.simulation.chains import (
    Floats,
    base_probabilities,
    choose,
    cumulative_probabilities,
    next_context,
)
from glmbench.simulation.motifs import PositionWeightMatrix

Emitter = MarkovModel | PositionWeightMatrix
Layout = tuple[tuple[str, int], ...]
"""Emitter names with lengths in bp, from left to right; a motif always has its own length."""


@dataclass(frozen=True, eq=False)
class LayoutMixture:
    """A distribution over sequences of one length: a layout is drawn, then the bases.

    Attributes:
        emitters: chains and motifs by name; chains share one order.
        layouts: all ways in which the elements may lie.
        weights: probabilities of the layouts.
    """

    emitters: Mapping[str, Emitter]
    layouts: tuple[Layout, ...]
    weights: Floats

    def __post_init__(self) -> None:
        lengths = {sum(size for _, size in layout) for layout in self.layouts}
        orders = {emitter.order for emitter in self.emitters.values() if isinstance(emitter, MarkovModel)}
        if len(lengths) != 1 or len(orders) > 1:
            raise ValueError(f"layouts need one length and chains one order, got lengths {lengths} and orders {orders}")
        if len(self.weights) != len(self.layouts) or not np.isclose(np.sum(self.weights), 1):
            raise ValueError(f"want one weight for each of {len(self.layouts)} layouts, summing to 1")
        for name, size in {element for layout in self.layouts for element in layout}:
            emitter = self.emitters[name]
            if isinstance(emitter, PositionWeightMatrix) and len(emitter) != size:
                raise ValueError(f"motif {name!r} has {len(emitter)} positions, a layout gives it {size}")

    @property
    def length(self) -> int:
        """Length of every sequence, in bp."""
        return sum(size for _, size in self.layouts[0])

    @property
    def order(self) -> int:
        """Order of the chains."""
        return max((emitter.order for emitter in self.emitters.values() if isinstance(emitter, MarkovModel)), default=0)

    def sample(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw `n` sequences, codes (n, length)."""
        return self.sample_with_layouts(rng, n)[0]

    def sample_with_layouts(self, rng: np.random.Generator, n: int) -> tuple[Codes, NDArray[np.intp]]:
        """Draw `n` sequences and say which layout (n,) each was drawn from."""
        table, row, by_context = self._emission_table()
        chosen = np.searchsorted(cumulative_probabilities(self.weights), rng.random(n), side="right")
        codes = np.empty((n, self.length), dtype=np.uint8)
        context = np.zeros(n, dtype=np.intp)
        for position in range(self.length):
            at = row[chosen, position] + by_context[chosen, position] * context
            codes[:, position] = choose(table[at], rng.random(n))
            context = next_context(context, codes[:, position], min(position + 1, self.order))
        return codes, chosen

    def _emission_table(self) -> tuple[Floats, NDArray[np.intp], NDArray[np.bool_]]:
        """Cumulative base distributions (rows, 3); by layout and position the row, and whether a context adds to it."""
        first: dict[str, list[int]] = {}
        tables: list[Floats] = []
        rows = 0
        for name, emitter in self.emitters.items():
            parts = emitter.tables if isinstance(emitter, MarkovModel) else (emitter.probabilities,)
            first[name] = [rows + sum(len(part) for part in parts[:j]) for j in range(len(parts))]
            rows += sum(map(len, parts))
            tables += parts
        row = np.empty((len(self.layouts), self.length), dtype=np.intp)
        by_context = np.empty(row.shape, dtype=np.bool_)
        for index, layout in enumerate(self.layouts):
            start = 0
            for name, size in layout:
                is_chain = isinstance(self.emitters[name], MarkovModel)
                for position in range(start, start + size):
                    offset = first[name][min(position, self.order)] if is_chain else first[name][0] + position - start
                    row[index, position], by_context[index, position] = offset, is_chain
                start += size
        return cumulative_probabilities(np.concatenate(tables)), row, by_context

    def log_likelihood(self, codes: Codes) -> Floats:
        """Log p(sequence) (n,), in nats, for codes (n, length)."""
        return np.asarray(np.logaddexp.reduce(self.log_joint(codes), axis=0))

    def log_joint(self, codes: Codes) -> Floats:
        """Log p(layout, sequence) (layouts, n), in nats."""
        until: dict[str, Floats] = {}
        windows: dict[str, Floats] = {}
        for name, emitter in self.emitters.items():
            if isinstance(emitter, MarkovModel):
                total = np.log(base_probabilities(emitter, codes)).cumsum(axis=1)
                until[name] = np.ascontiguousarray(np.pad(total, ((0, 0), (1, 0))).T)
            else:
                windows[name] = np.ascontiguousarray(emitter.scan(codes).T)
        joint = np.empty((len(self.layouts), codes.shape[0]))
        joint[:] = np.log(self.weights)[:, None]
        for log_probability, layout in zip(joint, self.layouts, strict=True):
            start = 0
            for name, size in layout:
                if name in until:
                    log_probability += until[name][start + size] - until[name][start]
                else:
                    log_probability += windows[name][start]
                start += size
        return joint
