"""Scores as INFO fields of a VCF: every record of the input, in its order, with what was found of its alleles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmbench.errors import DataError, UsageError
from glmbench.genomes.variants import Selection
from glmbench.methods.variant_effect.score import REASONS, describe_score
from glmbench.storage.atomic import atomic_path

if TYPE_CHECKING:
    from pysam import VariantHeader, VariantRecord

ENDINGS = (".vcf", ".vcf.gz", ".vcf.bgz", ".parquet")
"""Endings of outputs; .gz and .bgz are written as bgzip."""

_ABOUT = {
    "STATUS": (".", "String", "Of each allele: scored, or why not: " + ", ".join(list(REASONS)[1:])),
    "MODE": ("A", "String", "How the allele was scored: masked, single-pass, likelihood, embedding or prediction"),
    "WINDOW": ("A", "String", "First and last base of the window, counted from 1"),
    "N": ("A", "Integer", "Unknown bases (N) in the reference window"),
}


def require_output_name(out: Path) -> None:
    """Refuse names that do not say what is to be written.

    Raises:
        UsageError: the name has none of the endings.
    """
    if not out.name.endswith(ENDINGS):
        raise UsageError(f"--out {out}: want a name that ends in {', '.join(ENDINGS)}")


def field_name(prefix: str, score: str) -> str:
    """The INFO field of a score: `GLM_LLR` of `llr`. What is no ASCII letter, digit or dot becomes `_`."""
    return f"{prefix}_" + "".join(c if c.isascii() and (c.isalnum() or c == ".") else "_" for c in score).upper()


def field_names(prefix: str, scores: Sequence[str]) -> dict[str, str]:
    """The INFO field of each score, all different: names that would be the same are numbered (`GLM_X`, `GLM_X_2`)."""
    fields: dict[str, str] = {}
    taken = {f"{prefix}_{name}" for name in _ABOUT}
    for score in scores:
        plain = field_name(prefix, score)
        free = (name for name in chain([plain], (f"{plain}_{number}" for number in count(2))) if name not in taken)
        fields[score] = next(free)
        taken.add(fields[score])
    return fields


def require_free(header: VariantHeader, prefix: str) -> None:
    """Refuse to write over INFO fields that are there.

    Raises:
        DataError: there is one with this prefix.
    """
    taken = [name for name in header.info if name.startswith(f"{prefix}_")]
    if taken:
        raise DataError(f"the VCF has INFO fields {', '.join(taken[:5])} already; choose another name by --prefix")


def write_vcf(
    out: Path,
    selection: Selection,
    header: VariantHeader,
    alleles: Iterable[Mapping[str, Any]],
    scores: Sequence[str],
    prefix: str,
    provenance: str,
) -> None:
    """Write records with the scores of their alleles, atomically; as bgzip where the name of `out` says so.

    Lines are formatted by htslib and written as text: its own writer ends the whole process at a tag that is used but
    not defined in the header, which is common.

    Args:
        out: file with one of `ENDINGS`.
        selection: what was scored.
        header: of the file, after all of it was read: tags that it uses without a definition are in it by then.
        alleles: one row of `Scored.alleles` an allele, in order; a record without one has one row too.
        scores: names of the columns to write.
        prefix: of the INFO fields.
        provenance: header line about what made the scores.

    Raises:
        DataError: the records are others than those of `alleles`.
    """
    fields = field_names(prefix, scores)
    header = header.copy()
    _define(header, fields, prefix)
    header.add_line(provenance)
    rows = iter(alleles)
    with atomic_path(out) as temporary, _writer(temporary, out.name) as write, selection.open() as (own, records):
        _define(own, fields, prefix)
        write(str(header))
        for record in records:
            _annotate(record, _rows_of(record, rows, selection.vcf), fields, prefix)
            write(str(record))
        if next(rows, None) is not None:
            raise _changed(selection.vcf)


def _define(header: VariantHeader, fields: Mapping[str, str], prefix: str) -> None:
    for name, (number, kind, text) in _ABOUT.items():
        header.info.add(f"{prefix}_{name}", number, kind, text)
    for score, field in fields.items():
        header.info.add(field, "A", "Float", describe_score(score))


@contextmanager
def _writer(path: Path, name: str) -> Iterator[Callable[[str], object]]:
    import pysam

    with path.open("wb") if name.endswith(".vcf") else pysam.BGZFile(str(path), "wb", None) as file:
        yield lambda text: file.write(text.encode())


def _rows_of(record: VariantRecord, rows: Iterator[Mapping[str, Any]], vcf: Path) -> list[Mapping[str, Any]]:
    """The rows of a record's alleles, which must be of these alleles."""
    alts = record.alts or (None,)
    found = list(islice(rows, len(alts)))
    wanted = [(record.contig, record.start, record.ref, alt) for alt in alts]
    if [(row["contig"], row["start"], row["ref"], row["alt"]) for row in found] != wanted:
        raise _changed(vcf)
    return found


def _changed(vcf: Path) -> DataError:
    return DataError(
        f"{vcf} changed while it was scored: its records are no longer those that the scores are of; give the same "
        "command again, which scores what changed"
    )


def _annotate(record: VariantRecord, rows: list[Mapping[str, Any]], fields: Mapping[str, str], prefix: str) -> None:
    record.info[f"{prefix}_STATUS"] = tuple(row["status"] for row in rows)
    if all(row["mode"] is None for row in rows):
        return
    record.info[f"{prefix}_MODE"] = tuple(row["mode"] or "." for row in rows)
    record.info[f"{prefix}_WINDOW"] = tuple(
        "." if row["mode"] is None else f"{row['window_start'] + 1}-{row['window_end']}" for row in rows
    )
    record.info[f"{prefix}_N"] = tuple(row["window_n"] for row in rows)
    for score, field in fields.items():
        values = tuple(row.get(score) for row in rows)
        if any(value is not None for value in values):
            record.info[field] = values
