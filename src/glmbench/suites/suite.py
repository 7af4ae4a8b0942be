"""The noun Suite: a published benchmark as data, one TOML file each: tasks, methods, recipes, budgets, aggregates.

A suite says what is asked under each protocol; recipes (penalties, epochs, normalisation) are data here and nowhere in
code. Where a request names tasks and no suite, the suite that lists the task lends its recipes and controls, and
`default` lends them to everything else.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from glmbench.errors import UsageError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeRule(_Frozen):
    """Values for a method's recipe where protocol, model, task and budget match; later rules win key by key."""

    method: str
    protocol: str = "*"
    model: str = "*"
    name: str = "*"
    """Of the model: the last part of its path or hub id, in lower case, as `dnabert-2-117m`."""
    task: str = "*"
    budgets: tuple[str, ...] = ()
    """Empty: every budget."""
    values: dict[str, Any]

    def applies(self, *, method: str, protocol: str, model: str, task: str, budget: str) -> bool:
        """Whether this rule speaks of such a job; names match as shell patterns, the task without its version."""
        return (
            self.method == method
            and fnmatchcase(protocol, self.protocol)
            and fnmatchcase(model, self.model)
            and fnmatchcase(_name(model), self.name)
            and fnmatchcase(task.partition("@")[0], self.task)
            and (not self.budgets or budget in self.budgets)
        )


def _name(model: str) -> str:
    """The last part of the path or hub id of a model reference, in lower case, without revision and options."""
    locator = model.partition("?")[0].partition("@")[0]
    return locator.rstrip("/").rpartition("/")[2].rpartition(":")[2].lower()


class Aggregate(_Frozen):
    """A number over several tasks: the mean of their main metrics, or the mean over groups of such means."""

    name: str
    title: str
    kind: Literal["mean", "mean-of-groups"] = "mean"
    groups: dict[str, tuple[str, ...]]
    """Tasks by group, without versions; for a plain mean the groups only order them."""
    note: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks of the aggregate, in order."""
        return tuple(task for group in self.groups.values() for task in group)


class Suite(_Frozen):
    """A benchmark: what to run, how, and what to add up."""

    name: str
    title: str
    description: str = ""
    citation: str = ""
    default_protocol: str = "corrected"
    tasks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Task references by protocol."""
    protocol_words: dict[str, str] = Field(default_factory=dict)
    """What each protocol means, for the methods paragraph."""
    budgets: tuple[str, ...] = ("full",)
    seeds: int = 3
    """Draws of labelled rows, or seeds of a stochastic method; a fixed set and a deterministic method give one."""
    controls: tuple[str, ...] = ()
    """Model references that run beside every model unless asked otherwise."""
    recipes: tuple[RecipeRule, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    published: str | None = None
    """File under `published/` with the figures of papers, or None."""
    notes: tuple[str, ...] = ()

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols, the default first."""
        return tuple(sorted(self.tasks, key=lambda name: name != self.default_protocol))

    def lists(self, task: str) -> bool:
        """Whether any protocol of the suite asks this task, whatever the version."""
        name = task.partition("@")[0]
        return any(name == listed.partition("@")[0] for listed in {t for tasks in self.tasks.values() for t in tasks})

    def recipe(self, *, method: str, protocol: str, model: str, task: str, budget: str) -> dict[str, Any]:
        """Recipe values for one job; what no rule says is left to the method's defaults."""
        values: dict[str, Any] = {}
        for rule in self.recipes:
            if rule.applies(method=method, protocol=protocol, model=model, task=task, budget=budget):
                values |= rule.values
        return values


DEFAULT = "default"


def names() -> tuple[str, ...]:
    """Names of the suites, in alphabetical order."""
    files = resources.files("glmbench.suites").iterdir()
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml") and f.name != "default.toml")
    )


@cache
def load(name: str) -> Suite:
    """The suite of a name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    file = resources.files("glmbench.suites") / f"{name}.toml"
    if name != DEFAULT and name not in names():
        raise UsageError(f"no suite {name!r}; there are: {', '.join(names())}")
    return Suite.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))


def suite_of(task: str) -> Suite:
    """The suite that lists a task, or the default one, which lends its recipes and controls to any task."""
    return next((suite for suite in map(load, names()) if suite.lists(task)), load(DEFAULT))
