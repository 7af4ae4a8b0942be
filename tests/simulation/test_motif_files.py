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
MEME = (
    "MEME version 4\n\nALPHABET= ACGT\n\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n\n"
    "MOTIF TEST\nletter-probability matrix: alength= 4 w= 3 nsites= 4 E= 0\n"
    " 1 0 0 0\n 0 1 0 0\n 0.25 0.25 0.25 0.25\n\n"
    "MOTIF OTHER\nletter-probability matrix: alength= 4 w= 1 nsites= 4 E= 0\n 0.25 0.25 0.5 0\n"
)


@pytest.mark.parametrize("text", [JASPAR, COLUMNS, MEME], ids=["jaspar", "columns", "meme"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_three_forms_say_the_same(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / "motifs"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    first, second = read_motifs(path)
    assert (first.name, second.name) == ("TEST", "OTHER")
    assert np.allclose(first.probabilities, [[1, 0, 0, 0], [0, 1, 0, 0], [0.25] * 4])
    assert np.allclose(second.probabilities, [[0.25, 0.25, 0.5, 0]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no motif"),
        (b"no motif here\n", "no motif|cannot be read"),
        (b">A\n1\t2\tx\t4\n", "no motif|cannot be read"),
        (b">A [\n", "cannot be read|no motif"),
        (b">A\n0\t0\t0\t0\n", "motif A has no position, or one without counts"),
        (gzip.compress(JASPAR.encode())[:30], "truncated gzip"),
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
