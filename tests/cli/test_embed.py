from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from file_models import Composition
from glmbench.errors import DataError, GlmbenchError, Unsupported, UsageError
from glmbench.models.registry import load
from own_file_runs import run, run_process, stand_ins

SEQUENCES = {f"r{i}": "ACGTTGCA"[i % 5 :] * (3 + i) for i in range(30)}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fa"
    path.write_text("".join(f">{name} x\n{sequence}\n" for name, sequence in SEQUENCES.items()))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".npy", ".safetensors", ".tsv", ".csv.gz"])
def test_vectors_are_those_of_the_model(ending: str, fasta: Path, tmp_path: Path) -> None:
    out = tmp_path / f"e{ending}"
    summary = json.loads(run("embed", fasta, "-m", "kmer:2", "--out", out, "--json"))
    wanted = load("kmer:2").embed(list(SEQUENCES.values()))  # type of a model that embeds
    if ending == ".parquet":
        table = pl.read_parquet(out)
        found = table["embedding"].to_numpy()
        names = table["name"].to_list()
        assert table.columns == ["name", "start", "end", "embedding"]
    elif ending in (".npy", ".safetensors"):
        found = np.load(out) if ending == ".npy" else load_file(out)["embedding"]
        rows = pl.read_csv(tmp_path / f"e{ending}.rows.tsv", separator="\t")
        names, ends = rows["name"].to_list(), rows["end"].to_list()
        assert ends == [len(sequence) for sequence in SEQUENCES.values()]
    else:
        table = pl.read_csv(out, separator="\t" if ending == ".tsv" else ",")
        names = table["name"].to_list()
        found = table.drop("name", "start", "end").to_numpy()
        assert table.columns[3:5] == ["e0", "e1"]
    assert names == list(SEQUENCES)
    np.testing.assert_array_equal(found, wanted)
    assert (summary["records"], summary["bases"]) == (30, sum(map(len, SEQUENCES.values())))
    assert not out.with_name(out.name + ".part").exists()


def test_the_rows_of_two_matrices_stand_apart_and_no_file_is_replaced(fasta: Path, tmp_path: Path) -> None:
    run("embed", fasta, "-m", "kmer:2", "--out", tmp_path / "e.npy")
    run("embed", fasta, "-m", "kmer:2", "--window", 5, "--out", tmp_path / "e.safetensors")
    assert len(pl.read_csv(tmp_path / "e.npy.rows.tsv", separator="\t")) == 30
    assert len(pl.read_csv(tmp_path / "e.safetensors.rows.tsv", separator="\t")) > 30
    (tmp_path / "e.npy").unlink()
    with pytest.raises(UsageError, match=r"e\.npy\.rows\.tsv exists already"):
        run("embed", fasta, "-m", "kmer:2", "--out", tmp_path / "e.npy")
    assert not (tmp_path / "e.npy").exists()


