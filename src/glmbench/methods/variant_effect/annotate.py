"""A VCF file scored into a file: streaming, interruptible, written whole or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from glmbench.errors import DataError
from glmbench.genomes.reference_genome import FastaGenome
from glmbench.genomes.variants import Selection
from glmbench.methods.variant_effect.definitions import Settings
from glmbench.methods.variant_effect.reference_check import Mismatches
from glmbench.methods.variant_effect.score import SCORED, OnMismatch, Scoring
from glmbench.methods.variant_effect.vcf_output import require_free, require_output_name, write_vcf
from glmbench.models.model import Model
from glmbench.progress import progress
from glmbench.storage.atomic import atomic_path
from glmbench.storage.hashing import sha256_strings
from glmbench.storage.parts import Parts, open_parts, require_place

if TYPE_CHECKING:
    from pysam import VariantHeader, VariantRecord

VERSION = 2
"""Of what is computed: raised when the same request gives other numbers."""

_ALLELES = "alleles"
_ALLELE = {"contig": pl.String, "start": pl.Int64, "id": pl.String, "ref": pl.String, "alt": pl.String}


@dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        records: lines of the VCF.
        scored: alleles with a score.
        skipped: alleles without, by reason.
        modes: scored alleles by mode.
        with_n: scored alleles with unknown bases in their window.
        forwards: inputs that went through the network, those of an interrupted run included; None: not counted.
        found: records whose scores an interrupted run had left.
        seconds: of this run, in scoring.
        alleles_per_second: scored in this run; None where there were none.
    """

    records: int
    scored: int
    skipped: dict[str, int]
    modes: dict[str, int]
    with_n: int
    forwards: int | None
    found: int
    seconds: float
    alleles_per_second: float | None


def annotate(
    model: Model,
    selection: Selection,
    fasta: Path,
    out: Path,
    settings: Settings,
    *,
    on_mismatch: OnMismatch = "error",
    prefix: str = "GLM",
    chunk: int = 512,
) -> Summary:
    """Score the variants of a VCF or BCF file into a VCF or parquet file.

    Finished chunks are kept in `OUT.part/`; the same call goes on after the last of them, and computes those anew whose
    records have changed. REF is compared with the genome for all records before the first is scored.

    Args:
        model: answers in the modes of `settings`.
        selection: what to score.
        fasta: the reference genome, plain or bgzip.
        out: name that ends in .vcf, .vcf.gz, .vcf.bgz or .parquet.
        settings: see `definitions.settings_for`.
        on_mismatch: refuse a file with REFs that are not in the genome, or leave these unscored.
        prefix: of the INFO fields.
        chunk: records that are scored, and kept, at a time.

    Raises:
        UsageError: `out` has another ending or exists; another process writes it; `OUT.part` is of another request.
        DataError: see `genomes.variants` and `FastaGenome`; a REF mismatches; nothing is selected; the file changed
            while it was scored.
        GlmbenchError: the disk is full.
    """
    require_output_name(out)
    require_place(out)
    genome = FastaGenome(fasta)
    header, records = _survey(selection, genome, on_mismatch)
    if out.suffix != ".parquet":
        require_free(header, prefix)
    with open_parts(out, _request(model, genome, settings, on_mismatch, chunk)) as parts:
        scoring = Scoring(model, genome, settings)
        notes, found, seconds = _score_chunks(scoring, selection, parts, records, chunk)
        names = _score_names(parts)
        if out.suffix == ".parquet":
            _write_parquet(out, parts)
        else:
            tables = map(pl.read_parquet, parts.tables(_ALLELES))
            rows = chain.from_iterable(table.iter_rows(named=True) for table in tables)
            write_vcf(out, selection, header, rows, names, prefix, _provenance(prefix, model, settings))
        parts.remove()
    return _summary(notes, records, found, seconds)


def _survey(selection: Selection, genome: FastaGenome, on_mismatch: OnMismatch) -> tuple[VariantHeader, int]:
    """Read all records once: their number, and the header with whatever tags they use without a definition."""
    seen = Mismatches(genome)
    with selection.open() as (header, records), progress(f"checking {selection.vcf.name}") as bar:
        for record in records:
            seen.check(record.contig, record.start, record.ref or "")
            bar.advance()
        header = header.copy()
    if not seen.checked:
        raise DataError(f"{selection.vcf} has no variants{' in this region' if selection.region else ''}")
    if on_mismatch == "error":
        seen.raise_if_any()
    return header, seen.checked


