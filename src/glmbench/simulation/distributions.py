"""Distributions over sequences that can be drawn from and evaluated exactly, and labelled sets made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.markov import MarkovModel, log_likelihood, sample_markov
from glmbench.sequences.typing import Codes
from glmbench.simulation.chains import Floats, cumulative_probabilities


class SequenceDistribution(Protocol):
    """A distribution over sequences of one length, in bp."""

    @property
    def length(self) -> int:
        """Length of every sequence, in bp."""

    def sample(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw `n` sequences, codes (n, length)."""

    def log_likelihood(self, codes: Codes) -> Floats:
        """Log p(sequence) (n,), in nats, for codes (n, length)."""


@dataclass(frozen=True, eq=False)
class ChainSequences:
    """Sequences of one length from a stationary Markov chain."""

    chain: MarkovModel
    length: int

    def sample(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw `n` sequences, codes (n, length)."""
        return sample_markov(self.chain, n, self.length, rng)

    def log_likelihood(self, codes: Codes) -> Floats:
        """Log p(sequence) (n,), in nats, for codes (n, length)."""
        return log_likelihood(self.chain, codes)


@dataclass(frozen=True, eq=False)
class LabelledDistribution:
    """A joint distribution of class and sequence: the class from `priors`, the sequence from the class's distribution.

    Rows are independent, so taking the class of the largest posterior is right as often as any classifier can be on
    average.
    """

    classes: tuple[SequenceDistribution, ...]
    priors: Floats

    def __post_init__(self) -> None:
        lengths = {distribution.length for distribution in self.classes}
        if len(lengths) != 1 or len(self.priors) != len(self.classes) or not np.isclose(np.sum(self.priors), 1):
            raise ValueError(
                f"want classes of one length and one prior each, got lengths {lengths}, priors {self.priors}"
            )

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Codes, NDArray[np.int64]]:
        """Draw `n` independent rows: codes (n, length) and class indices (n,)."""
        drawn = np.searchsorted(cumulative_probabilities(self.priors), rng.random(n), side="right")
        labels = drawn.astype(np.int64)
        codes = np.empty((n, self.classes[0].length), dtype=np.uint8)
        for label, distribution in enumerate(self.classes):
            rows = np.flatnonzero(labels == label)
            codes[rows] = distribution.sample(rng, rows.size)
        return codes, labels

    def posterior(self, codes: Codes) -> Floats:
        """Exact p(class | sequence), (n, classes): the Bayes-optimal scores."""
        likelihoods = np.stack([distribution.log_likelihood(codes) for distribution in self.classes], axis=1)
        joint = likelihoods + np.log(self.priors)
        shifted = np.exp(joint - joint.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
