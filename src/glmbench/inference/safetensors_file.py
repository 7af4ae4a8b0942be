"""Safetensors files written as a stream: tensors larger than memory, one after another.

The format (https://github.com/huggingface/safetensors, format section): eight bytes that hold the length of the header
(little-endian), the header (JSON: type, shape and place of each tensor), then the bytes of all tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from glmbench.errors import DataError
from glmbench.storage.atomic import atomic_path

LONGEST_HEADER = 100_000_000
"""Bytes of a header that the reference implementation still reads."""

_BYTES = {"F16": 2, "F32": 4}


@dataclass(frozen=True)
class Tensor:
    """One tensor's place in the file's header: its name, `F16` or `F32`, and its shape."""

    name: str
    type: str
    shape: tuple[int, ...]


def write_safetensors(path: Path, tensors: Sequence[Tensor], data: Iterable[bytes]) -> None:
    """Write a file atomically; `data` gives the bytes of the tensors, row-major and little-endian, in their order.

    Raises:
        DataError: two tensors have one name, or there are so many that no reader would take the header.
        ValueError: `data` has more or fewer bytes than the tensors.
    """
    header: dict[str, dict[str, object]] = {}
    place = 0
    for tensor in tensors:
        if tensor.name in header:
            raise DataError(
                f"{path}: two records are called {tensor.name}; a tensor's name must be its own: rename one, or write "
                "one vector a record to .parquet"
            )
        size = prod(tensor.shape) * _BYTES[tensor.type]
        header[tensor.name] = {"dtype": tensor.type, "shape": list(tensor.shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise DataError(
            f"{path}: {len(tensors):,} tensors need a header of {len(text):,} bytes, safetensors reads at most "
            f"{LONGEST_HEADER:,}; split the input"
        )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        written = sum(file.write(block) for block in data)
        if written != place:
            raise ValueError(f"{path}: {written} bytes of data for tensors of {place}")
