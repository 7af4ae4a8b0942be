"""What the template is given: numbers as words, rows as cells, tables grouped; no markup here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from glmbench.report.boards import UNRANKED, Board, BoardKey, Row, budget_key, main_boards, natural_key
from glmbench.report.data import Aggregate, Difference, Fitting, ReportData, Score, Skipped, TaskInfo
from glmbench.report.text import listing, rank

SHOWN_AT_ONCE = 60
"""A leaderboard with more rows opens on one task and budget."""


def seconds(value: float | None) -> str:
    """A duration for people: `0.42 s`, `3.1 min`, `2.5 h`."""
    if value is None:
        return "–"
    if value < 90:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def memory(megabytes: float | None) -> str:
    """A size of memory: `812 MB`, `1.2 GB`."""
    if megabytes is None:
        return "–"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def parameters(count: int | None) -> str:
    """A number of weights: `117 M`."""
    if count is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def share(value: float | None) -> str:
    """A share in per cent: `3.2 %`, `< 0.1 %`, and a whole 0 or 100 without decimals."""
    if value is None:
        return "–"
    if value in (0, 1):
        return f"{100 * value:.0f} %"
    return "< 0.1 %" if value < 0.001 else "> 99.9 %" if value > 0.999 else f"{100 * value:.1f} %"


def trouble(fitting: Fitting | None) -> list[str]:
    """What went wrong in the fits of a score, in few words; nothing where nothing did."""
    if fitting is None:
        return []
    cut = f"{share(fitting.truncated_share)} cut" if fitting.truncated_share else ""
    collapsed = f"{fitting.collapsed} collapsed" if fitting.collapsed else ""
    retried = f"{fitting.retried} retried" if fitting.retried else ""
    return [words for words in (collapsed, retried, cut) if words]


def shown_columns(scores: Sequence[Score]) -> dict[str, bool]:
    """Which columns beside the score have anything to say: `copies`, `corrected`, `species`."""
    return {
        "copies": any(score.copied_rows is not None for score in scores),
        "corrected": any(score.corrected is not None for score in scores),
        "species": any(score.species_seen for score in scores),
    }


def q_value(q: float | None) -> str:
    """A corrected p-value: `q = 0.031`, `q < 0.001`."""
    if q is None:
        return ""
    return "q < 0.001" if q < 0.001 else f"q = {q:.3f}"


def gain(row: Row) -> str:
    """How a row stands to the best control: `above`, `below`, `open`, or nothing where it was not compared."""
    versus = row.score.versus_control
    if versus is None or versus.delta is None or versus.q is None:
        return ""
    if versus.q >= 0.05:
        return "open"
    return "above" if (versus.delta > 0) == row.score.higher_is_better else "below"


def difference(versus: Difference | None) -> str:
    """A difference with its sign."""
    return "–" if versus is None or versus.delta is None else f"{versus.delta:+.3f}"


def _spans(found: Sequence[Board]) -> dict[tuple[str, ...], tuple[float, float]]:
    """Range of values and intervals by task, metric and protocol, so that all its budgets share a scale."""
    ends: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for board in found:
        for row in board.rows:
            s = row.score
            ends[board.key[:4]] += [v for v in (s.value, s.low, s.high, s.chance) if v is not None]
    return {key: (min(values, default=0.0), max(values, default=1.0)) for key, values in ends.items()}


def leaderboard(found: Sequence[Board]) -> list[dict[str, Any]]:
    """The rows of the leaderboard, in order of boards and then of place."""
    spans = _spans(found)
    return [_cells(row, board.key, spans[board.key[:4]]) for board in found for row in board.rows]


def _cells(row: Row, key: BoardKey, span: tuple[float, float]) -> dict[str, Any]:
    s = row.score
    low, width = span[0], (span[1] - span[0]) or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(2 + 96 * (value - low) / width, 1)

    return {
        "score": s,
        "label": row.label,
        "board": row.board,
        "group": row.group,
        "of": row.of,
        "rank": rank(s),
        "open": s.rank_low != s.rank_high,
        "at": place(s.value),
        "from": place(s.low),
        "to": place(s.high),
        "chance": place(s.chance),
        "gain": gain(row),
        "delta": difference(s.versus_control),
        "q": q_value(s.versus_control.q) if s.versus_control else "",
        "trouble": trouble(s.fitting),
        "per_fit": None if s.wall_s is None else s.wall_s / (s.fits or 1),
        "budget_order": 10.0 ** (6 * budget_key(s.budget)[0]) + budget_key(s.budget)[1],
    }


def filters(found: Sequence[Board]) -> list[dict[str, Any]]:
    """The filters of the leaderboard, those with something to choose; each with the value it opens on."""
    scores = [row.score for board in found for row in board.rows]
    shown = sum(not score.flagged for score in scores)
    opening = main_boards(found)[:1] if shown > SHOWN_AT_ONCE else []
    first = {"task": opening[0].key.task, "budget": opening[0].key.budget} if opening else {}
    offered = []
    for name in ("suite", "task", "budget", "kind", "method", "protocol"):
        found_values = {getattr(score, name) for score in scores} - {""}
        values = sorted(found_values, key=budget_key) if name == "budget" else sorted(found_values, key=natural_key)
        if len(values) > 1:
            offered.append({"name": name, "values": values, "opening": first.get(name, "")})
    return offered


def aggregate_tables(data: ReportData) -> list[dict[str, Any]]:
    """One table an aggregate, budget and protocol: complete rows best first, then doubtful and incomplete ones."""
    found: dict[tuple[str, ...], list[Aggregate]] = defaultdict(list)
    for item in data.aggregates:
        found[item.suite, item.name, item.budget, item.protocol].append(item)

    def order(item: Aggregate) -> tuple[bool, bool, float, str]:
        if item.value is None:
            return (True, False, -item.have / max(item.of, 1), item.model_name)
        return (False, item.flagged, -item.value if item.higher_is_better else item.value, item.model_name)

    return [
        {
            "figure": f"aggregate-{number}",
            "suite": key[0],
            "name": key[1],
            "budget": key[2],
            "protocol": key[3],
            "rows": sorted(items, key=order),
        }
        for number, (key, items) in enumerate(found.items())
    ]


def costs(found: Sequence[Board]) -> list[dict[str, Any]]:
    """What every series cost in all: sums of time, the highest peak of memory; most expensive first."""
    series: dict[str, list[Score]] = defaultdict(list)
    for board in found:
        for row in board.rows:
            if row.score.wall_s is not None and row.score.kind not in UNRANKED:
                series[row.label].append(row.score)
    rows = [
        {
            "label": label,
            "kind": scores[0].kind,
            "boards": len(scores),
            "fits": sum(s.fits or 1 for s in scores),
            "wall_s": sum(s.wall_s or 0.0 for s in scores),
            "cpu_s": sum(s.cpu_s or 0.0 for s in scores),
            "peak": max((s.peak_memory_mb for s in scores if s.peak_memory_mb is not None), default=None),
            "parameters": max((s.parameters for s in scores if s.parameters is not None), default=None),
        }
        for label, scores in series.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["wall_s"])))


def skipped_table(skipped: Sequence[Skipped]) -> list[dict[str, Any]]:
    """Jobs without a score, those of one task and reason in one row; failures first."""
    found: dict[tuple[str, str, str], list[Skipped]] = defaultdict(list)
    for item in skipped:
        found[item.status, item.task, item.reason].append(item)
    rows = [
        {
            "status": status,
            "task": task,
            "reason": reason,
            "jobs": len(items),
            "models": sorted({i.model for i in items}, key=natural_key),
            "methods": sorted({i.method for i in items} - {""}),
            "budgets": sorted({i.budget for i in items} - {""}, key=budget_key),
            "traces": list(dict.fromkeys(i.trace for i in items if i.trace)),
        }
        for (status, task, reason), items in found.items()
    ]
    return sorted(rows, key=lambda row: (row["status"] != "failed", natural_key(str(row["task"]))))


def environment_rows(environment: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The environment as flat rows: nested names are joined with dots, lists with commas."""
    rows: list[tuple[str, str]] = []
    for name, value in environment.items():
        if isinstance(value, Mapping):
            rows += environment_rows(value, f"{prefix}{name}.")
        else:
            text = (
                ", ".join(map(str, value))
                if isinstance(value, list | tuple | set)
                else "none"
                if value is None
                else str(value)
            )
            rows.append((f"{prefix}{name}", text))
    return rows


