from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import MissingData, Unsupported, UsageError
from glmbench.storage.fetch import Access
from glmbench.tasks.budget import FULL, Budget, draws, training_rows
from glmbench.tasks.card import TaskCard
from glmbench.tasks.registry import open_task


class Frames:
    """A task over frames in memory."""

    def __init__(self, kind: str = "classification", **splits: list[float] | list[list[int]]) -> None:
        self.card = TaskCard(name="a/b", title="t", kind=kind, metric="mcc", metrics=("mcc",))
        self._splits = {name.replace("_", "-"): labels for name, labels in splits.items()}

    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        labels = self._splits[split]
        ids = [f"{split}/{row}" for row in range(len(labels))]
        return pl.DataFrame({"id": ids, "sequence": ["ACGT"] * len(labels), "label": labels, "group": ids})

    def data_hash(self) -> str:
        return "0" * 64

    def references(self, split: str) -> dict[str, pl.DataFrame]:
        return {}


def rows_of(frame: pl.DataFrame) -> list[int]:
    return [int(identifier.split("/")[1]) for identifier in frame["id"]]


@pytest.mark.parametrize(
    ("text", "budget"),
    [("full", FULL), ("10", Budget(per_class=10)), ("0.01", Budget(fraction=0.01)), ("1e-3", Budget(fraction=0.001))],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "1.0",
        "1.5",
        "0.0",
        "nan",
        "inf",
        "ten",
        "²",
        "10%",
        "Full",
        "١٠",
        "٠.٥",
        "0.0_1",
        " 0.5",
        "0.5\n",
        "1e",
    ],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        Budget.parse(text)


