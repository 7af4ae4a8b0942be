from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest

from file_models import Bases, codes
from glmbench.errors import Unsupported, UsageError
from glmbench.methods.imputation import Imputation, impute, places_of_runs, unknown_runs
from own_file_runs import run, stand_ins

BOTH = Bases("both:x", "both", context=600)


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)


def write(path: Path, **sequences: str) -> Path:
    path.write_text("".join(f">{name} of a test\n{sequence}\n" for name, sequence in sequences.items()))
    return path


def read(path: Path) -> dict[str, str]:
    with pysam.FastxFile(str(path)) as file:
        return {record.name: record.sequence for record in file}


def test_ns_are_filled_and_everything_else_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACGTacgtNn"), 1000)
    source = write(tmp_path / "in.fa", a="".join(letters), short="ACNTR", none="ACGT")
    out = tmp_path / "out.fa"
    said = run("impute", source, "-m", "both:x", "-o", out)
    before, after = read(source), read(out)
    unknown = sum(sequence.upper().count("N") for sequence in before.values())
    assert f"{unknown} of {unknown} unknown bases filled" in said
    for name, sequence in before.items():
        known = [letter not in "Nn" for letter in sequence]
        assert [a for a, k in zip(after[name], known, strict=True) if k] == [a for a in sequence if a not in "Nn"]
        assert [a.islower() for a in after[name]] == [a.islower() for a in sequence]
        positions = places_of_runs(unknown_runs(sequence))
        assert after[name] == impute(BOTH, [sequence], [positions], Imputation(512))[0].sequence
    lines = out.read_text().splitlines()
    assert lines[0] == ">a of a test"
    assert {len(line) for line in lines[1:17]} == {60}
    table = pl.read_csv(tmp_path / "out.fa.bases.tsv", separator="\t")
    assert table.height == unknown
    assert table.filter(pl.col("name") == "short").row(0)[:4] == ("short", 2, after["short"][2], True)
    np.testing.assert_allclose(table.select("p_A", "p_C", "p_G", "p_T").sum_horizontal(), 1, rtol=1e-5)


def test_confidence_and_long_runs(tmp_path: Path) -> None:
    source = write(tmp_path / "in.fa", a="ACGT" + "N" * 12 + "ACNGT" + "NNN" + "TTT")
    out = tmp_path / "out.fa.gz"
    words = ("impute", source, "-m", "both:x", "-o", out, "--longest-run", 3, "--min-confidence", 0.5)
    summary = json.loads(run(*words, "--table", tmp_path / "t.parquet", "--json"))
    assert (summary["asked"], summary["left_runs"], summary["left_bases"]) == (4, 1, 12)
    table = pl.read_parquet(tmp_path / "t.parquet")
    assert summary["filled"] == table["filled"].sum() < 4
    assert (table["confidence"].to_numpy() >= 0.5).tolist() == table["filled"].to_list()
    filled = read(out)["a"]
    assert filled[4:16] == "N" * 12
    for position, base, was_filled in table.select("position", "base", "filled").iter_rows():
        assert filled[position] == (base if was_filled else "N")


def test_segments_change_nothing_that_a_window_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in reads its neighbours alone: cut in segments or whole, every N gets the same base."""
    rng = np.random.default_rng(1)
    source = write(
        tmp_path / "in.fa", a="".join(rng.choice(list("ACGTN"), 5000)), b="".join(rng.choice(list("ACGN"), 999))
    )
    run("impute", source, "-m", "both:x", "-o", tmp_path / "one.fa", "--width", 30)
    monkeypatch.setattr("glmbench.inference.imputing.SEGMENT", 700)
    monkeypatch.setattr("glmbench.cli.impute.CHUNK", 20_000)
    run("impute", source, "-m", "both:x", "-o", tmp_path / "many.fa", "--width", 30)
    assert (tmp_path / "one.fa").read_bytes() == (tmp_path / "many.fa").read_bytes()
    one, many = (pl.read_csv(tmp_path / f"{name}.fa.bases.tsv", separator="\t") for name in ("one", "many"))
    assert one.equals(many)


def test_a_long_run_stays_wherever_segments_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs longer than segment and context together are known by their whole length, and counted once."""
    monkeypatch.setattr("glmbench.inference.imputing.SEGMENT", 50)
    source = write(
        tmp_path / "in.fa", a="ACGT" * 20 + "N" * 333 + "ACGTNACGT" + "N" * 41 + "ACGT", b="n" * 170, c="ANC"
    )
    words = ("impute", source, "-m", "both:x", "--width", 8, "--longest-run", 40, "--json")
    summary = json.loads(run(*words, "-o", tmp_path / "o.fa"))
    assert (summary["asked"], summary["left_runs"], summary["left_bases"]) == (2, 3, 333 + 41 + 170)
    filled = read(tmp_path / "o.fa")
    assert filled["a"].count("N") == 374
    assert filled["b"] == "n" * 170
    summary = json.loads(run(*words[:-3], "--longest-run", 200, "--json", "-o", tmp_path / "p.fa"))
    assert (summary["asked"], summary["left_runs"], summary["left_bases"]) == (2 + 41 + 170, 1, 333)


