"""The noun Board: the scores that may be ranked against each other, and how their rows are named and ordered."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from glmbench.report.data import Aggregate, Score

UNRANKED = ("published", "reference")
"""Kinds that stand on a board without a rank: nothing was fitted here, so nothing can be paired."""


class BoardKey(NamedTuple):
    """What two scores must share to be ranked against each other."""

    suite: str
    task: str
    metric: str
    protocol: str
    budget: str


@dataclass(frozen=True)
class Row:
    """A score in its place on its board."""

    score: Score
    label: str
    """Name of the model, with the method or reference where the name alone is not unique in the report."""
    board: int
    group: int | None
    """Rows of one board with the same number have ranks that overlap, directly or through rows between them."""
    of: int
    """Number of ranked rows on the board."""


@dataclass(frozen=True)
class Board:
    """The rows of one board, best first; rows without a value come last."""

    key: BoardKey
    rows: tuple[Row, ...]

    @property
    def scored(self) -> tuple[Row, ...]:
        """The rows that have a value."""
        return tuple(row for row in self.rows if row.score.value is not None)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `tf/2` before `tf/10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", text) if part]


def budget_key(budget: str) -> tuple[int, float]:
    """Sort key of budgets: fractions, then examples per class, then `full`."""
    try:
        number = float(budget)
    except ValueError:
        return (2, 0.0)
    return (0 if number < 1 else 1, number)


def series_labels(scores: Iterable[Score | Aggregate]) -> dict[tuple[str, str, str], str]:
    """Name every (model, method, kind): the short name, and only as much more as makes it unique."""
    names = {(s.model, s.method, s.kind): s.model_name or s.model for s in scores}
    count = Counter(names.values())
    labels = {key: f"{name} · {key[1]}" if count[name] > 1 and key[1] else name for key, name in names.items()}
    count = Counter(labels.values())
    return {key: f"{label} · {key[0]}" if count[label] > 1 else label for key, label in labels.items()}


def label_of(item: Score | Aggregate, labels: dict[tuple[str, str, str], str]) -> str:
    """The label of a score or an aggregate."""
    return labels[item.model, item.method, item.kind]


def boards(scores: Sequence[Score]) -> list[Board]:
    """Sort scores into boards: by suite, task, metric, protocol, then budget, each best first."""
    labels = series_labels(scores)
    found: dict[BoardKey, list[Score]] = defaultdict(list)
    for score in scores:
        found[BoardKey(score.suite, score.task, score.metric, score.protocol, score.budget)].append(score)
    ordered = sorted(found, key=lambda k: (k.suite, natural_key(k.task), k.metric, k.protocol, budget_key(k.budget)))
    return [Board(key, tuple(_rows(found[key], number, labels))) for number, key in enumerate(ordered)]


def _rows(scores: list[Score], board: int, labels: dict[tuple[str, str, str], str]) -> list[Row]:
    placed = sorted(scores, key=lambda s: (_worst_first(s), label_of(s, labels)))
    ranked = sorted(
        (s for s in placed if s.rank_low is not None and s.rank_high is not None),
        key=lambda s: (s.rank_low or 0, s.rank_high or 0),
    )
    groups = undecided_groups([(s.rank_low or 0, s.rank_high or 0) for s in ranked])
    group_of = {id(score): group for score, group in zip(ranked, groups, strict=True)}
    return [Row(s, label_of(s, labels), board, group_of.get(id(s)), len(ranked)) for s in placed]


def _worst_first(score: Score) -> tuple[bool, bool, float]:
    """Best first; then what is flagged, whose metric may be another; then what has no value."""
    if score.value is None:
        return (True, True, 0.0)
    return (False, score.flagged, -score.value if score.higher_is_better else score.value)


def undecided_groups(intervals: Sequence[tuple[int, int]]) -> list[int]:
    """Number the chains of overlapping rank intervals, given sorted by (low, high).

    (1,1) (2,3) (2,4) (4,5) is two groups, 0 1 1 1: the last overlaps the third, though not the second.
    """
    groups: list[int] = []
    reach = 0
    for low, high in intervals:
        new = not groups or low > reach
        groups.append((groups[-1] + 1 if groups else 0) if new else groups[-1])
        reach = max(reach, high)
    return groups


def without_doubtful(found: Iterable[Board]) -> list[Board]:
    """The boards without rows whose caveat is grave, for figures, which have no room for caveats."""
    return [replace(board, rows=tuple(row for row in board.rows if not row.score.flagged)) for board in found]


def main_boards(found: Sequence[Board]) -> list[Board]:
    """One board a task: of its budgets, the one most rows were fitted at; the larger one where two have as many."""
    by_task: dict[tuple[str, str, str, str], list[Board]] = defaultdict(list)
    for board in found:
        if board.scored:
            by_task[board.key[:4]].append(board)
    return [max(several, key=lambda b: (_fitted(b), budget_key(b.key.budget))) for several in by_task.values()]


def _fitted(board: Board) -> int:
    return sum(row.score.kind not in UNRANKED for row in board.scored)


def best_control(board: Board) -> Row | None:
    """The best control on a board."""
    return next((row for row in board.scored if row.score.kind == "control"), None)
