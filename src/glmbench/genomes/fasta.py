"""FASTA files: indexed access through pysam, and a fast reader of whole files into base codes."""

from __future__ import annotations

import gzip
import mmap
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import numpy as np

from glmbench.errors import DataError
from glmbench.sequences.alphabet import (
    DEFAULT_POLICY,
    AlphabetCounts,
    AlphabetPolicy,
    RefusedLetterError,
    encode_letters,
)
from glmbench.sequences.typing import Codes

if TYPE_CHECKING:
    from pysam import FastaFile

_GZIP_MAGIC = b"\x1f\x8b"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_HEADER, _NEWLINE, _CARRIAGE_RETURN = ord(">"), ord("\n"), ord("\r")
_SCAN_BLOCK = 1 << 20
_COPY_BLOCK = 1 << 18
"""Letters that are freed of line ends at a time, so few that they stay in the processor's cache."""

Compression = Literal["none", "bgzip", "gzip"]


@dataclass(frozen=True, slots=True)
class Contig:
    """One FASTA record as base codes.

    Attributes:
        name: the header's first word.
        description: the rest of the header.
        codes: uint8 (length,).
        counts: the letters that were read.
    """

    name: str
    description: str
    codes: Codes
    counts: AlphabetCounts


def compression_of(path: Path) -> Compression:
    """Tell plain text, bgzip (gzip in blocks, with random access) and ordinary gzip apart by the file's first bytes."""
    with path.open("rb") as file:
        head = file.read(16)
    if not head.startswith(_GZIP_MAGIC):
        return "none"
    return "bgzip" if head[3] & 4 and head[12:14] == b"BC" else "gzip"


def open_fasta(path: Path, *, index: Path | None = None) -> FastaFile:
    """Open a plain or bgzip-compressed FASTA file for random access through pysam.

    Args:
        path: the FASTA file.
        index: where its `.fai` index stands or is made; None for beside the file. The `.gzi` of a bgzip file goes
            beside the index.

    Raises:
        DataError: the file is ordinary gzip, which has no random access; its index is older than the file; or pysam
            cannot index it (lines of unequal length, an unwritable folder).
    """
    import pysam
    from pysam.utils import SamtoolsError

    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty; a FASTA file was wanted")
    compression = compression_of(path)
    if compression == "gzip":
        raise DataError(
            f"{path} is ordinary gzip, which cannot be read at random; recompress it with `bgzip`, decompress it, or "
            "build a genome folder from it (build_genome reads ordinary gzip)"
        )
    fai = index if index is not None else path.with_name(path.name + ".fai")
    if fai.is_file() and fai.stat().st_mtime_ns < path.stat().st_mtime_ns:
        raise DataError(f"{fai} is older than {path}; remove it and it is made anew")
    gzi = fai.with_suffix(".gzi")
    index_options = ["--fai-idx", str(fai), *(["--gzi-idx", str(gzi)] if compression == "bgzip" else [])]
    try:
        if not fai.is_file():
            pysam.faidx(*index_options, str(path))
        return pysam.FastaFile(
            str(path),
            filepath_index=str(fai),
            filepath_index_compressed=str(gzi) if compression == "bgzip" else None,
        )
    except (OSError, ValueError, SamtoolsError) as error:
        raise DataError(f"{path} cannot be opened as an indexed FASTA file (index {fai}): {error}") from error


def read_contigs(path: Path, policy: AlphabetPolicy = DEFAULT_POLICY) -> Iterator[Contig]:
    """Read every record of a FASTA file as base codes, one at a time.

    Plain files are memory-mapped. bgzip and ordinary gzip are first decompressed into an unnamed temporary file
    (`$TMPDIR` says where), so that memory holds one contig at most.

    Raises:
        DataError: not FASTA, truncated, a record without a name or bases, a name used twice, or a letter that `policy`
            refuses (named with contig and 0-based position).
    """
    with _mapped(path) as text:
        letters = np.frombuffer(text, dtype=np.uint8)
        starts = _record_starts(letters)
        if not starts or text[: starts[0]].strip():
            raise DataError(f"{path} is not FASTA: it must begin with a line that starts with '>'")
        seen: set[str] = set()
        for start, end in pairwise([*starts, len(text)]):
            header_end = text.find(b"\n", start, end)
            header = text[start + 1 : header_end if header_end >= 0 else end].decode("utf-8", errors="replace")
            name, description = [*header.split(None, 1), "", ""][:2]
            if not name or name in seen:
                what = f"the name {name} again" if name else "no name"
                raise DataError(f"{path}: record {len(seen)} has {what}; give every record a name of its own")
            seen.add(name)
            if header_end < 0:
                raise DataError(f"{path}: contig {name} has no bases; is the file truncated?")
            codes, counts = _encode_body(letters[header_end + 1 : end], policy, f"{path}: contig {name}")
            yield Contig(name, description.rstrip(), codes, counts)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """The file's text, decompressed where need be, in a read-only memory map."""
    compression = compression_of(path)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; a FASTA file was wanted")
    with path.open("rb") as file:
        if compression == "none":
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return
        if compression == "bgzip":
            file.seek(-min(len(_BGZIP_END), path.stat().st_size), 2)
            if file.read() != _BGZIP_END:
                raise DataError(f"{path} is truncated: a bgzip file ends with an empty block, this one does not")
    with tempfile.TemporaryFile() as plain:
        try:
            with gzip.open(path) as packed:
                # Read to its end, so that gzip checks length and CRC before any base is used.
                shutil.copyfileobj(packed, cast(BinaryIO, plain), 1 << 20)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is truncated or corrupt gzip: {error}; get it again") from error
        plain.flush()
        if plain.tell() == 0:
            raise DataError(f"{path} holds nothing; a FASTA file was wanted")
        yield mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ)


