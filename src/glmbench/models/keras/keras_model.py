"""A Keras network as a model: its inner states, pooled or by base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.models.keras.choices import KerasPool, Overflow
from glmbench.models.keras.kind import Kind
from glmbench.models.keras.runner import Runner, chunks
from glmbench.models.keras.windows import Windows, gather, input_bounds, whole
from glmbench.models.model import ModelCard, States
from glmbench.models.reference import close_matches
from glmbench.networks.keras.graph import KerasNetwork
from glmbench.networks.keras.layer import Bounds, Layer
from glmbench.sequences.alphabet import EncodedBatch, encode_batch
from glmbench.sequences.encoding import reverse_complement


@dataclass(frozen=True)
class Reading:
    """How sequences are read.

    Attributes:
        layer: whose states are embeddings.
        pool: over the places of the layer, where it has any.
        overflow: longer sequences are refused or read in windows.
        pad: shorter sequences are filled up, not refused.
    """

    layer: str
    pool: KerasPool
    overflow: Overflow
    pad: bool


@dataclass(frozen=True)
class _Place:
    """Places of one layer in one window of a sequence."""

    values: NDArray[np.float32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class KerasModel:
    """Embeds and Inspectable; what it predicts is in its subclasses."""

    def __init__(self, network: KerasNetwork, kind: Kind, runner: Runner, reading: Reading, card: ModelCard) -> None:
        self._network, self._kind, self._runner = network, kind, runner
        self._reading, self._card = reading, card
        self._check_layer(reading.layer)

    @property
    def card(self) -> ModelCard:
        """The card; its fingerprint covers the file, what was said of it, and this loader."""
        return self._card

    @property
    def passes(self) -> int:
        """Windows that went through the network."""
        return self._runner.passes

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """States of a layer, pooled over its places; several windows of a sequence count by their bases.

        A network that averages both strands is read on both, and the states are averaged.

        Raises:
            Unsupported: a sequence is longer or shorter than the network reads, and the reference does not say what
                to do then.
            DataError: a sequence is empty, or a letter is no nucleotide code.
        """
        states = self._embed(sequences)
        if self._kind.both_strands:
            states += self._embed([reverse_complement(sequence) for sequence in sequences])
            states /= 2
        return states

    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose output has places or is a vector, first to last, as Keras has them."""
        return layer_names(self._network, self._kind)

    def states(self, sequences: Sequence[str], layer: str) -> list[States]:
        """What a layer makes of each sequence.

        A place stands for the bases of its strides; places at the ends also for what fills no stride. What is left of
        the sequence in a filled-up window has spans of -1.

        Raises:
            UsageError: there is no such layer.
            Unsupported: as `embed`.
            DataError: as `embed`.
        """
        self._check_layer(layer)
        parts: list[list[_Place]] = [[] for _ in sequences]
        batch = encode_batch(sequences)
        for place, sequence in self._read(batch, layer):
            parts[sequence].append(place)
        return [_one_after_another(found) for found in parts]

    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        """Within the context, a unit (last axis) of a layer has this value at every place, and within recurrences.

        Raises:
            UsageError: there is no such layer or unit.
        """
        self._check_layer(layer)
        units = self._network.shapes[layer][-1] or 0
        if not 0 <= unit < units:
            raise UsageError(f"layer {layer!r} has units 0 to {units - 1}, got {unit}")
        held: Layer = self._network.layer(layer)
        held.hold(unit, value)
        try:
            yield
        finally:
            held.hold(unit, None)

    def _embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        if not sequences:
            raise DataError("there are no sequences to embed; wanted at least one")
        pool = self._reading.pool
        totals: NDArray[np.float64] | None = None
        bases = np.zeros(len(sequences))
        for place, sequence in self._read(encode_batch(sequences), self._reading.layer):
            known = place.starts >= 0
            values, new = place.values[known], float((place.ends - place.starts)[known].sum())
            pooled = values.max(0) if pool == "max" else values[-1] if pool == "last" else values.mean(0)
            if totals is None:
                start = -np.inf if pool == "max" else 0.0
                totals = np.full((len(sequences), len(pooled)), start)
            if pool == "max":
                totals[sequence] = np.maximum(totals[sequence], pooled)
            elif pool == "last":
                totals[sequence] = pooled
            else:
                totals[sequence] += new * pooled
                bases[sequence] += new
        assert totals is not None  # there is a window of every sequence
        return (totals / bases[:, None] if pool == "mean" else totals).astype(np.float32)

    def _read(self, batch: EncodedBatch, layer: str) -> Iterator[tuple[_Place, int]]:
        """The places of a layer in every window, and the window's sequence; a sequence's windows come in order."""
        lengths = batch.lengths
        for windows in whole(self._kind, lengths, self._reading.overflow, pad=self._reading.pad):
            bounds = self._bounds(windows.width)[layer]
            for part in chunks(len(windows.sequence), windows.width):
                codes = gather(batch, windows.sequence[part], windows.first[part], windows.width)
                for rows, values in self._runner.layer(codes, layer):
                    for row, window in enumerate(range(part.start + rows.start, part.start + rows.stop)):
                        sequence = int(windows.sequence[window])
                        yield _placed(values[row], bounds, windows, window, int(lengths[sequence])), sequence

    def _bounds(self, width: int | None) -> dict[str, Bounds | None]:
        return _bounds(self._network, self._kind, width)

    def _check_layer(self, layer: str) -> None:
        known = self.layers()
        if layer not in known:
            raise UsageError(
                f"{self._card.reference}: there is no layer {layer!r}{close_matches(layer, list(known))}; "
                f"it has {', '.join(known)}"
            )


def layer_names(network: KerasNetwork, kind: Kind) -> tuple[str, ...]:
    """Names of the layers whose output has places or is a vector, first to last."""
    bounds = _bounds(network, kind, 16 if kind.length is None else None)
    return tuple(name for name, shape in network.shapes.items() if len(shape) == 1 or bounds[name] is not None)


def _bounds(network: KerasNetwork, kind: Kind, width: int | None) -> dict[str, Bounds | None]:
    """What bases the places of each layer stand for, in windows of `width`; None: those that the network reads."""
    columns = width or (kind.length or 0) + (kind.purpose in ("joined", "flanks"))
    return network.bounds(input_bounds(kind, columns))


def _placed(values: NDArray[np.float32], bounds: Bounds | None, windows: Windows, window: int, length: int) -> _Place:
    """Spans in the sequence of a window's places, in the order of bases; -1 for places without new bases."""
    first, fresh = int(windows.first[window]), int(windows.fresh[window])
    end = min(first + windows.width, length)
    if bounds is None:
        return _Place(values[None], np.array([fresh]), np.array([end]))
    if bounds[0] > bounds[-1]:
        values, bounds = values[::-1], bounds[::-1]
    inside = np.clip(bounds + first, fresh, end)
    starts, ends = inside[:-1].copy(), inside[1:].copy()
    without = starts == ends
    starts[without] = ends[without] = -1
    return _Place(values, starts, ends)


def _one_after_another(places: Sequence[_Place]) -> States:
    """The places of all windows of a sequence; what a window repeats of the one before is left out."""
    kept = [place if number == 0 else _known(place) for number, place in enumerate(places)]
    return States(
        np.ascontiguousarray(np.concatenate([place.values for place in kept])),
        np.concatenate([place.starts for place in kept]),
        np.concatenate([place.ends for place in kept]),
    )


def _known(place: _Place) -> _Place:
    known = place.starts >= 0
    return _Place(place.values[known], place.starts[known], place.ends[known])