def task_infos(data: ReportData, found: Sequence[Board]) -> list[TaskInfo]:
    """The tasks with a section: those described, and those that have a score but no description."""
    known = {task.name for task in data.tasks}
    scored = {board.key.task: board for board in found}
    bare = [
        TaskInfo(name=name, title=board.rows[0].score.task_title, suite=board.key.suite, metric=board.key.metric)
        for name, board in scored.items()
        if name not in known
    ]
    return sorted(
        (t for t in [*data.tasks, *bare] if t.name in scored or not scored),
        key=lambda task: (task.suite, natural_key(task.name)),
    )


def published_sources(scores: Sequence[Score | Aggregate]) -> list[dict[str, Any]]:
    """Where published figures come from: one entry a source and caveat, with its models."""
    found: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
    for score in (score for score in scores if score.kind == "published"):
        if score.source or score.caveat:
            found[score.source, score.caveat, score.flagged].add(score.model_name)
    return [
        {"source": source, "caveat": caveat, "flagged": flagged, "models": sorted(models, key=natural_key)}
        for (source, caveat, flagged), models in sorted(found.items())
    ]


def findings(found: Sequence[Board]) -> list[str]:
    """What the boards say of models and controls, in at most one sentence."""
    kinds = {row.score.kind for board in found for row in board.rows}
    kind = "model" if "model" in kinds else "stand-in"
    verdicts = []
    for board in main_boards(found):
        best = next((row for row in board.scored if row.score.kind == kind), None)
        if best is not None:
            verdicts.append(gain(best))
    compared = [verdict for verdict in verdicts if verdict]
    if not compared:
        return []
    counts = [("above it", "above"), ("below it", "below"), ("not told apart from it", "open")]
    parts = [f"{words} on {n}" for words, verdict in counts if (n := compared.count(verdict))]
    over = f"{len(compared)} boards" if len(compared) > 1 else "one board"
    return [f"The best {kind} against the best control, over {over}: {listing(parts)} (paired test, q < 0.05)."]
