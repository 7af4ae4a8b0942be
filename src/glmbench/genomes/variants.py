"""Variants: VCF and BCF files read in a stream through pysam, and alleles as the smallest change that they are.

Coordinates are 0-based half-open; POS of a VCF is `start` + 1.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glmbench.errors import DataError, UsageError
from glmbench.genomes.fasta import compression_of

if TYPE_CHECKING:
    from pysam import VariantFile, VariantHeader, VariantRecord

NotAnAllele = Literal["missing", "symbolic", "spanning_deletion", "breakend", "ambiguous_bases", "same_as_ref"]
"""Why an ALT is no sequence of known bases that could be put in the place of REF."""

_SHOWN = 80
"""Letters of a malformed line in a message."""
_BLOCK = 1 << 17
"""More than a bgzip block holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """The bases that an allele replaces, without those that REF and ALT share at their ends.

    Attributes:
        start: the first base replaced, or the base before which bases are inserted; 0-based.
        ref: replaced bases, upper case; empty for an insertion.
        alt: bases in their place, upper case; empty for a deletion.
    """

    start: int
    ref: str
    alt: str

    @property
    def end(self) -> int:
        """The base after the last one replaced."""
        return self.start + len(self.ref)

    @property
    def is_substitution(self) -> bool:
        """As many bases as before: an SNV or MNV."""
        return len(self.ref) == len(self.alt)


