"""`glmbench ls`: what there is. Rows of different fields are different tables."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from glmbench.cli.options import AsJson

WHAT = ("tasks", "models", "suites", "methods", "metrics")


def command(
    what: Annotated[str, typer.Argument(help="tasks, models, suites, methods or metrics")] = "tasks",
    pattern: Annotated[str, typer.Argument(help="only names that contain this")] = "",
    as_json: AsJson = False,
) -> None:
    """List tasks, models, suites, methods or metrics."""
    from glmbench.cli.printing import print_json, print_table
    from glmbench.errors import UsageError

    if what not in WHAT:
        raise UsageError(f"cannot list {what!r}; want one of {', '.join(WHAT)}")
    rows = [row for row in _rows(what) if pattern.lower() in str(row["name"]).lower()]
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"no {what.removesuffix('s')} has {pattern!r} in its name")
    else:
        for columns, same in groupby(rows, list):
            right = ("bp", "classes", "parameters")
            print_table(columns, ([_cell(value) for value in row.values()] for row in same), right=right)


def _cell(value: object) -> object:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else value


def _zoo() -> list[dict[str, object]]:
    from glmbench.models.zoo import zoo

    return [
        {
            "name": f"zoo:{card.name}",
            "runs": card.runs,
            "bp": card.context_bp,
            "parameters": card.parameters,
            "reference": None if card.reference is None else str(card.reference),
            "title": card.title,
        }
        for card in map(zoo.load_card, zoo.names())
    ]


def _rows(what: str) -> list[dict[str, object]]:
    if what == "tasks":
        from glmbench.tasks.registry import names, versions

        return [
            {
                "name": card.name,
                "versions": tuple(later.version for later in versions(card.name)),
                "bp": card.length,
                "classes": len(card.classes) or None,
                "metric": card.metric,
                "species": card.species,
                "title": card.title,
            }
            for card in (versions(name)[0] for name in names())
        ]
    if what == "suites":
        from glmbench.suites import suite

        loaded = map(suite.load, suite.names())
        return [
            {"name": s.name, "tasks": len(s.tasks[s.default_protocol]), "protocols": s.protocols, "title": s.title}
            for s in loaded
        ]
    if what == "models":
        from glmbench.models.registry import known_schemes

        schemes: list[dict[str, object]] = [
            {"name": scheme.name, "usage": scheme.usage, "what": scheme.help} for scheme in known_schemes()
        ]
        return [*schemes, *_zoo()]
    if what == "methods":
        from glmbench.methods.registry import METHODS

        return [{"name": name, "what": help_line} for name, help_line in METHODS.items()]
    from glmbench.metrics.scores import METRICS

    return [{"name": m.name, "title": m.title, "bounds": list(m.bounds)} for m in METRICS.values()]
