"""The page as a reader meets it: opened from a file in headless Chromium, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from report_factory import HOSTILE, MODELS, make_report

from glmbench.report.data import ReportData
from glmbench.report.page import build

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROWS = "#board tbody tr:not([hidden])"


@dataclass
class Opened:
    """A page and what went wrong on it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = MODELS | {f"{HOSTILE}<img src=x onerror=alert(2)>": ("model", "probe", 0.03)}
    return build(make_report(tasks=2, budgets=("10", "100", "full"), models=models), tmp_path_factory.mktemp("report"))


def _open(browser: Any, path: Path, **options: Any) -> Opened:
    opened = Opened(browser.new_page(viewport={"width": 1400, "height": 900}, **options))
    opened.page.set_default_timeout(15_000)
    opened.page.on("console", lambda m: opened.complaints.append(m.text) if m.type in ("error", "warning") else None)
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.complaints.append(f"dialog: {dialog.message}") or dialog.dismiss())
    opened.page.on("request", lambda r: None if r.url.startswith("data:") else opened.requests.append(r.url))
    opened.page.goto(path.as_uri())
    return opened


@pytest.fixture
def opened(browser: Any, built: Path) -> Iterator[Opened]:
    page = _open(browser, built)
    yield page
    page.page.close()
    assert page.complaints == []
    assert page.requests == [built.as_uri()]


def _column(opened: Opened, number: int) -> list[str]:
    cells: list[str] = opened.page.eval_on_selector_all(ROWS, f"rows => rows.map(row => row.cells[{number}].dataset.v)")
    return cells


def test_the_table_sorts_on_click_both_ways(opened: Opened) -> None:
    button = opened.page.locator('#board thead button[data-key="value"]')
    head = opened.page.locator('#board thead th:has(button[data-key="value"])')
    button.click()
    values = [float(v) for v in _column(opened, 5)]
    assert head.get_attribute("aria-sort") == "descending"
    assert len(values) > 10
    assert values == sorted(values, reverse=True)
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(v) for v in _column(opened, 5)] == sorted(values)
    opened.page.locator('#board thead button[data-key="delta"]').click()
    deltas = _column(opened, 7)
    assert deltas[-1] == ""
    assert "" not in deltas[: deltas.index("")]


def test_filters_leave_what_was_asked_for(opened: Opened) -> None:
    page = opened.page
    everything = page.locator("#board tbody tr").count()
    page.select_option("#filters select[name=task]", "gue/tf/0@2")
    page.select_option("#filters select[name=budget]", "full")
    page.select_option("#filters select[name=kind]", "control")
    assert page.locator(ROWS).count() == 4
    assert page.locator("#shown").inner_text() == f"4 of {everything} scores on 1 board"
    page.fill("#filters input[name=find]", "nothing like it")
    assert page.locator("#none").is_visible()
    page.click("#filters button[type=reset]")
    page.wait_for_function(f"document.querySelectorAll('{ROWS}').length === {everything}")


def test_doubtful_published_figures_are_hidden_at_first(opened: Opened) -> None:
    page = opened.page
    published = f"{ROWS[: -len(':not([hidden])')]}.published:not([hidden])"
    assert page.locator(f"{published} .caveat.grave").count() == 0
    assert page.locator(published).count() == 1
    page.select_option("#filters select[name=published]", "")
    assert page.locator(f"{published} .caveat.grave").count() == 1
    assert page.locator(published).count() == 2
    page.select_option("#filters select[name=published]", "none")
    assert page.locator(published).count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(opened: Opened, width: int) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    if width >= 1280:  # on a phone the table scrolls within its frame
        assert page.evaluate(
            "document.querySelector('#board').scrollWidth - document.querySelector('#board').parentNode.clientWidth"
        ) <= 0  # fmt: skip


def test_columns_of_leakage_sort_and_are_copied(opened: Opened) -> None:
    page = opened.page
    page.select_option("#filters select[name=budget]", "full")
    page.locator('#board thead button[data-key="copies"]').click()
    values = [float(value) for value in _column(opened, 8) if value]
    assert len(values) > 3
    assert values == sorted(values, reverse=True)
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.click("button[data-copy=csv]")
    page.wait_for_function("window.copied")
    head, *lines = page.evaluate("window.copied").splitlines()
    at = head.split(",").index("Without copies")
    assert lines[0].split(",")[at : at + 2] == [f"{values[0]:.3f}", "43"]
    assert {line.split(",")[at + 3] for line in lines} >= {"seen", "not seen", ""}


