"""One progress bar for long work: on a terminal it is drawn on standard error, in a pipe or a log it is silent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_drawn: Progress | None = None


class Bar(Protocol):
    """What work reports to."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""

    def describe(self, text: str) -> None:
        """Change the words before the bar."""


class _Silent:
    def advance(self, amount: float = 1) -> None:
        pass

    def describe(self, text: str) -> None:
        pass


class _Rich:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._task, amount)

    def describe(self, text: str) -> None:
        self._progress.update(self._task, description=text)


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Bar]:
    """Yield a bar over `total` units (None: unknown) that vanishes when done and never appears in a pipe.

    A bar begun while another is drawn stands below it: the embedding below the run it is part of.
    """
    global _drawn
    if not sys.stderr.isatty():
        yield _Silent()
    elif _drawn is not None:
        task = _drawn.add_task(description, total=total)
        try:
            yield _Rich(_drawn, task)
        finally:
            _drawn.remove_task(task)
    else:
        with _new() as _drawn:
            try:
                yield _Rich(_drawn, _drawn.add_task(description, total=total))
            finally:
                _drawn = None


def _new() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
