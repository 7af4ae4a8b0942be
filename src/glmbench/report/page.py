"""Build the page: one HTML file that needs nothing else, and beside it the figures and the scores as files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from glmbench.report import figures, text, view
from glmbench.report.boards import UNRANKED, Board, Row, boards, main_boards, without_doubtful
from glmbench.report.data import Comparison, ReportData, TaskInfo
from glmbench.report.figures import Figure
from glmbench.report.marks import looks
from glmbench.report.render import Drawn, draw, scripts
from glmbench.storage.atomic import write_bytes, write_text


@dataclass(frozen=True)
class TaskSection:
    """What the section of one task shows."""

    id: str
    info: TaskInfo
    main: Board | None
    """The board its figure shows."""
    best: Row | None
    """The best row of that board that was measured here."""
    boards: int
    figures: tuple[Drawn, ...]
    comparisons: tuple[Comparison, ...]
    metrics: tuple[str, ...]
    fitted: tuple[Row, ...]
    """Rows of all its boards that say how their fits went."""
    troubled: bool
    """Whether any of these was cut, collapsed or was tried again."""


def build(data: ReportData, out: Path) -> Path:
    """Write `out/report.html`, `out/figures/*.svg|pdf` and `out/scores.csv`; return the path of the page.

    Every file is written whole or not at all. Figures of an earlier report in `out` that this one lacks are removed;
    files that no report wrote stay.
    """
    found = boards(data.scores)
    drawable = without_doubtful(found)
    overview = [draw(figure) for figure in _overview(data, drawable)]
    sections = _sections(data, drawable)
    drawn = [*overview, *(figure for section in sections for figure in section.figures)]
    _write_figures(out / "figures", drawn)
    csv = text.to_csv(data)
    write_text(out / "scores.csv", csv)
    page = out / "report.html"
    write_text(page, _html(data, found, {d.figure.name: d for d in overview}, sections, csv, bool(drawn)))
    return page


def _overview(data: ReportData, found: Sequence[Board]) -> list[Figure]:
    styles = looks(data.scores)
    rows = figures.curve_rows(found, _class_counts(data))
    drawn = [figures.heatmap(found), figures.all_curves(rows, styles), figures.cost(found, styles)]
    drawn += [
        figures.aggregate_forest(table["figure"], [row for row in table["rows"] if not row.flagged])
        for table in view.aggregate_tables(data)
    ]
    return [figure for figure in drawn if figure is not None]


def _class_counts(data: ReportData) -> dict[str, int]:
    """Number of classes by task; a task without classes counts its examples."""
    return {task.name: len(task.classes) or 1 for task in data.tasks}


def _sections(data: ReportData, found: Sequence[Board]) -> list[TaskSection]:
    styles = looks(data.scores)
    points = figures.curve_rows(found, _class_counts(data))
    mains = main_boards(found)
    sections = []
    for number, info in enumerate(view.task_infos(data, found)):
        name = f"task-{number:02d}-{figures.slug(info.name)}"
        own = [board for board in found if board.key.task == info.name]
        main = [board for board in mains if board.key.task == info.name]
        made = [figures.board_forest(board, f"{name}-{place}") for place, board in enumerate(main)]
        made += figures.task_curves(f"{name}-curve", info.name, points, styles)
        fitted = tuple(row for board in own for row in board.rows if row.score.fitting is not None)
        sections.append(
            TaskSection(
                id=name,
                info=info,
                main=main[0] if main else None,
                best=next((r for r in (main[0].scored if main else ()) if r.score.kind not in UNRANKED), None),
                boards=len(own),
                figures=tuple(draw(figure) for figure in made),
                comparisons=tuple(c for c in data.comparisons if c.task == info.name),
                metrics=tuple(sorted({m for row in (main[0].rows if main else ()) for m in row.score.all_metrics})),
                fitted=fitted,
                troubled=any(view.trouble(row.score.fitting) for row in fitted),
            )
        )
    return sections


def _write_figures(folder: Path, drawn: Sequence[Drawn]) -> None:
    """Write the figures and an index of their captions; only what the last index names is ever removed."""
    index = folder / "index.json"
    before = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    captions = {item.figure.name: item.figure.caption for item in drawn}
    for item in drawn:
        write_text(folder / f"{item.figure.name}.svg", item.svg)
        write_bytes(folder / f"{item.figure.name}.pdf", item.pdf)
    for name in before.keys() - captions.keys():
        for suffix in (".svg", ".pdf"):
            (folder / f"{figures.slug(name)}{suffix}").unlink(missing_ok=True)
    write_text(index, json.dumps(captions, indent=1, ensure_ascii=False) + "\n")


def _data_uri(media: str, content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return f"data:{media};base64,{base64.b64encode(raw).decode()}"


def _static(name: str) -> str:
    return (files("glmbench.report") / "static" / name).read_text(encoding="utf-8")


def _script_hash(script: str) -> str:
    """The script's entry in the page's Content Security Policy: nothing else may run, whatever a model is called."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _html(
    data: ReportData,
    found: Sequence[Board],
    overview: dict[str, Drawn],
    sections: Sequence[TaskSection],
    csv: str,
    has_figures: bool,
) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("glmbench.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "seconds": view.seconds, "memory": view.memory, "parameters": view.parameters,
        "number": text.number, "q": view.q_value, "share": view.share, "budget": figures.budget_words,
        "data_uri": lambda content, media: _data_uri(media, content),
    }  # fmt: skip
    code = [scripts(), _static("page.js")] if has_figures else [_static("page.js")]
    context: dict[str, Any] = {
        "data": data,
        "rows": view.leaderboard(found),
        "shows": view.shown_columns(data.scores),
        "filters": view.filters(found),
        "boards": len(found),
        "doubtful": any(score.flagged for score in data.scores),
        "sources": view.published_sources([*data.scores, *data.aggregates]),
        "aggregates": view.aggregate_tables(data),
        "overview": overview,
        "sections": sections,
        "costs": view.costs(found),
        "skipped": view.skipped_table(data.skipped),
        "environment": view.environment_rows(data.environment),
        "findings": view.findings(found),
        "methods": " ".join(text.methods_sentences(data)),
        "citations": text.citations(data),
        "counts": _counts(data),
        "csv": csv,
        "style": _static("page.css"),
        "scripts": code,
        "hashes": " ".join(_script_hash(script) for script in code),
    }
    return environment.get_template("page.html.j2").render(context)


def _counts(data: ReportData) -> list[tuple[int, str]]:
    """The numbers at the top of the page, those that are not zero."""
    measured = [s for s in data.scores if s.kind not in ("published", "reference")]
    counts = [
        (len({s.task for s in measured}), "tasks"),
        (len({s.model for s in measured if s.kind != "control"}), "models"),
        (len({s.model for s in measured if s.kind == "control"}), "controls"),
        (len(measured), "scores"),
        (sum(s.fits or 1 for s in measured), "fits"),
        (sum(s.kind == "published" for s in data.scores), "published figures"),
        (sum(item.status == "skip" for item in data.skipped), "jobs skipped"),
        (sum(item.status == "failed" for item in data.skipped), "jobs failed"),
    ]
    return [
        (n, word.replace("s", "", 1) if n == 1 and word.startswith("job") else word[:-1] if n == 1 else word)
        for n, word in counts
        if n
    ]
