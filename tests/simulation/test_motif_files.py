from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from glmbench.errors import DataError
from glmbench.simulation.motif_files import read_motifs

JASPAR = (
    ">MA0001.1 TEST\nA [ 4 0 1 ]\nC [ 0 4 1 ]\nG [ 0 0 1 ]\nT [ 0 0 1 ]\n>MA0002.1 OTHER\nA [1]\nC [1]\nG [2]\nT [0]\n"
)
COLUMNS = "# a comment\n>TEST\n4.0\t0\t0\t0\n0\t4.0\t0\t0\n1\t1\t1\t1\n>OTHER\n1\t1\t2\t0\n"
ROWS = ">TEST\n4 0 1\n0 4 1\n0 0 1\n0 0 1\n>OTHER\n1\n1\n2\n0\n"
MEME = (
    "MEME version 4\n\nALPHABET= ACGT\n\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n\n"
    "MOTIF TEST\nletter-probability matrix: alength= 4 w= 3 nsites= 4 E= 0\n"
    " 1 0 0 0\n 0 1 0 0\n 0.25 0.25 0.25 0.25\n\n"
    "MOTIF OTHER\nletter-probability matrix: alength= 4 w= 1 nsites= 4 E= 0\n 0.25 0.25 0.5 0\n"
)


@pytest.mark.parametrize("text", [JASPAR, COLUMNS, ROWS, MEME], ids=["jaspar", "columns", "rows", "meme"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_four_forms_say_the_same(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / "motifs"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    first, second = read_motifs(path)
    assert (first.name, second.name) == ("TEST", "OTHER")
    assert np.allclose(first.probabilities, [[1, 0, 0, 0], [0, 1, 0, 0], [0.25] * 4])
    assert np.allclose(second.probabilities, [[0.25, 0.25, 0.5, 0]])


FOUR = np.array([[4, 0, 2, 1], [0, 4, 2, 1], [0, 0, 0, 1], [0, 0, 0, 1]])
"""Bases in rows, four positions, each of four counts."""


@pytest.mark.parametrize("table", [FOUR, FOUR.T], ids=["rows", "columns"])
def test_four_positions_are_read_by_what_adds_up(tmp_path: Path, table: np.ndarray) -> None:
    path = tmp_path / "motifs"
    path.write_text(">TEST\n" + "\n".join(" ".join(map(str, row)) for row in table.tolist()))
    assert np.allclose(read_motifs(path)[0].probabilities, FOUR.T / 4)


def test_one_longer_motif_tells_how_a_file_stands(tmp_path: Path) -> None:
    """A JASPAR file in which one motif has four positions, and is ambiguous by itself."""
    path = tmp_path / "motifs"
    path.write_text(">A\n1 2 3 0 0\n1 0 0 1 1\n1 0 0 1 1\n0 1 0 1 1\n>B\n1 2 3 4\n2 3 4 1\n3 4 1 2\n4 1 2 3\n")
    assert [len(motif) for motif in read_motifs(path)] == [5, 4]
    path.write_text(">B\n1 2 3 4\n2 3 4 1\n3 4 1 2\n4 1 2 3\n")
    with pytest.raises(DataError, match="do not tell which of them are the bases"):
        read_motifs(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no motif"),
        (b"no motif here\n", "no motif|cannot be read"),
        (b">A\n1\t2\tx\t4\n", "no motif|cannot be read"),
        (b">A [\n", "cannot be read|no motif"),
        (b">A\n0\t0\t0\t0\n", "motif A has no position, or one without counts"),
        (gzip.compress(JASPAR.encode(), mtime=0)[:30], "truncated gzip"),
        (b"\xff\xfe\x00", "no text file"),
    ],
)
def test_what_is_no_motif_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "motifs"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_motifs(path)


@pytest.mark.real_data
@pytest.mark.parametrize(("group", "number"), [("fungi", 179), ("vertebrates", 838)])
def test_jaspar_2022(shared_data: Path, group: str, number: int) -> None:
    matrices = read_motifs(shared_data / f"motifs/JASPAR2022_{group}.pfm.gz")
    assert len(matrices) == number
    if group == "fungi":
        assert matrices[0].name == "MA0266.1_MA0266.1.ABF2"
        assert matrices[0].consensus == "CTCTAGA"
