"""Lanes: several streams of contiguous bases side by side, for a network that carries its state along.

In deepG consecutive windows lie in consecutive rows of one batch, so that the state that Keras carries belongs to
another place of the genome. Here row i of a batch goes on where row i of the batch before ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.genomes.codes import Genome
from glmbench.genomes.windows import stretches_without_n
from glmbench.sequences.typing import Codes, Integers
from glmbench.storage.hashing import sha256_json
from glmbench.training.batches import Batch


@dataclass(frozen=True, slots=True)
class Chunks:
    """One step of all lanes.

    Attributes:
        codes: uint8 (lanes, 1 + length + lookahead); bases 1 to `length` are the targets.
        fresh: bool (lanes,): the chunk does not follow on the lane's chunk before.
    """

    codes: Codes
    fresh: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Lanes:
    """Cuts a genome into lanes.

    Maximal stretches without N are read from end to end, in both directions (the other one as the reverse complement),
    in an order that is new in every epoch. A stretch is cut into chunks, each beginning with the last target of the one
    before; what is left over fills no chunk, and how much of it lies before the first is random, so that chunk borders
    are not always at the same bases. All chunks in their order, from a random one on and around, are shared out to the
    lanes in equal parts; the few that remain (fewer than lanes) are not read in this epoch. A lane starts afresh where
    a stretch begins and where its part begins.

    An epoch is a function of its number and the seed, and can be entered at any step.

    Args:
        genome: what is read.
        lanes: streams side by side.
        length: targets of a chunk, over which gradients flow back.
        lookahead: bases after the last target that the network sees too.
        seed: decides every order.
        both_strands: read the reverse complement too.

    Raises:
        UsageError: a number is too small.
        DataError: the genome has too few chunks for the lanes.
    """

    def __init__(
        self,
        genome: Genome,
        *,
        lanes: int,
        length: int = 128,
        lookahead: int = 0,
        seed: int = 0,
        both_strands: bool = True,
    ) -> None:
        if lanes < 1 or length < 1 or lookahead < 0:
            raise UsageError(
                f"lanes {lanes}, length {length}, lookahead {lookahead}: want at least 1 lane, 1 target and 0 bases"
            )
        starts, ends = stretches_without_n(genome)
        chunks = np.maximum(ends - starts - 1 - lookahead, 0) // length
        enough = chunks > 0
        directions = 2 if both_strands else 1
        self.genome, self.lanes, self.length, self.lookahead, self.seed = genome, lanes, length, lookahead, seed
        self._starts = np.tile(starts[enough], directions)
        self._ends = np.tile(ends[enough], directions)
        self._chunks = np.tile(chunks[enough], directions)
        self._backwards = np.repeat(np.arange(directions) == 1, int(enough.sum()))
        self._steps = int(self._chunks.sum()) // lanes
        if not self._steps:
            raise DataError(
                f"{lanes} lanes want at least as many chunks of {length} targets, the genome has "
                f"{int(self._chunks.sum())} in its {starts.size} stretches without N; take fewer lanes or shorter ones"
            )

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self._steps

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Chunks]:
        """Steps `start`, `start + 1`, … of an epoch."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(self._chunks.size)
        left_over = self._ends - self._starts - 1 - self.lookahead - self._chunks * self.length
        skipped = rng.integers(0, left_over + 1)
        bounds = np.concatenate(([0], np.cumsum(self._chunks[order])))
        first = int(rng.integers(0, bounds[-1])) + self._steps * np.arange(self.lanes)
        for step in range(start, self._steps):
            chunk = (first + step) % bounds[-1]
            at = np.searchsorted(bounds, chunk, side="right") - 1
            within = chunk - bounds[at]
            fresh = (within == 0) | (step == 0)
            yield Chunks(self._cut(order[at], skipped[order[at]] + within * self.length), fresh)

    def _cut(self, stretch: Integers, offset: Integers) -> Codes:
        """Codes (lanes, width) from `offset` bases after the stretch's beginning, in its direction."""
        along = offset[:, None] + np.arange(1 + self.length + self.lookahead)
        backwards = self._backwards[stretch][:, None]
        places = np.where(backwards, self._ends[stretch][:, None] - 1 - along, self._starts[stretch][:, None] + along)
        codes: Codes = self.genome.codes[places]
        np.subtract(3, codes, out=codes, where=backwards)
        return codes

    def content_hash(self) -> str:
        """A hash of the bases and of all that decides the lanes."""
        settings = [self.lanes, self.length, self.lookahead, self.seed, bool(self._backwards.any())]
        spans = [self._starts.tolist(), self._ends.tolist()]
        return sha256_json([settings, spans, sha256(np.ascontiguousarray(self.genome.codes).data).hexdigest()])


class LaneBatches:
    """Lanes as `training.batches.Batches`: inputs ids (lanes, 1 + length + lookahead) and fresh (lanes,).

    Targets are base codes, int64 (lanes * length,), row after row.

    Args:
        lanes: what is read.
        base_ids: token ids of A, C, G, T.
    """

    def __init__(self, lanes: Lanes, base_ids: Sequence[int]) -> None:
        self.lanes = lanes
        self._ids = np.asarray(base_ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lanes)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """See `training.batches.Batches.epoch`.

        Raises:
            Unsupported: several processes want to share the lanes.
        """
        import torch

        if every != 1:
            raise Unsupported(
                f"{every} processes want to share lanes, but a lane's state lies in the process that read it last; "
                "train a stateful network in one process, with more lanes"
            )
        for chunks in self.lanes.epoch(number, start=start):
            targets = chunks.codes[:, 1 : 1 + self.lanes.length].astype(np.int64).ravel()
            inputs = (torch.from_numpy(self._ids[chunks.codes]), torch.from_numpy(chunks.fresh))
            yield Batch(inputs, torch.from_numpy(targets), targets.size, bases=targets.size)

    def content_hash(self) -> str:
        """See `training.batches.Batches.content_hash`."""
        return sha256_json([self.lanes.content_hash(), self._ids.tolist()])