def _score_chunks(
    scoring: Scoring, selection: Selection, parts: Parts, records: int, chunk: int
) -> tuple[list[dict[str, Any]], int, float]:
    """Score what is not yet there; the notes of all chunks, records found finished, and seconds."""
    notes: list[dict[str, Any]] = []
    found, begin = 0, time.perf_counter()
    with selection.open() as (_, selected), progress(f"scoring {selection.vcf.name}", total=records) as bar:
        for number, batch in enumerate(_batches(selected, chunk)):
            asked = _frame(batch)
            digest = sha256_strings(map(repr, asked.iter_rows()))
            note = parts.finished(number, digest)
            if note is None:
                before = scoring.forwards
                alleles = scoring.score(asked)
                now = scoring.forwards
                note = _note(alleles, None if now is None or before is None else now - before)
                parts.keep(number, digest, {_ALLELES: alleles}, note)
                notes.append(note | {"now": True})
            else:
                found += len(batch)
                notes.append(note)
            parts.count = number + 1
            bar.advance(len(batch))
    return notes, found, time.perf_counter() - begin


def _batches(records: Iterable[VariantRecord], size: int) -> Iterator[list[VariantRecord]]:
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch


def _frame(records: Iterable[VariantRecord]) -> pl.DataFrame:
    """One row an allele; a record without one has one row with none."""
    rows = [
        (record.contig, record.start, record.id, record.ref, alt)
        for record in records
        for alt in record.alts or (None,)
    ]
    return pl.DataFrame(rows, schema=_ALLELE, orient="row")


def _note(alleles: pl.DataFrame, forwards: int | None) -> dict[str, Any]:
    return {
        "statuses": dict(Counter(alleles["status"])),
        "modes": dict(Counter(alleles["mode"].drop_nulls())),
        "with_n": alleles.filter(pl.col("window_n") > 0).height,
        "forwards": forwards,
    }


def _summary(notes: list[dict[str, Any]], records: int, found: int, seconds: float) -> Summary:
    statuses = sum((Counter(note["statuses"]) for note in notes), Counter[str]())
    modes = sum((Counter(note["modes"]) for note in notes), Counter[str]())
    forwards = [note["forwards"] for note in notes]
    now = sum(note["statuses"].get(SCORED, 0) for note in notes if note.get("now"))
    return Summary(
        records=records,
        scored=statuses.pop(SCORED, 0),
        skipped=dict(statuses),
        modes=dict(modes),
        with_n=sum(note["with_n"] for note in notes),
        forwards=None if None in forwards else sum(forwards),
        found=found,
        seconds=seconds,
        alleles_per_second=now / seconds if now else None,
    )


def _request(
    model: Model, genome: FastaGenome, settings: Settings, on_mismatch: OnMismatch, chunk: int
) -> dict[str, Any]:
    """Plain values that, with the records, decide every number."""
    return {
        "version": VERSION,
        "model": model.card.reference,
        "fingerprint": model.card.fingerprint,
        "genome": genome.fingerprint,
        "on_mismatch": on_mismatch,
        "chunk": chunk,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()},
    }


def _provenance(prefix: str, model: Model, settings: Settings) -> str:
    """A structured header line about what made the scores."""
    card = model.card
    said: Mapping[str, object] = {
        "Model": card.reference,
        "Fingerprint": card.fingerprint,
        "Modes": "+".join(settings.modes),
        "Width": settings.width,
        "Strands": settings.strands,
        "Windows": settings.placing,
    }
    values = ",".join(f'{key}="{str(value).replace(chr(34), "")}"' for key, value in said.items())
    return f"##glmbench=<ID={prefix},{values}>"


def _score_names(parts: Parts) -> list[str]:
    """Columns of scores, of all chunks: a predictor without names of outputs has none before it is asked."""
    about = {*_ALLELE, "status", "mode", "window_start", "window_end", "window_n"}
    names = dict.fromkeys(name for path in parts.tables(_ALLELES) for name in pl.read_parquet_schema(path))
    return [name for name in names if name not in about]


def _write_parquet(out: Path, parts: Parts) -> None:
    frames = [pl.scan_parquet(path) for path in parts.tables(_ALLELES)]
    with atomic_path(out) as temporary:
        pl.concat(frames, how="diagonal").sink_parquet(temporary)
