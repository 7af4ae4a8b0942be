"""`glmbench check`: what is wrong with a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from glmbench.cli.options import AsJson, Mirror, Offline


def command(
    names: Annotated[list[str], typer.Argument(help="tasks (with @VERSION), suites, or your own tables")],
    mirror: Mirror = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Look for copies within and between splits, label conflicts, composition bias, and parents of test rows in train.

    `count` of `of`: rows of split b that have a partner in split a.
    """
    from glmbench.cli.options import access, task_names
    from glmbench.cli.printing import print_json, print_table
    from glmbench.tasks.leakage import check
    from glmbench.tasks.registry import open_task

    reach = access(mirror, offline)
    found: list[dict[str, object]] = []
    for name in task_names(names):
        checked = check(open_task(name, reach))
        found += [{"task": name, **finding.model_dump(mode="json")} for finding in checked.findings]
        if not as_json:
            print(name)
            print_table(
                ("kind", "a", "b", "count", "of", "rule"),
                ((f.kind, f.a, f.b, f"{f.count:,}", f"{f.of:,}", f.rule) for f in checked.findings),
                right=("count", "of"),
            )
            for split in checked.skipped:
                print(f"  not checked: {split.split}: {split.reason}")
    if as_json:
        print_json(found)
