import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError, Unsupported
from glmbench.tasks.card import TableFormat, TaskCard
from glmbench.tasks.delimited import read_examples
from glmbench.tasks.labels import read_labels
from glmbench.tasks.task import LetterCounts, is_paired


def card(kind: str, *classes: str, labels: tuple[str, ...] = (), k: int | None = None) -> TaskCard:
    table = TableFormat(labels=labels, kmer_joined=k)
    return TaskCard(name="a/b", title="t", kind=kind, metric="mcc", metrics=("mcc",), classes=classes, format=table)


def read(of: TaskCard, labels: list[object], sequences: list[str] | None = None) -> list[list[int]]:
    bases = pl.Series(sequences or ["ACGT"] * len(labels))
    got = read_labels(pl.Series(labels), bases, of, "f.csv")
    assert got.dtype == pl.List(pl.Int64)
    return got.to_list()


class TestSeveralLabels:
    @pytest.mark.parametrize(
        "labels", [["0;1;0", "1;1;0"], ["010", "110"], [" 010", "1 ; 1;0"], [["0", "1", "0"], ["1.0", " 1", "0"]]]
    )
    def test_spellings(self, labels: list[object]) -> None:
        assert read(card("multilabel", "a", "b", "c"), labels) == [[0, 1, 0], [1, 1, 0]]

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (["0;1", "0;2"], r"label 'b' of row 1 \(line 3\) is '2'; want 0 or 1"),
            (["0;1", "0;x"], r"label 'b' of row 1 \(line 3\) is 'x'"),
            (["0;1", "0;"], r"label 'b' of row 1"),
            (["0;1", "0;1;1"], r"'0;1;1' of row 1 \(line 3\) has not one value for each of the 2 labels.*want '0;0'"),
            (["01", ""], "row 1 .* is missing"),
            (["01", None], "row 1 .* is missing"),
            ([["0", "1"], ["0", None]], "label 'b' of row 1 .* is None"),
        ],
    )
    def test_what_is_wrong_is_named(self, labels: list[object], said: str) -> None:
        with pytest.raises(DataError, match=said):
            read(card("multilabel", "a", "b"), labels)

    def test_names_are_the_columns_or_the_classes(self) -> None:
        assert card("multilabel", labels=("x", "y")).classes == ("x", "y")
        assert card("multilabel", "one", "two", labels=("x", "y")).classes == ("one", "two")
        with pytest.raises(ValueError, match="1 classes for 2 label columns"):
            card("multilabel", "one", labels=("x", "y"))
        with pytest.raises(ValueError, match="want kind 'multilabel'"):
            card("classification", labels=("x", "y"))
        with pytest.raises(DataError, match="does not name its labels"):
            read(card("multilabel"), ["01"])


class TestByBase:
    def test_digits_and_signs_of_no_label(self) -> None:
        got = read(card("per-base"), ["0121", ".-?", " 0"], ["ACGT", "ACG", "A"])
        assert got == [[0, 1, 2, 1], [-1, -1, -1], [0]]

    def test_bases_of_joined_kmers(self) -> None:
        rows = pl.DataFrame({"sequence": ["ACG CGT"], "label": ["0110"]})
        assert read_examples(rows, split="test", card=card("per-base", k=3), origin="f").examples[
            "label"
        ].to_list() == [[0, 1, 1, 0]]

    @pytest.mark.parametrize(
        ("labels", "classes", "said"),
        [
            (["0011", "001"], (), r"'001' of row 1 \(line 3\) labels 3 bases of a sequence of 4"),
            (["0011", "00x1"], (), r"letter 'x' of row 1 \(line 3\) is no class of a base"),
            (["0011", "00é1"], (), r"letter 'é' of row 1"),
            (["0011", None], (), "row 1 .* is missing"),
            (["0022", "...."], (), r"labels \[0, 2\] have gaps"),
            (["0011", "0120"], ("no", "yes"), r"label 2 of a base of row 1 \(line 3\) is beyond the card's 2 classes"),
            (["....", "----"], ("no", "yes"), "no base has a label"),
        ],
    )
    def test_what_is_wrong_is_named(self, labels: list[str | None], classes: tuple[str, ...], said: str) -> None:
        with pytest.raises(DataError, match=said):
            read(card("per-base", *classes), labels)

    def test_a_class_of_the_card_may_be_absent(self) -> None:
        assert read(card("per-base", "a", "b", "c"), ["0022"]) == [[0, 0, 2, 2]]

    @given(st.lists(st.text("01.", min_size=1, max_size=9), min_size=1, max_size=9))
    def test_one_label_each(self, labels: list[str]) -> None:
        sequences = ["A" * len(label) for label in labels]
        if not any(digit in label for label in labels for digit in "01"):
            return
        wanted = [[-1 if letter == "." else int(letter) for letter in label] for label in labels]
        assert read(card("per-base", "a", "b"), labels, sequences) == wanted


class TestPairs:
    rows = pl.DataFrame({"sequence": ["acgu", "ACGN"], "sequence_2": ["GG", "u"], "label": ["0", "1"]})

    def test_both_sequences_are_read_and_counted(self) -> None:
        reading = read_examples(self.rows, split="test", card=card("classification"), origin="f")
        assert reading.examples.columns == ["id", "sequence", "sequence_2", "label", "group"]
        assert reading.examples.row(0) == ("test/0", "ACGT", "GG", 0, "test/0")
        assert reading.examples.row(1) == ("test/1", "ACGN", "T", 1, "test/1")
        assert reading.letters == LetterCounts(rows=4, lower_case=2, uracil=2, ambiguous=1)
        assert is_paired(reading.examples)
        assert not is_paired(reading.examples.drop("sequence_2"))

    def test_any_label_but_those_of_bases(self) -> None:
        several = self.rows.with_columns(label=pl.Series(["0;1", "1;1"]))
        read = read_examples(several, split="test", card=card("multilabel", "a", "b"), origin="f").examples
        assert read["label"].to_list() == [[0, 1], [1, 1]]
        assert (
            read_examples(self.rows, split="t", card=card("regression"), origin="f").examples["label"].dtype.is_float()
        )
        with pytest.raises(Unsupported, match="not of a pair"):
            read_examples(self.rows, split="test", card=card("per-base"), origin="f")

    def test_kmers_of_both(self) -> None:
        rows = pl.DataFrame({"sequence": ["ACG CGT"], "sequence_2": ["TTT TTA"], "label": ["0"]})
        read = read_examples(rows, split="test", card=card("classification", k=3), origin="f").examples
        assert read.select("sequence", "sequence_2").row(0) == ("ACGT", "TTTA")

    @pytest.mark.parametrize(
        ("second", "said"),
        [
            ("", r"second sequence of row 1 \(line 3\) is missing"),
            (None, "second sequence of row 1"),
            ("AXG", r"second sequence of row 1 \(line 3\) has the letter 'X'"),
            ("A|G", r"letter '\|'"),
        ],
    )
    def test_what_is_wrong_is_named(self, second: str | None, said: str) -> None:
        rows = self.rows.with_columns(sequence_2=pl.Series(["GG", second]))
        with pytest.raises(DataError, match=said):
            read_examples(rows, split="test", card=card("classification"), origin="f")
