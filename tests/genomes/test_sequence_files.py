import gzip
from pathlib import Path

import pytest

from glmbench.errors import UsageError
from glmbench.genomes.sequence_files import read_sequences, sequence_files, without_endings
from glmbench.sequences.alphabet import decode

GENBANK = (
    "LOCUS       TEST1 8 bp DNA linear SYN 01-JAN-2020\nDEFINITION  a test.\nACCESSION   TEST1\nVERSION     TEST1.1\n"
    "FEATURES             Location/Qualifiers\nORIGIN\n        1 acgtacgg\n//\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "VIR"
    found.mkdir()
    (found / "b.fa").write_text(">x\nACGT\n")
    (found / "c.gb").write_text(GENBANK)
    (found / "a.fna.bgz").write_bytes(gzip.compress(b">x\nTT\n"))
    (found / "d.gbff.gz").write_bytes(gzip.compress(GENBANK.encode()))
    (found / "notes.txt").write_text("no sequence")
    return found


def test_a_folder_is_its_fasta_and_genbank_files(folder: Path) -> None:
    assert [file.name for file in sequence_files([folder])] == ["a.fna.bgz", "b.fa", "c.gb", "d.gbff.gz"]
    assert sequence_files([folder / "notes.txt"]) == [folder / "notes.txt"]


def test_names_lose_their_endings() -> None:
    names = ("sacCer3.fa", "a.b.fna.bgz", "K12.gbff.gz", "notes.txt", "x.gz")
    assert [without_endings(name) for name in names] == ["sacCer3", "a.b", "K12", "notes.txt", "x"]


def test_genbank_and_fasta_read_alike(folder: Path) -> None:
    found = {file.name: [decode(contig.codes) for contig in read_sequences(file)] for file in sequence_files([folder])}
    assert found == {"a.fna.bgz": ["TT"], "b.fa": ["ACGT"], "c.gb": ["ACGTACGG"], "d.gbff.gz": ["ACGTACGG"]}


def test_paths_without_sequences_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        sequence_files([folder / "absent"])
    with pytest.raises(UsageError, match=r"holds no FASTA or GenBank file .*; name its folders: VIR"):
        sequence_files([folder.parent])
    with pytest.raises(UsageError, match="no sequence"):
        sequence_files([])


def test_one_file_twice_is_refused(folder: Path) -> None:
    (folder.parent / "link.fa").symlink_to(folder / "b.fa")
    with pytest.raises(UsageError, match=r"b\.fa is named twice"):
        sequence_files([folder, folder / "b.fa"])
    with pytest.raises(UsageError, match=r"b\.fa is named twice"):
        sequence_files([folder / "b.fa"] * 2)
    with pytest.raises(UsageError, match=r"link\.fa is the same file as .*b\.fa"):
        sequence_files([folder / "b.fa", folder.parent / "link.fa"])