def test_windows_and_intervals(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)
    bed = tmp_path / "i.bed"
    bed.write_text("r7\t2\t12\tpeak\t0\t-\nr3\t0\t4\n")
    run("embed", bed, "--genome", fasta, "-m", "x", "--window", 6, "--step", 4, "-o", tmp_path / "e.parquet")
    table = pl.read_parquet(tmp_path / "e.parquet")
    assert table.drop("embedding").rows() == [
        ("peak", "r7", 6, 12, "-"),
        ("peak", "r7", 2, 8, "-"),
        ("r3:0-4", "r3", 0, 4, "+"),
    ]
    from glmbench.sequences.encoding import reverse_complement

    wanted = Composition("x").embed([reverse_complement(SEQUENCES["r7"][6:12])])
    np.testing.assert_array_equal(table["embedding"].to_numpy()[:1], wanted)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(fasta: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    done = run_process("embed", fasta, "-m", "x", "-o", whole, chunk=300, log=tmp_path / "whole.log")
    assert done.returncode == 0, done.stderr
    died = run_process("embed", fasta, "-m", "x", "-o", killed, chunk=300, kill=4, log=first)
    assert died.returncode == -signal.SIGKILL
    assert not killed.exists()
    again = run_process("embed", fasta, "-m", "x", "-o", killed, "--json", chunk=300, log=second)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["chunks_reused"] == 3
    assert whole.read_bytes() == killed.read_bytes()
    calls = [log.read_text().split() for log in (tmp_path / "whole.log", first, second)]
    assert len(calls[1]) == 3
    assert calls[1] + calls[2] == calls[0]


def test_a_full_disk(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files stands for the end of a disk: the chunks fit, the output does not."""
    stand_ins(monkeypatch)
    monkeypatch.setattr("glmbench.inference.driving.CHUNK", 6_000)
    many = tmp_path / "many.fa"
    many.write_text(fasta.read_text() * 10)
    out = tmp_path / "e.npy"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_500, before[1]))
        with pytest.raises(GlmbenchError, match=r"File too large; \d+ finished chunks stay"):
            run("embed", many, "-m", "x", "-o", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not out.exists()
    summary = json.loads(run("embed", many, "-m", "x", "-o", out, "--json"))
    assert summary["bases_per_second"] is None  # nothing was computed again
    assert summary["chunks_reused"] > 0
    assert np.load(out).shape == (300, 4)


def test_a_vector_for_every_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGTT\n>b\nTTTC\n")
    run("embed", path, "-m", "triplets:x", "--per-base", "--layer", "input", "-o", tmp_path / "s.safetensors")
    found = load_file(tmp_path / "s.safetensors")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "a": [[0, 0], [0, 0], [0, 0], [3, 1], [3, 1]],
        "b": [[3, 0], [3, 0], [3, 0], [1, 1]],
    }
    words = ("embed", path, "-m", "triplets:x", "--per-base", "--layer", "0", "--window", 4)
    run(*words, "--dtype", "float16", "-o", tmp_path / "w.safetensors")
    half = load_file(tmp_path / "w.safetensors")
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in half.items()} == {
        "a:0-4": ((4, 2), np.float16),
        "a:4-5": ((1, 2), np.float16),
        "b:0-4": ((4, 2), np.float16),
    }
    with pytest.raises(Unsupported, match="layer deep of a has no places that stand for bases"):
        run("embed", path, "-m", "triplets:x", "--per-base", "-o", tmp_path / "d.safetensors")
    with pytest.raises(Unsupported, match="has no layer 'x'; its layers: input, deep"):
        run("embed", path, "-m", "triplets:x", "--per-base", "--layer", "x", "-o", tmp_path / "d.safetensors")


def test_tensors_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGTT\n>a\nTTTC\n")
    with pytest.raises(DataError, match="two records are called a"):
        run("embed", path, "-m", "triplets:x", "--per-base", "--layer", "0", "-o", tmp_path / "s.safetensors")
    run("embed", path, "-m", "x", "-o", tmp_path / "e.parquet")  # rows need no names of their own
    assert pl.read_parquet(tmp_path / "e.parquet")["name"].to_list() == ["a", "a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "e.txt"), "want a name that ends in .parquet, .npy"),
        (("-o", "e.npy", "--per-base"), "want a name that ends in .safetensors"),
        (("-o", "e.npy", "--step", "3"), "--step 3: goes with --window"),
        (("-o", "e.npy", "--window", "3", "--step", "4"), "at most as long"),
        (("-o", "e.safetensors", "--per-base", "--pool", "mean"), "choose one"),
        (("-o", "e.npy", "--dtype", "float16"), "with --per-base"),
        (("-o", "e.npy", "--layer", "3"), "unknown option 'layer'"),
    ],
)
def test_requests_that_make_no_sense(words: tuple[str, ...], said: str, fasta: Path) -> None:
    with pytest.raises(UsageError, match=said):
        run("embed", fasta, "-m", "kmer:2", *words)


def test_a_model_that_cannot(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)
    with pytest.raises(Unsupported, match=r"cannot turn sequences into vectors; what it gives: .*impute"):
        run("embed", fasta, "-m", "left:x", "-o", tmp_path / "e.npy")
    (tmp_path / "there.npy").touch()
    with pytest.raises(UsageError, match="exists already"):
        run("embed", fasta, "-m", "x", "-o", tmp_path / "there.npy")


def test_help_of_every_verb_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from glmbench.cli import app\n"
        "for verb in ('embed', 'score', 'impute', 'predict'):\n"
        "    done = CliRunner().invoke(app, [verb, '--help'])\n"
        "    assert '--model' in done.output, done.output\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"torch", "transformers", "pysam", "numba", "numpy", "polars"})
