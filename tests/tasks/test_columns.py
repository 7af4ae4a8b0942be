from pathlib import Path

import polars as pl
import pytest

from glmbench.errors import DataError
from glmbench.tasks.card import TableFormat
from glmbench.tasks.columns import paired_columns, partner, sequences_and_label
from glmbench.tasks.delimited import read_rows

PAIRS = [("AC", "GTT", "1"), ("CC", "TTA", "0")]


def read(tmp_path: Path, content: str, table: TableFormat | None = None) -> pl.DataFrame:
    path = tmp_path / "test.csv"
    path.write_bytes(content.encode())
    table = table or TableFormat()
    return sequences_and_label(read_rows(path, table), table, path)


@pytest.mark.parametrize(
    "content",
    [
        "sequence,label\nAC|GTT,1\nCC|TTA,0\n",
        "sequence,label\r\nAC|GTT,1\r\nCC|TTA,0\r\n",
        "a,b\nAC|GTT,1\nCC|TTA,0\n",
        "a,b,c\nAC,GTT,1\nCC,TTA,0\n",
        "enhancer,promoter,label\nAC,GTT,1\nCC,TTA,0\n",
        "id,label,promoter,enhancer\n7,1,GTT,AC\n8,0,TTA,CC\n",
        "sequence_1,sequence_2,label,more\nAC,GTT,1,x\nCC,TTA,0,y\n",
        "label,seq2,seq1,more\n1,GTT,AC,x\n0,TTA,CC,y\n",
        "sequence,sequence_2,label\nAC,GTT,1\nCC,TTA,0\n",
    ],
)
def test_every_way_to_write_a_pair_is_read_alike(tmp_path: Path, content: str) -> None:
    got = read(tmp_path, content)
    assert got.columns == ["sequence", "sequence_2", "label"]
    assert got.rows() == PAIRS


def test_the_columns_that_the_format_names(tmp_path: Path) -> None:
    content = "x,y,z,label\nAC,GTT,TT,1\nCC,TTA,GG,0\n"
    assert read(tmp_path, content, TableFormat(sequence="x", sequence_2="y")).rows() == PAIRS
    with pytest.raises(DataError, match=r"no column 'w'.*want 'x' and 'w' and 'label'"):
        read(tmp_path, content, TableFormat(sequence="x", sequence_2="w"))
    several = read(tmp_path, "s,a,b\nAC,1,0\nGG,0,0\n", TableFormat(sequence="s", labels=("b", "a")))
    assert several.rows() == [("AC", ["0", "1"]), ("GG", ["0", "0"])]
    with pytest.raises(DataError, match="no column 'c'"):
        read(tmp_path, "s,a,b\nAC,1,0\n", TableFormat(sequence="s", labels=("a", "c")))


def test_a_second_sequence_belongs_to_the_first_of_its_name() -> None:
    assert partner("sequence", ("sequence", "sequence_2")) == "sequence_2"
    assert partner("sequence", ("sequence", "sequence_1", "sequence_2")) is None
    assert partner("sequence_1", ("sequence", "sequence_1", "sequence_2")) == "sequence_2"
    assert partner("sequence", ("sequence", "promoter")) is None
    assert paired_columns(("sequence", "enhancer", "label")) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sequence,label\nAC|GT,1\nACGT,0\n", r"row 1 \(line 3\) has no '\|'"),
        ("sequence,label\nAC|GT,1\nA|C|T,0\n", r"row 1 \(line 3\) has more than one '\|'"),
        ("id,dna,y\n7,ACGT,1\n", "no column 'sequence'"),
        ("ACGTACGTACGTA,ACGT,1\nACGT,AC,0\n", "no header"),
        ("ACGTACGTACG|ACGT,1\nACGT|AC,0\n", "no header"),
    ],
)
def test_what_is_no_table_of_pairs_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, content)
