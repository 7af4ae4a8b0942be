from __future__ import annotations

import json

import pytest
from report_factory import HOSTILE, MODELS, make_report

from glmbench.report import figures
from glmbench.report.boards import Board, boards
from glmbench.report.data import Score
from glmbench.report.marks import looks
from glmbench.report.render import draw, scripts


@pytest.fixture(scope="module")
def found() -> list[Board]:
    return boards(make_report(tasks=2, budgets=("10", "100", "full")).scores)


def test_a_forest_has_a_mark_a_row_and_a_line_a_bound(found: list[Board]) -> None:
    board = next(b for b in found if b.key.task == "gue/tf/0@2" and b.key.budget == "full")
    spec = figures.board_forest(board, "x").spec
    assert {row["label"] for row in spec["datasets"]["marks"]} == {r.label for r in board.rows} - {"best possible"}
    assert spec["datasets"]["lines"] == [{"value": 0.95, "text": "best possible"}, {"value": 0.5, "text": "chance"}]


def test_specifications_are_valid_vega_lite(found: list[Board]) -> None:
    import altair as alt

    styles = looks([row.score for board in found for row in board.rows])
    points = figures.curve_rows(found, {})
    made = [figures.heatmap(found), figures.cost(found, styles), figures.all_curves(points, styles)]
    made += [figures.board_forest(found[0], "x"), *figures.task_curves("x", "gue/tf/0@2", points, styles)]
    for figure in made:
        assert figure is not None
        json.dumps(figure.spec, allow_nan=False)
        alt.Chart.from_dict(figure.spec, validate=True)


def test_a_curve_puts_full_data_at_its_own_number_of_examples(found: list[Board]) -> None:
    rows = figures.curve_rows(found, {"gue/tf/0@2": 2})
    assert {row["x"] for row in rows if row["task"] == "gue/tf/0@2" and row["kind"] != "reference"} == {10, 100, 8000}


def test_no_curve_from_one_budget() -> None:
    data = make_report(tasks=2, budgets=("100",))
    rows = figures.curve_rows(boards(data.scores), {})
    assert rows == []
    assert figures.all_curves(rows, looks(data.scores)) is None


def test_the_heat_map_is_coloured_by_the_difference_from_the_best_control(found: list[Board]) -> None:
    figure = figures.heatmap(found)
    assert figure is not None
    cells = {(r["task"], r["label"]): r for r in figure.spec["datasets"]["rows"]}
    task = "genemask/task-1@1 (accuracy)"
    best = max(cells[task, c]["value"] for c in ("kmer:5", "kmer:pos3", "onehot-cnn"))
    assert cells[task, "alpha-117m"]["delta"] == pytest.approx(cells[task, "alpha-117m"]["value"] - best)
    assert cells[task, "DNABERT-2 †"]["text"] == "0.86"
    assert cells[task, "alpha-117m"]["text"].endswith("*")


def test_a_series_looks_the_same_everywhere_and_controls_are_grey_and_dashed() -> None:
    styles = {look.label: look for look in looks(make_report().scores)}
    assert styles["alpha-117m"].dash == []
    assert styles["kmer:5"].dash
    assert len({look.colour for look in styles.values() if look.kind == "model"}) == 2


def test_controls_alone_are_told_apart_by_colour() -> None:
    controls = {name: given for name, given in MODELS.items() if given[0] == "control"}
    styles = [look for look in looks(make_report(models=controls).scores) if look.kind == "control"]
    beside = [look for look in looks(make_report().scores) if look.kind == "control"]
    assert len({look.colour for look in styles}) == len({look.colour for look in beside}) == 4
    assert {look.colour for look in styles}.isdisjoint(look.colour for look in beside)


def test_a_caption_explains_the_signs_that_are_there(found: list[Board]) -> None:
    full = next(board for board in found if board.key.budget == "full")
    few = next(board for board in found if board.key.budget == "10")
    assert "published" in figures.board_forest(full, "x").caption
    assert "published" not in figures.board_forest(few, "x").caption


def test_svg_and_pdf_are_drawn_and_a_hostile_name_is_only_text() -> None:
    models = {HOSTILE: MODELS["kmer:5"], "b": MODELS["kmer:pos3"]}
    drawn = draw(figures.board_forest(boards(make_report(tasks=1, budgets=("10",), models=models).scores)[0], "x"))
    assert drawn.svg.startswith("<svg")
    assert "&lt;script&gt;" in drawn.svg
    assert "<script" not in drawn.svg
    assert drawn.pdf.startswith(b"%PDF")


def test_scores_without_intervals_are_drawn() -> None:
    scores = [Score(task="t", model=m, model_name=m, metric="mcc", value=0.5) for m in "ab"]
    assert draw(figures.board_forest(boards(scores)[0], "x")).svg.startswith("<svg")


def test_the_bundle_may_stand_in_a_script_element() -> None:
    bundle = scripts()
    assert "vegaEmbed" in bundle
    assert "</script" not in bundle
    assert "<!--" not in bundle


def test_a_slug_is_a_file_name() -> None:
    assert figures.slug("gue+/EMP H3@2") == "gue-emp-h3-2"
    assert figures.slug("../..") == "figure"
