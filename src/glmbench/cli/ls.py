"""`glmbench ls`: what there is. Rows of different fields are different tables."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from glmbench.cli.options import STORE, AsJson, StoreFolder

WHAT = ("tasks", "models", "suites", "methods", "metrics", "fitted")


def command(
    what: Annotated[str, typer.Argument(help="tasks, models, suites, methods, metrics or fitted")] = "tasks",
    pattern: Annotated[str, typer.Argument(help="only names that contain this")] = "",
    store: StoreFolder = STORE,
    as_json: AsJson = False,
) -> None:
    """List tasks, models, suites, methods or metrics; or, with `fitted`, the fitted predictors that a store keeps.

    A fitted predictor is a model for `glmbench predict -m NAME`.
    """
    from glmbench.cli.printing import print_json, print_table
    from glmbench.errors import UsageError

    if what not in WHAT:
        raise UsageError(f"cannot list {what!r}; want one of {', '.join(WHAT)}")
    listed = _fitted(store) if what == "fitted" else _rows(what)
    rows = [row for row in listed if pattern.lower() in " ".join(map(str, row.values())).lower()]
    if as_json:
        print_json(rows)
    elif not rows:
        where = f" in {store}" if what == "fitted" else ""
        print(f"no {what.removesuffix('s')}{where} matches {pattern!r}" if pattern else f"nothing{where}")
    else:
        for columns, same in groupby(rows, list):
            right = ("bp", "classes", "parameters")
            print_table(columns, ([_cell(value) for value in row.values()] for row in same), right=right)


def _cell(value: object) -> object:
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else value


def _fitted(store: Path) -> list[dict[str, object]]:
    """What the results of a store keep, by task and model."""
    from pydantic import ValidationError

    from glmbench.models.fitted.about import ABOUT, FOLDER, About

    rows = []
    for path in sorted((store / "results").glob(f"*/{FOLDER}/{ABOUT}")):
        try:
            about = About.model_validate_json(path.read_bytes())
        except ValidationError:
            print(f"{path} is damaged; remove its folder", file=sys.stderr)
            continue
        rows.append(
            {
                "name": f"fitted:{store}/{path.parts[-3][:12]}",
                "task": about.task,
                "model": about.model,
                "method": about.method,
                "budget": about.budget,
                "seed": about.seed,
                "keeps": about.part,
            }
        )
    return sorted(rows, key=lambda row: (row["task"], row["model"], row["method"], row["budget"], row["seed"]))


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
                "group": card.group,
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
