import gzip
from pathlib import Path

import pytest

from glmbench.errors import DataError, UsageError
from glmbench.sequences.encoding import reverse_complement
from glmbench.tasks.own_table import open_table_path
from glmbench.tasks.task import LetterCounts

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def sequences(count: int) -> list[str]:
    """Different sequences of 8 bases, none the reverse complement of another."""
    made: list[str] = []
    for number in range(count * 3):
        sequence = "".join("ACGT"[number >> (2 * i) & 3] for i in range(7)) + "A"
        if sequence.translate(COMPLEMENT)[::-1] not in made:
            made.append(sequence)
    return made[:count]


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_classes_from_integers_and_a_drawn_split(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", "Seq,Target", [f"{s},{i % 2}" for i, s in enumerate(sequences(300))])
    task = open_table_path(path)
    assert task.card.name == "mine"
    assert (task.card.kind, task.card.classes, task.card.metric) == ("classification", ("0", "1"), "mcc")
    sizes = {split: task.load(split).height for split in task.splits()}
    assert sum(sizes.values()) == 300
    assert 15 <= sizes["test"] <= 50
    assert 15 <= sizes["dev"] <= 50
    assert "8 : 1 : 1" in task.card.split_rule
    again = open_table_path(path)
    assert all(again.load(split).equals(task.load(split)) for split in sizes)
    assert again.data_hash() == task.data_hash()
    ids = [identifier for split in sizes for identifier in task.load(split)["id"]]
    assert sorted(int(identifier.split("/")[1]) for identifier in ids) == list(range(300))
    assert task.load("test")["group"].equals(task.load("test")["id"].alias("group"))


def test_equal_sequences_of_either_strand_stay_together(tmp_path: Path) -> None:
    once = sequences(100)
    rows = [f"{s},0" for s in once] + [f"{s.translate(COMPLEMENT)[::-1].lower()},1" for s in once]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label", rows))
    by_split = {split: set(task.load(split)["sequence"]) for split in task.splits()}
    for split, held in by_split.items():
        reverse = {s.translate(COMPLEMENT)[::-1] for s in held}
        assert all(not reverse & other for name, other in by_split.items() if name != split)
    assert sum(task.letters(split).lower_case for split in by_split) == 100


@pytest.mark.parametrize("letters", ["RY", "U", "NUKM"])
def test_strands_with_rna_and_iupac_letters_stay_together(tmp_path: Path, letters: str) -> None:
    once = [letters + s for s in sequences(150)]
    other = [reverse_complement(s) for s in once]
    if "U" in letters:
        other = [s.replace("T", "U") for s in other]
    rows = [f"{s},0" for s in once] + [f"{s},1" for s in other]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label", rows))
    by_split = {split: set(task.load(split)["sequence"]) for split in task.splits()}
    assert len(by_split) == 3
    for split, held in by_split.items():
        assert {reverse_complement(s) for s in held} == held, split


def test_uracil_is_read_as_thymine_and_counted(tmp_path: Path) -> None:
    rows = ["ACGU,0,train", "acgt,1,train", "UUUU,0,test", "NACR,1,test"]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label,split", rows))
    assert task.load("train")["sequence"].to_list() == ["ACGT", "ACGT"]
    assert task.letters("train") == LetterCounts(rows=2, lower_case=1, uracil=1)
    assert task.letters("test") == LetterCounts(rows=2, uracil=1, ambiguous=1)


def test_groups_stay_together_and_are_the_unit(tmp_path: Path) -> None:
    rows = [f"{s},{i % 2},g{i // 5}" for i, s in enumerate(sequences(200))]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label,group", rows))
    groups = [set(task.load(split)["group"]) for split in task.splits()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 40
    assert task.card.unit == "group"


def test_a_split_column_and_class_names(tmp_path: Path) -> None:
    rows = ["ACGT\tyes\ttrain", "GGGG\tno\tTRAIN", "CCCC\tno\tval", "TTTT\tyes\ttest"]
    task = open_table_path(write(tmp_path / "mine.tsv", "dna\tclass\tsplit", rows))
    assert task.splits() == ("train", "dev", "test")
    assert task.card.classes == ("no", "yes")
    assert task.load("train").rows() == [("train/0", "ACGT", 1, "train/0"), ("train/1", "GGGG", 0, "train/1")]
    assert task.load("test", context=2)["sequence"].to_list() == ["TT"]
    assert task.card.split_rule == "splits as given"


def test_integers_that_do_not_start_at_0_are_class_names(tmp_path: Path) -> None:
    rows = ["ACGT,10,train", "GGGG,2,train", "CCCC,2,test"]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label,split", rows))
    assert task.card.classes == ("2", "10")
    assert task.load("train")["label"].to_list() == [1, 0]


def test_numbers_make_a_regression(tmp_path: Path) -> None:
    rows = [f"{s},{i / 7}" for i, s in enumerate(sequences(120))]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,expression", rows))
    assert (task.card.kind, task.card.metric, task.card.classes) == ("regression", "spearman", ())
    many = [f"{s},{i}" for i, s in enumerate(sequences(120))]
    assert open_table_path(write(tmp_path / "many.csv", "sequence,y", many)).card.kind == "regression"


def test_a_folder_of_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "sequence,label", ["ACGT,0", "GGGG,1"])
    write(tmp_path / "val.tsv", "sequence\tlabel", ["CCCC\t1"])
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(b"sequence,label\nTTTT,0\n"))
    write(tmp_path / "notes.csv", "a,b", ["1,2"])
    task = open_table_path(tmp_path)
    assert task.splits() == ("train", "dev", "test")
    assert task.load("dev").rows() == [("dev/0", "CCCC", 1, "dev/0")]
    assert {file.split: file.path for file in task.card.files} == {
        "test": "test.csv.gz",
        "train": "train.csv",
        "dev": "val.tsv",
    }


