from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_factory import make_report

from glmbench.report.boards import (
    boards,
    budget_key,
    main_boards,
    natural_key,
    series_labels,
    undecided_groups,
    without_doubtful,
)
from glmbench.report.data import Score


def _score(**given: object) -> Score:
    fields: dict[str, object] = {"task": "t@1", "model": "a", "model_name": "a", "metric": "mcc", "value": 0.5}
    return Score.model_validate(fields | given)


def test_overlapping_rank_intervals_form_one_group() -> None:
    assert undecided_groups([(1, 1), (2, 3), (2, 4), (4, 5), (6, 6)]) == [0, 1, 1, 1, 2]
    assert undecided_groups([]) == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 4)), min_size=1, max_size=12))
def test_two_rows_are_in_one_group_if_and_only_if_no_gap_lies_between_them(drawn: list[tuple[int, int]]) -> None:
    intervals = sorted((low, low + more) for low, more in drawn)
    groups = undecided_groups(intervals)
    for place in range(1, len(intervals)):
        gap = intervals[place][0] > max(high for _, high in intervals[:place])
        assert groups[place] - groups[place - 1] == int(gap)


def test_rows_are_ranked_only_against_their_own_board() -> None:
    found = boards([_score(), _score(budget="10"), _score(protocol="released"), _score(metric="f1"), _score(suite="s")])
    assert len(found) == 5
    assert all(len(board.rows) == 1 for board in found)


def test_best_is_first_and_a_row_without_a_value_is_last() -> None:
    values = {"a": 0.2, "b": None, "c": 0.9}
    scores = [_score(model=m, model_name=m, value=v) for m, v in values.items()]
    assert [row.label for row in boards(scores)[0].rows] == ["c", "a", "b"]
    lower = [s.model_copy(update={"higher_is_better": False}) for s in scores]
    assert [row.label for row in boards(lower)[0].rows] == ["a", "c", "b"]


def test_doubtful_rows_come_last_and_are_left_out_of_figures() -> None:
    scores = [_score(value=0.9, flagged=True, model="x", model_name="x"), _score(value=0.2)]
    (board,) = boards(scores)
    assert [row.label for row in board.rows] == ["x", "a"][::-1]
    (firm,) = without_doubtful([board])
    assert [row.label for row in firm.rows] == ["a"]
    assert firm.key == board.key


def test_a_name_carries_the_method_or_the_reference_only_where_it_must() -> None:
    a, b = _score(model="hf:x", model_name="x", method="probe"), _score(model="hf:x", model_name="x", method="scratch")
    assert set(series_labels([a]).values()) == {"x"}
    assert set(series_labels([a, b]).values()) == {"x · probe", "x · scratch"}
    other = _score(model="hf:y", model_name="x", method="probe")
    assert set(series_labels([a, other]).values()) == {"x · probe · hf:x", "x · probe · hf:y"}


def test_budgets_and_names_sort_as_people_count() -> None:
    assert sorted(["full", "1000", "0.1", "50", "0.01"], key=budget_key) == ["0.01", "0.1", "50", "1000", "full"]
    assert sorted(["tf/10", "tf/2"], key=natural_key) == ["tf/2", "tf/10"]


def test_the_main_board_is_where_most_rows_were_fitted() -> None:
    scores = [_score(budget="10", model=m, model_name=m) for m in "abc"] + [_score(budget="full")]
    assert [board.key.budget for board in main_boards(boards(scores))] == ["10"]
    everywhere = make_report(tasks=2, budgets=("10", "full"))
    assert {board.key.budget for board in main_boards(boards(everywhere.scores))} == {"full"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_number_that_is_none_is_none(value: float | None) -> None:
    assert _score(value=value).value is None
    assert main_boards(boards([_score(value=value)])) == []


def test_a_report_survives_json() -> None:
    data = make_report()
    assert type(data).model_validate_json(data.model_dump_json()) == data
