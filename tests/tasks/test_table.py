from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.storage.fetch import Access
from glmbench.storage.hashing import sha256_bytes
from glmbench.tasks.card import DataFile, TableFormat, TaskCard
from glmbench.tasks.registry import find, open_task
from glmbench.tasks.table import TableTask, central
from glmbench.tasks.task import EXAMPLE_COLUMNS, LetterCounts, ReportsLetters


def task_of(
    tmp_path: Path,
    content: str | bytes,
    *,
    rows: int | None = None,
    kind: str = "classification",
    classes: tuple[str, ...] = (),
    table: TableFormat | None = None,
) -> TableTask:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / "mirror").mkdir(exist_ok=True)
    (tmp_path / "mirror" / "test.csv").write_bytes(data)
    card = TaskCard(
        name="a/b",
        title="t",
        kind=kind,
        classes=classes,
        metric="mcc",
        metrics=("mcc",),
        format=table or TableFormat(),
        files=(DataFile(split="test", path="test.csv", rows=rows, sha256=sha256_bytes(data)),),
    )
    return TableTask(card, Access(tmp_path / "cache" / sha256_bytes(data)[:8], str(tmp_path / "mirror"), offline=True))


def test_a_table_becomes_examples(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nACGT,1\nggCN,0\nACRT,1\n")
    got = task.load("test")
    assert got.columns == list(EXAMPLE_COLUMNS)
    assert got.rows() == [
        ("test/0", "ACGT", 1, "test/0"),
        ("test/1", "GGCN", 0, "test/1"),
        ("test/2", "ACRT", 1, "test/2"),
    ]
    assert got.schema["label"] == pl.Int64
    assert task.letters("test") == LetterCounts(rows=3, lower_case=1, ambiguous=2)
    assert task.splits() == ("test",)
    assert task.references("test") == {}
    with pytest.raises(UsageError, match="no split 'train'"):
        task.load("train")


@pytest.mark.parametrize(
    "content",
    [
        b'"sequence","label"\n"ACGT","1"\n"GGCC","0"\n',
        b"sequence,label\r\nACGT,1\r\nGGCC,0\r\n",
        b"\xef\xbb\xbfsequence,label\nACGT,1\nGGCC,0",
        b"sequence,label\n\nACGT,1\nGGCC,0\n\n",
        b"label,sequence\n1,ACGT\n0,GGCC\n",
        b"id,label,sequence,more\n7,1,ACGT,x\n8,0,GGCC,y\n",
        b"dna,y\nACGT,1\nGGCC,0\n",
        b"sequence,label\nACGT,1.0\nGGCC,0.0\n",
        b"sequence,label\n ACGT , 1 \nGGCC,0\n",
    ],
    ids=["quoted", "crlf", "bom", "blank lines", "order", "more columns", "other names", "floats", "blanks"],
)
def test_spellings_of_one_table_load_alike(tmp_path: Path, content: bytes) -> None:
    assert task_of(tmp_path, content).load("test").select("sequence", "label").rows() == [("ACGT", 1), ("GGCC", 0)]


def test_kmer_joined_quoted_and_plain_load_alike(tmp_path: Path) -> None:
    table = TableFormat(separator="\t", kmer_joined=3)
    quoted = task_of(tmp_path, '"sequence"\t"label"\n"ACG CGT"\t"1"\n"TTT TTA"\t"0"\n', table=table).load("test")
    plain = task_of(tmp_path, "sequence\tlabel\nACG CGT\t1\nTTT TTA\t0\n", table=table).load("test")
    assert plain["sequence"].to_list() == ["ACGT", "TTTA"]
    assert quoted.equals(plain)


def test_labels_by_the_names_of_the_card(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nACGT,yes\nGG,no\n", classes=("no", "yes"))
    assert task.load("test")["label"].to_list() == [1, 0]


def test_a_regression_keeps_numbers(tmp_path: Path) -> None:
    got = task_of(tmp_path, "sequence,label\nACGT,-1.5\nGG,2\n", kind="regression").load("test")
    assert got["label"].to_list() == [-1.5, 2.0]
    assert got.schema["label"] == pl.Float64


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("sequence,label\n", "no rows"),
        ("\n\n", "empty|no rows"),
        ("sequence,label\nACGT,1,2\n", "not a table"),
        (b"sequence,label\nA\xffC,1\n", "not a table"),
        ('sequence,label\n"ACGT,1\n', "not a table"),
        ("sequence\nACGT\n", "no column 'label'"),
        ("a,b,c,d\nACGT,1,2,3\n", "no column 'sequence'"),
        ("ACGTACGTACGTACGT,1\nACGT,0\n", "no header"),
        ("sequence,label\nACGT,1\nACXT,0\n", r"row 1 \(line 3\) has the letter 'X'"),
        ("sequence,label\nACGT,1\nAC GT,0\n", "kmer_joined"),
        ("sequence,label\nACGT,1\n,0\n", r"sequence of row 1 \(line 3\) is missing"),
        ("sequence,label\nACGT,0\nACG,\n", r"label of row 1 \(line 3\) is missing"),
        ("sequence,label\nACGT,0\nACG\n", r"label of row 1 \(line 3\) is missing"),
        ("sequence,label\nACGT,0\nACG,nan\n", r"label 'nan' of row 1"),
        ("sequence,label\nACGT,0\nACG,-1\n", r"label '-1' of row 1"),
        ("sequence,label\nACGT,0\nACG,0.5\n", r"label '0.5' of row 1"),
        ("sequence,label\nACGT,0\nACG,yes\n", r"label 'yes' of row 1"),
        ("sequence,label\nACGT,0\nACG,2\n", r"labels \[0, 2\] have gaps"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as raised:
        task_of(tmp_path, content).load("test")
    assert "test.csv" in str(raised.value)


@pytest.mark.parametrize("label", ["nan", "inf", "", "high"])
def test_a_regression_refuses_what_is_no_number(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match="row 1"):
        task_of(tmp_path, f"sequence,label\nACGT,1.5\nACG,{label}\n", kind="regression").load("test")


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="want 0 to 1"):
        task_of(tmp_path, "sequence,label\nACGT,2\n", classes=("<a>", "<b>")).load("test")


def test_rows_are_counted_against_the_card(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 1 rows, the card of a/b@1 says 2"):
        task_of(tmp_path, "sequence,label\nACGT,0\n", rows=2).load("test")


def test_a_long_row_of_n_is_read_and_counted(tmp_path: Path) -> None:
    task = task_of(tmp_path, f"sequence,label\n{'N' * 1000},0\nACGT,1\n")
    assert task.load("test")["sequence"][0] == "N" * 1000
    assert task.letters("test").ambiguous == 1


@given(st.lists(st.text("ACGT", min_size=1, max_size=30), min_size=1, max_size=5), st.integers(1, 40))
def test_context_keeps_the_middle(sequences: list[str], context: int) -> None:
    frame = pl.DataFrame({"sequence": sequences})
    for whole, cut in zip(sequences, central(frame, context)["sequence"], strict=True):
        assert len(cut) == min(len(whole), context)
        before = max(0, (len(whole) - context) // 2)
        assert whole[before : before + context] == cut
        assert len(whole) - len(cut) - before in (before, before + 1)


def test_context_by_hand(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nAACCGGTT,0\nACGTA,1\nAC,0\n")
    assert task.load("test", context=4)["sequence"].to_list() == ["CCGG", "ACGT", "AC"]
    assert task.load("test")["sequence"].to_list() == ["AACCGGTT", "ACGTA", "AC"]
    with pytest.raises(UsageError, match="at least 1"):
        task.load("test", context=0)


def test_the_hash_is_of_content_and_format_not_of_prose(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nACGT,0\n")
    same = task.card.model_copy(update={"title": "other words", "notes": ("more",)})
    assert TableTask(same, Access(tmp_path, offline=True)).data_hash() == task.data_hash()
    other = task.card.model_copy(update={"format": TableFormat(kmer_joined=2)})
    assert TableTask(other, Access(tmp_path, offline=True)).data_hash() != task.data_hash()
    assert task_of(tmp_path, "sequence,label\nACGT,1\n").data_hash() != task.data_hash()


def test_a_part_that_is_absent_does_not_hide_the_rest(tmp_path: Path) -> None:
    there = task_of(tmp_path, "sequence,label\nACGT,0\n")
    absent = DataFile(split="train", path="train.csv")
    both = there.card.model_copy(update={"files": (absent, *there.card.files)})
    task = TableTask(both, Access(tmp_path / "c", str(tmp_path / "mirror"), offline=True))
    assert len(task.data_hash()) == 64
    assert task.load("test").height == 1
    with pytest.raises(MissingData, match="glmbench get a/b"):
        task.load("train")
    nothing = there.card.model_copy(update={"files": (absent,)})
    with pytest.raises(MissingData):
        TableTask(nothing, Access(tmp_path / "c", offline=True)).data_hash()


def test_an_unverified_files_content_is_in_the_hash(tmp_path: Path) -> None:
    hashes = set()
    for content in ("sequence,label\nACGT,0\n", "sequence,label\nACGA,0\n"):
        known = task_of(tmp_path, content)
        card = known.card.model_copy(update={"files": (DataFile(split="test", path="test.csv"),)})
        hashes.add(
            TableTask(card, Access(tmp_path / sha256_bytes(content.encode()), str(tmp_path / "mirror"))).data_hash()
        )
    assert len(hashes) == 2


def test_uracil_is_read_as_thymine_and_counted(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nACGU,0\nacgu,1\nACGT,1\nARUU,0\n")
    assert task.load("test")["sequence"].to_list() == ["ACGT", "ACGT", "ACGT", "ARTT"]
    assert isinstance(task, ReportsLetters)
    assert task.letters("test") == LetterCounts(rows=4, lower_case=1, uracil=3, ambiguous=1)


def own_card(folder: Path, content: str) -> str:
    """A card and a mirror of its own, both of the same names in every folder."""
    (folder / "mirror").mkdir(parents=True)
    (folder / "mirror" / "test.csv").write_text(content)
    lines = ['name = "own"', 'title = "t"', 'metric = "mcc"', 'metrics = ["mcc"]']
    (folder / "own.toml").write_text("\n".join([*lines, "[[files]]", 'split = "test"', 'path = "test.csv"', ""]))
    return str(folder / "own.toml")


def test_own_cards_with_equal_paths_get_their_own_files(tmp_path: Path) -> None:
    for name, base in (("one", "A"), ("two", "C")):
        reference = own_card(tmp_path / name, f"sequence,label\n{base * 4},0\n")
        access = Access(tmp_path / "cache", str(tmp_path / name / "mirror"), offline=True)
        assert open_task(reference, access).load("test")["sequence"].to_list() == [base * 4]
    packaged = TableTask(
        find("gue/tf/0").model_copy(update={"files": (DataFile(split="test", path="test.csv"),)}), access
    )
    assert packaged.load("test")["sequence"].to_list() == ["CCCC"]
    assert (tmp_path / "cache" / "data" / "test.csv").is_file()


def test_a_bad_first_download_can_be_removed(tmp_path: Path) -> None:
    access = Access(tmp_path / "cache", str(tmp_path / "mirror"), offline=True)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "test.csv").write_text("please log in")
    file = DataFile(split="test", path="test.csv")
    card = TaskCard(name="a/b", title="t", metric="mcc", metrics=("mcc",), files=(file,))
    with pytest.raises(DataError) as raised:
        TableTask(card, access).load("test")
    installed = tmp_path / "cache" / "data" / "test.csv"
    both = (installed, installed.with_name("test.csv.sha256"))
    assert f"remove {both[0]} and {both[1]}" in str(raised.value)
    for path in both:
        path.unlink()
    (tmp_path / "mirror" / "test.csv").write_text("sequence,label\nACGT,0\n")
    assert TableTask(card, access).load("test").height == 1


def test_a_file_beside_an_own_card_is_what_the_card_says(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("sequence,label\nACGT,0\n")
    for wrong, said in ({"bytes": 3}, "it has 22 bytes, want 3"), ({"sha256": "0" * 64}, "want 0000"):
        file = DataFile(split="test", path="test.csv", **wrong)
        card = TaskCard(name="a/b", title="t", metric="mcc", metrics=("mcc",), files=(file,))
        with pytest.raises(DataError, match=f"{said}.*correct the card"):
            TableTask(card, Access(tmp_path / "cache", offline=True), tmp_path / "own.toml").load("test")


def test_settings_that_came_later_are_in_the_hash_only_where_they_are_used(tmp_path: Path) -> None:
    card = find("gue/tf/0")
    task = TableTask(card, Access(tmp_path, offline=True))
    assert task.data_hash() == "abc3f9500dae3127494a610e65304bd5ceb529d328fd3b4306ed3b986672c9f8"
    for used in (TableFormat(sequence_2="b"), TableFormat(labels=("x", "y"))):
        other = TableTask(card.model_copy(update={"format": used}), Access(tmp_path, offline=True))
        assert other.data_hash() != task.data_hash()


def test_splits_of_pairs_and_of_single_sequences_are_refused(tmp_path: Path) -> None:
    for split, content in {"train": "sequence,label\nAC|GT,0\n", "test": "sequence,label\nACGT,0\n"}.items():
        (tmp_path / f"{split}.csv").write_text(content)
    files = tuple(DataFile(split=split, path=f"{split}.csv") for split in ("train", "test"))
    card = TaskCard(name="a/b", title="t", metric="mcc", metrics=("mcc",), files=files)
    task = TableTask(card, Access(tmp_path / "cache", offline=True), tmp_path / "own.toml")
    assert task.load("train").height == 1
    with pytest.raises(DataError, match="of train and test one holds pairs"):
        task.load("test")


def test_context_cuts_both_of_a_pair_and_labels_by_base(tmp_path: Path) -> None:
    pair = task_of(tmp_path, "sequence_1,sequence_2,label\nAACCGGTT,CGT,0\n").load("test", context=2)
    assert pair.select("sequence", "sequence_2").row(0) == ("CG", "CG")
    by_base = task_of(tmp_path, "sequence,label\nAACCGGTTA,01.001101\nAC,10\n", kind="per-base")
    cut = by_base.load("test", context=4)
    assert cut.select("sequence", "label").rows() == [("CCGG", [-1, 0, 0, 1]), ("AC", [1, 0])]


def test_loaded_once(tmp_path: Path) -> None:
    task = task_of(tmp_path, "sequence,label\nACGT,0\n")
    assert task.reading("test") is task.reading("test")
