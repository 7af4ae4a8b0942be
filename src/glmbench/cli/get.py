"""`glmbench get`: fetch and verify data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Mirror, Offline

if TYPE_CHECKING:
    from glmbench.storage.fetch import Access, SourceFile


def command(
    names: Annotated[list[str], typer.Argument(help="tasks or suites")],
    mirror: Mirror = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the files of tasks or suites into the cache and verify them. What is there already is only verified."""
    from glmbench.cli.options import access, task_names
    from glmbench.cli.printing import print_json, print_table
    from glmbench.errors import DataError, MissingData
    from glmbench.storage.fetch import fetch

    reach = access(mirror, offline)
    rows: list[dict[str, str]] = []
    for name in task_names(names):
        files, through = _files(name, reach)
        if not files:
            rows.append({"task": name, "file": "", "status": "nothing to fetch", "reason": ""})
        for file in files:
            try:
                fetch(file, through, name=name)
                status, reason = ("verified" if file.verifiable else "unverified"), ""
            except (MissingData, DataError) as error:
                status, reason = ("missing" if isinstance(error, MissingData) else "failed"), str(error)
            rows.append({"task": name, "file": file.path, "status": status, "reason": reason})
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(("task", "file", "status", "reason"), (tuple(row.values()) for row in rows))
    if any(row["status"] in ("missing", "failed") for row in rows):
        raise typer.Exit(1)


def _files(name: str, reach: Access) -> tuple[tuple[SourceFile, ...], Access]:
    """Files of a task and how to reach them; a simulated task has none, a table of one's own is where it is."""
    from dataclasses import replace
    from pathlib import Path

    from glmbench.tasks.registry import find, names, open_task

    path = Path(name)
    if name.partition("@")[0] in names() or not path.exists():
        return find(name).files, reach
    if path.suffix == ".toml":
        return open_task(name, reach).card.files, replace(reach, own_card=path)
    return (), reach