@given(
    st.one_of(
        st.just(FULL),
        st.integers(1, 10**6).map(lambda n: Budget(per_class=n)),
        st.floats(0, 1, exclude_min=True, exclude_max=True).map(lambda f: Budget(fraction=f)),
    )
)
def test_a_budgets_text_is_read_back_as_itself(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


def test_the_sources_own_set_is_one_draw_where_it_has_n_per_class() -> None:
    task = Frames(train_2=[0, 1, 1, 0], train=[0, 1] * 50)
    assert draws(task, Budget(per_class=2)) == 1
    for draw in range(3):
        assert training_rows(task, Budget(per_class=2), draw)["id"].to_list() == [f"train-2/{i}" for i in range(4)]


def test_a_larger_own_set_is_cut_in_file_order() -> None:
    task = Frames(train_2=[0, 0, 1, 0, 1, 1, 1, 0, 0, 1])
    budget = Budget(per_class=2)
    assert draws(task, budget) == 2
    assert rows_of(training_rows(task, budget, 0)) == [0, 1, 2, 4]
    assert rows_of(training_rows(task, budget, 1)) == [3, 5, 6, 7]
    assert rows_of(training_rows(task, budget, 2)) == [0, 1, 2, 4]


def test_n_per_class_is_drawn_from_train_balanced_and_the_same_each_time() -> None:
    task = Frames(train=[0] * 30 + [1] * 10)
    budget = Budget(per_class=5)
    assert draws(task, budget) is None
    first = training_rows(task, budget, 0)
    assert first["label"].value_counts().sort("label").rows() == [(0, 5), (1, 5)]
    assert first.equals(training_rows(task, budget, 0))
    assert rows_of(first) == sorted(rows_of(first))
    assert rows_of(first) != rows_of(training_rows(task, budget, 1))
    assert first.columns == ["id", "sequence", "label", "group"]


def test_draws_do_not_change_from_release_to_release() -> None:
    task = Frames(train=[0, 1] * 20)
    rank = np.random.default_rng([20231001, 3]).permutation(40)
    wanted = sorted(row for label in (0, 1) for row in sorted(range(label, 40, 2), key=lambda row: rank[row])[:4])
    assert rows_of(training_rows(task, Budget(per_class=4), 3)) == wanted


def test_without_train_a_budget_is_drawn_from_the_smallest_larger_set() -> None:
    task = Frames(train_10=[0, 1] * 10, train_50=[0, 1] * 50)
    assert all(identifier.startswith("train-50/") for identifier in training_rows(task, Budget(per_class=20), 0)["id"])
    assert training_rows(task, Budget(per_class=20), 0).height == 40


def test_a_fraction_is_stratified_and_never_empties_a_class() -> None:
    task = Frames(train=[0] * 200 + [1] * 60 + [2] * 3)
    got = training_rows(task, Budget(fraction=0.1), 0)
    assert got["label"].value_counts().sort("label").rows() == [(0, 20), (1, 6), (2, 1)]
    assert draws(task, Budget(fraction=0.1)) is None


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_fraction_is_a_subset_in_order_with_every_class(labels: list[int], fraction: float, draw: int) -> None:
    got = training_rows(Frames(train=list(map(float, labels))), Budget(fraction=fraction), draw)
    rows = rows_of(got)
    assert rows == sorted(set(rows))
    assert set(got["label"]) == set(labels)
    assert all(labels[row] == label for row, label in zip(rows, got["label"], strict=True))


def test_full_is_all_of_train() -> None:
    task = Frames(train=[0, 1, 0], train_1=[0, 1])
    assert training_rows(task, FULL, 5).equals(task.load("train"))
    assert draws(task, FULL) == 1


def test_a_regression_counts_examples() -> None:
    task = Frames(kind="regression", train=[float(i) for i in range(40)])
    got = training_rows(task, Budget(per_class=8), 2)
    assert got.height == 8
    assert rows_of(got) == sorted(rows_of(got))
    assert got.equals(training_rows(task, Budget(per_class=8), 2))
    assert training_rows(task, Budget(fraction=0.25), 0).height == 10
    assert training_rows(task, Budget(fraction=0.001), 0).height == 1
    with pytest.raises(Unsupported, match="wants 41 rows"):
        training_rows(task, Budget(per_class=41), 0)


class Absent(Frames):
    """A task of which some files are not here."""

    absent: tuple[str, ...] = ()

    def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
        if split in self.absent:
            raise MissingData(f"{split} is missing; get it with glmbench get a/b")
        return super().load(split, context=context)


@pytest.mark.parametrize("budget", [FULL, Budget(fraction=0.5), Budget(per_class=20)])
def test_rows_do_not_depend_on_which_files_are_here(budget: Budget) -> None:
    task = Absent(train_10=[0, 1] * 10, train_50=[0, 1] * 50, train=[0, 1] * 100)
    whole = training_rows(task, budget, 0)
    task.absent = ("train",)
    with pytest.raises(MissingData) as raised:
        training_rows(task, budget, 0)
    for part in ("glmbench get a/b", f"Budget {budget} takes its rows from train", "set of their own: 10, 50"):
        assert part in str(raised.value)
    task.absent = ("train-50",)
    assert training_rows(task, budget, 0).equals(whole)


def test_an_absent_set_of_the_source_names_the_others() -> None:
    task = Absent(train_10=[0, 1] * 10, train_50=[0, 1] * 50)
    task.absent = ("train-10",)
    for asked in (lambda: draws(task, Budget(per_class=10)), lambda: training_rows(task, Budget(per_class=10), 0)):
        with pytest.raises(MissingData, match=r"set of their own: 50$"):
            asked()


def test_a_split_that_only_looks_like_a_set_is_none() -> None:
    task = Frames(train=[0, 1] * 30, **{"train_²": [0, 1]})
    assert draws(task, Budget(per_class=2)) is None


@pytest.mark.parametrize("budget", [FULL, Budget(fraction=0.5), Budget(per_class=20)])
def test_what_the_source_does_not_ship_is_unsupported(budget: Budget) -> None:
    task = Frames(train_10=[0, 1] * 10, test=[0, 1])
    with pytest.raises(Unsupported, match="ships sets of 10 per class"):
        training_rows(task, budget, 0)
    with pytest.raises(Unsupported):
        draws(task, budget)


def test_too_few_rows_of_a_class_are_unsupported() -> None:
    with pytest.raises(Unsupported, match="a class has 3 training rows"):
        training_rows(Frames(train=[0] * 30 + [1] * 3), Budget(per_class=4), 0)


@pytest.mark.real_data
def test_splice_40_has_ten_disjoint_draws_in_file_order(shared_data: Path, tmp_path: Path) -> None:
    task = open_task("genemask/splice-40", Access(tmp_path, str(shared_data), offline=True))
    for shots in (10, 50, 100, 500):
        budget = Budget(per_class=shots)
        assert draws(task, budget) == 10
        drawn = [training_rows(task, budget, draw) for draw in range(10)]
        assert all(rows["label"].value_counts()["count"].to_list() == [shots] * 3 for rows in drawn)
        assert sorted(row for rows in drawn for row in rows_of(rows)) == list(range(30 * shots))
        for label in range(3):
            places = [row for rows in drawn for row in rows_of(rows.filter(pl.col("label") == label))]
            assert places == sorted(places)


@pytest.mark.real_data
def test_prom_core_has_one_draw_of_its_own_sets_and_no_full(shared_data: Path, tmp_path: Path) -> None:
    task = open_task("genemask/prom-core", Access(tmp_path, str(shared_data), offline=True))
    assert [draws(task, Budget(per_class=n)) for n in (10, 50, 100, 500, 1000)] == [1] * 5
    with pytest.raises(Unsupported, match="10, 50, 100, 500, 1000 per class"):
        training_rows(task, FULL, 0)


@pytest.mark.parametrize("kind", ["multilabel", "per-base"])
def test_lists_of_labels_are_drawn_as_rows(kind: str) -> None:
    labels = [[row % 2, 1, 0, row % 3] for row in range(40)]
    task = Frames(kind, train=labels, train_10=labels[:10], train_20=labels)
    drawn = [rows_of(training_rows(task, Budget(per_class=7), draw)) for draw in range(3)]
    assert all(len(set(rows)) == 7 for rows in drawn)
    assert len(set(map(tuple, drawn))) == 3
    assert training_rows(task, Budget(fraction=0.5), 0).height == 20
    assert rows_of(training_rows(task, FULL, 0)) == list(range(40))
    # the source's own sets: one of as many rows is one draw, of a larger one any number can be drawn
    assert [draws(task, Budget(per_class=n)) for n in (10, 20, 7)] == [1, None, None]
    with pytest.raises(Unsupported, match="wants 50 rows"):
        training_rows(task, Budget(per_class=50), 0)
