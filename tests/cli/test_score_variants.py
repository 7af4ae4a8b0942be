from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest
from typer.testing import CliRunner

from glmbench.cli import app
from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models import registry
from glmbench.sequences.encoding import reverse_complement
from markov_stand_ins import Answering, Both, Left, chain_log_p

SEQUENCE = "".join(np.random.default_rng(5).choice(list("ACGT"), 500))
HEADER = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=500>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
STARTS = [0, 7, 100, 101, 250, 260, 499]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`in.vcf` with all SNVs at a few places, `genome.fa`, and models `stand-in:both`, `left` and `answering`."""
    rows = "".join(
        f"chr1\t{s + 1}\t.\t{SEQUENCE[s]}\t{','.join(b for b in 'ACGT' if b != SEQUENCE[s])}\t.\t.\t.\n" for s in STARTS
    )
    (tmp_path / "in.vcf").write_text(HEADER + rows)
    (tmp_path / "genome.fa").write_text(f">chr1\n{SEQUENCE}\n")
    models = {"stand-in:both": Both, "stand-in:left": Left, "stand-in:answering": Answering}
    original = registry.load
    monkeypatch.setattr(
        registry, "load", lambda name, **options: models[name]() if name in models else original(name, **options)
    )
    return tmp_path


def invoke(folder: Path, model: str, *words: object, out: str = "out.vcf.gz", vcf: str = "in.vcf") -> str:
    arguments = [folder / vcf, "--genome", folder / "genome.fa", "-m", model, "--out", folder / out, *words]
    done = CliRunner().invoke(app, ["score-variants", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_both_strands_equal_a_naive_loop(folder: Path) -> None:
    said = invoke(folder, "stand-in:left", "--both-strands", "--width", 30)
    assert "21 alleles of 7 records scored: 21 likelihood; windows of 30 bp" in said
    with pysam.VariantFile(str(folder / "out.vcf.gz")) as file:
        records = list(file)
    assert [record.start for record in records] == STARTS
    for record in records:
        for number, alt in enumerate(record.alts):
            first, last = map(int, record.info["GLM_WINDOW"][number].split("-"))
            window = SEQUENCE[first - 1 : last]
            at = record.start - first + 1
            other = window[:at] + alt + window[at + 1 :]
            forward = chain_log_p(other) - chain_log_p(window)
            backward = chain_log_p(reverse_complement(other)) - chain_log_p(reverse_complement(window))
            assert record.info["GLM_LLR"][number] == pytest.approx((forward + backward) / 2, abs=1e-5)


def test_the_json_and_the_text_hold_the_same(folder: Path) -> None:
    said = json.loads(invoke(folder, "stand-in:both", "--json", "--width", 64))
    wanted = {"records": 7, "scored": 21, "modes": {"masked": 21}, "forwards": 7, "skipped": {}, "width": 64}
    assert {key: said[key] for key in wanted} == wanted
    assert said["windows"] == "centred"
    (folder / "out.vcf.gz").unlink()
    text = invoke(folder, "stand-in:both", "--width", 64)
    assert "7 forwards" in text
    assert f"written: {folder / 'out.vcf.gz'}" in text


def test_options_reach_the_scoring(folder: Path) -> None:
    invoke(folder, "stand-in:both", "--mode", "single-pass", "--score", "llr", "--score", "entropy", "--prefix", "X1",
           "--windows", "shared", "--region", "chr1:100-260", "--limit", 3, "--chunk", 2)  # fmt: skip
    with pysam.VariantFile(str(folder / "out.vcf.gz")) as file:
        records = list(file)
        assert {name for name in file.header.info if name.startswith("X1_")} == {
            "X1_STATUS", "X1_MODE", "X1_WINDOW", "X1_N", "X1_LLR", "X1_ENTROPY",
        }  # fmt: skip
    assert [record.start for record in records] == [100, 101, 250]
    invoke(folder, "stand-in:answering", out="out.parquet")
    assert {"difference_low", "difference_high"} <= set(pl.read_parquet(folder / "out.parquet").columns)


def test_what_cannot_be_understood(folder: Path) -> None:
    for words, error, message in [
        (("--prefix", "1X"), UsageError, "--prefix '1X'"),
        (("--region", "chr1:9-3"), UsageError, "region 'chr1:9-3'"),
        (("--score", "cosine"), UsageError, "score 'cosine'"),
        (("--mode", "embedding"), Unsupported, "can be asked in: masked, single-pass"),
    ]:
        with pytest.raises(error, match=message):
            invoke(folder, "stand-in:both", *words)
    with pytest.raises(UsageError, match=r"--out .*out\.bcf: want"):
        invoke(folder, "stand-in:both", out="out.bcf")
    with pytest.raises(Unsupported, match="onehot-cnn can be asked for nothing that scores a variant"):
        invoke(folder, "onehot-cnn")
    assert {path.name for path in folder.iterdir()} <= {"in.vcf", "genome.fa", "genome.fa.fai"}


def test_bad_files_are_told(folder: Path) -> None:
    (folder / "ordinary.vcf.gz").write_bytes(gzip.compress((folder / "in.vcf").read_bytes()))
    with pytest.raises(DataError, match="ordinary gzip"):
        invoke(folder, "stand-in:both", vcf="ordinary.vcf.gz")
    renamed = (folder / "in.vcf").read_text().replace("\nchr1\t", "\n1\t")
    (folder / "renamed.vcf").write_text(renamed)
    with pytest.raises(DataError, match="1: the genome calls it chr1; rename one side"):
        invoke(folder, "stand-in:both", vcf="renamed.vcf")
    (folder / "empty.vcf").write_text(HEADER)
    with pytest.raises(DataError, match="has no variants"):
        invoke(folder, "stand-in:both", vcf="empty.vcf")
