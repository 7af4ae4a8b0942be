"""`glmbench simulate`: genomes whose truth is known, as FASTA and BED."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="FASTA file to write; the annotation goes beside it as .bed.")]
Kind = Annotated[
    Literal["bacterial", "vertebrate-like"],
    typer.Option(help="Dense genes without introns, or sparse ones with introns and few CpGs."),
]
Genes = Annotated[int, typer.Option(min=1, help="Genes on each contig.")]
Contigs = Annotated[int, typer.Option(min=1, help="Contigs.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same genome.")]


def command(out: Out, kind: Kind = "bacterial", genes: Genes = 500, contigs: Contigs = 4, seed: Seed = 1) -> None:
    """Draw a genome with promoters, genes and codon usage, for demonstrations and tests that need no data."""
    from glmbench.errors import UsageError
    from glmbench.simulation.genome import bacterial_settings, simulate_genome, vertebrate_like_settings
    from glmbench.simulation.genome_files import write_bed, write_fasta

    if out.suffix not in (".fa", ".fasta", ".fna"):
        raise UsageError(f"--out {out}: want a name that ends in .fa, .fasta or .fna")
    settings = bacterial_settings() if kind == "bacterial" else vertebrate_like_settings()
    genome = simulate_genome(settings, contigs=contigs, genes_per_contig=genes, seed=seed)
    write_fasta(genome, out)
    write_bed(genome, out.with_suffix(".bed"))
    bases = sum(codes.size for codes in genome.contigs.values())
    features = f"{out.with_suffix('.bed').name}: {genome.annotations.height:,} features"
    print(f"{out}: {bases:,} bases on {contigs} contigs; {features}")
