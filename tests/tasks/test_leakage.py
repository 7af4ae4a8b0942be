"""Leakage rules: hand-made frames, brute-force oracles on random rows, and the numbers documented for real data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from glmbench.errors import DataError, MissingData
from glmbench.sequences.encoding import reverse_complement
from glmbench.storage.fetch import Access
from glmbench.tasks.card import TaskCard
from glmbench.tasks.leakage import (
    KINDS,
    AlignedIdentity,
    CheckResult,
    canonical,
    check,
    composition_bias,
    exact_duplicates,
    families,
    label_conflicts,
    near_duplicates,
    parent_child,
    reverse_complement_duplicates,
    shared_sides,
)
from glmbench.tasks.registry import open_task
from glmbench.tasks.task import LetterCounts

A = "ACCGTTAGGCATTACGGATCCATTGACCAGT"
B = "TTGACCGATAGCCATAGGATTTACCGGCATA"
PALINDROME = "ACCGGTACCGGT"


def rows(sequences: list[str], labels: list[int] | None = None, *, split: str = "train") -> pl.DataFrame:
    ids = [f"{split}/{i}" for i in range(len(sequences))]
    return pl.DataFrame(
        {"id": ids, "sequence": sequences, "label": labels or [0] * len(sequences), "group": ids},
        schema={"id": pl.String, "sequence": pl.String, "label": pl.Int64, "group": pl.String},
    )


def pairs(partners: pl.DataFrame) -> list[tuple[str, str]]:
    return list(partners.select("a", "b").iter_rows())


def random_sequences(rng: np.random.Generator, number: int, length: int) -> list[str]:
    return ["".join(row) for row in rng.choice(list("ACGT"), size=(number, length))]


def mutated(rng: np.random.Generator, sequence: str, changes: int) -> str:
    bases = list(sequence)
    for place in rng.choice(len(bases), size=changes, replace=False):
        bases[place] = rng.choice([base for base in "ACGT" if base != bases[place]])
    return "".join(bases)


class TestCopies:
    def test_rows_of_b_with_a_copy_in_a_are_named_with_the_first(self) -> None:
        train, test = rows([A, B, A]), rows([B, A, A, "ACGT"], split="test")
        expected = [("train/1", "test/0"), ("train/0", "test/1"), ("train/0", "test/2")]
        assert pairs(exact_duplicates(train, test)) == expected

    def test_within_a_split_only_later_copies_count(self) -> None:
        assert pairs(exact_duplicates(rows([A, B, A, A]))) == [("train/0", "train/2"), ("train/0", "train/3")]

    def test_other_strand(self) -> None:
        train, test = rows([A, B]), rows([reverse_complement(B), A], split="test")
        assert pairs(reverse_complement_duplicates(train, test)) == [("train/1", "test/0")]
        assert pairs(reverse_complement_duplicates(rows([A, reverse_complement(A)]))) == [("train/0", "train/1")]

    def test_a_palindrome_has_only_exact_copies(self) -> None:
        assert reverse_complement(PALINDROME) == PALINDROME
        train, test = rows([PALINDROME]), rows([PALINDROME], split="test")
        assert reverse_complement_duplicates(train, test).is_empty()
        assert exact_duplicates(train, test).height == 1

    def test_conflicts_between_and_within(self) -> None:
        train, test = rows([A, B, A], [0, 1, 1]), rows([A, B], [0, 1], split="test")
        assert pairs(label_conflicts(train, test)) == [("train/2", "test/0")]
        assert pairs(label_conflicts(train)) == [("train/0", "train/2")]

    def test_a_copy_with_the_same_label_between_does_not_hide_a_conflict(self) -> None:
        assert pairs(label_conflicts(rows([A, A, A], [0, 1, 1]))) == [("train/0", "train/1"), ("train/0", "train/2")]

    def test_empty_frames(self) -> None:
        none = rows([])
        for rule in (exact_duplicates, reverse_complement_duplicates, label_conflicts, near_duplicates):
            assert rule(none, rows([A])).is_empty()
            assert rule(rows([A]), none).is_empty()
            assert rule(none).is_empty()

    @given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.booleans())
    @settings(max_examples=25, deadline=None)
    def test_k_planted_copies_are_found(self, seed: int, k: int, other_strand: bool) -> None:
        rng = np.random.default_rng(seed)
        train, fresh = random_sequences(rng, 12, 31), random_sequences(rng, 9, 31)
        planted = rng.choice(9, size=k, replace=False)
        for place in planted:
            copied = str(rng.choice(train))
            fresh[place] = reverse_complement(copied) if other_strand else copied
        wanted, other = reverse_complement_duplicates, exact_duplicates
        if not other_strand:
            wanted, other = other, wanted
        found = wanted(rows(train), rows(fresh, split="test"))
        assert set(found["b"]) == {f"test/{place}" for place in planted}
        assert other(rows(train), rows(fresh, split="test")).is_empty()

    @given(st.lists(st.text("ACGTN", min_size=1, max_size=8), max_size=8))
    @settings(max_examples=50, deadline=None)
    def test_both_strands_have_one_canonical_sequence(self, sequences: list[str]) -> None:
        series = pl.Series(sequences, dtype=pl.String)
        other = pl.Series([reverse_complement(s) for s in sequences], dtype=pl.String)
        assert canonical(series).equals(canonical(other))


def paired(sequences: list[tuple[str, str]], labels: list[int] | None = None, *, split: str = "train") -> pl.DataFrame:
    first, second = ([pair[side] for pair in sequences] for side in (0, 1))
    made = rows(first, labels, split=split)
    return made.insert_column(2, pl.Series("sequence_2", second, dtype=pl.String))


class TestPairs:
    def test_a_copy_is_one_of_both_sequences_in_their_places(self) -> None:
        train = paired([(A, B), (A, A)])
        test = paired([(A, B), (B, A), (A, PALINDROME), (A[:-1], A[-1] + A)], split="test")
        assert pairs(exact_duplicates(train, test)) == [("train/0", "test/0")]
        assert pairs(exact_duplicates(paired([(A, B), (B, B), (A, B)]))) == [("train/0", "train/2")]

    def test_the_other_strand_of_both(self) -> None:
        a, b = reverse_complement(A), reverse_complement(B)
        train, test = paired([(A, B)]), paired([(a, b), (b, a), (a, B), (A, B)], split="test")
        assert pairs(reverse_complement_duplicates(train, test)) == [("train/0", "test/0")]
        own = paired([(PALINDROME, PALINDROME)])
        assert reverse_complement_duplicates(own, own).is_empty()

    def test_conflicts(self) -> None:
        train, test = paired([(A, B), (A, A)], [0, 1]), paired([(A, B), (A, A)], [1, 1], split="test")
        assert pairs(label_conflicts(train, test)) == [("train/0", "test/0")]

    def test_near_is_both_end_to_end(self) -> None:
        rng = np.random.default_rng(4)
        near, other = mutated(rng, A, 5), mutated(rng, B, 1)  # 6 of 62 bases
        a, b = reverse_complement(near), reverse_complement(other)
        test = [(near, other), (a, b), (b, a), (A, B), (near, A), (mutated(rng, A, 7), B)]
        found = near_duplicates(paired([(A, B)]), paired(test, split="test"))
        assert pairs(found) == [("train/0", "test/0"), ("train/0", "test/1")]

    def test_shared_sides(self) -> None:
        other = "GATTACAGATTACA"
        train = paired([(A, B), (B, other)])
        test = [(A, "AC"), ("AC", reverse_complement(B)), (other, "AC"), ("AC", "GG"), (B, A), (A, other)]
        found = shared_sides(train, paired(test, split="test"))
        assert found.rows() == [
            ("train/0", "test/0", True, False), ("train/0", "test/1", False, True),
            ("train/1", "test/2", True, False), ("train/0", "test/4", True, True), ("train/0", "test/5", True, True),
        ]  # fmt: skip

    def test_shared_sides_within_a_split_are_those_of_earlier_rows(self) -> None:
        found = shared_sides(paired([(A, A), (A, B), ("AC", B), ("AC", "CC")]))
        assert found.rows() == [
            ("train/0", "train/1", True, False),
            ("train/1", "train/2", False, True),
            ("train/2", "train/3", True, False),
        ]

    def test_composition_is_of_both_together(self) -> None:
        bias = composition_bias(paired([("AA", "GC"), ("GC", "AAA"), ("GG", "AC"), ("G", "CCA")], [0, 0, 1, 1]))
        assert bias is not None
        assert (bias.auroc["gc"], bias.auroc["length"]) == (1.0, 0.25)

    def test_no_families_of_pairs(self) -> None:
        for rule in (lambda: parent_child(paired([(A, B)]), rule=RULE), lambda: families(paired([(A, B)]), RULE)):
            with pytest.raises(DataError, match="parent–child rule is of single sequences"):
                rule()


def near_by_definition(x: str, y: str, percent: int) -> bool:
    """Every offset, both strands, base by base; whole numbers only."""
    if canonical(pl.Series([x])).equals(canonical(pl.Series([y]))) or min(len(x), len(y)) < 20:
        return False
    for strand, offset in product((y, reverse_complement(y)), range(-len(y), len(x) + 1)):
        overlap = zip(x[max(0, offset) :], strand[max(0, -offset) :], strict=False)
        equal = sum(one == other != "N" for one, other in overlap)
        if 100 * equal >= percent * max(len(x), len(y)):
            return True
    return False


def relatives(rng: np.random.Generator) -> Iterator[str]:
    """Random rows and, of each, some that differ, are shifted, cut, extended or on the other strand."""
    for founder in random_sequences(rng, 2, int(rng.integers(19, 45))):
        yield founder
        for _ in range(4):
            child = mutated(rng, founder, int(rng.integers(0, 6)))
            cut = int(rng.integers(0, 5))
            child = rng.choice(
                [child, child[cut:], child + "ACGTA"[:cut], child[cut:] + "GATTA"[:cut], child[:-1] + "N"]
            )
            yield reverse_complement(str(child)) if rng.random() < 0.4 else str(child)


class TestNearDuplicates:
    def test_the_bound_is_nine_tenths_of_the_longer(self) -> None:
        rng = np.random.default_rng(1)
        (parent,) = random_sequences(rng, 1, 70)
        test = [mutated(rng, parent, 7), mutated(rng, parent, 8), parent[7:] + "A" * 7, parent + "ACGTACG", parent]
        test = [*test, reverse_complement(test[0])]
        assert not near_by_definition(parent, test[1], 90)
        found = pairs(near_duplicates(rows([parent]), rows(test, split="test")))
        assert found == [("train/0", f"test/{i}") for i in (0, 2, 3, 5)]

    def test_the_bound_holds_in_long_rows_shifted_and_with_unknown_bases(self) -> None:
        rng = np.random.default_rng(6)
        (parent,) = random_sequences(rng, 1, 400)
        at, beyond = mutated(rng, parent, 40), mutated(rng, parent, 41)
        shifted, unknown = parent[40:] + "N" * 40, "N" * 41 + parent[41:]
        test = [at, beyond, shifted, unknown, reverse_complement(at)]
        assert [near_by_definition(parent, row, 90) for row in test] == [True, False, True, False, True]
        found = pairs(near_duplicates(rows([parent]), rows(test, split="test")))
        assert found == [("train/0", f"test/{i}") for i in (0, 2, 4)]

    def test_rows_of_low_complexity_and_of_unknown_bases(self) -> None:
        sequences = ["A" * 40, "A" * 39 + "C", "N" * 40, "N" * 39 + "A", "AC" * 10]
        assert pairs(near_duplicates(rows(sequences))) == [("train/0", "train/1")]

    def test_a_later_copy_of_the_first_of_two_relatives_counts_too(self) -> None:
        relative = mutated(np.random.default_rng(2), A, 2)
        found = pairs(near_duplicates(rows([A, relative, A])))
        assert found == [("train/0", "train/1"), ("train/1", "train/2")]

    @given(st.integers(0, 2**32 - 1), st.sampled_from([80, 90]))
    @settings(max_examples=12, deadline=None)
    def test_equals_brute_force(self, seed: int, percent: int) -> None:
        rng = np.random.default_rng(seed)
        train, test = list(relatives(rng)), []
        test = [str(s) for s in rng.permutation([*train[::2], *relatives(rng)])]
        train = [mutated(rng, s, 1) for s in train]
        found = near_duplicates(rows(train), rows(test, split="test"), min_identity=percent / 100)
        near = [[near_by_definition(x, y, percent) for x in train] for y in test]
        assert found["b"].to_list() == [f"test/{j}" for j, of_row in enumerate(near) if any(of_row)]
        assert found["a"].is_in([f"train/{i}" for i in range(len(train))]).all()
        assert all(near[int(b[5:])][int(a[6:])] for a, b in pairs(found))
        within = near_duplicates(rows(test), min_identity=percent / 100)
        earlier = [any(near_by_definition(x, y, percent) for x in test[:j]) for j, y in enumerate(test)]
        assert within["b"].to_list() == [f"train/{j}" for j, is_late in enumerate(earlier) if is_late]


RULE = AlignedIdentity(min_identity=24, length=31)


class TestAligned:
    def test_bounds_and_the_best_partner(self) -> None:
        rng = np.random.default_rng(3)
        close, far, beyond = (mutated(rng, A, n) for n in (2, 7, 8))
        found = parent_child(rows([far, close, B]), rows([A, close[1:], B], split="test"), rule=RULE)
        assert found.rows() == [("train/1", "test/0", 29), ("train/2", "test/2", 31)]
        assert parent_child(rows([A]), rows([far, beyond], split="test"), rule=RULE)["b"].to_list() == ["test/0"]

    @pytest.mark.parametrize("letter", "NRK")
    def test_unknown_bases_equal_nothing(self, letter: str) -> None:
        row = letter * 8 + A[8:]
        assert parent_child(rows([row]), rows([row], split="test"), rule=RULE).is_empty()
        assert near_duplicates(rows([row]), rows([row[:-1] + "A"], split="test")).is_empty()

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=15, deadline=None)
    def test_equals_brute_force(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        founders = random_sequences(rng, 4, 100)
        sequences = [mutated(rng, str(rng.choice(founders)), int(rng.integers(0, 60))) for _ in range(25)]
        sequences += ["A", "N" * 100, founders[0][:-1]]
        rule = AlignedIdentity(min_identity=60, length=100)
        letters = [np.array(list(s)) for s in sequences]
        linked = np.array(
            [[len(x) == len(y) == 100 and ((x == y) & (x != "N")).sum() >= 60 for y in letters] for x in letters]
        )
        within = parent_child(rows(sequences), rule=rule)
        assert set(within["b"]) == {f"train/{j}" for j in range(len(sequences)) if linked[:j, j].any()}
        between = parent_child(rows(sequences[:9]), rows(sequences[9:], split="test"), rule=rule)
        assert set(between["b"]) == {f"test/{j - 9}" for j in range(9, len(sequences)) if linked[:9, j].any()}

        first = list(range(len(sequences)))
        for _ in sequences:
            first = [min([first[j], *(first[i] for i in np.flatnonzero(linked[j]))]) for j in range(len(sequences))]
        assert families(rows(sequences), rule).to_list() == [f"train/{i}" for i in first]


class TestComposition:
    def test_two_classes_told_apart_by_gc(self) -> None:
        bias = composition_bias(rows(["ACGTA", "AATTA", "GCGCA", "GGCCG"], [0, 0, 1, 1]))
        assert bias is not None
        assert (bias.ordered, bias.pairs, bias.strongest, bias.label) == (4, 4, "gc", 1)
        assert bias.auroc["gc"] == 1.0
        assert bias.auroc["length"] == 0.5
        assert bias.auroc["a"] == 0.0

    def test_the_lower_class_is_as_telling(self) -> None:
        bias = composition_bias(rows(["GGGGG", "GGGGC", "AAAAA"], [0, 0, 1]))
        assert bias is not None
        assert (bias.ordered, bias.pairs) == (2, 2)
        assert bias.auroc["gc"] == 0.0

    def test_one_class_says_nothing(self) -> None:
        assert composition_bias(rows([A, B])) is None

    def test_length_alone(self) -> None:
        bias = composition_bias(rows(["ACGT", "ACGTACGT", "ACGTACGTACGT"], [0, 1, 2]))
        assert bias is not None
        assert (bias.strongest, bias.ordered, bias.pairs) == ("length", 2, 2)

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=15, deadline=None)
    def test_equals_scikit_learn(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sequences, labels = random_sequences(rng, 30, 12), [0, 1, *rng.integers(0, 2, 28).tolist()]
        bias = composition_bias(rows(sequences, labels))
        assert bias is not None
        for name in "acgt":
            counts = [s.count(name.upper()) for s in sequences]
            assert bias.auroc[name] == pytest.approx(roc_auc_score(labels, counts))
        assert bias.auroc["gc"] == pytest.approx(
            roc_auc_score(labels, [s.count("G") + s.count("C") for s in sequences])
        )


class FramesTask:
    """A task over frames; a split without one is absent."""

    def __init__(self, splits: dict[str, pl.DataFrame | None], **card: object) -> None:
        self.card = TaskCard.model_validate({"name": "t", "title": "t", "metric": "mcc", "metrics": ("mcc",), **card})
        self._splits = splits

    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        frame = self._splits[split]
        if frame is None:
            raise MissingData(f"no file for {split}; glmbench get t")
        return frame

    def data_hash(self) -> str:
        return "0"

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        return {}


def counts(result: CheckResult, kind: str) -> dict[tuple[str, str], tuple[int, int]]:
    return {(f.a, f.b): (f.count, f.of) for f in result.findings if f.kind == kind}


class TestCheck:
    def test_every_pair_that_is_scored(self) -> None:
        splits = {
            "train-1": rows([A, B], [0, 1], split="train-1"),
            "train-2": rows([A, A, B], [0, 1, 1], split="train-2"),
            "dev": rows([A], [1], split="dev"),
            "test": rows([reverse_complement(A), A], [0, 1], split="test"),
            "train": None,
        }
        leakage = {"parent_child": {"min_identity": 24, "length": 31}}
        result = check(FramesTask(splits, leakage=leakage))
        assert counts(result, "exact-duplicate") == {
            ("train-1", "train-1"): (0, 2), ("train-1", "dev"): (1, 1), ("train-1", "test"): (1, 2),
            ("train-2", "train-2"): (1, 3), ("train-2", "dev"): (1, 1), ("train-2", "test"): (1, 2),
            ("dev", "dev"): (0, 1), ("dev", "test"): (1, 2), ("test", "dev"): (1, 1), ("test", "test"): (0, 2),
        }  # fmt: skip
        assert counts(result, "reverse-complement-duplicate")["train-1", "test"] == (1, 2)
        assert counts(result, "reverse-complement-duplicate")["test", "test"] == (1, 2)
        assert counts(result, "label-conflict")["train-1", "dev"] == (1, 1)
        assert counts(result, "parent-child")["train-2", "train-2"] == (1, 3)
        assert set(counts(result, "composition-bias")) == {(s, s) for s in ("train-1", "train-2", "test")}
        assert [(s.split, s.reason) for s in result.skipped] == [("train", "no file for train; glmbench get t")]
        conflict = next(f for f in result.findings if (f.kind, f.a, f.b) == ("label-conflict", "train-1", "dev"))
        assert conflict.examples == (("train-1/0", "dev/0"),)

    def test_regressions_have_no_conflicts_and_unstated_rules_are_not_applied(self) -> None:
        result = check(FramesTask({"train": rows([A, A], [0, 1]), "test": rows([B], split="test")}, kind="regression"))
        kinds = {"exact-duplicate", "reverse-complement-duplicate", "near-duplicate"}
        assert {finding.kind for finding in result.findings} == kinds

    def test_what_the_alphabet_policy_did_is_counted(self) -> None:
        class Read(FramesTask):
            def letters(self, split: str) -> LetterCounts:
                return {
                    "train": LetterCounts(rows=9, lower_case=4, uracil=2),
                    "test": LetterCounts(rows=7, ambiguous=1),
                }[split]

        result = check(Read({"train": rows([A]), "test": rows([B], split="test"), "dev": None}))
        found = {(f.kind, f.a, f.b): (f.count, f.of) for f in result.findings if f.kind in KINDS[-3:]}
        assert found == {
            ("lower-case", "train", "train"): (4, 9), ("uracil", "train", "train"): (2, 9),
            ("ambiguous", "train", "train"): (0, 9), ("lower-case", "test", "test"): (0, 7),
            ("uracil", "test", "test"): (0, 7), ("ambiguous", "test", "test"): (1, 7),
        }  # fmt: skip

    def test_a_rule_that_is_none_is_refused(self) -> None:
        task = FramesTask({"test": rows([A])}, leakage={"parent_child": {"identity": 46}})
        with pytest.raises(DataError, match="min_identity and length"):
            check(task)

    def test_pairs(self) -> None:
        splits = {
            "train": paired([(A, B), (B, A)], [0, 1]),
            "test": paired([(A, B), (B, "ACGT")], [1, 0], split="test"),
        }
        result = check(FramesTask(splits))
        assert counts(result, "exact-duplicate")["train", "test"] == (1, 2)
        assert counts(result, "label-conflict")["train", "test"] == (1, 2)
        [shared] = [f for f in result.findings if (f.kind, f.a, f.b) == ("shared-side", "train", "test")]
        assert (shared.count, shared.of, shared.detail) == (2, 2, {"first": 2, "second": 1, "both": 1})
        assert shared.examples == (("train/0", "test/0"), ("train/0", "test/1"))
        assert counts(result, "composition-bias").keys() == {("train", "train"), ("test", "test")}
        assert not counts(check(FramesTask({"test": rows([A, B])})), "shared-side")
        with pytest.raises(DataError, match="these are pairs"):
            check(FramesTask(splits, leakage={"parent_child": {"min_identity": 24, "length": 31}}))

    @pytest.mark.parametrize("kind", ["multilabel", "per-base"])
    def test_lists_of_labels_conflict_by_value_and_have_no_composition(self, kind: str) -> None:
        train = rows([A, B]).with_columns(label=pl.Series([[0, 1, 1], [0, 0, 1]]))
        test = rows([A, B, A], split="test").with_columns(label=pl.Series([[0, 1, 1], [0, 1, 1], [1, 1, 1]]))
        result = check(FramesTask({"train": train, "test": test}, kind=kind))
        [conflict] = [f for f in result.findings if (f.kind, f.a, f.b) == ("label-conflict", "train", "test")]
        assert conflict.examples == (("train/1", "test/1"), ("train/0", "test/2"))
        assert counts(result, "exact-duplicate")["test", "test"] == (1, 3)
        assert not counts(result, "composition-bias")


@pytest.mark.real_data
class TestDocumentedNumbers:
    @pytest.fixture
    def result(self, shared_data: Path, request: pytest.FixtureRequest) -> CheckResult:
        return check(open_task(request.param, Access(mirror=str(shared_data), offline=True)))

    @pytest.mark.parametrize("result", ["genemask/splice-40"], indirect=True)
    def test_splice_40(self, result: CheckResult) -> None:
        copies = counts(result, "exact-duplicate")
        assert copies["test", "dev"] == (2700, 2700)
        assert [copies[f"train-{n}", "test"] for n in (10, 50, 100, 500)] == [(n, 3000) for n in (0, 1, 3, 8)]
        assert [copies[s, s][0] for s in ("test", "train-50", "train-500")] == [1, 1, 28]
        assert not any(count for count, _ in counts(result, "reverse-complement-duplicate").values())
        assert not any(count for count, _ in counts(result, "label-conflict").values())

    @pytest.mark.parametrize("result", ["genemask/prom-core"], indirect=True)
    def test_prom_core(self, result: CheckResult) -> None:
        related = counts(result, "parent-child")
        budgets = (10, 50, 100, 500, 1000)
        assert [related[f"train-{n}", "test"] for n in budgets] == [(n, 5920) for n in (2, 9, 16, 75, 185)]
        copies = counts(result, "exact-duplicate")
        assert [copies[f"train-{n}", "test"][0] for n in budgets] == [0, 0, 0, 0, 1]
        assert copies["test", "test"] == (2, 5920)

    @pytest.mark.parametrize(
        ("name", "copies", "other_strand"),
        [
            ("gue/prom/prom_core_all", 43, 0),
            ("gue/prom/prom_core_tata", 16, 0),
            ("gue/tf/1", 1, 1),
            ("gue/tf/0", 0, 0),
        ],
    )
    def test_gue(self, shared_data: Path, name: str, copies: int, other_strand: int) -> None:
        task = open_task(name, Access(mirror=str(shared_data), offline=True))
        train, test = task.load("train"), task.load("test")
        assert exact_duplicates(train, test).height == copies
        assert reverse_complement_duplicates(train, test).height == other_strand
