"""Position weight matrices from files: JASPAR (both forms), four columns (gimmemotifs, HOCOMOCO), minimal MEME."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.simulation.motifs import PositionWeightMatrix

_GZIP_MAGIC = b"\x1f\x8b"


def read_motifs(path: Path) -> list[PositionWeightMatrix]:
    """Read every matrix of a file, plain or gzip; the form is told from its text.

    JASPAR has a line a base, `A [ 4 19 0 ]`; its raw form the same four lines, A, C, G, T, numbers only; the
    four-column form a line a position, under `>name`; MEME says so. Where every motif has four positions, the direction
    in which counts add up to one sum is across the bases.
    Counts are divided by their sum at each position, without pseudocounts. Lines that begin with `#` are skipped.

    Raises:
        DataError: not text of one of these forms, no motif in it, or a position without counts; or four by four numbers
            of which either direction could be the bases.
    """
    from Bio import motifs

    text = _text(path)
    form = _form(path, text)
    parse: Any = motifs.parse  # its package says it is typed, it is not
    try:
        found = list(parse(io.StringIO(text), form))
    except (ValueError, IndexError, KeyError, StopIteration) as error:
        raise DataError(f"{path} cannot be read as motifs (form {form}): {error}") from error
    if not found:
        raise DataError(f"{path} holds no motif; a JASPAR, four-row, four-column or MEME file was wanted")
    return [_matrix(path, motif.name or f"motif {i}", motif.counts) for i, motif in enumerate(found)]


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        lines = data.decode("utf-8").splitlines(keepends=True)
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no text file of motifs, or truncated gzip: {error}") from error
    return "".join(line for line in lines if not line.startswith("#"))


def _form(path: Path, text: str) -> str:
    """The form by its name in Bio.motifs."""
    if text.lstrip().startswith("MEME version"):
        return "minimal"
    if "[" in text:
        return "jaspar"
    return "pfm-four-rows" if _stands_in_rows(path, text) else "pfm-four-columns"


def _stands_in_rows(path: Path, text: str) -> bool:
    """Whether the numbers of every motif are four rows, one a base, rather than four columns."""
    blocks = re.split(r"^\s*(?:>.*)?$", text, flags=re.MULTILINE)
    rows = [[line.split() for line in block.splitlines() if line.strip()] for block in blocks]
    try:
        tables = [np.array(each, dtype=np.float64) for each in rows if each]
    except ValueError:  # rows of unequal length, or words among the numbers: no four plain rows
        return False
    if not tables or any(len(table) != 4 for table in tables):
        return False
    if any(table.shape[1] != 4 for table in tables):
        return True
    across_rows, across_columns = (all(_alike(table.sum(axis=axis)) for table in tables) for axis in (0, 1))
    if across_rows == across_columns:
        raise DataError(
            f"{path}: motifs of four rows and four columns, and the numbers do not tell which of them are the bases; "
            "write the rows as JASPAR does, `A [ 4 19 0 7 ]`"
        )
    return across_rows


def _alike(sums: NDArray[np.float64]) -> bool:
    return bool(np.allclose(sums, sums[0], rtol=0.02))


def _matrix(path: Path, name: str, counts: dict[str, list[float]]) -> PositionWeightMatrix:
    table = np.array([counts[base] for base in "ACGT"], dtype=np.float64).T
    total = table.sum(axis=1, keepdims=True)
    if not table.size or (table < 0).any() or (total <= 0).any() or not np.isfinite(total).all():
        raise DataError(f"{path}: motif {name} has no position, or one without counts; remove or mend it")
    return PositionWeightMatrix(name, table / total)
