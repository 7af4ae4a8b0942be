"""Keras networks that give a base at every place: the next one (WaveNet), or its own where it is hidden (masked)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import Unsupported
from glmbench.models.keras.keras_model import KerasModel, Reading
from glmbench.models.keras.kind import Kind
from glmbench.models.keras.language_models import checked, every_base, of_bases, summed
from glmbench.models.keras.runner import Runner, chunks, joined, unique_rows
from glmbench.models.keras.windows import gather
from glmbench.models.model import ModelCard, Reach
from glmbench.networks.keras.graph import KerasNetwork
from glmbench.sequences.alphabet import EncodedBatch, N, encode_batch
from glmbench.sequences.typing import Integers


class PlaceLanguageModel(KerasModel):
    """Reads a window and answers for every place of it.

    Sequences longer than the network's input are read in windows that overlap by half, and every base is asked in the
    window that has it nearest to the middle (`masked`), or behind half a window at least (`next`).
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
        self._length = kind.length or 0

    @property
    def reach(self) -> Reach:
        """`left` where places give the next base, else `both`."""
        return "left" if self._kind.purpose == "next" else "both"

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of A, C, G, T at one position of each sequence; see `model.PredictsBases`.

        Raises:
            Unsupported: a sequence is longer than the network reads, and windows are refused.
            DataError: a position lies outside its sequence, or a letter is no nucleotide code.
        """
        batch = self._encoded(sequences)
        return self._ask(batch, np.arange(len(batch)), checked(batch, positions), hidden=True)

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of every base, (length, 4) each; with reach `both` the network has seen the base.

        Raises:
            Unsupported: as `fill`.
            DataError: a letter is no nucleotide code.
        """
        batch = self._encoded(sequences)
        return np.split(self._ask(batch, *every_base(batch), hidden=False), batch.offsets[1:-1])

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Sum of the log probability that `fill` gives every base, nats; unknown bases count for nothing.

        Raises:
            Unsupported: as `fill`.
            DataError: a letter is no nucleotide code.
        """
        batch = self._encoded(sequences)
        return summed(batch, lambda sequence, position: self._ask(batch, sequence, position, hidden=True))

    def _encoded(self, sequences: Sequence[str]) -> EncodedBatch:
        batch = encode_batch(sequences)
        longest = int(batch.lengths.max(initial=0))
        if longest > self._length and self._reading.overflow == "refuse":
            raise Unsupported(
                f"a sequence has {longest:,} bases, the network reads {self._length:,}; cut it, or leave out "
                "?overflow=refuse to read windows"
            )
        return batch

    def _ask(self, batch: EncodedBatch, sequence: Integers, position: Integers, *, hidden: bool) -> NDArray[np.float32]:
        """Log probabilities (n, 4) of positions of sequences; `hidden` matters to masked networks alone."""
        if self._kind.purpose == "next":
            first = self._before_next(position) - 1
            column = position - first - 1
            hidden = False
        else:
            first = self._around(batch.lengths[sequence], position, one_pass=not hidden)
            column = position - first
        parts = []
        for part in chunks(len(position), self._length):
            parts.append(self._answers(batch, sequence[part], first[part], column[part], hidden=hidden))
        return joined(parts)

    def _answers(
        self, batch: EncodedBatch, sequence: Integers, first: Integers, column: Integers, *, hidden: bool
    ) -> NDArray[np.float32]:
        if hidden:
            windows = gather(batch, sequence, first, self._length)
            windows[np.arange(len(windows)), column] = N
            row = np.arange(len(windows))
        else:
            pairs, row = unique_rows(np.stack((sequence, first), axis=1).view(np.uint8).reshape(len(first), -1))
            which = np.ascontiguousarray(pairs).view(np.int64).reshape(-1, 2)
            windows = gather(batch, which[:, 0], which[:, 1], self._length)
        log_p = self._runner.log_probabilities(windows)
        if log_p.ndim == 2:  # one long row, four columns a place
            log_p = log_p.reshape(len(windows), self._length, 4)
        return of_bases(log_p[row, column], self._columns)

    def _before_next(self, position: Integers) -> Integers:
        """The first base that each position's window predicts: windows overlap by half."""
        half = max(1, self._length // 2)
        return np.maximum(0, (position - half) // half * half)

    def _around(self, lengths: Integers, position: Integers, *, one_pass: bool) -> Integers:
        """The first base of each position's window: the whole sequence at the right end of it, or a part around it.

        For one pass over long sequences only every half window is one.
        """
        half = max(1, self._length // 2)
        first = (position - half // 2) // half * half if one_pass else position - half
        inside = np.clip(first, 0, np.maximum(lengths - self._length, 0))
        return np.where(lengths <= self._length, lengths - self._length, inside)
