from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from glmbench.cli import app
from glmbench.errors import UsageError
from glmbench.pretraining.corpus import build_corpus


def run(*words: object) -> str:
    done = CliRunner().invoke(app, ["simulate", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("kind", ["bacterial", "vertebrate-like"])
def test_a_genome_and_its_annotation(kind: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        said = run("--out", tmp_path / f"{name}.fa", "--kind", kind, "--genes", 3, "--contigs", 2, "--seed", 4)
    run("--out", tmp_path / "other.fa", "--kind", kind, "--genes", 3, "--contigs", 2, "--seed", 5)
    one, two, other = ((tmp_path / f"{name}.fa").read_text() for name in ("one", "two", "other"))
    assert one == two != other
    features = (tmp_path / "two.bed").read_text().splitlines()
    corpus = build_corpus([tmp_path / "two.fa"], tmp_path / "corpus")
    bases = sum(file["bases"] for file in corpus.manifest["files"])
    assert said == f"{tmp_path / 'two.fa'}: {bases:,} bases on 2 contigs; two.bed: {len(features):,} features\n"
    lengths = dict(corpus.shards[0].contigs.select("name", "length").iter_rows())
    assert len(lengths) == 2
    for chromosome, start, end, *_ in (line.split("\t") for line in features):
        assert 0 <= int(start) < int(end) <= lengths[chromosome]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"genome.txt: want a name that ends in .fa, .fasta or .fna"):
        run("--out", tmp_path / "genome.txt")
