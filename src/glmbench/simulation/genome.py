"""Annotated genomes: genes with promoters, open reading frames and introns, on both strands of a Markov background.

A gene is made on its own strand, 5' to 3': promoter, 5' UTR, exons and introns, 3' UTR. The start codon, the stop codon
and the reading frame span the introns. Gaps between genes, spacers, UTRs and introns are background. Coordinates are
0-based, half-open, on the forward strand of the contig.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from glmbench.sequences.encoding import reverse_complement_codes
from glmbench.sequences.markov import MarkovModel, sample_markov
from glmbench.sequences.typing import Codes
from glmbench.simulation.chains import dinucleotide_chain
from glmbench.simulation.genes import codon_usage, sample_open_reading_frame
from glmbench.simulation.promoters import CORE_PROMOTER, SIGMA70, MotifSyntax, syntax_on_background
from glmbench.simulation.splicing import INTRON_ACCEPTOR, INTRON_DONOR

ANNOTATION_SCHEMA = {
    "contig": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "strand": pl.String,
    "type": pl.String,
    "name": pl.String,
}
"""Columns of `SimulatedGenome.annotations`; `type` is promoter, a motif's name, gene (what follows the promoter), CDS
(one row an exon), intron, donor, acceptor (their bases inside the intron), start_codon or stop_codon."""

_Feature = tuple[int, int, str]
"""Start, end and type on the gene's own strand, from its first base."""

_Piece = tuple[Codes, list[_Feature]]
"""Codes of a stretch on the gene's own strand, and its features."""


@dataclass(frozen=True, eq=False)
class GenomeSettings:
    """What a genome is made of. Lengths are in bp and drawn uniformly from the two ends, both included.

    Attributes:
        background: chain of everything between functional elements.
        usage: codon probabilities (64,) inside open reading frames.
        syntax: motifs of the promoters.
        promoter: length of a promoter.
        gap: between the genes, and before the first.
        utr: either side of the coding sequence.
        codons: of an open reading frame, start and stop included.
        introns: numbers of introns in a gene.
        intron: length of an intron.
    """

    background: MarkovModel
    usage: np.ndarray[tuple[int], np.dtype[np.float64]]
    syntax: MotifSyntax
    promoter: int
    gap: tuple[int, int]
    utr: tuple[int, int]
    codons: tuple[int, int]
    introns: tuple[int, int]
    intron: tuple[int, int]


def bacterial_settings() -> GenomeSettings:
    """Short gaps, sigma-70 promoters, no introns."""
    return GenomeSettings(
        dinucleotide_chain(0.5), codon_usage(), SIGMA70, 60, (30, 300), (15, 40), (60, 400), (0, 0), (0, 0)
    )


