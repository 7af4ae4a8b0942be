"""What a person's files hold: named sequences, one after another, and the parts that long ones are cut into."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from glmbench.errors import DataError, UsageError
from glmbench.genomes.sequence_files import as_fasta, is_genbank

Tail = Literal["keep", "shift", "drop"]

STDIN = Path("-")
_BLOCK = 1 << 12
_TABLES = (".csv", ".tsv", ".txt", ".tab", ".parquet")
_PACKED = (".gz", ".bgz")


@dataclass(frozen=True, slots=True)
class Record:
    """A named sequence, or a part of one.

    Attributes:
        name: the header's first word, the interval's name, or what the table calls it; need not be unique.
        sequence: letters as they are read: either case, N and IUPAC codes; U is read as T.
        length: bases of the whole record.
        offset: where the sequence begins in its record, 0-based.
        keep: the range of `sequence` (0-based, half-open) that is asked about; what lies outside is context.
        description: the rest of the header.
        contig: of an interval, the sequence that it lies on.
        origin: of an interval, its start on the forward strand, 0-based.
        strand: `-`: the record is the reverse complement of its interval.
        partner: the second sequence of a pair.
        beyond: of a segment, how many unknown letters adjoin it in the record, before it and after it, where it begins
            or ends within a run of them.
    """

    name: str
    sequence: str
    length: int
    offset: int = 0
    keep: tuple[int, int] = (0, 0)
    description: str = ""
    contig: str = ""
    origin: int = 0
    strand: Literal["+", "-"] = "+"
    beyond: tuple[int, int] = (0, 0)
    partner: str = ""

    @property
    def bases(self) -> int:
        """How many are asked about."""
        return self.keep[1] - self.keep[0]

    @property
    def is_first(self) -> bool:
        """Whether nothing of the record comes before it."""
        return self.offset + self.keep[0] == 0

    @property
    def place(self) -> tuple[int, int]:
        """Where the bases asked about lie: in the record, or on the contig of an interval; 0-based, half-open."""
        start, end = self.offset + self.keep[0], self.offset + self.keep[1]
        if self.strand == "-":
            return self.origin + self.length - end, self.origin + self.length - start
        return self.origin + start, self.origin + end

    def part(self, start: int, end: int, keep: tuple[int, int] | None = None) -> Record:
        """The bases from `start` to before `end`, of which those of `keep` are asked about; None: all."""
        inner = (0, end - start) if keep is None else (keep[0] - start, keep[1] - start)
        return replace(self, sequence=self.sequence[start:end], offset=self.offset + start, keep=inner)


def whole(name: str, sequence: str, description: str = "") -> Record:
    """A record that is asked about from its first base to its last."""
    return Record(name, sequence, len(sequence), keep=(0, len(sequence)), description=description)


@dataclass(frozen=True)
class Records:
    """The records of one input, read anew by each loop over them.

    Attributes:
        origin: the file, for messages.
        read: begins to read.
        located: records are intervals on contigs.
        total: bases of all, where that is known before they are read.
    """

    origin: str
    read: Callable[[], Iterator[Record]]
    located: bool = False
    total: int | None = None

    def __iter__(self) -> Iterator[Record]:
        return self.read()


def open_records(path: Path, *, genome: Path | None = None, column: str | None = None) -> Records:
    """The sequences of a file, as a stream: memory holds one record at a time.

    FASTA and FASTQ (plain, gzip, bgzip; `-` for standard input) are told by their first letter, GenBank, BED and
    tables (.csv, .tsv, .txt, .tab, .parquet) by their names.

    Args:
        path: the file, or `-`; with `genome`, `-` is BED.
        genome: FASTA file that the intervals of a BED file are taken from.
        column: of a table, the column of the sequences; None: the one that is called so.

    Raises:
        UsageError: no such file, a BED file without a genome, or options that do not go with the file.
        DataError: while reading: letters that are no DNA, an empty record, a truncated file, an interval off its
            contig.
    """
    from glmbench.inference.interval_records import bed_records
    from glmbench.inference.table_records import table_records
    from glmbench.inference.text_records import text_records

    plain = _without_packing(path)
    is_table, is_bed = plain.endswith(_TABLES), plain.endswith(".bed")
    _check(path, genome, column, is_table=is_table, is_bed=is_bed)
    if genome is not None:
        return bed_records(path, genome)
    if is_table:
        return table_records(path, column)
    if is_genbank(path):
        return Records(str(path), lambda: _genbank(path))
    return text_records(path)


def _check(path: Path, genome: Path | None, column: str | None, *, is_table: bool, is_bed: bool) -> None:
    if path != STDIN and not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise UsageError(f"{path} is {what}; want a FASTA, FASTQ, GenBank, BED, CSV, TSV or parquet file, or -")
    if genome is not None and not genome.is_file():
        raise UsageError(f"--genome {genome}: no such file; want the FASTA file that the intervals lie on")
    if is_bed and genome is None:
        raise UsageError(f"{path} holds intervals; say with --genome FASTA what they lie on")
    if genome is not None and not (is_bed or path == STDIN):
        raise UsageError(f"--genome goes with a BED file (.bed, .bed.gz, or - for standard input), not with {path}")
    if column is not None and not is_table:
        raise UsageError(f"--column goes with a table ({', '.join(_TABLES)}), not with {path}")


def _without_packing(path: Path) -> str:
    name = path.name.lower()
    return next((name.removesuffix(ending) for ending in _PACKED if name.endswith(ending)), name)


def _genbank(path: Path) -> Iterator[Record]:
    from glmbench.inference.text_records import text_records

    with as_fasta(path) as fasta:
        yield from text_records(fasta)


def windows(records: Iterable[Record], width: int, step: int | None = None, tail: Tail = "keep") -> Iterator[Record]:
    """Every record as windows of `width` bases, one begun every `step` (None: side by side).

    Args:
        records: whole ones.
        width: bases of a window.
        step: bases from the start of one to the start of the next.
        tail: what becomes of a last window that is shorter: `keep` it; `shift` it back, so that it has the width and
            overlaps (a record that is shorter itself stays so); or `drop` it.

    Raises:
        ValueError: a step longer than the width, which would leave bases out, or one below 1.
    """
    step = width if step is None else step
    if not 1 <= step <= width:
        raise ValueError(f"step is {step}, it must be from 1 to the width of a window, {width}")
    for record in records:
        size = len(record.sequence)
        for start in range(0, max(size - width, 0) + step, step):
            if start + width <= size:
                yield record.part(start, start + width)
            elif tail == "keep":
                yield record.part(start, size)
            elif tail == "shift":
                yield record.part(max(size - width, 0), size)


def with_context(records: Iterable[Record], width: int, *, left_only: bool) -> Iterator[Record]:
    """Every record as windows that overlap by half, so that each base is asked about once and amid its context.

    A base is asked about in the window where it has a quarter of the width or more on both sides, or, with
    `left_only`, half the width or more to its left; towards the ends of the record it has what there is.
    """
    half = max(width // 2, 1)
    lead = half if left_only else half // 2
    for record in records:
        size, done, start = len(record.sequence), 0, 0
        while done < size:
            end = min(start + width, size)
            until = size if end == size else min(start + lead + half, end)
            yield record.part(start, end, (done, until))
            done, start = until, start + half


def segments(records: Iterable[Record], size: int, flank: int, *, unknown: str = "Nn") -> Iterator[Record]:
    """Every record in segments of about `size` bases with up to `flank` bases of context on either side.

    No run of `unknown` letters shorter than `size` is cut; of one that reaches beyond the context, `Record.beyond` says
    how far.
    """
    runs = re.compile(f"[{unknown}]*")
    for record in records:
        letters, start = record.sequence, 0
        first = last = (0, 0)
        while start < len(letters):
            end = min(start + size, len(letters))
            furthest = min(end + size, len(letters))
            while end < furthest and letters[end] in unknown:
                end += 1
            left, right = max(start - flank, 0), min(end + flank, len(letters))
            first = _run_at(letters, left, runs, unknown, last if left < last[1] else first)
            last = _run_at(letters, right - 1, runs, unknown, last)
            beyond = left - first[0], max(last[1] - right, 0)
            yield replace(record.part(left, right, (start, end)), beyond=beyond)
            start = end


def _run_at(letters: str, place: int, runs: re.Pattern[str], unknown: str, found: tuple[int, int]) -> tuple[int, int]:
    """The run of unknown letters that a place is in, empty where it is in none; `found` is one found before."""
    if found[0] <= place < found[1]:
        return found
    match = runs.match(letters, place)
    start, end = place, match.end() if match else place
    while start and end > place:
        block = letters[max(start - _BLOCK, 0) : start]
        known = len(block.rstrip(unknown))
        start -= len(block) - known
        if known:
            break
    return start, end


def _size(record: Record) -> int:
    return len(record.sequence)


def in_chunks(records: Iterable[Record], size: int, weight: Callable[[Record], int] = _size) -> Iterator[list[Record]]:
    """Records one after another in lists that weigh at least `size`, save the last; a heavier one closes its list.

    Args:
        records: in their order.
        size: of a list.
        weight: of a record; its bases where nothing else is said.
    """
    chunk: list[Record] = []
    held = 0
    for record in records:
        chunk.append(record)
        held += weight(record)
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def require_some(records: Iterable[Record], none: str) -> Iterator[Record]:
    """The records, of which there must be one.

    Raises:
        DataError: there is none; `none` says what that means.
    """
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise DataError(none)
