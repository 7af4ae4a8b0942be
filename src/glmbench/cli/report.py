"""`glmbench report`: one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glmbench.cli.options import STORE, AsJson, StoreFolder, Suites


def command(
    store: StoreFolder = STORE,
    out: Annotated[Path, typer.Option(help="Folder for report.html, figures (SVG, PDF) and scores.csv.")] = Path(
        "glmbench-report"
    ),
    suites: Suites = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page from the results of a store. Needs no model, no data and no network."""
    from glmbench.cli.printing import print_json
    from glmbench.errors import UsageError
    from glmbench.evaluation.store import Store
    from glmbench.report.collect import collect
    from glmbench.report.page import build
    from glmbench.suites.suite import load

    for name in suites or ():
        load(name)  # an unknown suite is said now, not shown as an empty page
    if not store.is_dir():
        raise UsageError(f"no store at {store}; `glmbench run --store {store} …` makes one")
    data = collect(Store(store), suites=tuple(suites or ()), title=title)
    if not data.scores and not data.skipped:
        raise UsageError(f"{store} holds no results{' of ' + ', '.join(suites) if suites else ''}")
    page = build(data, out)
    if as_json:
        print_json({"page": str(page), "scores": len(data.scores), "skipped": len(data.skipped)})
    else:
        print(page.resolve())
    if open_page:
        typer.launch(page.resolve().as_uri())
