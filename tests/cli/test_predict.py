from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from glmbench.errors import DataError, Unsupported, UsageError
from own_file_runs import run, stand_ins


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins(monkeypatch)


def test_a_classifier_on_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,dna,label\nx,ACGG,1\ny,AATA,0\n")
    run("predict", tmp_path / "t.csv", "-m", "classifier:x", "-o", tmp_path / "p.parquet")
    assert pl.read_parquet(tmp_path / "p.parquet").rows() == [
        ("x", 0, 4, 0.75, 0.25, "gc"),
        ("y", 0, 4, 0.0, 1.0, "at"),
    ]
    assert pl.read_parquet(tmp_path / "p.parquet").columns == ["name", "start", "end", "gc", "at", "label"]


def test_along_a_genome(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nGGGGAAAAGC\n")
    lines = run("predict", tmp_path / "g.fa", "-m", "classifier:x", "--window", 4).splitlines()
    assert lines == [
        "name\tstart\tend\tgc\tat\tlabel",
        "c\t0\t4\t1.0\t0.0\tgc",
        "c\t4\t8\t0.0\t1.0\tat",
        "c\t8\t10\t1.0\t0.0\tgc",
    ]


def test_windows_of_one_width(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nGGGGAAAAGC\n>d\nGG\n")
    words = ("predict", tmp_path / "g.fa", "-m", "classifier:x", "--window", 4, "--tail")
    assert [line.split("\t")[:3] for line in run(*words, "shift").splitlines()[3:]] == [
        ["c", "6", "10"],
        ["d", "0", "2"],
    ]
    assert len(run(*words, "drop").splitlines()) == 3
    with pytest.raises(DataError, match="holds no window of 40 bases"):
        run("predict", tmp_path / "g.fa", "-m", "classifier:x", "--window", 40, "--tail", "drop")
    with pytest.raises(UsageError, match="--tail drop: goes with --window"):
        run("predict", tmp_path / "g.fa", "-m", "classifier:x", "--tail", "drop")


def test_outputs_without_names_and_with_names_of_other_columns() -> None:
    from file_models import Classifier
    from glmbench.inference import answers
    from glmbench.inference.records import whole

    def columns(outputs: tuple[str, ...]) -> list[str]:
        answer = answers.predict(Classifier("classifier:x", outputs=outputs), located=False)
        return answer([whole("a", "ACGT")])[answers.ROWS].columns[3:]

    assert columns(()) == ["output0", "output1", "label"]
    assert columns(("start", "label")) == ["output start", "output label", "label"]


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nGGGG\n>d\nMKV\n>e\nMEF\n")
    with pytest.raises(Unsupported, match="cannot predict: it has no trained outputs"):
        run("predict", tmp_path / "g.fa", "-m", "left:x")
    with pytest.raises(DataError, match="record e: letter 'E' at position 1"):
        run("predict", tmp_path / "g.fa", "-m", "classifier:x")