def test_a_folder_without_test_draws_one_from_train(tmp_path: Path) -> None:
    rows = [f"{s},{i % 2}" for i, s in enumerate(sequences(100))]
    write(tmp_path / "train.csv", "sequence,label", rows[:80])
    write(tmp_path / "dev.csv", "sequence,label", rows[80:])
    task = open_table_path(tmp_path)
    assert task.load("dev").height == 20
    assert task.load("train").height + task.load("test").height == 80
    assert "9 : 1" in task.card.split_rule


def test_kmer_joined_text_is_recognised(tmp_path: Path) -> None:
    rows = ['"ACG CGT","0","train"', '"TTT TTA","1","test"', '"GGG GGC","1","train"']
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label,split", rows))
    assert task.card.format.kmer_joined == 3
    assert task.load("test")["sequence"].to_list() == ["TTTA"]


def test_the_hash_follows_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", "sequence,label,split", ["ACGT,0,train", "CC,1,test"])
    before = open_table_path(path).data_hash()
    write(path, "sequence,label,split", ["ACGT,1,train", "CC,0,test"])
    assert open_table_path(path).data_hash() != before


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("name,label", ["ACGT,0"], "no column for the sequence"),
        ("sequence,name", ["ACGT,0"], "no column for the label"),
        ("sequence;", ["ACGT;0"], "no column for the label"),
        ("sequence", ["ACGT"], "no tab, comma or semicolon"),
        ("sequence,label", ["ACGT,0", "CCCC,0"], "at least two classes"),
        ("sequence,label", ["ACGT,0", "ACGT,1"], "too few"),
        ("sequence,label", ["ACGT,0", "CCCC,", "GG,1"], "label of row 1"),
        ("sequence,label", ["ACGT,0", "C-CC,1"], "letter '-'"),
        ("sequence,label", [f"{s},name {i}" for i, s in enumerate(sequences(60))], "text of 60 kinds"),
        ("sequence,label,split", ["ACGT,0,train", "CCCC,1,other"], "split of row 1"),
        ("sequence,label,group", ["ACGT,0,a", "CCCC,1,"], "group of row 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, header: str, rows: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_table_path(write(tmp_path / "mine.csv", header, rows))


def test_no_such_file_or_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        open_table_path(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="want one table each"):
        open_table_path(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="is empty"):
        open_table_path(tmp_path / "empty.csv")
    (tmp_path / "broken.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read"):
        open_table_path(tmp_path / "broken.csv.gz")
