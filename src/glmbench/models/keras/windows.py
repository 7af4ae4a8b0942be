"""Windows of sequences as a Keras network reads them: base codes 0 to 3, N = 4, and 5 beyond the sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glmbench.errors import DataError, Unsupported
from glmbench.models.keras.choices import Overflow
from glmbench.models.keras.kind import Kind
from glmbench.models.keras.vocabulary import PAD
from glmbench.networks.keras.layer import Bounds
from glmbench.sequences.alphabet import EncodedBatch
from glmbench.sequences.typing import Codes, Integers

_COMPLEMENT = np.array([3, 2, 1, 0, 4, 5], dtype=np.uint8)


@dataclass(frozen=True)
class Windows:
    """Windows of one width, for reading whole sequences.

    Attributes:
        sequence: int64 (windows,), which sequence.
        first: int64 (windows,), the base at column 0; below 0 where the window begins before the sequence.
        fresh: int64 (windows,), bases before this one belong to the window before.
        width: columns.
    """

    sequence: Integers
    first: Integers
    fresh: Integers
    width: int


def gather(batch: EncodedBatch, sequence: Integers, first: Integers, width: int) -> Codes:
    """Codes uint8 (n, width) from base `first` of each sequence on; 5 where there is no base."""
    at = first[:, None] + np.arange(width)
    there = (at >= 0) & (at < batch.lengths[sequence][:, None])
    if not len(batch.codes):
        return np.full(at.shape, PAD, dtype=np.uint8)
    flat = np.clip(at + batch.offsets[sequence][:, None], 0, len(batch.codes) - 1)
    return np.where(there, batch.codes[flat], np.uint8(PAD))


def network_inputs(kind: Kind, windows: Codes) -> list[Codes]:
    """Windows as the codes of each input: without the base between flanks, the right flank reversed.

    Args:
        kind: of the network.
        windows: uint8 (n, columns), the asked base among them for `joined` and `flanks`.
    """
    if kind.both_strands:
        return [windows, _COMPLEMENT[windows[:, ::-1]]]
    left, right = windows[:, : kind.flank], windows[:, kind.flank + 1 :]
    if kind.purpose == "joined":
        return [np.concatenate((left, right), axis=1)]
    return [left, right[:, ::-1]] if kind.purpose == "flanks" else [windows]


def input_bounds(kind: Kind, width: int) -> list[Bounds]:
    """Where the places of each input lie in a window's columns, (places + 1,).

    A base that is left out goes with its right neighbour. In a network of two flanks the place next to the base stands
    also for the flank that its branch does not read, so that every layer's places cover the window.
    """
    forward = np.arange(width + 1, dtype=np.int64)
    if kind.both_strands:
        return [forward, forward[::-1]]
    if kind.purpose == "joined":
        return [np.delete(forward, kind.flank + 1)]
    if kind.purpose == "flanks":
        left, right = forward[: kind.flank + 1].copy(), forward[kind.flank + 1 :][::-1].copy()
        left[-1], right[-1] = width, 0
        return [left, right]
    return [forward]


def whole(kind: Kind, lengths: Integers, overflow: Overflow, *, pad: bool) -> list[Windows]:
    """Windows that read sequences from end to end.

    A shorter sequence stands at the right end of its window, as deepG pads on the left; for a network that is asked of
    the base in the middle, its middle stands there. A longer one is cut into windows side by side, the last of which
    ends with the sequence.

    Raises:
        Unsupported: a sequence is longer than the network's input and windows are not wanted, or shorter and padding
            is not.
        DataError: a sequence is empty.
    """
    if lengths.min(initial=1) < 1:
        raise DataError(f"sequence {int(lengths.argmin())} is empty; wanted at least one base")
    if kind.length is None:
        return [_of_length(np.flatnonzero(lengths == length), int(length)) for length in np.unique(lengths)]
    width = kind.length + (kind.purpose in ("joined", "flanks"))
    if lengths.max(initial=0) > width and overflow == "refuse":
        at = int(lengths.argmax())
        raise Unsupported(
            f"sequence {at} has {lengths[at]:,} bases, the network reads {width:,}; cut it, or say ?overflow=window to "
            "average windows"
        )
    if lengths.min(initial=width) < width and not pad:
        at = int(lengths.argmin())
        raise Unsupported(
            f"sequence {at} has {lengths[at]:,} bases, the network reads {width:,}; give that many, or say ?short=pad "
            "to fill up with zeros on the left, as deepG does"
        )
    numbers = -(-lengths // width)
    sequence = np.repeat(np.arange(len(lengths)), numbers)
    step = np.arange(len(sequence)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    fresh = step * width
    first = np.minimum(fresh, np.maximum(lengths - width, 0)[sequence])
    short = lengths[sequence] < width
    first[short] = _first_of_short(kind, lengths[sequence][short], width)
    return [Windows(sequence, first, fresh, width)]


def _of_length(rows: Integers, length: int) -> Windows:
    zero = np.zeros(len(rows), dtype=np.int64)
    return Windows(rows, zero, zero, length)


def _first_of_short(kind: Kind, lengths: Integers, width: int) -> Integers:
    if kind.purpose not in ("joined", "flanks"):
        return lengths - width
    right = width - kind.flank - 1
    middle = np.maximum(np.minimum(lengths // 2, kind.flank), lengths - 1 - right)
    return middle - kind.flank
