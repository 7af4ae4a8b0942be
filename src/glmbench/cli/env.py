"""`glmbench env`: private environments of models whose packages conflict with ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmbench.cli.options import AsJson

if TYPE_CHECKING:
    from glmbench.models.workers.environment import Environment, Installed

app = typer.Typer(
    help="Build, list and remove private environments: for models whose packages conflict with ours.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def build(
    card: Annotated[
        str, typer.Argument(metavar="CARD", help="A worker's card.toml, its folder, or a model of the zoo.")
    ],
    again: Annotated[
        bool, typer.Option("--again", help="Remove it first: versions that are not pinned become today's newest.")
    ] = False,
    python: Annotated[
        Path | None, typer.Option(help="The Python to make it with; default: ours if it fits, else one of PATH.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install the packages that a card names where nothing else is touched; nothing is done if they are there."""
    from glmbench.cli.printing import print_json
    from glmbench.models.workers import environment

    name, wanted = _wanted(card)
    environment.build(wanted, name, python=python, again=again)
    found = environment.require(wanted, name, f"glmbench env build {card}")
    if as_json:
        print_json(_row(found))
    else:
        count = len(found.manifest.packages)
        packages = "1 package" if count == 1 else f"{count} packages"
        print(f"{name}: Python {found.manifest.python}, {packages}, in {found.folder}")


@app.command("ls")
def list_installed(as_json: AsJson = False) -> None:
    """List the environments that are built."""
    from glmbench.cli.printing import print_json, print_table
    from glmbench.models.workers.environment import environments_folder, installed

    found = installed()
    if as_json:
        for environment in found:
            print_json(_row(environment))
        return
    if not found:
        print(f"no environments in {environments_folder()}")
        return
    rows = [
        (
            environment.folder.name,
            environment.manifest.python,
            ", ".join(environment.manifest.environment.packages),
            f"{_megabytes(environment.folder):,.0f}",
            environment.manifest.created.partition("T")[0],
        )
        for environment in found
    ]
    print_table(("environment", "python", "asked for", "MB", "built"), rows, right=("MB",))


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A name of `glmbench env ls`, with or without its hash.")],
) -> None:
    """Remove an environment."""
    from glmbench.models.workers import environment

    for folder in environment.remove(name):
        print(f"removed: {folder}")


def _wanted(reference: str) -> tuple[str, Environment]:
    """Name and environment of a card."""
    from glmbench.errors import UsageError
    from glmbench.models.workers.card import find_card

    card, _ = find_card(reference.removeprefix("worker:"))
    if card.environment is None:
        raise UsageError(f"{reference}: the card names no [environment]; it runs in the one that glmbench is in")
    return card.name, card.environment


def _row(environment: Installed) -> dict[str, object]:
    return {"folder": str(environment.folder), **environment.manifest.model_dump(mode="json")}


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
