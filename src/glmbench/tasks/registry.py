"""Tasks by name: the cards that come with the package, a user's own card, and a user's own table."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from glmbench.errors import UsageError
from glmbench.storage.fetch import Access
from glmbench.tasks.card import TaskCard

if TYPE_CHECKING:
    from glmbench.tasks.task import Task

CARDS = Path(__file__).parent / "cards"
"""`cards/<name>.toml`: version 1 of a task at the top level, what later versions change under `[versions.N]`."""

_REFERENCE = re.compile(r"(?P<name>.+?)(?:@(?P<version>\d+))?")
_TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".gz")


@cache
def names() -> tuple[str, ...]:
    """Names of all tasks that have a card, sorted."""
    return tuple(sorted(path.relative_to(CARDS).with_suffix("").as_posix() for path in CARDS.rglob("*.toml")))


def cards() -> tuple[TaskCard, ...]:
    """Every version of every card, by name and version."""
    return tuple(card for name in names() for card in versions(name))


def versions(name: str) -> tuple[TaskCard, ...]:
    """All versions of one task, the first first.

    Raises:
        UsageError: no card has this name; says which come close.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
        close = close or [known for known in names() if name.lower() in known.lower()][:3]
        meant = f"did you mean {', '.join(close)}?" if close else "glmbench ls lists all"
        raise UsageError(f"no task {name!r}; {meant} A file of your own needs its path, as ./my.csv")
    return _read_card_file(CARDS / f"{name}.toml")


def find(name: str) -> TaskCard:
    """The card of `name` (version 1) or `name@version`.

    Raises:
        UsageError: there is no such name or version.
    """
    bare, version = _split_reference(name)
    return _version(versions(bare), version)


def open_task(reference: str, access: Access) -> Task:
    """The task of a card (`gue/tf/0`, `gue/tf/0@2`), of a card file (`./my.toml`) or of a table (`./my.csv`).

    A table may also be a folder of train, dev and test files.

    Raises:
        UsageError: there is no such card, version or file.
        DataError: the user's table cannot be read as a task.
    """
    bare, version = _split_reference(reference)
    if bare in names():
        return _open(versions(bare), version, access)
    path = Path(bare).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return _open(_read_card_file(path), version, access, path)
    if path.exists():
        from glmbench.tasks.own_table import open_table_path

        return open_table_path(path)
    if path.suffix in (*_TABLE_SUFFIXES, ".toml") or bare.startswith((".", "/", "~")):
        raise UsageError(f"no file {bare!r}; want a table (.csv, .tsv), a folder of tables, or a card (.toml)")
    return _open(versions(bare), version, access)


def _open(known: tuple[TaskCard, ...], version: int, access: Access, own_card: Path | None = None) -> Task:
    card = _version(known, version)
    if card.derivation is not None:
        from glmbench.tasks.derived import DerivedTask

        return DerivedTask(_open(known, 1, access, own_card), card)
    if not card.files:
        from glmbench.tasks.simulated import SimulatedTask

        return SimulatedTask(card)
    from glmbench.tasks.table import TableTask

    return TableTask(card, access, own_card)


def _split_reference(reference: str) -> tuple[str, int]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError("the task has no name; glmbench ls lists all")
    return match["name"], int(match["version"] or 1)


def _version(known: tuple[TaskCard, ...], version: int) -> TaskCard:
    for card in known:
        if card.version == version:
            return card
    offered = ", ".join(card.reference for card in known)
    raise UsageError(f"no version {version} of {known[0].name}; there is {offered}")


def _read_card_file(path: Path) -> tuple[TaskCard, ...]:
    """Version 1 as the file's top level says it, and each later version with its own fields laid over those."""
    try:
        top: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        later: dict[str, dict[str, Any]] = top.pop("versions", {})
        made = [TaskCard(**top)]
        made += [TaskCard(**{**top, **later[number], "version": int(number)}) for number in sorted(later, key=int)]
    except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"{path} is not a task card: {error}") from error
    return tuple(made)