def vertebrate_like_settings() -> GenomeSettings:
    """TATA promoters, CpG-poor background, genes with up to four introns, all closer together than in vertebrates."""
    return GenomeSettings(
        dinucleotide_chain(0.42, cpg=0.25), codon_usage(), CORE_PROMOTER, 80, (300, 2000), (30, 150), (80, 400), (0, 4),
        (80, 400),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SimulatedGenome:
    """A genome and the truth about it.

    Attributes:
        contigs: base codes (length,) by name, all of A, C, G, T.
        annotations: one row a feature, columns `ANNOTATION_SCHEMA`, sorted by contig and start.
    """

    contigs: dict[str, Codes]
    annotations: pl.DataFrame


def simulate_genome(settings: GenomeSettings, *, contigs: int, genes_per_contig: int, seed: int) -> SimulatedGenome:
    """Draw a genome; contigs are named `contig_1`, `contig_2`, …, each gene's strand is drawn evenly."""
    sequences: dict[str, Codes] = {}
    rows: list[tuple[str, int, int, str, str, str]] = []
    for number in range(1, contigs + 1):
        name = f"contig_{number}"
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
        pieces: list[Codes] = []
        position = 0
        for gene, promoter in enumerate(_promoters(settings, rng, genes_per_contig), 1):
            gap = _background(settings, rng, settings.gap)
            codes, features = _gene(settings, rng, promoter)
            strand = "+" if rng.random() < 0.5 else "-"
            pieces += [gap, codes if strand == "+" else reverse_complement_codes(codes)]
            begin = position + gap.size
            for start, end, kind in features:
                forward = (start, end) if strand == "+" else (codes.size - end, codes.size - start)
                rows.append((name, begin + forward[0], begin + forward[1], strand, kind, f"{name}_gene_{gene}"))
            position = begin + codes.size
        sequences[name] = np.concatenate([*pieces, _background(settings, rng, settings.gap)])
    table = pl.DataFrame(rows, schema=ANNOTATION_SCHEMA, orient="row")
    order = pl.col("contig").str.strip_prefix("contig_").cast(pl.Int64)
    return SimulatedGenome(sequences, table.sort(order, "start", "end", maintain_order=True))


def coding_sequence(genome: SimulatedGenome, gene: str) -> Codes:
    """The exons of a gene joined and read on its own strand, from start codon to stop codon.

    Raises:
        KeyError: the genome has no gene of this name.
    """
    exons = genome.annotations.filter((pl.col("name") == gene) & (pl.col("type") == "CDS")).sort("start")
    if exons.is_empty():
        raise KeyError(gene)
    contig, strand = exons["contig"][0], exons["strand"][0]
    pieces = [genome.contigs[contig][start:end] for start, end in exons.select("start", "end").iter_rows()]
    joined = np.concatenate(pieces)
    return joined if strand == "+" else reverse_complement_codes(joined)


def _uniform(rng: np.random.Generator, ends: tuple[int, int]) -> int:
    """A whole number between two ends, both included; from `random()`, as everything in this room."""
    return ends[0] + int(rng.random() * (ends[1] - ends[0] + 1))


def _background(settings: GenomeSettings, rng: np.random.Generator, ends: tuple[int, int]) -> Codes:
    codes: Codes = sample_markov(settings.background, 1, _uniform(rng, ends), rng)[0]
    return codes


def _gene(settings: GenomeSettings, rng: np.random.Generator, promoter: _Piece) -> _Piece:
    """A gene on its own strand, from promoter to 3' UTR, with its features."""
    upstream, features = promoter
    leader = _background(settings, rng, settings.utr)
    coding, inside = _exons_and_introns(settings, rng)
    trailer = _background(settings, rng, settings.utr)
    codes = np.concatenate([upstream, leader, coding, trailer])
    begin = upstream.size + leader.size
    inside = [(begin + start, begin + end, kind) for start, end, kind in inside]
    return codes, [*features, (upstream.size, codes.size, "gene"), *inside]


def _promoters(settings: GenomeSettings, rng: np.random.Generator, n: int) -> list[_Piece]:
    """Promoters with their motifs, drawn together because the sampler works on many rows at once."""
    mixture = syntax_on_background(settings.syntax, settings.background, settings.promoter)
    promoters: list[_Piece] = []
    for codes, layout in zip(*mixture.sample_with_layouts(rng, n), strict=True):
        features: list[_Feature] = [(0, settings.promoter, "promoter")]
        start = 0
        for name, size in mixture.layouts[layout]:
            if name != "background":
                features.append((start, start + size, name))
            start += size
        promoters.append((codes, features))
    return promoters


def _exons_and_introns(settings: GenomeSettings, rng: np.random.Generator) -> _Piece:
    """An open reading frame cut by introns at distinct places outside its start and stop codon."""
    frame = sample_open_reading_frame(settings.usage, rng, _uniform(rng, settings.codons))
    cuts = sorted({_uniform(rng, (3, frame.size - 3)) for _ in range(_uniform(rng, settings.introns))})
    pieces: list[Codes] = []
    features: list[_Feature] = []
    position = 0
    for exon in np.split(frame, cuts):
        if pieces:
            intron, inside = _intron(settings, rng)
            features += [(position + start, position + end, kind) for start, end, kind in inside]
            pieces.append(intron)
            position += intron.size
        pieces.append(exon)
        features.append((position, position + exon.size, "CDS"))
        position += exon.size
    return np.concatenate(pieces), [(0, 3, "start_codon"), *features, (position - 3, position, "stop_codon")]


def _intron(settings: GenomeSettings, rng: np.random.Generator) -> _Piece:
    """Background between the intron's part of a donor and of an acceptor."""
    sites = len(INTRON_DONOR) + len(INTRON_ACCEPTOR)
    length = max(_uniform(rng, settings.intron), sites)
    donor, acceptor = INTRON_DONOR.sample(rng, 1)[0], INTRON_ACCEPTOR.sample(rng, 1)[0]
    middle = sample_markov(settings.background, 1, length - sites, rng)[0]
    ends = [(0, donor.size, "donor"), (length - acceptor.size, length, "acceptor")]
    return np.concatenate([donor, middle, acceptor]), [(0, length, "intron"), *ends]
