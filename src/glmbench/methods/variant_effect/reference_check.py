"""REF beside the genome: are these variants of this assembly?"""

from __future__ import annotations

import polars as pl

from glmbench.errors import DataError
from glmbench.genomes.reference_genome import ReferenceGenome, naming_advice

_NAMED = 5
"""Mismatches that an error names."""
_SHOWN = 20
"""Bases of a REF that it shows."""


def mismatch(contig: str, start: int, ref: str, genome: ReferenceGenome) -> str | None:
    """Why REF is not in the genome, a key of `REASONS`; None where it is."""
    length = genome.lengths.get(contig)
    if length is None:
        return "no_such_contig"
    if start < 0 or start + len(ref) > length or genome.fetch(contig, start, start + len(ref)) != ref.upper():
        return "ref_mismatch"
    return None


class Mismatches:
    """REFs that are not in the genome, counted, with the first ones kept for a message."""

    def __init__(self, genome: ReferenceGenome) -> None:
        self._genome = genome
        self.checked = 0
        self.count = 0
        self._first: list[str] = []
        self._unknown_contig: str | None = None

    def check(self, contig: str, start: int, ref: str) -> None:
        """Look at one REF."""
        self.checked += 1
        why = mismatch(contig, start, ref, self._genome)
        if why is None:
            return
        self.count += 1
        if why == "no_such_contig":
            self._unknown_contig = self._unknown_contig or contig
        if len(self._first) < _NAMED:
            self._first.append(f"{contig}:{start + 1} REF {ref[:_SHOWN]}, {self._genome_has(contig, start, len(ref))}")

    def raise_if_any(self) -> None:
        """Refuse.

        Raises:
            DataError: there was one.
        """
        if not self.count:
            return
        more = f", and {self.count - len(self._first):,} more" if self.count > len(self._first) else ""
        if self._unknown_contig is not None:
            advice = f"; {self._unknown_contig}: {naming_advice(self._unknown_contig, self._genome.lengths)}"
        else:
            advice = "; is it the assembly of these variants?"
        raise DataError(
            f"REF disagrees with the genome at {self.count:,} of {self.checked:,} variants: {'; '.join(self._first)}"
            f"{more}{advice} --on-mismatch skip (on_mismatch='skip') leaves them out with a reason"
        )

    def _genome_has(self, contig: str, start: int, size: int) -> str:
        length = self._genome.lengths.get(contig)
        if length is None:
            return "no such contig"
        if start < 0 or start + size > length:
            return f"beyond the {length:,} bases of {contig}"
        return f"genome {self._genome.fetch(contig, start, start + min(size, _SHOWN))}"


def check_against(variants: pl.DataFrame, genome: ReferenceGenome) -> None:
    """Refuse variants whose REF is not in the genome.

    Raises:
        DataError: there is one; the first ones are named and all are counted.
    """
    seen = Mismatches(genome)
    for contig, start, ref in variants.select("contig", "start", "ref").unique(maintain_order=True).iter_rows():
        seen.check(contig, start, ref)
    seen.raise_if_any()
