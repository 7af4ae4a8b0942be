"""Intervals of a BED file as records: the bases of a genome that they lie on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glmbench.errors import DataError
from glmbench.genomes.fasta import open_fasta
from glmbench.inference.records import STDIN, Record, Records
from glmbench.inference.text_records import checked, open_stream
from glmbench.sequences.encoding import reverse_complement

if TYPE_CHECKING:
    from pysam import FastaFile

_NOT_INTERVALS = ("#", "track ", "track\t", "browser ", "browser\t")
_SHOWN = 5


@dataclass(frozen=True)
class _Interval:
    line: int
    contig: str
    start: int
    end: int
    name: str
    strand: Literal["+", "-"]


def bed_records(path: Path, genome: Path) -> Records:
    """The bases of each interval of a BED file (0-based, half-open), in its order.

    The fourth column names an interval, else `CONTIG:START-END`; where the sixth is `-` the record is the reverse
    complement. The intervals of a file are checked before the first is given, those of standard input as they come.

    Raises:
        DataError: a line that is no interval, one on an unknown contig or beyond its end, or a genome that has no
            random access (ordinary gzip).
    """
    origin = "standard input" if path == STDIN else str(path)
    total = None
    if path != STDIN:
        with _opened(genome) as fasta:
            total = sum(interval.end - interval.start for interval in _intervals(path, origin, fasta, genome))
    return Records(origin, lambda: _read(path, origin, genome), located=True, total=total)


def _read(path: Path, origin: str, genome: Path) -> Iterator[Record]:
    with _opened(genome) as fasta:
        for interval in _intervals(path, origin, fasta, genome):
            letters = fasta.fetch(interval.contig, interval.start, interval.end).encode("ascii", errors="replace")
            sequence = checked(letters, f"{genome}: {interval.contig}:{interval.start}-{interval.end}")
            yield Record(
                interval.name,
                reverse_complement(sequence) if interval.strand == "-" else sequence,
                len(sequence),
                keep=(0, len(sequence)),
                contig=interval.contig,
                origin=interval.start,
                strand=interval.strand,
            )


@contextmanager
def _opened(genome: Path) -> Iterator[FastaFile]:
    """The genome, its index beside it, or in a temporary folder where nothing can be written beside it."""
    beside = genome.with_name(genome.name + ".fai")
    if beside.is_file() or os.access(genome.parent, os.W_OK):
        with open_fasta(genome) as fasta:
            yield fasta
        return
    with tempfile.TemporaryDirectory() as folder, open_fasta(genome, index=Path(folder) / beside.name) as fasta:
        yield fasta


def _intervals(path: Path, origin: str, fasta: FastaFile, genome: Path) -> Iterator[_Interval]:
    lengths = dict(zip(fasta.references, fasta.lengths, strict=True))
    with open_stream(path) as stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.decode("utf-8", errors="replace").strip("\r\n")
            if not line.strip() or line.startswith(_NOT_INTERVALS):
                continue
            interval = _parsed(line, number, origin)
            _check(interval, lengths, origin, genome)
            yield interval


def _parsed(line: str, number: int, origin: str) -> _Interval:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3 or not fields[1].strip().isdigit() or not fields[2].strip().isdigit():
        raise DataError(f"{origin}: line {number} is {line[:60]!r}; want contig, start and end, with tabs between")
    contig, start, end = fields[0].strip(), int(fields[1]), int(fields[2])
    named = fields[3].strip() if len(fields) > 3 else ""
    strand = fields[5].strip() if len(fields) > 5 else "+"
    if strand not in ("+", "-", ".", ""):
        raise DataError(f"{origin}: line {number} has strand {strand!r}; want + or -")
    name = named if named not in ("", ".") else f"{contig}:{start}-{end}"
    return _Interval(number, contig, start, end, name, "-" if strand == "-" else "+")


def _check(interval: _Interval, lengths: dict[str, int], origin: str, genome: Path) -> None:
    where = f"{origin}: line {interval.line}"
    if interval.contig not in lengths:
        known = ", ".join(list(lengths)[:_SHOWN]) + (", …" if len(lengths) > _SHOWN else "")
        raise DataError(f"{where}: {genome} has no contig {interval.contig!r}; it has {known}")
    if interval.start >= interval.end:
        raise DataError(f"{where}: start {interval.start} is not before end {interval.end}; want 0-based, half-open")
    if interval.end > lengths[interval.contig]:
        raise DataError(
            f"{where}: {interval.contig}:{interval.start}-{interval.end} goes beyond the end of the contig, which has "
            f"{lengths[interval.contig]} bases; are intervals and genome of one assembly?"
        )
