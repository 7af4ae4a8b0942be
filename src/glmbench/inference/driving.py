"""Records through a model to an output: chunk by chunk, with progress, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import polars as pl

from glmbench.errors import DataError, Unsupported
from glmbench.inference.records import Record
from glmbench.models.model import CountsPasses, Model
from glmbench.progress import Bar, progress
from glmbench.storage.hashing import sha256_strings
from glmbench.storage.parts import Parts

CHUNK = 1 << 18
"""Bases of a chunk: what a killed run computes again at most."""

CHUNK_OF_STATES = 1 << 14
"""The same where a chunk holds a vector for every base."""

Tables = Mapping[str, pl.DataFrame]
"""What one chunk gives, by name; the same names and columns for every chunk."""

Answer = Callable[[Sequence[Record]], Tables]
"""What a verb does with the records of a chunk."""


Emit = Callable[[Tables], None]
"""Takes the tables of each chunk, in order, where nothing is kept."""


@dataclass(frozen=True)
class Counts:
    """What work was done.

    Attributes:
        records: sequences.
        windows: the parts that they were cut into.
        bases: that were asked about.
        passes: inputs that went through the network; None where the model does not count them.
    """

    records: int = 0
    windows: int = 0
    bases: int = 0
    passes: int | None = None

    def __add__(self, other: Counts) -> Counts:
        passes = None if self.passes is None and other.passes is None else (self.passes or 0) + (other.passes or 0)
        return Counts(self.records + other.records, self.windows + other.windows, self.bases + other.bases, passes)


@dataclass(frozen=True)
class Done:
    """What a run did.

    Attributes:
        counts: of the whole result.
        reused: chunks that an earlier, interrupted run had finished.
        seconds: this run.
        computed: bases that this run put through the model.
    """

    counts: Counts
    reused: int
    seconds: float
    computed: int

    def summary(self) -> dict[str, int | float | None]:
        """Plain values for `--json`."""
        return {
            "records": self.counts.records,
            "windows": self.counts.windows,
            "bases": self.counts.bases,
            "passes": self.counts.passes,
            "chunks_reused": self.reused,
            "seconds": round(self.seconds, 3),
            "bases_per_second": round(self.computed / self.seconds) if self.computed else None,
        }


def run_kept(
    chunks: Iterable[list[Record]], answer: Answer, parts: Parts, *, model: Model, total: int | None = None
) -> Done:
    """Compute the chunks that are not finished yet, and keep them.

    Args:
        chunks: see `records.in_chunks`; the same input must come in the same chunks again.
        answer: what is asked of the model.
        parts: where finished chunks stand.
        model: for its name and its count of passes.
        total: bases of all, where known.

    Raises:
        GlmbenchError: what reading the records or the model raises, with the records it was at.
    """

    def one(index: int, chunk_records: list[Record]) -> tuple[Counts, bool]:
        digest = digest_of(chunk_records)
        notes = parts.finished(index, digest)
        if notes is None:
            tables, counts = _computed(chunk_records, answer, model)
            parts.keep(index, digest, tables, asdict(counts))
        else:
            counts = Counts(**notes)
        parts.count = index + 1
        return counts, notes is not None

    return _run(chunks, one, total, model.card.name)


def run_streamed(
    chunks: Iterable[list[Record]], answer: Answer, emit: Emit, *, model: Model, total: int | None = None
) -> Done:
    """The same, each chunk given to `emit` as soon as it is there; errors as `run_kept`."""

    def one(index: int, chunk_records: list[Record]) -> tuple[Counts, bool]:
        tables, counts = _computed(chunk_records, answer, model)
        emit(tables)
        return counts, False

    return _run(chunks, one, total, model.card.name)


def digest_of(records: Sequence[Record]) -> str:
    """SHA-256 over everything that a chunk's records are."""
    return sha256_strings(_fields(records))


def _fields(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        yield record.name
        yield f"{record.length} {record.offset} {record.keep} {record.beyond}"
        yield f"{record.contig} {record.origin} {record.strand}"
        yield record.description
        yield record.sequence


def _run(
    chunks: Iterable[list[Record]],
    one: Callable[[int, list[Record]], tuple[Counts, bool]],
    total: int | None,
    label: str,
) -> Done:
    counts, reused, computed, began = Counts(), 0, 0, time.monotonic()
    with progress(label, total=total) as bar:
        for index, records in enumerate(chunks):
            here, was_there = one(index, records)
            counts += here
            reused += was_there
            computed += 0 if was_there else here.bases
            _report(bar, label, here.bases, computed, time.monotonic() - began)
    return Done(counts, reused, time.monotonic() - began, computed)


def _report(bar: Bar, label: str, bases: int, computed: int, seconds: float) -> None:
    if computed:
        bar.describe(f"{label}, {computed / max(seconds, 1e-9):,.0f} bases/s")
    bar.advance(bases)


def _computed(records: list[Record], answer: Answer, model: Model) -> tuple[Tables, Counts]:
    before = model.passes if isinstance(model, CountsPasses) else 0
    try:
        tables = answer(records)
    except (Unsupported, DataError) as error:
        raise type(error)(f"{error} [{_named(records)}]") from error
    passes = model.passes - before if isinstance(model, CountsPasses) else None
    begun = sum(record.is_first for record in records)
    return tables, Counts(begun, len(records), sum(record.bases for record in records), passes)


def _named(records: Sequence[Record]) -> str:
    longest = max(records, key=lambda record: len(record.sequence))
    first, last = records[0].name, records[-1].name
    where = f"record {first}" if first == last else f"records {first} to {last}"
    return f"{where}; the longest of them, {longest.name}, has {len(longest.sequence):,} bases"
