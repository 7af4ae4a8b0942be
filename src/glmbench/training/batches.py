"""Batches: examples encoded once, kept as flat codes in memory, cut into batches in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BATCHES_PER_POOL = 32
"""Examples of mixed length are sorted by length within pools of so many batches: little padding, order still random."""


@dataclass(frozen=True)
class Encoded:
    """Sequences as integers, bases or tokens, end to end: example i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[np.integer[Any]]
    offsets: NDArray[np.int64]

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[np.integer[Any]]]) -> Encoded:
        """Join one array per example."""
        lengths = np.fromiter((len(array) for array in arrays), np.int64, len(arrays))
        values = np.concatenate(arrays) if arrays else np.empty(0, np.uint8)
        return cls(values, np.concatenate(([0], np.cumsum(lengths))))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each example."""
        return np.diff(self.offsets)

    @property
    def work(self) -> NDArray[np.int64]:
        """Codes that are computed for each example: its length, unless a collate makes more of it."""
        return self.lengths

    @cached_property
    def uniform(self) -> bool:
        """Whether all examples have one length."""
        return bool(np.all(self.lengths == self.lengths[:1]))

    def matrix(self, rows: NDArray[np.integer[Any]], *, fill: int) -> NDArray[np.integer[Any]]:
        """The given examples as one array (len(rows), longest of them), padded on the right with `fill`."""
        if self.uniform:
            by_row: NDArray[np.integer[Any]] = self.values.reshape(len(self), -1)[rows]
            return by_row
        lengths = self.lengths[rows]
        columns = np.arange(int(lengths.max(initial=0)))
        there = columns < lengths[:, None]
        out = np.full(there.shape, fill, self.values.dtype)
        out[there] = self.values[(self.offsets[rows][:, None] + columns)[there]]
        return out


class Collate(Protocol):
    """What stands between sequences and a module: `encode` once for a data set, `batch` for every step."""

    def encode(self, sequences: Sequence[Any]) -> Encoded:
        """Integer codes of the sequences, one example each, small enough to keep in memory; also of pairs of them."""

    def batch(self, encoded: Encoded, rows: NDArray[np.integer[Any]]) -> tuple[Tensor | None, ...]:
        """Positional arguments of the module's `forward` for the given examples, on the CPU."""


class Input(Protocol):
    """A tensor, or what moves between devices like one (`networks.packing.Packing`)."""

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Any:
        """The same on a device."""


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    inputs: tuple[Input | None, ...]
    """Positional arguments of the module's `forward`."""
    targets: Tensor
    size: int
    """Units of work, as the cost record counts them: examples, or tokens."""
    bases: int = 0
    """Bases that the batch covers, where the cost record should count them too."""

    @property
    def weight(self) -> int:
        """Targets that the loss is the mean over: what a batch counts in a mean over several."""
        return len(self.targets)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; itself on the CPU, where batches are made."""
        if device.type == "cpu":
            return self
        inputs = tuple(x if x is None else x.to(device, non_blocking=True) for x in self.inputs)
        return replace(self, inputs=inputs, targets=self.targets.to(device, non_blocking=True))


class Batches(Protocol):
    """A source of batches that can be entered anywhere, which is what makes an interrupted training resumable."""

    def __len__(self) -> int:
        """Batches in an epoch, every epoch."""

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """Batches `start`, `start + every`, … of an epoch; the same number always gives the same batches in one order.

        Processes that train together share an epoch by `start` and `every`; what one skips it should not make.
        """

    def content_hash(self) -> str:
        """A hash of everything that decides the batches: an interrupted training goes on with the same ones only."""


class InMemoryBatches:
    """Batches of labelled examples in a fresh random order each epoch, which depends on the seed and the epoch only.

    Args:
        collate: encodes nothing here; makes the tensors of each batch.
        encoded: one entry per example, or several: see `views`.
        targets: (examples,) or (examples, outputs).
        batch_size: examples in a batch; the last of an epoch may have fewer.
        seed: decides every order.
        views: equivalent forms of each example, of which an epoch shows one at random: `encoded` holds all examples in
            their first form, then all in their second (the reverse complement).
        at_once: a batch is cut into as many micro-batches as keep the codes of each below this; None: into one.
        processes: how many share the micro-batches of a batch evenly.

    Attributes:
        parts: micro-batches of every batch, as many as the longest example makes of a full one; where fewer are needed
            the last are empty.
    """

    def __init__(
        self,
        collate: Collate,
        encoded: Encoded,
        targets: NDArray[Any],
        *,
        batch_size: int,
        seed: int,
        views: int = 1,
        at_once: int | None = None,
        processes: int = 1,
    ) -> None:
        if len(encoded) != views * len(targets):
            raise ValueError(f"{len(targets)} targets in {views} views want as many sequences, got {len(encoded)}")
        self.collate, self.encoded, self.targets = collate, encoded, targets
        self.batch_size, self.seed, self.views = batch_size, seed, views
        self._at_once, self._processes = at_once, processes
        self.parts = self._needed(batch_size, int(encoded.work.max(initial=1)))

    def __len__(self) -> int:
        return self.parts * -(-len(self.targets) // self.batch_size)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        cut = (part for rows in self.order(number) for part in self._micro_batches(rows))
        for rows in islice(cut, start, None, every):
            yield self._batch(rows)

    def _micro_batches(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        needed = self._needed(len(rows), int(self.encoded.work[rows].max(initial=1)))
        return [*np.array_split(rows, needed), *(self.parts - needed) * [rows[:0]]]

    def _needed(self, examples: int, longest: int) -> int:
        """Micro-batches for so many examples, the longest of so many codes; grows with either."""
        share = -(-examples // self._processes)
        rows = share if self._at_once is None else max(1, self._at_once // longest)
        return self._processes * -(-share // rows)

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        import torch

        targets = torch.from_numpy(self.targets[rows % len(self.targets)])
        return Batch(self.collate.batch(self.encoded, rows) if len(rows) else (), targets, len(rows))

    def content_hash(self) -> str:
        """See `Batches.content_hash`; how batches are cut and the collate's code are not seen."""
        arrays = (self.encoded.values, self.encoded.offsets, self.targets)
        settings = [self.batch_size, self.seed, self.views, type(self.collate).__qualname__]
        return sha256_json([settings, *([str(a.dtype), list(a.shape), _digest(a)] for a in arrays)])

    def order(self, number: int) -> list[NDArray[np.int64]]:
        """The rows of `encoded` in each batch of an epoch."""
        examples = len(self.targets)
        rng = np.random.default_rng([self.seed, number])
        rows = rng.permutation(examples)
        if self.views > 1:
            rows = rows + examples * rng.integers(0, self.views, examples)
        if self.encoded.uniform:
            return _cut(rows, self.batch_size)
        pools = _cut(rows, self.batch_size * _BATCHES_PER_POOL)
        batches = [
            batch
            for pool in pools
            for batch in _cut(pool[np.argsort(self.encoded.lengths[pool], kind="stable")], self.batch_size)
        ]
        return [batches[i] for i in rng.permutation(len(batches))]


def _digest(array: NDArray[Any]) -> str:
    return sha256(np.ascontiguousarray(array).data).hexdigest()


def _cut(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