def test_undecided_ranks_are_bracketed(opened: Opened) -> None:
    page = opened.page
    page.select_option("#filters select[name=task]", "gue/tf/0@2")
    page.select_option("#filters select[name=budget]", "full")
    rows = page.eval_on_selector_all(
        ROWS, "rows => rows.map(row => [row.cells[0].innerText.trim(), row.classList.contains('tied')])"
    )
    ranked = [(rank, tied) for rank, tied in rows if rank != "–"]
    assert any("–" in rank for rank, _ in ranked)
    assert all(tied == ("–" in rank) for rank, tied in ranked)
    assert page.locator(f"{ROWS}.tied-first").count() == page.locator(f"{ROWS}.tied-last").count() > 0


def test_every_plot_is_drawn_live_and_can_be_had_as_svg_and_pdf(opened: Opened) -> None:
    page = opened.page
    figures = page.locator("figure.plot")
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('figure.plot')].every(f => f.classList.contains('drawn'))")
    assert figures.count() == 8
    drawn = ".live svg .mark-symbol path, .live svg .mark-rect path"
    marks = f"figures => figures.map(f => f.querySelectorAll('{drawn}').length)"
    assert min(page.eval_on_selector_all("figure.plot", marks)) > 5
    links = page.eval_on_selector_all(
        ".files a", "links => links.map(a => [a.download.slice(-4), a.href.slice(0, 22)])"
    )
    assert set(map(tuple, links)) == {(".svg", "data:image/svg+xml;bas"), (".pdf", "data:application/pdf;b")}


def test_a_figure_answers_the_pointer_and_a_hostile_name_stays_text(opened: Opened) -> None:
    page = opened.page
    page.locator("#heatmap").scroll_into_view_if_needed()
    page.wait_for_selector("#heatmap.drawn .live svg")
    for mark in page.locator("#heatmap .live svg .mark-rect path").all():
        mark.hover(position={"x": 5, "y": 5})
        tip = page.locator("#vg-tooltip-element")
        tip.wait_for(state="visible")
        if "script" in tip.inner_text():
            assert tip.locator("script, img").count() == 0
            return
    pytest.fail("no tooltip shows the hostile name")


@pytest.mark.parametrize(
    ("form", "start"), [("csv", "Rank,Model,Kind"), ("markdown", "| Rank | Model"), ("latex", "\\begin{tabular}")]
)
def test_the_rows_shown_are_copied(browser: Any, built: Path, form: str, start: str) -> None:
    opened = _open(browser, built)
    opened.page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    opened.page.select_option("#filters select[name=budget]", "full")
    opened.page.click(f"button[data-copy={form}]")
    opened.page.wait_for_function("window.copied")
    text = opened.page.evaluate("window.copied")
    assert text.startswith(start)
    shown = opened.page.locator(ROWS).count()
    lines = [line for line in text.splitlines() if "accuracy" in line]
    assert len(lines) == shown
    opened.page.close()
    assert opened.complaints == []


def test_the_theme_switches_and_figures_follow(browser: Any, built: Path) -> None:
    opened = _open(browser, built, color_scheme="dark")
    page = opened.page
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 23, 28)"
    page.locator("#heatmap").scroll_into_view_if_needed()
    page.wait_for_selector("#heatmap.drawn .live svg")
    assert "#e6e8ec" in page.locator("#heatmap .live svg").inner_html()
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.wait_for_function("document.querySelector('#heatmap .live svg')?.innerHTML.includes('#22262e')")
    page.close()
    assert opened.complaints == []


def test_a_report_of_nothing_opens_without_complaint(browser: Any, tmp_path: Path) -> None:
    opened = _open(browser, build(ReportData(), tmp_path))
    assert opened.page.locator("#leaderboard .empty").is_visible()
    opened.page.close()
    assert opened.complaints == []


def test_a_report_without_scripts_still_shows_figures_and_rows(browser: Any, built: Path) -> None:
    opened = _open(browser, built, java_script_enabled=False)
    assert opened.page.locator("figure.plot .still img").first.is_visible()
    assert opened.page.locator("#board tbody tr").first.is_visible()
    opened.page.close()
