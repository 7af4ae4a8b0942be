"""`glmbench cite`: references to paste into a paper."""

from __future__ import annotations

from typing import Annotated

import typer

from glmbench.cli.options import AsJson


def command(
    names: Annotated[list[str] | None, typer.Argument(help="tasks or suites; none: glmbench itself")] = None,
    as_json: AsJson = False,
) -> None:
    """Print BibTeX of tasks, suites, or glmbench itself, each entry once."""
    from glmbench.cli.printing import print_json
    from glmbench.report.citation import GLMBENCH, unique_entries
    from glmbench.suites import suite
    from glmbench.tasks.registry import find

    entries = [suite.load(name).citation if name in suite.names() else find(name).citation for name in names or ()]
    unique = unique_entries([*entries, GLMBENCH])
    print_json(unique) if as_json else print("\n\n".join(unique))
