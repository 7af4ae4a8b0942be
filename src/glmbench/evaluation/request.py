"""What a person asks for, and the questions it comes to: which task, under which protocol, with whose recipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from glmbench.errors import UsageError
from glmbench.suites import suite as suites
from glmbench.suites.suite import Suite


@dataclass(frozen=True)
class Request:
    """What a person asks for. Empty fields are filled from the suite."""

    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    protocol: str | None = None
    seeds: int | None = None
    limit: int | None = None
    precision: Literal["fp32", "bf16"] | None = None
    """Of methods that train; a frozen model has its own in its reference."""
    controls: bool = True
    settings: tuple[tuple[str, str, Any], ...] = ()
    """Values over those of the suite's recipes: method, key (`lora.rank` for one within another), value."""


def asked(request: Request) -> Iterator[tuple[Suite, str, str]]:
    """Every (suite, protocol, task) of a request.

    A task named without a suite borrows the one that lists it. A task named without a version is asked in the version
    that the protocol lists.

    Raises:
        UsageError: a suite has no such protocol, or no suite that was named lists a task.
    """
    named = [suites.load(name) for name in request.suites]
    if not named:
        for task in request.tasks:
            suite = suites.suite_of(task)
            protocol = _protocol(suite, request)
            yield suite, protocol, _listed(suite, protocol).get(task, task)
        return
    for task in request.tasks:
        if not any(suite.lists(task) for suite in named):
            raise UsageError(f"no task {task!r} in {', '.join(request.suites)}; `glmbench show SUITE` lists its tasks")
    for suite in named:
        protocol = _protocol(suite, request)
        listed = _listed(suite, protocol)
        chosen = [task for task in request.tasks if suite.lists(task)] if request.tasks else list(listed)
        for task in chosen:
            yield suite, protocol, listed.get(task, task)


def _protocol(suite: Suite, request: Request) -> str:
    protocol = request.protocol or suite.default_protocol
    if suite.tasks and protocol not in suite.tasks:
        raise UsageError(f"suite {suite.name} has no protocol {protocol!r}; it has: {', '.join(suite.protocols)}")
    return protocol


def _listed(suite: Suite, protocol: str) -> dict[str, str]:
    """The suite's tasks under a protocol, by name without version."""
    return {task.partition("@")[0]: task for task in suite.tasks.get(protocol, ())}
