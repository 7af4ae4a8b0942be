from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from file_models import Bases, codes
from glmbench.errors import Unsupported, UsageError
from own_file_runs import run, stand_ins

LEFT, BOTH = Bases("left:x", "left"), Bases("both:x", "both")
SEQUENCES = {"a": "ACGTNACGa", "b": "TTTT", "n": "NN"}


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fa"
    path.write_text("".join(f">{name} x\n{sequence}\n" for name, sequence in SEQUENCES.items()))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".tsv", ".csv", ".jsonl", ".tsv.gz", ".jsonl.gz"])
def test_scores_of_sequences(ending: str, fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / f"s{ending}"
    said = run("score", fasta, "-m", "left:x", "-o", out)
    assert "3 sequences, 15 bases in" in said
    assert "3 inputs through the network" in said
    total = LEFT.log_likelihood(list(SEQUENCES.values())).sum()
    assert f"{-total / 12 / math.log(2):.4f} bits per base over 12 known bases" in said
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    kind = ending.removesuffix(".gz")
    table = pl.read_csv(out, separator="\t") if kind == ".tsv" else read[kind](out)
    wanted = LEFT.log_likelihood(list(SEQUENCES.values()))
    assert table["name"].to_list() == ["a", "b", "n"]
    assert table["bases"].to_list() == [8, 4, 0]
    np.testing.assert_allclose(table["log_likelihood"], wanted, rtol=1e-12)
    np.testing.assert_allclose(table["bits_per_base"][:2], -wanted[:2] / [8, 4] / math.log(2), rtol=1e-12)
    assert table["bits_per_base"][2] is None


def test_to_standard_output(fasta: Path) -> None:
    lines = run("score", fasta, "-m", "left:x").splitlines()
    assert lines[0] == "name\tstart\tend\tbases\tlog_likelihood\tbits_per_base"
    assert [line.split("\t")[0] for line in lines[1:]] == ["a", "b", "n"]
    rows = [json.loads(line) for line in run("score", fasta, "-m", "left:x", "--json").splitlines()]
    assert [row["bases"] for row in rows] == [8, 4, 0]


@pytest.mark.parametrize("model", [LEFT, BOTH])
@pytest.mark.parametrize("single_pass", [False, True])
def test_a_track_sums_to_the_score(model: Bases, single_pass: bool, fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    more = ["--single-pass"] if single_pass else []
    run("score", fasta, "-m", model.card.reference, "--per-base", *more, "-o", out)
    table = pl.read_parquet(out)
    assert "".join(table["base"]) == "".join(SEQUENCES.values())
    assert table["position"].to_list() == [*range(9), *range(4), *range(2)]
    assert table["log_p"].is_null().to_list() == [letter == "N" for letter in "".join(SEQUENCES.values())]
    sums = table.group_by("name", maintain_order=True).agg(pl.col("log_p").sum())["log_p"]
    np.testing.assert_allclose(sums, model.log_likelihood(list(SEQUENCES.values())), rtol=1e-5)
    four = table.select("A", "C", "G", "T").to_numpy()
    np.testing.assert_array_equal(four[:9], model.scan([SEQUENCES["a"]])[0])


@pytest.mark.parametrize("model", [LEFT, BOTH])
def test_a_track_in_windows_is_that_of_the_whole(model: Bases, tmp_path: Path) -> None:
    """The model reads its neighbours alone, so a window changes nothing but at its ends, which are not taken."""
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("ACGT"), 3000))
    (tmp_path / "in.fa").write_text(f">a\n{text}\n")
    out = tmp_path / "t.parquet"
    with pytest.raises(Unsupported, match=r"context of 600 \[record a; the longest of them, a, has 3,000 bases\]"):
        run("score", tmp_path / "in.fa", "-m", model.card.reference, "--per-base", "-o", out)
    assert not out.with_name("t.parquet.part").exists()  # nothing was finished: another request may begin
    words = ("score", tmp_path / "in.fa", "-m", model.card.reference, "--per-base", "--window", 100)
    summary = json.loads(run(*words, "-o", out, "--json"))
    assert (summary["records"], summary["windows"], summary["known_bases"]) == (1, 59, 3000)
    table = pl.read_parquet(out)
    assert table["position"].to_list() == list(range(3000))
    known = codes(text)
    right = [*known[1:], 4]
    wanted = [model.table[left, after] for left, after in zip([4, *known[:-1]], right, strict=True)]
    np.testing.assert_allclose(table.select("A", "C", "G", "T").to_numpy(), wanted)
    assert summary["log_likelihood"] == pytest.approx(table["log_p"].cast(float).sum())


def test_the_reverse_strand_has_its_positions_on_the_forward_one(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nAAACCCGGT\n")
    (tmp_path / "i.bed").write_text("c\t2\t7\tx\t0\t-\n")
    out = tmp_path / "t.tsv"
    run("score", tmp_path / "i.bed", "--genome", tmp_path / "g.fa", "-m", "left:x", "--per-base", "-o", out)
    table = pl.read_csv(out, separator="\t")
    assert table.select("name", "contig", "position", "base").rows() == [
        ("x", "c", 6, "C"),
        ("x", "c", 5, "G"),
        ("x", "c", 4, "G"),
        ("x", "c", 3, "G"),
        ("x", "c", 2, "T"),
    ]


def test_refusals(fasta: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--single-pass goes with --per-base"):
        run("score", fasta, "-m", "left:x", "--single-pass")
    with pytest.raises(UsageError, match="windows overlap by half"):
        run("score", fasta, "-m", "left:x", "--per-base", "--window", 8, "--step", 4)
    with pytest.raises(Unsupported, match="cannot say how likely a sequence is; what it gives: one vector a sequence"):
        run("score", fasta, "-m", "composition")
    with pytest.raises(Unsupported, match="cannot give probabilities of single bases"):
        run("score", fasta, "-m", "composition", "--per-base")
