"""Sequences written as overlapping k-mers joined by blanks, as in `ACGT CGTA GTAC`, read back to bases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError


def decode_kmers(texts: Sequence[str], k: int, origin: str) -> list[str]:
    """The sequences whose stride-1 k-mers are written in `texts`: the first base of each, then the rest of the last.

    Args:
        texts: one text a row, k-mers of `k` letters with one blank between them.
        k: letters in a k-mer.
        origin: the file, for the message.

    Raises:
        DataError: a text is not such a list, or two neighbours do not overlap by k-1 letters; names the row.
    """
    if not texts:
        return []
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(text) for text in encoded])
    _refuse((lengths + 1) % (k + 1) != 0, texts, f"is not {k}-mers joined by single blanks", origin)
    # With one more blank at the end of each row, every k-mer is one line of k+1 bytes.
    tokens = np.frombuffer(b" ".join(encoded) + b" ", dtype=np.uint8).reshape(-1, k + 1)
    per_row = (lengths + 1) // (k + 1)
    row = np.repeat(np.arange(len(texts)), per_row)
    malformed = (tokens[:, k] != ord(" ")) | (tokens[:, :k] == ord(" ")).any(axis=1)
    _refuse(_rows_with(malformed, row, len(texts)), texts, f"is not {k}-mers joined by single blanks", origin)
    last = np.zeros(len(tokens), dtype=bool)
    last[np.cumsum(per_row) - 1] = True
    torn = np.zeros(len(tokens), dtype=bool)
    torn[:-1] = (tokens[:-1, 1:k] != tokens[1:, : k - 1]).any(axis=1) & ~last[:-1]
    _refuse(_rows_with(torn, row, len(texts)), texts, f"has neighbours that do not share {k - 1} letters", origin)
    lines = tokens.copy()
    lines[:, k] = ord("\n")
    kept = np.zeros(tokens.shape, dtype=bool)
    kept[:, 0] = True
    kept[last] = True
    return lines[kept].tobytes().decode().splitlines()


def _rows_with(bad_tokens: NDArray[np.bool_], row: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    return np.bincount(row[bad_tokens], minlength=rows) > 0


def _refuse(bad: NDArray[np.bool_], texts: Sequence[str], what: str, origin: str) -> None:
    found = np.flatnonzero(bad)
    if found.size:
        first = int(found[0])
        shown = texts[first] if len(texts[first]) <= 40 else texts[first][:37] + "..."
        raise DataError(
            f"{origin}: the sequence of row {first} (line {first + 2}) {what}: {shown!r} ({found.size} such rows)"
        )
