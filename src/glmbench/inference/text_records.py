"""FASTA and FASTQ as streams of records: from plain, gzip and bgzip files, and from standard input."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from glmbench.errors import DataError
from glmbench.genomes.fasta import compression_of
from glmbench.inference.records import STDIN, Record, Records, whole
from glmbench.sequences.alphabet import AMBIGUITY_CODES, LETTERS, encode

_KNOWN = (LETTERS + AMBIGUITY_CODES + "U" + (LETTERS + AMBIGUITY_CODES + "U").lower()).encode()
_U_AS_T = bytes.maketrans(b"Uu", b"Tt")
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BLOCK = 1 << 20


def text_records(path: Path) -> Records:
    """The records of a FASTA or FASTQ file, or of standard input (`-`).

    Raises:
        DataError: while reading: neither FASTA nor FASTQ, an empty record, letters that are no DNA, truncated gzip.
    """
    plain = path != STDIN and compression_of(path) == "none"
    return Records(_called(path), lambda: _read(path), total=path.stat().st_size if plain else None)


def _called(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def _read(path: Path) -> Iterator[Record]:
    origin = _called(path)
    with open_stream(path) as stream:
        lines = (line.rstrip(b"\r\n") for line in stream)
        first = next((line for line in lines if line.strip()), b"")
        if first.startswith(b">"):
            yield from _fasta(first, lines, origin)
        elif first.startswith(b"@"):
            yield from _fastq(first, lines, origin)
        elif first:
            raise DataError(
                f"{origin} begins with {first[:20].decode(errors='replace')!r}; want FASTA (a line that starts with "
                "'>') or FASTQ ('@'). Intervals are read from .bed files, tables from .csv, .tsv and .parquet"
            )


@contextmanager
def open_stream(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file or of standard input, unpacked where they are gzip.

    Raises:
        DataError: truncated or corrupt gzip, found when its bytes are read.
    """
    if path == STDIN:
        with _unpacked(sys.stdin.buffer, "standard input") as stream:
            yield stream
        return
    if compression_of(path) == "bgzip":
        _require_bgzip_end(path)
    with path.open("rb", buffering=_BLOCK) as file, _unpacked(file, str(path)) as stream:
        yield stream


@contextmanager
def _unpacked(file: BinaryIO, origin: str) -> Iterator[BinaryIO]:
    peek = getattr(file, "peek", None)
    if peek is None or not peek(2).startswith(b"\x1f\x8b"):
        yield file
        return
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            yield cast(BinaryIO, packed)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{origin} is truncated or corrupt gzip: {error}; get it again") from error


def _require_bgzip_end(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(-min(len(_BGZIP_END), path.stat().st_size), 2)
        if file.read() != _BGZIP_END:
            raise DataError(f"{path} is truncated: a bgzip file ends with an empty block, this one does not")


def _fasta(first: bytes, lines: Iterable[bytes], origin: str) -> Iterator[Record]:
    header, body = first, bytearray()
    for line in lines:
        if line.startswith(b">"):
            record, body = _record(header, body, origin), bytearray()
            yield record
            header = line
        else:
            body += line.strip()
    yield _record(header, body, origin)


def _fastq(first: bytes, lines: Iterator[bytes], origin: str) -> Iterator[Record]:
    header = first
    while header:
        body, plus, quality = (next(lines, b"") for _ in range(3))
        name = header[1:].decode(errors="replace")
        if not header.startswith(b"@") or not plus.startswith(b"+") or len(quality) != len(body):
            raise DataError(
                f"{origin}: record {name!r} is not FASTQ of four lines (@name, bases, +, one quality a base); "
                "is the file truncated?"
            )
        yield _record(header, body.strip(), origin)
        header = next((line for line in lines if line.strip()), b"")


def _record(header: bytes, letters: bytes | bytearray, origin: str) -> Record:
    name, description = [*header[1:].decode("utf-8", errors="replace").split(None, 1), "", ""][:2]
    if not name:
        raise DataError(f"{origin}: a record has no name (a line of {header[:1].decode()!r} alone); name it")
    if not letters:
        raise DataError(f"{origin}: record {name} has no bases; is the file truncated?")
    return whole(name, checked(letters, f"{origin}: record {name}"), description=description.rstrip())


def checked(letters: bytes | bytearray, where: str) -> str:
    """The letters as text, U as T.

    Raises:
        DataError: one is no nucleotide code; the message names it and its position.
    """
    if letters.translate(None, _KNOWN):
        try:
            encode(bytes(letters))
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
    if b"U" in letters or b"u" in letters:
        letters = letters.translate(_U_AS_T)
    return letters.decode("ascii")