def test_no_table_is_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "in.fa", a="ACGTNACGT")
    table = tmp_path / "o.fa.bases.tsv"
    table.write_text("mine")
    for words in ((), ("--table", table)):
        with pytest.raises(UsageError, match=r"o\.fa\.bases\.tsv exists already"):
            run("impute", source, "-m", "both:x", "-o", tmp_path / "o.fa", *words)
    assert table.read_text() == "mine"
    assert not (tmp_path / "o.fa").exists()


def test_which_bases_are_hidden_does_not_hang_on_the_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is seen around them: those hidden in a segment's context are hidden from it too."""
    rng = np.random.default_rng(3)
    source = write(tmp_path / "in.fa", a="".join(rng.choice(list("ACGTNacgt"), 5000)), b="ACGT" * 30)
    words = ("impute", source, "-m", "both:x", "--width", 30, "--mask", 0.3)
    run(*words, "-o", tmp_path / "one.tsv")
    monkeypatch.setattr("glmbench.inference.imputing.SEGMENT", 70)
    run(*words, "-o", tmp_path / "many.tsv")
    one, many = (tmp_path / f"{name}.tsv" for name in ("one", "many"))
    assert one.read_bytes() == many.read_bytes()


def test_lower_case_on_request(tmp_path: Path) -> None:
    source = write(tmp_path / "in.fa", a="ACGTacgtACGNACGT")
    run("impute", source, "-m", "both:x", "-o", tmp_path / "o.fa", "--masked")
    table = pl.read_csv(tmp_path / "o.fa.bases.tsv", separator="\t")
    assert table["position"].to_list() == [4, 5, 6, 7, 11]
    assert read(tmp_path / "o.fa")["a"][4:8].islower()


def test_left_to_right(tmp_path: Path) -> None:
    source = write(tmp_path / "in.fa", a="ACGTNNNNACGT")
    run("impute", source, "-m", "left:x", "-o", tmp_path / "o.fa")
    filled = read(tmp_path / "o.fa")["a"]
    table = Bases("left:x", "left").table
    for before, after in pairwise(filled[3:8]):
        assert "ACGT"[int(table[codes(before)[0], 4].argmax())] == after


def test_the_self_test_measures_what_the_model_knows(tmp_path: Path) -> None:
    """Sequences drawn from the model itself: accuracy and bits are near those that its probabilities promise."""
    model = Bases("left:x", "left")
    rng = np.random.default_rng(3)
    letters = [0]
    cumulative = np.cumsum(np.exp(model.table[:, 4].astype(float)), axis=1)
    for drawn in rng.random(30_000).tolist():
        letters.append(min(int(np.searchsorted(cumulative[letters[-1]], drawn)), 3))
    source = write(tmp_path / "in.fa", a="".join("ACGT"[code] for code in letters))
    summary = json.loads(run("impute", source, "-m", "left:x", "--mask", 0.05, "--json"))
    again = json.loads(run("impute", source, "-m", "left:x", "--mask", 0.05, "--json", "-o", tmp_path / "t.parquet"))
    assert {key: again[key] for key in ("accuracy", "bits_per_base", "bins")} == {
        key: summary[key] for key in ("accuracy", "bits_per_base", "bins")
    }
    table = pl.read_parquet(tmp_path / "t.parquet")
    assert summary["hidden"] == table.height
    assert 1300 < summary["hidden"] < 1700
    assert summary["accuracy"] == pytest.approx((table["base"] == table["true"]).mean())
    assert summary["accuracy"] == pytest.approx(table["confidence"].mean(), abs=0.04)
    assert summary["calibration_error"] < 0.06
    assert summary["accuracy"] > summary["most_frequent_base"]
    assert sum(row["bases"] for row in summary["bins"]) == summary["hidden"]
    true = [table["true"][row] == read(source)["a"][table["position"][row]] for row in range(50)]
    assert all(true)
    other = json.loads(run("impute", source, "-m", "left:x", "--mask", 0.05, "--seed", 1, "--json"))
    assert other["hidden"] != summary["hidden"] or other["accuracy"] != summary["accuracy"]
    assert "bases hidden" in run("impute", source, "-m", "left:x", "--mask", 0.05, "--min-confidence", 0.5)


def test_refusals(tmp_path: Path) -> None:
    source = write(tmp_path / "in.fa", a="ACGTNNNNACGT")
    for words, said in [
        ((), "want --out FASTA"),
        (("-o", "x.txt"), "want a name that ends in .fa"),
        (("-o", "x.fa", "--order", "best"), "want one of once, confident, left"),
        (("--mask", "0.1", "--masked"), "leave out --masked"),
        (("--mask", "0.1", "-o", "x.fa"), "want a name that ends in .parquet"),
    ]:
        with pytest.raises(UsageError, match=said):
            run("impute", source, "-m", "both:x", *words)
    with pytest.raises(Unsupported, match="cannot give probabilities of single bases; what it gives: one vector"):
        run("impute", source, "-m", "composition", "-o", tmp_path / "x.fa")
    long = write(tmp_path / "long.fa", a="ACGTNNNNACGT" * 100)
    with pytest.raises(Unsupported, match="context of 600"):
        run("impute", long, "-m", "both:x", "--width", 700, "-o", tmp_path / "x.fa")
