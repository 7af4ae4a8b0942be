"""Frames between glmbench and a worker: a JSON header and raw arrays, nothing that could run code.

A frame is a prefix (magic, bytes of the header as uint32, bytes of the arrays as uint64, little-endian), the header
(a JSON object; `arrays` lists name, dtype and shape of each array) and the arrays, C order, each padded to 8 bytes.
Used on both sides: by the client, and by `server.py` under whatever Python a private environment has. It needs the
standard library of Python 3.8 and numpy alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

PROTOCOL = 1
"""Raised when frames or methods change their meaning; the two sides must agree."""

HEARTBEAT_SECONDS = 1.0
"""How often a worker that computes says so."""

LONGEST_HEADER = 1 << 20
"""Bytes."""
LARGEST_PAYLOAD = 1 << 32
"""Bytes of all arrays of a frame."""
MOST_DIMENSIONS = 8

DTYPES = ("<f4", "<f8", "<i8", "|u1")

_MAGIC = b"glmw"
_PREFIX = struct.Struct("<4sIQ")
_ALIGNMENT = 8

Array = Any
"""A numpy array; `NDArray` is younger than the oldest numpy that this must run under."""


class FrameError(Exception):
    """Bytes that are no frame, or a value that fits into none; the message is the reason alone."""


class Frame(NamedTuple):
    """A header and its arrays by name."""

    header: dict[str, Any]
    arrays: dict[str, Array]


def encode(header: dict[str, Any], arrays: dict[str, Array] | None = None) -> list[bytes]:
    """The pieces of a frame, to be written one after the other.

    Raises:
        FrameError: it is larger than the limits, or an array has another dtype than `DTYPES`.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    for name, array in contiguous.items():
        if array.dtype.str not in DTYPES:
            raise FrameError(f"array {name!r} is {array.dtype.str}, wanted one of {', '.join(DTYPES)}")
    described = [[name, array.dtype.str, list(array.shape)] for name, array in contiguous.items()]
    size = sum(_padded(array.nbytes) for array in contiguous.values())
    text = json.dumps(dict(header, arrays=described)).encode("utf-8")
    _check_sizes(len(text), size)
    pieces = [_PREFIX.pack(_MAGIC, len(text), size), text]
    for array in contiguous.values():
        pieces += [array.tobytes(), bytes(_padded(array.nbytes) - array.nbytes)]
    return pieces


def read_frame(read: Callable[[int], bytes | bytearray]) -> Frame:
    """The next frame from `read(n)`, which gives exactly n bytes or raises `EOFError`. Arrays are views of one buffer.

    Raises:
        FrameError: what comes is no frame. Where the next one begins is then unknown.
        EOFError: the other side closed the pipe, before a frame or within one.
    """
    magic, header_size, payload_size = _PREFIX.unpack(read(_PREFIX.size))
    if magic != _MAGIC:
        raise FrameError(f"a frame begins with {magic!r}, wanted {_MAGIC!r}")
    _check_sizes(header_size, payload_size)
    header = _parse_header(bytes(read(header_size)))
    described = _described_arrays(header.pop("arrays", None))
    wanted = sum(_padded(size) for _, _, _, size in described)
    if wanted != payload_size:
        raise FrameError(f"arrays of {wanted} bytes are described, {payload_size} bytes are announced")
    payload, offset, arrays = read(payload_size), 0, {}
    for name, dtype, shape, size in described:
        count = size // np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(payload, dtype=dtype, count=count, offset=offset).reshape(shape)
        offset += _padded(size)
    return Frame(header, arrays)


def pack_sequences(sequences: Sequence[str]) -> dict[str, Array]:
    """Sequences as two arrays: their text end to end (UTF-8), and the bytes of each."""
    encoded = [sequence.encode("utf-8") for sequence in sequences]
    return {
        "text": np.frombuffer(b"".join(encoded), dtype="|u1"),
        "lengths": np.array([len(text) for text in encoded], dtype="<i8"),
    }


def unpack_sequences(arrays: dict[str, Array]) -> list[str]:
    """What `pack_sequences` packed."""
    text, sequences, start = arrays["text"].tobytes(), [], 0
    for length in arrays["lengths"].tolist():
        sequences.append(text[start : start + length].decode("utf-8"))
        start += length
    return sequences


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _check_sizes(header: int, payload: int) -> None:
    if header > LONGEST_HEADER:
        raise FrameError(f"a header has {header} bytes, at most {LONGEST_HEADER} are allowed")
    if payload > LARGEST_PAYLOAD:
        raise FrameError(f"arrays have {payload} bytes, at most {LARGEST_PAYLOAD} are allowed in one frame")


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise FrameError("a header is no JSON object")
    return header


def _described_arrays(described: Any) -> list[tuple[str, str, list[int], int]]:
    """Name, dtype, shape and bytes of every array that a header describes."""
    if not isinstance(described, list):
        raise FrameError("a header does not say which arrays follow")
    known, arrays = set(), []
    for entry in described:
        if not (isinstance(entry, list) and len(entry) == 3):
            raise FrameError("an array is described otherwise than by name, dtype and shape")
        name, dtype, shape = entry
        if not isinstance(name, str) or name in known:
            raise FrameError("an array has no name, or that of another")
        if dtype not in DTYPES:
            raise FrameError(f"array {name!r} is {dtype!r}, wanted one of {', '.join(DTYPES)}")
        arrays.append((name, dtype, shape, _size(name, dtype, shape)))
        known.add(name)
    return arrays


def _size(name: str, dtype: str, shape: Any) -> int:
    """Bytes of an array."""
    valid = isinstance(shape, list) and 0 < len(shape) <= MOST_DIMENSIONS
    if not valid or any(type(length) is not int or length < 0 for length in shape):
        raise FrameError(f"array {name!r} has shape {shape!r}")
    size: int = np.dtype(dtype).itemsize
    for length in shape:
        size *= length
    return size