def read_change(start: int, ref: str, alt: str | None) -> Change | NotAnAllele:
    """What an allele changes, or why it cannot be said in bases.

    Shared bases are taken off the end before the start, as in left-aligned VCF: A>AT is an insertion of T after the A.

    Args:
        start: of REF, 0-based.
        ref: REF.
        alt: one ALT; None or `.` where it is missing.
    """
    if alt is None or alt in (".", ""):
        return "missing"
    if alt == "*":
        return "spanning_deletion"
    if alt.startswith("<"):
        return "symbolic"
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "breakend"
    ref, alt = ref.upper(), alt.upper()
    if not ref or not set(ref + alt) <= set("ACGT"):
        return "ambiguous_bases"
    if ref == alt:
        return "same_as_ref"
    shortest = min(len(ref), len(alt))
    suffix = next((n for n in range(shortest) if ref[-1 - n] != alt[-1 - n]), shortest)
    ref, alt = ref[: len(ref) - suffix], alt[: len(alt) - suffix]
    shortest = min(len(ref), len(alt))
    prefix = next((n for n in range(shortest) if ref[n] != alt[n]), shortest)
    return Change(start + prefix, ref[prefix:], alt[prefix:])


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a contig, 0-based half-open; `end` None: to its end."""

    contig: str
    start: int = 0
    end: int | None = None


def parse_region(text: str) -> Region:
    """Read `chr1` or `chr1:1,000-2,000`, which counts from 1 and includes both ends, as samtools does.

    Raises:
        UsageError: the text is neither.
    """
    match = re.fullmatch(r"(?P<contig>.+):(?P<first>[\d,]+)(?:-(?P<last>[\d,]+))?", text)
    if match is None:
        if not text or text != text.strip():
            raise UsageError(f"region {text!r}: want CONTIG or CONTIG:FIRST-LAST, counted from 1, as chr1:1,000-2,000")
        return Region(text)
    first = int(match["first"].replace(",", ""))
    last = int(match["last"].replace(",", "")) if match["last"] else None
    if first < 1 or (last is not None and last < first):
        raise UsageError(f"region {text!r}: positions count from 1, and the last is not before the first")
    return Region(match["contig"], first - 1, last)


@dataclass(frozen=True)
class Selection:
    """Records of a VCF file.

    Attributes:
        vcf: the file.
        region: only records that overlap it; an index (`.tbi`, `.csi`) is used where there is an up-to-date one.
        limit: at most so many records.
    """

    vcf: Path
    region: Region | None = None
    limit: int | None = None

    @contextmanager
    def open(self) -> Iterator[tuple[VariantHeader, Iterator[VariantRecord]]]:
        """The header and the records, in file order, one at a time.

        Raises:
            DataError: see `open_vcf`; and when it is come to, a line that cannot be read, by its number.
        """
        with open_vcf(self.vcf) as file:
            yield file.header, islice(_readable(self._candidates(file), self), self.limit)

    def _candidates(self, file: VariantFile) -> Iterator[VariantRecord]:
        region = self.region
        candidates: Iterator[VariantRecord] = iter(file)
        if region is None:
            yield from candidates
            return
        if _has_index(self.vcf) and file.index is not None:
            if region.contig not in file.header.contigs:
                return
            candidates = file.fetch(region.contig, region.start, region.end)
        for record in candidates:
            within = record.contig == region.contig and record.stop > region.start
            if within and (region.end is None or record.start < region.end):
                yield record


@contextmanager
def open_vcf(path: Path) -> Iterator[VariantFile]:
    """Open a VCF (plain or bgzip) or BCF file for reading through pysam; htslib's own messages are kept quiet.

    Raises:
        DataError: there is no such file; ordinary gzip, which htslib cannot read; a bgzip file without its end; no VCF.
    """
    import pysam

    if not path.is_file():
        raise DataError(f"there is no VCF file {path}")
    if compression_of(path) == "gzip":
        raise DataError(
            f"{path} is ordinary gzip; VCF tools want bgzip, which can be read from any block. "
            f"Make it one: gunzip -c {path} | bgzip > {path.with_suffix('').stem}.bgzip.vcf.gz"
        )
    before = pysam.set_verbosity(0)
    try:
        file = _opened(path)
        try:
            yield file
        finally:
            with suppress(OSError):  # what could not be read was said when it was come to
                file.close()
    finally:
        pysam.set_verbosity(before)


def _opened(path: Path) -> VariantFile:
    import pysam

    try:
        return pysam.VariantFile(str(path))
    except (OSError, ValueError, NotImplementedError) as error:
        if "EOF marker" in str(error):
            raise DataError(
                f"{path} is truncated: a bgzip file ends with an empty block, this one does not; get it again"
            ) from error
        raise DataError(
            f"{path} is no VCF file: it must begin with ##fileformat and a #CHROM line ({error})"
        ) from error


def _readable(records: Iterator[VariantRecord], selection: Selection) -> Iterator[VariantRecord]:
    """The records, until one cannot be read, which is said as a person would."""
    count = 0
    while True:
        try:
            record = next(records, None)
        except (OSError, ValueError) as error:
            raise DataError(_what_is_malformed(selection.vcf, count if selection.region is None else None)) from error
        if record is None:
            return
        count += 1
        yield record


def _has_index(path: Path) -> bool:
    """Whether an index stands beside the file that is not older than it."""
    indices = (path.with_name(path.name + ending) for ending in (".tbi", ".csi"))
    return any(i.is_file() and i.stat().st_mtime_ns >= path.stat().st_mtime_ns for i in indices)


def _what_is_malformed(path: Path, read: int | None) -> str:
    """A message for the record after `read` good ones (None: unknown), with the line where the file is text."""
    if read is None:
        return f"{path} has a record that cannot be read; is it truncated or malformed?"
    opener = gzip.open if compression_of(path) == "bgzip" else open
    try:
        with opener(path, "rt", encoding="utf-8") as text:
            lines = ((number, line) for number, line in enumerate(text, 1) if not line.startswith("#"))
            number, line = next(islice(lines, read, None))
            text.read(_BLOCK)  # a corrupt block gives itself away at its end
    except (OSError, EOFError, zlib.error, StopIteration, UnicodeDecodeError):
        return f"{path}: what follows record {read} cannot be read; the file is truncated or corrupt, get it again"
    shown = line.rstrip("\n")[:_SHOWN]
    return f"{path}, line {number}: no VCF record: {shown!r}; want 8 or more columns between tabs, POS a number"
