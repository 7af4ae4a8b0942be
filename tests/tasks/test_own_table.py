import gzip
from pathlib import Path

import pytest

from glmbench.errors import DataError, UsageError
from glmbench.sequences.encoding import reverse_complement
from glmbench.tasks.own_table import open_table_path
from glmbench.tasks.task import EXAMPLE_COLUMNS, LetterCounts

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


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("seq_1,seq_2,label,split", ["ACGT,GG,0,train", "CCC,TT,1,test"]),
        ("Enhancer,Promoter,label,split", ["ACGT,GG,0,train", "CCC,TT,1,test"]),
        ("sequence,sequence_2,label,split", ["ACGT,GG,0,train", "CCC,TT,1,test"]),
        ("dna,label,split", ["ACGT|GG,0,train", "CCC|TT,1,test"]),
    ],
)
def test_pairs(tmp_path: Path, header: str, rows: list[str]) -> None:
    task = open_table_path(write(tmp_path / "mine.csv", header, rows))
    assert (task.card.kind, task.card.classes) == ("classification", ("0", "1"))
    assert task.load("train").rows() == [("train/0", "ACGT", "GG", 0, "train/0")]
    assert task.load("test", context=1).select("sequence", "sequence_2").row(0) == ("C", "T")
    assert task.letters("test") == LetterCounts(rows=2)


def test_equal_pairs_of_either_strand_stay_together(tmp_path: Path) -> None:
    once = list(zip(sequences(100), reversed(sequences(100)), strict=True))
    rows = [f"{a},{b},0" for a, b in once] + [f"{reverse_complement(a)},{reverse_complement(b)},1" for a, b in once]
    task = open_table_path(write(tmp_path / "mine.csv", "seq1,seq2,label", rows))
    assert "pair of sequences (either strand)" in task.card.split_rule
    for split in task.splits():
        held = set(task.load(split).select("sequence", "sequence_2").rows())
        assert {(reverse_complement(a), reverse_complement(b)) for a, b in held} == held


def test_several_labels_from_their_columns(tmp_path: Path) -> None:
    rows = ["ACGT,1,0,train", "GGGG,0,0,train", "CCCC,1,1.0,test"]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label_H3K4me3,Label:H3K27ac,split", rows))
    assert (task.card.kind, task.card.classes) == ("multilabel", ("H3K4me3", "H3K27ac"))
    assert task.card.metric == "mean_auroc"
    assert task.load("train")["label"].to_list() == [[1, 0], [0, 0]]
    assert task.load("test")["label"].to_list() == [[1, 1]]
    with pytest.raises(DataError, match=r"label 'H3K27ac' of row 1 \(line 3\) is '2'"):
        open_table_path(write(tmp_path / "bad.csv", "sequence,label_H3K4me3,label_H3K27ac", ["ACGT,1,0", "GGGG,0,2"]))


def test_labels_by_base(tmp_path: Path) -> None:
    rows = ["ACGUA,00011,train", "GG,.1,train", "CCC,02?,test"]
    task = open_table_path(write(tmp_path / "mine.csv", "sequence,label,split", rows))
    assert (task.card.kind, task.card.classes, task.card.metric) == ("per-base", ("0", "1", "2"), "mcc")
    assert task.load("train")["label"].to_list() == [[0, 0, 0, 1, 1], [-1, 1]]
    assert task.load("test", context=2).select("sequence", "label").row(0) == ("CC", [0, 2])
    joined = ["ACG CGT,0001,train", "TTT TTA,1000,test"]
    assert open_table_path(write(tmp_path / "kmers.csv", "sequence,label,split", joined)).card.kind == "per-base"


@pytest.mark.parametrize(
    ("header", "rows", "kind", "labels"),
    [
        ("sequence,promoter,label", ["ACGTA,yes,0", "GGCCA,no,1"], "classification", [0, 1]),
        ("sequence,label,label_source,label_batch", ["ACGTA,0,x,1", "GGCCA,1,y,1"], "classification", [0, 1]),
        ("sequence,expression,label_a,label_b", ["ACGTA,0.5,0,1", "GGCCA,1.5,1,1"], "regression", [0.5, 1.5]),
        ("sequence,label", ["A,0", "C,1"], "classification", [0, 1]),
        ("sequence,label", ["ACGT,0.25", "GGCC,1.50"], "regression", [0.25, 1.5]),
        ("sequence,label", ["ACGT,1000", "GGCC,10"], "classification", [1, 0]),
        ("sequence,sequence_1,sequence_2,label", ["ACGG,AC,GG,0", "GGCC,GG,CC,1"], "classification", [0, 1]),
    ],
)
def test_ordinary_tables_stay_ordinary(
    tmp_path: Path, header: str, rows: list[str], kind: str, labels: list[float]
) -> None:
    rows = [f"{row},{split}" for row, split in zip(rows, ("train", "test"), strict=True)]
    task = open_table_path(write(tmp_path / "mine.csv", f"{header},split", rows))
    assert task.card.kind == kind
    assert task.load("train").columns == list(EXAMPLE_COLUMNS)
    assert [task.load(split)["label"][0] for split in ("train", "test")] == labels


def test_the_hash_of_an_ordinary_table_is_what_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", "sequence,label,split", ["ACGT,0,train", "CC,1,test"])
    assert open_table_path(path).data_hash() == "09a2a6e1fe77e30d2405c9d77fcc96b6311b7b5e4caca4381ed13923ffad6395"


def test_tables_of_pairs_and_of_single_sequences_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "sequence,label", ["AC|GT,0", "GG|GG,1"])
    write(tmp_path / "test.csv", "sequence,label", ["ACGT,0"])
    with pytest.raises(DataError, match="some tables hold pairs"):
        open_table_path(tmp_path)
