"""Position weight matrices from files: JASPAR, four columns (gimmemotifs, HOCOMOCO), and minimal MEME."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from glmbench.errors import DataError
from glmbench.simulation.motifs import PositionWeightMatrix

_GZIP_MAGIC = b"\x1f\x8b"


def read_motifs(path: Path) -> list[PositionWeightMatrix]:
    """Read every matrix of a file, plain or gzip; the form is told from its text.

    JASPAR has a line a base, `A [ 4 19 0 ]`; the four-column form a line a position, under `>name`; MEME says so.
    Counts are divided by their sum at each position, without pseudocounts. Lines that begin with `#` are skipped.

    Raises:
        DataError: not text of one of these forms, no motif in it, or a position without counts.
    """
    from Bio import motifs

    text = _text(path)
    form = _form(text)
    parse: Any = motifs.parse  # its package says it is typed, it is not
    try:
        found = list(parse(io.StringIO(text), form))
    except (ValueError, IndexError, KeyError, StopIteration) as error:
        raise DataError(f"{path} cannot be read as motifs (form {form}): {error}") from error
    if not found:
        raise DataError(f"{path} holds no motif; a JASPAR, four-column or MEME file was wanted")
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


def _form(text: str) -> str:
    """The form by its name in Bio.motifs."""
    if text.lstrip().startswith("MEME version"):
        return "minimal"
    return "jaspar" if "[" in text else "pfm-four-columns"


def _matrix(path: Path, name: str, counts: dict[str, list[float]]) -> PositionWeightMatrix:
    table = np.array([counts[base] for base in "ACGT"], dtype=np.float64).T
    total = table.sum(axis=1, keepdims=True)
    if not table.size or (table < 0).any() or (total <= 0).any() or not np.isfinite(total).all():
        raise DataError(f"{path}: motif {name} has no position, or one without counts; remove or mend it")
    return PositionWeightMatrix(name, table / total)
