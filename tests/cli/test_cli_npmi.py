from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from glmbench.cli import app
from glmbench.errors import DataError, UsageError
from glmbench.pretraining.npmi import SCHEMA, score_ngrams
from glmbench.pretraining.rankings import read_ranking, write_table
from glmbench.sequences.alphabet import decode, encode
from glmbench.sequences.ngrams import count_ngrams

MOTIFS = ">GATA\n0\t0\t9\t0\n9\t0\t0\t0\n0\t0\t0\t9\n9\t0\t0\t0\n0\t0\t9\t0\n>short\n9\t0\t0\t0\n"


def sequence(seed: int) -> str:
    return decode(np.random.default_rng(seed).choice(4, size=9_000, p=[0.4, 0.1, 0.2, 0.3]).astype(np.uint8))


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contigs, the middle of the first soft-masked, where it repeats ACGGT."""
    path = tmp_path_factory.mktemp("npmi") / "genome.fa"
    path.write_text(f">chr1\n{sequence(0)}{'acggt' * 300}\n>chr2\n{sequence(1)}NNN\n")
    return path


def npmi(*words: object) -> str:
    done = CliRunner().invoke(app, ["npmi", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def record(*words: object) -> dict:
    return json.loads(npmi(*words, "--json"))


def test_counts_ranks_and_writes(fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / "npmi.parquet"
    said = record(fasta, "--k", 4, "--longest", 5, "--out", out, "--top", 3)
    table = read_ranking(out)
    text = fasta.read_text().splitlines()
    wanted = score_ngrams(count_ngrams([encode(text[1].upper()), encode(text[3])], 5), 4)
    assert table.sort("ngram").equals(wanted.sort("ngram"))
    assert [row["ngram"] for row in said["best"]] == table["ngram"].head(3).to_list()
    assert said["letters"]["bases"] == 19_500
    assert [row["ngrams"] for row in said["orders"][:2]] == [19_500, 19_498]
    assert set(said["agreement"]) == {"levine", "frequency", "lower case left out"}
    assert said["ranked"] == wanted["rank"].drop_nulls().len()


def test_the_text_holds_the_same_figures(fasta: Path) -> None:
    said, text = record(fasta, "--k", 3, "--longest", 4, "--top", 2), npmi(fasta, "--k", 3, "--longest", 4, "--top", 2)
    for row in (*said["best"], *said["worst"]):
        assert f"{row['npmi']:.4f}" in text
    assert "19,500 bases, 1,500 letters in lower case" in text
    assert "…" in text


def test_chromosomes_and_masks(fasta: Path, tmp_path: Path) -> None:
    second = record(fasta, "--k", 3, "--longest", 3, "--chromosomes", "chr2")
    assert second["letters"]["bases"] == 9_000
    out = tmp_path / "masked.csv"
    masked = record(fasta, "--k", 3, "--longest", 3, "--mask-lower-case", "--out", out)
    assert masked["orders"][0]["ngrams"] == 18_000
    unmasked = score_ngrams(count_ngrams(map(encode, (sequence(0), sequence(1))), 3), 3)
    assert read_ranking(out)["count"].equals(unmasked["count"])
    assert "lower case included" in masked["agreement"]


def test_motifs_of_a_genome_and_of_a_table(fasta: Path, tmp_path: Path) -> None:
    motifs, out, table = tmp_path / "motifs.pfm", tmp_path / "motifs.csv", tmp_path / "npmi.csv"
    motifs.write_text(MOTIFS)
    counted = record(fasta, "--k", 4, "--longest", 4, "--motifs", motifs, "--motifs-out", out, "--out", table)["motifs"]
    assert (counted["motifs"], counted["soft_masked"]) == (2, True)
    assert counted["repeat_kmers"] > 4 + 12
    assert counted["summary"][0]["motifs"] == 1
    assert pl.read_csv(out)["kmers"].to_list()[:4] == [2, 2, 2, 2]
    read = record("--ranking", table, "--motifs", motifs)["motifs"]
    assert (read["repeat_kmers"], read["soft_masked"]) == (4 + 12, False)
    assert read["summary"][0]["mean_auc"] == counted["summary"][0]["mean_auc"]
    again = record("--ranking", table, fasta, "--motifs", motifs)["motifs"]
    assert again == counted | {"best": again["best"]}
    assert "1 of 2 motifs" in npmi("--ranking", table, fasta, "--motifs", motifs)


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG"), ("html", b"<")])
def test_a_figure_of_the_motifs(fasta: Path, tmp_path: Path, suffix: str, start: bytes) -> None:
    motifs, figure = tmp_path / "motifs.pfm", tmp_path / f"motifs.{suffix}"
    motifs.write_text(MOTIFS)
    assert str(figure) in npmi(fasta, "--k", 4, "--longest", 4, "--motifs", motifs, "--figure", figure)
    assert figure.read_bytes().lstrip().startswith(start)


def test_motifs_without_kmers_are_said(fasta: Path, tmp_path: Path) -> None:
    motifs = tmp_path / "motifs.pfm"
    motifs.write_text(">short\n9\t0\t0\t0\n")
    assert "0 of 1 motifs" in npmi(fasta, "--k", 4, "--longest", 4, "--motifs", motifs)


def test_a_part_of_a_table_cannot_be_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "top.csv"
    table = score_ngrams(count_ngrams([encode(sequence(0))], 3), 3)
    write_table(path, table.head(10))
    assert set(record("--ranking", path)["agreement"]) == {"frequency"}
    assert dict(read_ranking(path).schema) == SCHEMA


@pytest.mark.parametrize(
    ("text", "words", "error", "message"),
    [
        ("", (), DataError, "empty"),
        (">c\nNNNN\n", (), DataError, "no base to count"),
        (">c\nACGTAC\n", (), DataError, "none of the 1 6-mers occurs 101 times"),
        (">c\nACGTAC\n", ("--k", 11), UsageError, "--k 11 is longer than the longest n-gram counted, --longest 10"),
        (">c\nACGTAC\n", ("--chromosomes", "chr9"), DataError, "no contig chr9"),
        (">c\nACGTAC\n", ("--chromosomes", ""), UsageError, "--chromosomes '' holds an empty name"),
        (">c\nACGTAC\n", ("--chromosomes", "chr1,"), UsageError, "'chr1,' holds an empty name"),
        (">c\nACGTAC\n", ("--out", "/proc/version/x.csv"), NotADirectoryError, "x.csv"),
        (">c\nACGTAC\n", ("--mask-lower-case",), DataError, "nothing to mask"),
        (">c\nacgtac\n", ("--mask-lower-case",), DataError, "all known bases are in lower case"),
        (">c\nACGTAC\n", ("--out", "x.txt"), UsageError, r"\.csv or \.parquet"),
        (">c\nACGTAC\n", ("--motifs-out", "x.csv"), UsageError, "give --motifs FILE too"),
        (">c\nACGTAC\n", ("--motifs", "x", "--figure", "x.gif"), UsageError, r"drawn as \.svg"),
    ],
)
def test_bad_requests_and_genomes(
    tmp_path: Path, text: str, words: tuple, error: type[Exception], message: str
) -> None:
    path = tmp_path / "bad.fa"
    path.write_text(text)
    with pytest.raises(error, match=message):
        npmi(path, *words)


def test_nothing_to_rank() -> None:
    with pytest.raises(UsageError, match="no sequence"):
        npmi()
    with pytest.raises(UsageError, match="--chromosomes chooses contigs of FASTA files, and none is given"):
        npmi("--ranking", "x.csv", "--chromosomes", "chr1")
    with pytest.raises(UsageError, match="taken as it is"):
        npmi("--ranking", "x.csv", "--definition", "levine")


def test_folders_and_genbank_files_are_read_and_none_twice(tmp_path: Path) -> None:
    first, second = sequence(0), sequence(1)
    (tmp_path / "one.fa").write_text(f">c\n{first}\n")
    (tmp_path / "two.gbk").write_text(
        "LOCUS       T 9000 bp DNA linear SYN 01-JAN-2020\nVERSION     T.1\nFEATURES             Location/Qualifiers\n"
        f"ORIGIN\n        1 {second.lower()}\n//\n"
    )
    assert record(tmp_path, "--k", 3, "--longest", 3)["orders"][2]["ngrams"] == 2 * 8_998
    with pytest.raises(UsageError, match=r"one\.fa is named twice"):
        npmi(tmp_path / "one.fa", tmp_path / "one.fa")


def test_a_disk_that_is_full_is_one_line(fasta: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the table of 1,024 5-mers is larger."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from glmbench.cli import main\n"
        "main()"
    )
    for out in (tmp_path / "npmi.csv", tmp_path / "npmi.parquet"):
        words = ["npmi", str(fasta), "--k", "5", "--longest", "5", "--min-count", "1", "--out", str(out)]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
        assert f"glmbench: {out}: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_lower_case_is_counted_unless_masked(tmp_path: Path) -> None:
    path = tmp_path / "lower.fa"
    path.write_text(f">c\n{sequence(0).lower()}\n")
    assert set(record(path, "--k", 3, "--longest", 3)["agreement"]) == {"levine", "frequency"}


@pytest.mark.real_data
def test_the_released_ranking_is_reproduced(shared_data: Path) -> None:
    said = record("--ranking", shared_data / "genemask/Data-A_norm-pmi-score-ranking.csv")
    again = said["agreement"]["reference, from its counts"]
    assert again["spearman"] > 0.9999
    assert again["largest_shift"] <= 4
    assert said["agreement"]["levine, from its counts"]["shared_top"] == 0.59
    assert said["strand_shift"] == pytest.approx(14, abs=1)
    assert said["negative"] == 536
