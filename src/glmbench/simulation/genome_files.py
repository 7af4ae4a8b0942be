"""A simulated genome as the files that other tools read: FASTA and BED."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from glmbench.sequences.alphabet import decode
from glmbench.simulation.genome import SimulatedGenome
from glmbench.storage.atomic import write_text

_LINE = 80


def write_fasta(genome: SimulatedGenome, path: Path) -> None:
    """Write the contigs as FASTA, 80 bases a line."""
    lines: list[str] = []
    for name, codes in genome.contigs.items():
        letters = decode(codes)
        lines += [f">{name}", *(letters[start : start + _LINE] for start in range(0, len(letters), _LINE))]
    write_text(path, "\n".join([*lines, ""]))


def write_bed(genome: SimulatedGenome, path: Path) -> None:
    """Write the annotations as BED6; the name column is `type:name`, the score 0."""
    named = pl.format("{}:{}", "type", "name")
    columns = genome.annotations.select(
        "contig", "start", "end", named.alias("name"), pl.lit(0).alias("score"), "strand"
    )
    write_text(path, columns.write_csv(include_header=False, separator="\t"))
