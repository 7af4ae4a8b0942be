"""`glmbench check`: what is wrong with a data set."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson, Mirror, Offline

if TYPE_CHECKING:
    from glmbench.tasks.leakage import CheckResult


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
    from glmbench.cli.printing import print_json
    from glmbench.tasks.leakage import check
    from glmbench.tasks.registry import open_task

    reach = access(mirror, offline)
    found: list[dict[str, object]] = []
    for name in task_names(names):
        checked = check(open_task(name, reach))
        found += [{"task": name, **finding.model_dump(mode="json")} for finding in checked.findings]
        if not as_json:
            _print(name, checked)
        for split in checked.skipped:
            print(f"{name}: not checked: {split.split}: {split.reason}", file=sys.stderr)
    if as_json:
        print_json(found)


def _print(name: str, checked: CheckResult) -> None:
    """What was found, what was looked for in vain, what could not be checked, and the rules, each once."""
    from glmbench.cli.printing import print_table

    print(f"{name}: {len(checked.findings)} checks")
    print_table(
        ("kind", "a", "b", "count", "of", "share", ""),
        (
            (f.kind, f.a, f.b, f"{f.count:,}", f"{f.of:,}", f"{f.count / f.of:.1%}", f.detail.get("strongest"))
            for f in checked.findings
            if f.count
        ),
        right=("count", "of", "share"),
    )
    rules = {f.kind: f.rule for f in checked.findings}
    clean = [kind for kind in rules if not any(f.count for f in checked.findings if f.kind == kind)]
    if clean:
        print(f"nothing found: {', '.join(clean)}")
    for kind, rule in rules.items():
        print(f"  {kind}: {rule}")
