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
from glmbench.errors import DataError, GlmbenchError, UsageError
from glmbench.tokenizers.saving import load_tokenizer


def run(*words: object) -> str:
    """Standard output of `glmbench tokenizer …`; errors meant for people are raised."""
    done = CliRunner().invoke(app, ["tokenizer", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups of one random genome each."""
    root = tmp_path_factory.mktemp("genomes")
    rng = np.random.default_rng(0)
    for group in ("PRO", "VIR"):
        (root / group).mkdir()
        (root / group / "one.fa").write_text(f">{group}\n" + "".join(rng.choice(list("ACGT"), 6_000)) + "\n")
    return root


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['glmbench', 'tokenizer', 'compare', '--help']\n"
        "from glmbench.cli import main\n"
        "try: main()\n"
        "finally: print('@', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "--windows" in done.stdout
    modules = set(done.stderr.rpartition("@")[2].split())
    assert modules.isdisjoint({"torch", "transformers", "tokenizers", "numba", "numpy", "polars", "altair"})


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_train_then_show(kind: str, folder: Path, tmp_path: Path) -> None:
    out = run("train", folder / "PRO", folder / "VIR" / "one.fa", "--kind", kind, "--size", 40, "--out", tmp_path / "t")
    assert out.startswith(f"{kind}-40: 35 tokens from 12,001 bases")
    tokenizer = load_tokenizer(tmp_path / "t")
    shown = json.loads(run("show", tmp_path / "t", "acgtnacgt", "--json"))
    assert (shown["tokenizer"], shown["bases"]) == (tokenizer.name, 9)
    assert "".join(token["bases"] for token in shown["tokens"]) == "ACGTNACGT"
    with pytest.raises(UsageError, match="exists already"):
        run("train", folder / "PRO", "--out", tmp_path / "t")


def test_a_corpus_too_small_is_said(tmp_path: Path) -> None:
    (tmp_path / "small.fa").write_text(">s\n" + "ACGT" * 300 + "\n")
    out = run("train", tmp_path / "small.fa", "--size", 4096, "--out", tmp_path / "t")
    assert "(asked for 4,096: the corpus has no more)" in out


def test_show_a_vocabulary() -> None:
    out = run("show", "blocks:6")
    assert out.startswith("blocks-6: 4,105 ids, 4,100 of them stand for bases")
    assert "unknown N=4104, cls <cls>=3, pad <pad>=1, mask <mask>=2" in out
    assert json.loads(run("show", "kmer:3", "--json"))["lengths"] == {"3": 64}


def test_show_tokens() -> None:
    lines = [line.split() for line in run("show", "blocks:3", "ACGTNCCC").splitlines() if line.strip()]
    assert ["ACG", "T", "N", "CCC"] in lines
    assert lines[-4:] == [
        ["15", "ACG", "0", "3", "ACG"], ["69", "T", "3", "4", "T"], ["72", "N", "4", "5", "N"],
        ["46", "CCC", "5", "8", "CCC"],
    ]  # fmt: skip
    assert "no token; 2 bases are fewer than a k-mer has" in run("show", "kmer:3", "AC")


def test_compare(folder: Path, tmp_path: Path) -> None:
    words = ["compare", "character", "blocks:6", "--on", folder / "PRO", "--on", folder / "VIR", "--windows", 40]
    out = run(*words, "--out", tmp_path / "out")
    assert [line for line in out.splitlines() if line in ("PRO", "VIR")] == ["PRO", "VIR"]
    table = pl.read_csv(tmp_path / "out" / "tokenizers.csv")
    assert table.select("group", "tokenizer").rows() == [
        ("PRO", "character"), ("PRO", "blocks-6"), ("VIR", "character"), ("VIR", "blocks-6"),
    ]  # fmt: skip
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"tokenizers.{suffix}" for suffix in ("csv", "svg", "pdf", "png", "html")
    }
    rows = [json.loads(line) for line in run(*words, "--baseline", "blocks:6", "--json").splitlines()]
    assert [row["relative_flops"] == 1.0 for row in rows] == [False, True, False, True]
    assert rows[0]["bases_per_token"] == table["bases_per_token"][0]


def test_two_of_one_name_are_told_apart_by_reference(folder: Path, tmp_path: Path) -> None:
    for name, group in (("a", "PRO"), ("b", "VIR")):
        run("train", folder / group, "--size", 30, "--out", tmp_path / name)
    references = [str(tmp_path / "a"), str(tmp_path / "b"), "character"]
    out = run("compare", *references, "--on", folder / "PRO", "--windows", 5, "--json")
    assert [json.loads(line)["tokenizer"] for line in out.splitlines()] == references


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("show", "bpe:500"), UsageError, "has to be trained first: `glmbench tokenizer train FASTA --kind bpe"),
        (("show", "character", "MKVL"), DataError, "letter 'L' at position 3"),
        (("show", "character", ""), UsageError, "the sequence is empty"),
        (("compare", "character", "--on", "absent.fa"), UsageError, "there is no file or folder absent.fa"),
        (("train", "absent.fa", "--out", "t"), UsageError, "there is no file or folder absent.fa"),
        (("train", "absent.fa", "--size", 5, "--out", "t"), UsageError, "a bpe vocabulary of 5: .* want 10 or more"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[object, ...], error: type[GlmbenchError], message: str) -> None:
    with pytest.raises(error, match=message):
        run(*words)


def test_all_n_is_said(tmp_path: Path) -> None:
    (tmp_path / "n.fa").write_text(">n\n" + "N" * 900 + "\n")
    with pytest.raises(DataError, match=r"n\.fa: every base is N or an ambiguity code"):
        run("train", tmp_path / "n.fa", "--out", tmp_path / "t")
    with pytest.raises(DataError, match="every base is N"):
        run("compare", "character", "--on", tmp_path / "n.fa")
    assert not (tmp_path / "t").exists()
