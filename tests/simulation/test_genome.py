from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from glmbench.sequences.alphabet import decode
from glmbench.sequences.encoding import reverse_complement_codes
from glmbench.simulation.genes import translate
from glmbench.simulation.genome import (
    ANNOTATION_SCHEMA,
    SimulatedGenome,
    bacterial_settings,
    coding_sequence,
    simulate_genome,
    vertebrate_like_settings,
)
from glmbench.simulation.genome_files import write_bed, write_fasta


@pytest.fixture(scope="module")
def genome() -> SimulatedGenome:
    return simulate_genome(vertebrate_like_settings(), contigs=2, genes_per_contig=40, seed=11)


def feature_codes(genome: SimulatedGenome, kind: str) -> list[np.ndarray]:
    rows = genome.annotations.filter(pl.col("type") == kind)
    found = []
    for row in rows.iter_rows(named=True):
        codes = genome.contigs[row["contig"]][row["start"] : row["end"]]
        found.append(codes if row["strand"] == "+" else reverse_complement_codes(codes))
    return found


def test_every_gene_is_an_open_reading_frame_on_its_strand(genome: SimulatedGenome):
    names = genome.annotations.filter(pl.col("type") == "gene")["name"]
    assert len(names) == 80
    for name in names:
        protein = translate(coding_sequence(genome, name))
        assert protein.startswith("M")
        assert protein.index("*") == len(protein) - 1
    with pytest.raises(KeyError):
        coding_sequence(genome, "contig_9_gene_1")


def test_features_hold_what_they_are_called(genome: SimulatedGenome):
    assert {decode(codes) for codes in feature_codes(genome, "start_codon")} == {"ATG"}
    assert {decode(codes) for codes in feature_codes(genome, "stop_codon")} <= {"TAA", "TAG", "TGA"}
    introns = [decode(codes) for codes in feature_codes(genome, "intron")]
    assert len(introns) > 80
    assert all(intron[0] == "G" and intron[1] in "TC" and intron.endswith("AG") for intron in introns)
    boxes = [decode(codes) for codes in feature_codes(genome, "tata_box")]
    assert len(boxes) == 80
    assert np.mean([box[1:4] == "ATA" for box in boxes]) > 0.6


def test_annotations_are_sorted_intervals_inside_their_contigs(genome: SimulatedGenome):
    table = genome.annotations
    assert dict(table.schema) == ANNOTATION_SCHEMA
    sizes = pl.DataFrame({"contig": list(genome.contigs), "size": [codes.size for codes in genome.contigs.values()]})
    joined = table.join(sizes, on="contig")
    assert ((joined["start"] >= 0) & (joined["start"] < joined["end"]) & (joined["end"] <= joined["size"])).all()
    assert all(part["start"].is_sorted() for part in table.partition_by("contig"))
    assert set(table["strand"]) == {"+", "-"}


def test_promoters_lie_just_upstream_of_their_genes(genome: SimulatedGenome):
    pairs = genome.annotations.filter(pl.col("type") == "promoter").join(
        genome.annotations.filter(pl.col("type") == "gene"), on="name", suffix="_gene"
    )
    forward = pairs["strand"] == "+"
    assert (pairs["end"] == pairs["start_gene"]).filter(forward).all()
    assert (pairs["start"] == pairs["end_gene"]).filter(~forward).all()


def test_same_seed_same_genome_and_more_contigs_keep_the_first():
    settings = bacterial_settings()
    once = simulate_genome(settings, contigs=1, genes_per_contig=5, seed=1)
    again = simulate_genome(settings, contigs=2, genes_per_contig=5, seed=1)
    other = simulate_genome(settings, contigs=1, genes_per_contig=5, seed=2)
    assert np.array_equal(once.contigs["contig_1"], again.contigs["contig_1"])
    assert not np.array_equal(once.contigs["contig_1"], other.contigs["contig_1"])
    assert once.annotations.equals(again.annotations.filter(pl.col("contig") == "contig_1"))
    assert "intron" not in set(once.annotations["type"])


def test_fasta_and_bed_are_read_back(genome: SimulatedGenome, tmp_path: Path):
    import pysam

    write_fasta(genome, tmp_path / "genome.fa")
    write_bed(genome, tmp_path / "genome.bed")
    with pysam.FastaFile(str(tmp_path / "genome.fa")) as fasta:
        assert {name: fasta.fetch(name) for name in fasta.references} == {
            name: decode(codes) for name, codes in genome.contigs.items()
        }
    first = (tmp_path / "genome.bed").read_text().splitlines()[0].split("\t")
    row = genome.annotations.row(0, named=True)
    assert first == [
        row["contig"], str(row["start"]), str(row["end"]), f"{row['type']}:{row['name']}", "0", row["strand"],
    ]  # fmt: skip
