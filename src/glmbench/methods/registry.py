"""Methods by name, each imported when it is asked for."""

from __future__ import annotations

from typing import Any

from glmbench.errors import UsageError
from glmbench.methods.method import Method

METHODS = {
    "probe": "a linear model on frozen features",
    "scratch": "the whole network trained from random weights",
}


def stochastic(name: str) -> bool:
    """Whether a method's result depends on its seed."""
    return make(name, {}).stochastic


def make(name: str, recipe: dict[str, Any]) -> Method:
    """The method of a name with a recipe, its defaults filled in.

    Raises:
        UsageError: there is no such method, or the recipe has a key or value it does not know.
    """
    if name == "probe":
        from glmbench.methods.probe import Probe

        return Probe(recipe)
    if name == "scratch":
        from glmbench.methods.scratch import Scratch

        return Scratch(recipe)
    raise UsageError(f"no method {name!r}; there are: {', '.join(METHODS)}")
