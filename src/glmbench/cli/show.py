"""`glmbench show`: one task, suite or model of the zoo in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Mirror

if TYPE_CHECKING:
    import polars as pl

    from glmbench.models.zoo.card import ZooCard
    from glmbench.suites.suite import Suite
    from glmbench.tasks.task import Task


def command(
    name: Annotated[str, typer.Argument(help="a task (with @VERSION), a suite, zoo:NAME, or your own table")],
    mirror: Mirror = None,
    as_json: AsJson = False,
) -> None:
    """Show the card of a task or suite (what it asks, its data, rules, quirks, licence), or of a model of the zoo."""
    from glmbench.cli.options import access
    from glmbench.cli.printing import print_json
    from glmbench.suites import suite
    from glmbench.tasks.registry import open_task

    if name.startswith("zoo:"):
        from glmbench.models.zoo import zoo

        card = zoo.load_card(name.removeprefix("zoo:"))
        print_json(card.model_dump(mode="json")) if as_json else _print_zoo_card(card)
        return
    if name in suite.names():
        shown = suite.load(name)
        print_json(shown.model_dump(mode="json")) if as_json else _print_suite(shown)
        return
    task = open_task(name, access(mirror, offline=True))
    print_json(task.card.model_dump(mode="json")) if as_json else _print_task(task)


def _print_zoo_card(card: ZooCard) -> None:
    from textwrap import fill

    def number(value: int | None, unit: str = "") -> str:
        return "" if value is None else f"{value:,}{unit}"

    print(f"zoo:{card.name}: {card.title}\n")
    facts = {
        "reference": "" if card.reference is None else str(card.reference),
        "repository": f"https://huggingface.co/{card.repository}" if card.repository else "",
        "runs": f"{card.runs}; {card.tried}",
        "because": card.reason,
        "packages": ", ".join(card.packages),
        "tokenizer": card.tokenizer,
        "tokens": card.tokens or "",
        "special": " ".join(card.special),
        "vocabulary": number(card.vocabulary),
        "layers": number(card.layers),
        "features": number(card.dim),
        "heads": number(card.heads),
        "parameters": number(card.parameters),
        "context": ", ".join(filter(None, (number(card.context, " tokens"), number(card.context_bp, " bp")))),
        "objective": card.objective or "",
        "strands": card.strands,
        "species": ", ".join(card.species),
        "data": str(card.pretraining.get("data", "")),
        "licence": card.licence or "",
        **{"note" + " " * i: note for i, note in enumerate(card.notes)},
        "citation": card.citation,
        **{"source" + " " * i: source for i, source in enumerate(card.sources)},
    }
    for key, value in facts.items():
        if value:
            print(
                fill(
                    value,
                    110,
                    initial_indent=f"{key.strip():10} ",
                    subsequent_indent=" " * 11,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )


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
        "kind": "" if card.kind == "classification" else card.kind,
        "group": card.group,
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
    """Rows of each class, rows with each label, bases of each class, or the range of a measurement."""
    if task.card.kind == "multilabel":
        names = task.card.classes
        with_it = [sum(row[label] for row in labels) for label in range(len(names))]
        return ", ".join(f"{name}: {n:,}" for name, n in zip(names, with_it, strict=True))
    if task.card.kind == "per-base":
        labels = labels.explode().filter(labels.explode() >= 0)
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
