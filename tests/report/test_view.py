from __future__ import annotations

import pytest
from report_factory import make_report

from glmbench.report import view
from glmbench.report.boards import boards
from glmbench.report.data import Aggregate, Difference, Fitting, Score, Skipped


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.42, "0.42 s"), (42.0, "42 s"), (186.0, "3.1 min"), (9000.0, "2.5 h")]
)
def test_seconds(value: float | None, shown: str) -> None:
    assert view.seconds(value) == shown


def test_memory_and_parameters() -> None:
    assert (view.memory(812.4), view.memory(1200.0), view.memory(None)) == ("812 MB", "1.2 GB", "–")
    assert (view.parameters(117_000_000), view.parameters(950), view.parameters(None)) == ("117 M", "950", "–")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0 %"), (1.0, "100 %"), (0.034, "3.4 %"), (0.0002, "< 0.1 %"), (0.9996, "> 99.9 %")],
)
def test_shares(value: float | None, shown: str) -> None:
    assert view.share(value) == shown


def test_only_trouble_is_told_beside_the_fits() -> None:
    assert view.trouble(None) == []
    assert view.trouble(Fitting(truncated_share=0.0, judged=3)) == []
    told = view.trouble(Fitting(truncated_share=0.034, collapsed=1, judged=3, retried=2))
    assert told == ["1 collapsed", "2 retried", "3.4 % cut"]


def test_columns_without_anything_to_say_are_not_shown() -> None:
    bare = Score(task="t", model="m", model_name="m", metric="x", value=0.5)
    assert view.shown_columns([bare]) == {"copies": False, "corrected": False, "species": False}
    said = [bare.model_copy(update={"copied_rows": 0}), bare.model_copy(update={"species_seen": "unknown"})]
    assert view.shown_columns(said) == {"copies": True, "corrected": False, "species": True}


@pytest.mark.parametrize(
    ("delta", "q", "higher", "expected"),
    [
        (0.1, 0.01, True, "above"),
        (-0.1, 0.01, True, "below"),
        (-0.1, 0.01, False, "above"),
        (0.1, 0.2, True, "open"),
        (0.1, None, True, ""),
    ],
)
def test_a_gain_is_clear_only_where_q_says_so(delta: float, q: float | None, higher: bool, expected: str) -> None:
    score = Score(
        task="t", model="m", model_name="m", metric="x", value=0.5, higher_is_better=higher,
        versus_control=Difference(against="c", delta=delta, q=q),
    )  # fmt: skip
    assert view.gain(boards([score])[0].rows[0]) == expected


def test_whiskers_lie_inside_their_column_and_in_order() -> None:
    rows = view.leaderboard(boards(make_report(tasks=2).scores))
    assert rows
    for row in rows:
        ends = [end for end in (row["from"], row["at"], row["to"]) if end is not None]
        assert ends == sorted(ends)
        assert ends[0] >= 0
        assert ends[-1] <= 100


def test_filters_offer_only_a_choice_and_a_long_table_opens_on_one_board() -> None:
    few = view.filters(boards(make_report(tasks=1, budgets=("10",)).scores))
    assert "budget" not in {f["name"] for f in few}
    assert not any(f["opening"] for f in few)
    many = {f["name"]: f["opening"] for f in view.filters(boards(make_report(tasks=4).scores))}
    assert many["budget"] == "full"
    assert many["task"] == "genemask/task-1@1"


def test_skips_of_one_task_and_reason_share_a_row_and_failures_come_first() -> None:
    rows = view.skipped_table(make_report(tasks=1).skipped)
    assert [(row["status"], row["jobs"]) for row in rows] == [("failed", 1), ("skip", 2)]
    assert rows[1]["models"] == ["kmer:5", "onehot-cnn"]
    assert view.skipped_table([Skipped(task="t", model="m")])[0]["traces"] == []


def test_incomplete_aggregates_come_last() -> None:
    table = view.aggregate_tables(make_report(tasks=3))[0]
    assert [row.model_name for row in table["rows"]][-1] == "tiny-stand-in"
    assert table["rows"][-1].have == 2


def test_doubtful_aggregates_come_after_the_others() -> None:
    data = make_report(tasks=3)
    best, *others = data.aggregates
    doubted = data.model_copy(update={"aggregates": (best.model_copy(update={"flagged": True}), *others)})
    names = [row.model_name for row in view.aggregate_tables(doubted)[0]["rows"]]
    assert names[-2:] == [best.model_name, "tiny-stand-in"]


def test_sources_are_those_of_published_figures() -> None:
    data = make_report(tasks=1)
    assert [source["models"] for source in view.published_sources(data.scores)] == [["DNABERT-2"]]
    mean = Aggregate(name="mean", model="x", model_name="x", kind="published", have=1, of=1, source="a paper")
    measured = mean.model_copy(update={"kind": "model", "source": "", "caveat": "the headline"})
    assert [source["source"] for source in view.published_sources([mean, measured])] == ["a paper"]


def test_the_environment_is_flattened() -> None:
    assert view.environment_rows({"a": {"b": 1, "c": [1, 2]}, "d": "x"}) == [("a.b", "1"), ("a.c", "1, 2"), ("d", "x")]


def test_findings_count_boards_by_what_the_comparison_says() -> None:
    data = make_report(tasks=3)
    assert view.findings(boards(data.scores)) == [
        "The best model against the best control, over 3 boards: above it on 3 (paired test, q < 0.05)."
    ]
    bare = [score.model_copy(update={"versus_control": None}) for score in data.scores]
    assert view.findings(boards(bare)) == []


def test_a_cost_is_the_sum_over_boards() -> None:
    data = make_report(tasks=2, budgets=("10", "full"))
    rows = {row["label"]: row for row in view.costs(boards(data.scores))}
    expected = sum(s.wall_s or 0 for s in data.scores if s.model == "kmer:5")
    assert rows["kmer:5"]["wall_s"] == pytest.approx(expected)
    assert rows["kmer:5"]["fits"] == 22
    assert "DNABERT-2" not in rows
