"""Corrected tasks: hand-made families and copies, what always holds of them, and the real corrected versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, MissingData
from glmbench.sequences.encoding import reverse_complement
from glmbench.storage.fetch import Access
from glmbench.tasks.card import TaskCard
from glmbench.tasks.derived import DerivedTask, deduplicate
from glmbench.tasks.leakage import (
    AlignedIdentity,
    canonical,
    exact_duplicates,
    label_conflicts,
    parent_child,
    reverse_complement_duplicates,
)
from glmbench.tasks.registry import open_task
from glmbench.tasks.task import LetterCounts

A, C, G, T = "ACACACAC", "CTCTTCTC", "GGTAGGTA", "TAGTCGTT"
"""Four 8-mers that agree at fewer than six offsets."""
NEAR_A, NEARER_C = "ACACACGT", "CTCTTCTA"
"""Six and seven bases as in A and in C."""


def rows(split: str, *labelled: tuple[str, int]) -> pl.DataFrame:
    ids = [f"{split}/{i}" for i in range(len(labelled))]
    return pl.DataFrame(
        {"id": ids, "sequence": [s for s, _ in labelled], "label": [n for _, n in labelled], "group": ids},
        schema={"id": pl.String, "sequence": pl.String, "label": pl.Int64, "group": pl.String},
    )


class Base:
    """A task over frames; a split without one is absent, and its file verified where the card has a checksum."""

    def __init__(self, splits: dict[str, pl.DataFrame | None], **card: Any) -> None:
        self.card = TaskCard(name="t", title="t", metric="mcc", metrics=("mcc",), **card)
        self._splits = splits

    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        frame = self._splits[split]
        if frame is None:
            raise MissingData(f"no file for {split}; glmbench get t")
        return frame if context is None else frame.with_columns(pl.col("sequence").str.head(context))

    def data_hash(self) -> str:
        return "0"

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        return {"bayes-optimal": self.load(split)}


def derived(base: Base, rule: str, **parameters: int) -> DerivedTask:
    derivation = {"rule": rule, "why": "rows leak", "parameters": parameters}
    return DerivedTask(
        base, TaskCard.model_validate({**base.card.model_dump(), "version": 2, "derivation": derivation})
    )


def ids(task: DerivedTask, split: str) -> list[str]:
    return task.load(split)["id"].to_list()


class TestGroupedByParent:
    base = Base(
        {
            "train-1": rows("train-1", (A, 0), (C, 1)),
            "dev": rows("dev", (G, 0), (T, 1), (NEAR_A, 1)),
            "test": rows("test", (NEAR_A, 1), (G, 0), (NEARER_C, 0), ("A", 1)),
        }
    )

    def test_families_in_training_leave_dev_and_test_and_those_in_test_leave_dev(self) -> None:
        task = derived(self.base, "grouped-by-parent", min_identity=6, length=8)
        assert {split: ids(task, split) for split in task.splits()} == {
            "train-1": ["train-1/0", "train-1/1"],
            "dev": ["dev/1"],
            "test": ["test/1", "test/3"],
        }
        assert task.removed() == {"train-1": 0, "dev": 2, "test": 2}

    def test_the_rule_may_stand_under_leakage(self) -> None:
        base = Base(self.base._splits, leakage={"parent_child": {"min_identity": 7, "length": 8}})
        assert ids(derived(base, "grouped-by-parent"), "test") == ["test/0", "test/1", "test/3"]

    def test_the_group_is_the_family_across_and_within_splits(self) -> None:
        between = NEAR_A[:-1] + "C"
        base = Base({"train-1": rows("train-1", (A, 0)), "train-2": rows("train-2", (C, 1), (NEAR_A, 0), (between, 0))})
        task = derived(base, "grouped-by-parent", min_identity=6, length=8)
        assert task.load("train-1")["group"].to_list() == ["train-1/0"]
        assert task.load("train-2")["group"].to_list() == ["train-2/0", "train-1/0", "train-1/0"]

    def test_without_a_rule_it_is_refused(self) -> None:
        with pytest.raises(DataError, match="does not say what a parent is"):
            derived(self.base, "grouped-by-parent")
        with pytest.raises(DataError, match="min_identity and length"):
            derived(self.base, "grouped-by-parent", identity=46)


class TestDeduplicated:
    def test_what_goes_and_what_stays(self) -> None:
        base = Base(
            {
                "train": rows("train", (A, 0), (A, 0), (reverse_complement(C), 1), (G, 0), (T, 0)),
                "dev": rows("dev", (C, 1), (G, 1), (reverse_complement(T), 0), (NEAR_A, 0), (NEAR_A, 0)),
                "test": rows("test", (T, 0), (G, 0), (T, 0)),
            }
        )
        task = derived(base, "deduplicated")
        assert ids(task, "train") == ["train/0"]
        assert ids(task, "dev") == ["dev/0", "dev/3"]
        assert ids(task, "test") == ["test/0"]
        assert task.removed() == {"train": 4, "dev": 3, "test": 2}
        assert task.load("train").columns == ["id", "sequence", "label", "group"]

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=25, deadline=None)
    def test_nothing_repeats_and_nothing_else_goes(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pool = ["".join(letters) for letters in rng.choice(list("ACGT"), size=(12, 3))]
        splits = {
            name: rows(name, *((str(rng.choice(pool)), int(rng.random() < 0.1)) for _ in range(8)))
            for name in ("train-1", "train", "dev", "test")
        }
        kept = deduplicate(splits)
        everything = pl.concat(kept.values())
        assert label_conflicts(everything).is_empty()
        for name in splits:
            assert exact_duplicates(kept[name]).is_empty()
            assert reverse_complement_duplicates(kept[name]).is_empty()
            for scored in {"dev", "test"} - {name}:
                assert exact_duplicates(kept[name], kept[scored]).is_empty()
                assert reverse_complement_duplicates(kept[name], kept[scored]).is_empty()
        labels: dict[str, set[int]] = {}
        for sequence, label in pl.concat(splits.values()).select("sequence", "label").iter_rows():
            labels.setdefault(sequence, set()).add(label)
        clean = pl.concat(splits.values()).filter(pl.col("sequence").is_in([s for s in labels if len(labels[s]) == 1]))
        assert set(canonical(clean["sequence"])) == set(canonical(everything["sequence"]))


class TestTask:
    base = Base({"train": rows("train", (A, 0), (C, 1)), "test": rows("test", (A, 0), (G, 1))})

    def test_context_cuts_what_is_kept(self) -> None:
        task = derived(self.base, "deduplicated")
        assert task.load("train", context=3).rows() == [("train/1", C[:3], 1, "train/1")]

    def test_families_keep_their_names_under_context(self) -> None:
        task = derived(
            Base({"train": rows("train", (A, 0), (NEAR_A, 1))}), "grouped-by-parent", min_identity=6, length=8
        )
        assert task.load("train", context=1)["group"].to_list() == ["train/0", "train/0"]

    def test_the_hash_depends_on_rule_and_parameters_only(self) -> None:
        one = derived(self.base, "grouped-by-parent", min_identity=6, length=8)
        other = derived(self.base, "grouped-by-parent", min_identity=7, length=8)
        hashes = {one.data_hash(), other.data_hash(), derived(self.base, "deduplicated").data_hash()}
        assert len(hashes | {self.base.data_hash()}) == 4
        assert derived(self.base, "grouped-by-parent", min_identity=6, length=8).data_hash() == one.data_hash()

    def test_references_of_the_base_are_not_its_own(self) -> None:
        assert derived(self.base, "deduplicated").references("test") == {}

    def test_a_card_without_a_derivation_is_refused(self) -> None:
        with pytest.raises(DataError, match="no derivation"):
            DerivedTask(self.base, self.base.card)

    def test_an_unverified_absent_split_takes_no_part(self) -> None:
        task = derived(Base({**self.base._splits, "dev": None}), "deduplicated")
        assert ids(task, "test") == ["test/0", "test/1"]
        assert task.removed() == {"train": 1, "test": 0}
        with pytest.raises(MissingData, match="no file for dev"):
            task.load("dev")

    def test_an_unverified_split_that_comes_later_takes_part_then(self) -> None:
        base = Base({**self.base._splits, "dev": None})
        task = derived(base, "deduplicated")
        assert ids(task, "train") == ["train/1"]
        base._splits["dev"] = rows("dev", (C, 1), (T, 0))
        assert ids(task, "dev") == ["dev/0", "dev/1"]
        assert ids(task, "train") == []
        assert task.removed() == {"train": 2, "dev": 0, "test": 0}

    def test_what_was_altered_in_the_base_is_passed_on(self) -> None:
        class Reported(Base):
            def letters(self, split: str) -> LetterCounts:
                return LetterCounts(rows=self.load(split).height, uracil=1)

        assert derived(Reported(self.base._splits), "deduplicated").letters("train") == LetterCounts(rows=2, uracil=1)
        assert derived(self.base, "deduplicated").letters("train") == LetterCounts()

    def test_a_verified_split_must_be_here(self) -> None:
        file = {"path": "dev.csv", "split": "dev", "sha256": "0" * 64}
        task = derived(Base({**self.base._splits, "dev": None}, files=(file,)), "deduplicated")
        with pytest.raises(MissingData, match="no file for dev"):
            task.load("test")


@pytest.mark.real_data
class TestRealVersions:
    def test_prom_core_keeps_training_sets_and_no_parent_crosses(self, shared_data: Path) -> None:
        task = open_task("genemask/prom-core@2", Access(mirror=str(shared_data), offline=True))
        assert isinstance(task, DerivedTask)
        training = {f"train-{n}": n for n in (10, 50, 100, 500, 1000)}
        assert task.removed() == {**dict.fromkeys(training, 0), "test": 291}
        test = task.load("test")
        assert test.height == 5629
        rule = AlignedIdentity(min_identity=46, length=70)
        for split, per_class in training.items():
            train = task.load(split)
            assert train["label"].value_counts()["count"].to_list() == [per_class] * 2
            assert parent_child(train, test, rule=rule).is_empty()
            assert not set(train["group"]) & set(test["group"])

    @pytest.mark.parametrize(
        ("name", "removed"),
        [
            ("tf/0", {"train": 9, "dev": 0, "test": 0}),
            ("tf/1", {"train": 2, "dev": 0, "test": 0}),
            ("mouse/0", {"train": 0, "dev": 0, "test": 0}),
            ("prom/prom_core_all", {"train": 284, "dev": 30, "test": 12}),
            ("prom/prom_core_tata", {"train": 93, "dev": 3, "test": 4}),
        ],
    )
    def test_gue(self, shared_data: Path, name: str, removed: dict[str, int]) -> None:
        task = open_task(f"gue/{name}@2", Access(mirror=str(shared_data), offline=True))
        assert isinstance(task, DerivedTask)
        assert task.removed() == removed


def paired(split: str, *labelled: tuple[str, str, int]) -> pl.DataFrame:
    made = rows(split, *((first, label) for first, _, label in labelled))
    return made.insert_column(2, pl.Series("sequence_2", [second for _, second, _ in labelled]))


class TestPairsAndLists:
    def test_a_pair_counts_as_one(self) -> None:
        a, c = reverse_complement(A), reverse_complement(C)
        base = Base(
            {
                "train": paired("train", (A, C, 0), (A, G, 1), (G, T, 0), (C, A, 0)),
                "test": paired("test", (a, c, 0), (A, T, 1), (A, T, 1), (G, T, 1)),
            }
        )
        task = derived(base, "deduplicated")
        # test/0 is train/0 of the other strand; train/2 and test/3 have one pair under two labels; one side may stay
        assert ids(task, "train") == ["train/1", "train/3"]
        assert ids(task, "test") == ["test/0", "test/1"]
        assert task.load("train").columns == ["id", "sequence", "sequence_2", "label", "group"]

    def test_lists_of_labels_conflict_by_value(self) -> None:
        train = rows("train", (A, 0), (C, 0)).with_columns(label=pl.Series([[0, 1], [1, 1]]))
        test = rows("test", (A, 0), (C, 0), (G, 0)).with_columns(label=pl.Series([[0, 1], [1, 0], [1, 1]]))
        task = derived(Base({"train": train, "test": test}, kind="multilabel"), "deduplicated")
        assert ids(task, "train") == []
        assert ids(task, "test") == ["test/0", "test/2"]
        assert task.load("test")["label"].to_list() == [[0, 1], [1, 1]]
