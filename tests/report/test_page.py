from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from report_factory import HOSTILE, MODELS, make_report

from glmbench.report.data import ReportData, Score, Skipped, TaskInfo
from glmbench.report.page import build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_report(tasks=1, budgets=("10", "full")), tmp_path_factory.mktemp("report"))


def test_the_page_holds_every_section_and_nothing_from_outside(built: Path) -> None:
    html = built.read_text()
    for part in ("overview", "leaderboard", "tasks", "cost", "skipped", "environment", "methods"):
        assert f'<section id="{part}"' in html
    assert "connect" not in html.split("<title>")[0]
    for tag in ('<link rel="stylesheet', "<script src", 'src="http', "@import"):
        assert tag not in html
    assert "glmbench get gue/EMP/H3" in html
    assert "43 of 5,920" in html
    assert "@article{sourcegue" in html
    assert "43 rows fewer" in html
    assert "How the fits went (2)" in html
    for words in ("seen", "unknown"):
        assert f'<td class="species" data-v="{words}">' in html
    assert "1 of 3" in html


def test_columns_that_no_score_has_anything_for_are_left_out(tmp_path: Path) -> None:
    score = Score(task="t@1", model="m", model_name="m", metric="mcc", value=0.5)
    html = build(ReportData(scores=(score,)), tmp_path).read_text()
    for key in ("copies", "corrected", "species"):
        assert f'data-key="{key}"' not in html
    for absent in ("Without copies”", "How the fits went", "Copies of test rows"):
        assert absent not in html


def test_no_copies_is_told_from_not_looked_for(tmp_path: Path) -> None:
    clean = Score(task="t@1", model="m", model_name="m", metric="mcc", value=0.5, copied_rows=0)
    assert "no copies" in build(ReportData(scores=(clean,)), tmp_path).read_text()
    info = TaskInfo(name="t@1", leaks_note="not looked for: train.csv is missing")
    html = build(ReportData(scores=(clean,), tasks=(info,)), tmp_path).read_text()
    assert "Copies of test rows in other splits: not looked for: train.csv is missing" in html


def test_every_figure_lies_beside_the_page_as_svg_and_pdf(built: Path) -> None:
    folder = built.parent / "figures"
    names = {path.stem for path in folder.glob("*.svg")}
    assert names == {path.stem for path in folder.glob("*.pdf")}
    assert {"cost", "aggregate-0"} <= names
    assert built.read_text().count("data:application/pdf;base64,") == len(names)
    assert (built.parent / "scores.csv").read_text().startswith("suite,task,model")


def test_building_again_removes_its_own_old_figures_and_no_others(tmp_path: Path) -> None:
    build(make_report(tasks=1, budgets=("10",)), tmp_path)
    mine = tmp_path / "figures" / "mine.svg"
    mine.write_text("<svg/>")
    assert len(list((tmp_path / "figures").glob("*.pdf"))) == 3
    build(ReportData(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["index.json", "mine.svg"]


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    html = build(ReportData(), tmp_path).read_text()
    assert "There is no score yet." in html
    assert "Nothing was skipped and nothing failed." in html
    assert "vegaEmbed(live" in html
    assert len(html) < 100_000


def test_a_report_of_skips_alone_shows_them(tmp_path: Path) -> None:
    data = ReportData(skipped=(Skipped(task="t@1", model="m", reason="files are absent"),))
    html = build(data, tmp_path).read_text()
    assert "Every job so far was skipped or failed" in html
    assert "files are absent" in html


def test_absent_values_are_dashes(tmp_path: Path) -> None:
    score = Score(task="t@1", model="m", model_name="m", metric="mcc", value=float("nan"), low=float("nan"))
    html = build(ReportData(scores=(score,)), tmp_path).read_text()
    assert "nan" not in html.split("<main")[1].split("<script>")[0].lower()
    assert "No score on this task yet." in html


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    bad = {f"{HOSTILE}\"'</script><img src=x onerror=alert(1)>": MODELS["kmer:5"], "b": MODELS["kmer:pos3"]}
    data = make_report(tasks=1, budgets=("10", "full"), models=bad, title=HOSTILE)
    html = build(data, tmp_path).read_text()
    assert HOSTILE not in html
    assert "<img src=x" not in html
    assert "javascript:" not in html.lower().split("<script>")[0]


def test_reading_the_model_of_a_report_imports_no_heavy_library() -> None:
    code = (
        "import sys, glmbench.report.page, glmbench.report.text; "
        "print(sorted({'altair', 'vl_convert', 'torch', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