def _record_starts(letters: Codes) -> list[int]:
    """Where a '>' opens a line; others belong to descriptions."""
    found = [
        block + np.flatnonzero(letters[block : block + _SCAN_BLOCK] == _HEADER)
        for block in range(0, letters.size, _SCAN_BLOCK)
    ]
    positions = np.concatenate(found)
    opens_line = (positions == 0) | (letters[positions - 1] == _NEWLINE)
    return cast(list[int], positions[opens_line].tolist())


def _encode_body(body: Codes, policy: AlphabetPolicy, where: str) -> tuple[Codes, AlphabetCounts]:
    try:
        try:
            codes, counts = _encode_regular(body, policy)
        except RefusedLetterError as refused:
            if refused.letter not in "\r\n":
                raise
            # Lines differ in length: take the line ends out byte by byte.
            codes, counts = encode_letters(_joined_lines(body), policy)
    except RefusedLetterError as refused:
        raise DataError(f"{where}: {refused}") from None
    if not codes.size:
        raise DataError(f"{where} has no bases; is the file truncated?")
    return codes, counts


def _joined_lines(body: Codes) -> Codes:
    return np.frombuffer(body.tobytes().translate(None, b"\r\n"), dtype=np.uint8)


def _encode_regular(body: Codes, policy: AlphabetPolicy) -> tuple[Codes, AlphabetCounts]:
    """Encode lines that are all as long as the first; where one is not, a line end is met and refused as a letter."""
    width = _line_width(body)
    rows = body.size // width
    line_end = 2 if width > 1 and body[width - 2] == _CARRIAGE_RETURN else 1
    lines = body[: rows * width].reshape(rows, width)
    if (lines[:, -1] != _NEWLINE).any() or (line_end == 2 and (lines[:, -2] != _CARRIAGE_RETURN).any()):
        return encode_letters(_joined_lines(body), policy)
    tail = _joined_lines(body[rows * width :])
    codes = np.empty(rows * (width - line_end) + tail.size, dtype=np.uint8)
    counts = _encode_lines(lines[:, : width - line_end], policy, codes)
    if tail.size:
        counts += _encode_at(codes.size - tail.size, tail, policy, codes)
    return codes, counts


def _line_width(body: Codes) -> int:
    """Bytes of the first line with its end."""
    for block in range(0, body.size, _SCAN_BLOCK):
        found = np.flatnonzero(body[block : block + _SCAN_BLOCK] == _NEWLINE)
        if found.size:
            return block + int(found[0]) + 1
    return max(body.size, 1)


def _encode_lines(lines: Codes, policy: AlphabetPolicy, codes: Codes) -> AlphabetCounts:
    """Encode the rows of `lines`, a view into the file without the line ends, to the front of `codes`."""
    rows, width = lines.shape
    together = max(_COPY_BLOCK // max(width, 1), 1)
    buffer = np.empty((min(together, rows), width), dtype=np.uint8)
    counts = AlphabetCounts()
    for first in range(0, rows, together):
        letters = buffer[: min(together, rows - first)]
        letters[:] = lines[first : first + together]
        counts += _encode_at(first * width, letters.reshape(-1), policy, codes)
    return counts


def _encode_at(start: int, letters: Codes, policy: AlphabetPolicy, codes: Codes) -> AlphabetCounts:
    """Encode letters to `codes[start:]`; a refused one is named by its position in the contig."""
    try:
        return encode_letters(letters, policy, codes[start : start + letters.size])[1]
    except RefusedLetterError as refused:
        raise RefusedLetterError(refused.letter, start + refused.position, refused.why) from None
