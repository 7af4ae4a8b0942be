"""`glmbench show`: one task or suite in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Mirror

if TYPE_CHECKING:
    import polars as pl

    from glmbench.suites.suite import Suite
    from glmbench.tasks.task import Task


def command(
    name: Annotated[str, typer.Argument(help="a task (with @VERSION), a suite, or your own table")],
    mirror: Mirror = None,
    as_json: AsJson = False,
) -> None:
    """Show the card of a task or suite: what it asks, its data, rules, quirks, licence and citation."""
    from glmbench.cli.options import access
    from glmbench.cli.printing import print_json
    from glmbench.suites import suite
    from glmbench.tasks.registry import open_task

    if name in suite.names():
        shown = suite.load(name)
        print_json(shown.model_dump(mode="json")) if as_json else _print_suite(shown)
        return
    task = open_task(name, access(mirror, offline=True))
    print_json(task.card.model_dump(mode="json")) if as_json else _print_task(task)


def _print_suite(shown: Suite) -> None:
    from textwrap import indent

    print(f"{shown.name}: {shown.title}\n{indent(shown.description.strip(), '  ')}\n")
    for protocol in shown.protocols:
        print(f"protocol {protocol}:", *(f"  {task}" for task in shown.tasks[protocol]), sep="\n")
    print(f"\nbudgets   {', '.join(shown.budgets)}\nseeds     {shown.seeds}\ncontrols  {', '.join(shown.controls)}")
    for aggregate in shown.aggregates:
        print(f"aggregate {aggregate.name}: {aggregate.title}")
    for note in shown.notes:
        print(f"note      {note}")


def _print_task(task: Task) -> None:
    from textwrap import fill

    card = task.card
    facts = {
        "species": ", ".join(card.species),
        "length": f"{card.length} bp" if card.length else "",
        "classes": ", ".join(card.classes),
        "metric": f"{card.metric} (also {', '.join(m for m in card.metrics if m != card.metric)})",
        "resampled": card.unit,
        "splits": card.split_rule,
        "licence": card.licence,
        "corrects": card.derivation.why if card.derivation else "",
    }
    print(f"{card.reference}: {card.title}\n")
    if card.description:
        print(fill(card.description.strip(), 110), end="\n\n")
    for key, value in facts.items():
        if value:
            print(fill(value, 110, initial_indent=f"{key:10} ", subsequent_indent=" " * 11))
    for note in card.notes:
        print(fill(note, 110, initial_indent=f"{'note':10} ", subsequent_indent=" " * 11))
    print()
    _print_rows(task)
    if card.citation:
        print(f"\n{card.citation.strip()}")


def _labels(task: Task, labels: pl.Series) -> str:
    """Rows of each class, or the range of a measurement."""
    if task.card.kind == "regression":
        values = sorted(map(float, labels))
        return f"{values[0]:.3g} to {values[-1]:.3g}, median {values[len(values) // 2]:.3g}"
    counts = labels.value_counts().sort("label")
    return ", ".join(f"{label}: {n:,}" for label, n in counts.iter_rows()) if counts.height <= 40 else ""


def _letters(task: Task, split: str) -> str:
    """Sequences with letters that were read as others, where there are any."""
    from glmbench.tasks.task import ReportsLetters

    if not isinstance(task, ReportsLetters):
        return ""
    counts = task.letters(split)
    words = {"lower case": counts.lower_case, "U read as T": counts.uracil, "N or IUPAC": counts.ambiguous}
    return ", ".join(f"{what}: {n:,}" for what, n in words.items() if n)


def _print_rows(task: Task) -> None:
    """Rows of each split by class, as loaded; what is absent says how to get it."""
    from glmbench.cli.printing import print_table
    from glmbench.errors import MissingData
    from glmbench.tasks.derived import DerivedTask

    rows: list[tuple[object, ...]] = []
    for split in task.splits():
        try:
            loaded = task.load(split)
        except MissingData:
            rows.append((split, None, f"absent; `glmbench get {task.card.name}`", None))
            continue
        rows.append((split, f"{loaded.height:,}", _labels(task, loaded["label"]), _letters(task, split)))
    print_table(("split", "rows", "labels", "letters"), rows, right=("rows",))
    if isinstance(task, DerivedTask):
        removed = ", ".join(f"{n:,} from {split}" for split, n in task.removed().items() if n)
        print(f"\nremoved from version 1: {removed or 'nothing'}")
