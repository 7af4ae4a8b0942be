"""Keras networks that predict one base from its surroundings: after the input, or between two flanks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.keras.keras_model import KerasModel, Reading
from glmbench.models.keras.kind import Kind
from glmbench.models.keras.runner import Runner, chunks, joined
from glmbench.models.keras.windows import gather
from glmbench.models.model import ModelCard, Reach
from glmbench.networks.keras.graph import KerasNetwork
from glmbench.sequences.alphabet import EncodedBatch, N, encode_batch
from glmbench.sequences.typing import Codes, Integers

BLOCK = 1 << 18
"""Bases that are asked and added up together, so that a long sequence takes no more memory than that."""


class WindowLanguageModel(KerasModel):
    """A base from the bases before it (`end`) or from both sides: every base is asked in a window of its own.

    Where a flank is shorter than the network's, its far end is filled up with zeros; N and other ambiguous letters are
    zeros too (deepG's `ambiguous_nuc = "zero"`), or the column of n where the vocabulary has one.
    """

    def __init__(
        self,
        network: KerasNetwork,
        kind: Kind,
        runner: Runner,
        reading: Reading,
        card: ModelCard,
        *,
        columns: Sequence[int],
    ) -> None:
        super().__init__(network, kind, runner, reading, card)
        self._columns = list(columns)

    @property
    def reach(self) -> Reach:
        """`left` where the base stands at the end, else `both`."""
        return "left" if self._kind.purpose == "end" else "both"

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of A, C, G, T at one position of each sequence; see `model.PredictsBases`.

        Raises:
            DataError: a position lies outside its sequence, or a letter is no nucleotide code.
        """
        batch = encode_batch(sequences)
        return self._ask(batch, np.arange(len(batch)), checked(batch, positions))

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of every base, (length, 4) each, from a window a base: the base itself is always hidden.

        Raises:
            DataError: a letter is no nucleotide code.
        """
        batch = encode_batch(sequences)
        return np.split(self._ask(batch, *every_base(batch)), batch.offsets[1:-1])

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Sum of the log probability of every base, nats; unknown bases count for nothing.

        Raises:
            DataError: a letter is no nucleotide code.
        """
        batch = encode_batch(sequences)
        return summed(batch, lambda sequence, position: self._ask(batch, sequence, position))

    def _ask(self, batch: EncodedBatch, sequence: Integers, position: Integers) -> NDArray[np.float32]:
        """Log probabilities (n, 4) of positions of sequences."""
        kind = self._kind
        width = (kind.length or 0) + (kind.purpose != "end")
        parts = []
        for part in chunks(len(position), width):
            windows = gather(batch, sequence[part], position[part] - kind.flank, width)
            if kind.purpose != "end":
                windows[:, kind.flank] = N  # left out by the network's inputs: equal questions are then one
            parts.append(of_bases(self._runner.log_probabilities(windows), self._columns))
        return joined(parts)


def of_bases(log_p: NDArray[np.float32], columns: Sequence[int]) -> NDArray[np.float32]:
    """The columns of A, C, G, T, normalised: float32 (n, 4) of (n, letters)."""
    bases = log_p[:, columns].astype(np.float64)
    highest = bases.max(1, keepdims=True)
    total = highest + np.log(np.exp(bases - highest).sum(1, keepdims=True))
    normalised: NDArray[np.float32] = (bases - total).astype(np.float32)
    return normalised


def checked(batch: EncodedBatch, positions: Sequence[int]) -> Integers:
    """Positions as an array.

    Raises:
        DataError: one lies outside its sequence, or there is not one for each.
    """
    asked = np.asarray(positions, dtype=np.int64).reshape(-1)
    if len(asked) != len(batch):
        raise DataError(f"got {len(batch)} sequences and {len(asked)} positions, wanted one position of each")
    outside = (asked < 0) | (asked >= batch.lengths)
    if outside.any():
        at = int(outside.argmax())
        raise DataError(f"position {asked[at]} of sequence {at} lies outside its {batch.lengths[at]} bases (0-based)")
    return asked


def every_base(batch: EncodedBatch) -> tuple[Integers, Integers]:
    """Sequence and position of all bases, one sequence after another."""
    return _bases(batch, 0, len(batch.codes))


def _bases(batch: EncodedBatch, start: int, end: int) -> tuple[Integers, Integers]:
    """Sequence and position of the bases from one to before another, counted over all sequences."""
    flat = np.arange(start, end)
    sequence = np.searchsorted(batch.offsets, flat, side="right") - 1
    return sequence, flat - batch.offsets[sequence]


def summed(batch: EncodedBatch, ask: Callable[[Integers, Integers], NDArray[np.float32]]) -> NDArray[np.float64]:
    """Sum over each sequence of the log probability of its bases, block by block; N counts for nothing.

    Args:
        batch: the sequences.
        ask: log probabilities (n, 4) of positions of sequences.
    """
    totals = np.zeros(len(batch))
    for start in range(0, len(batch.codes), BLOCK):
        codes: Codes = batch.codes[start : start + BLOCK]
        sequence, position = _bases(batch, start, start + len(codes))
        known = codes < N
        each = ask(sequence, position)[known, codes[known]]
        totals += np.bincount(sequence[known], weights=each, minlength=len(batch))
    return totals
