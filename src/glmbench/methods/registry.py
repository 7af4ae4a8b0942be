"""Methods by name, each imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glmbench.errors import UsageError
from glmbench.methods.method import Method

METHODS = {
    "probe": "a linear model on frozen features",
    "scratch": "the whole network trained from random weights",
    "finetune": "a pre-trained network trained on, all of it, under a fresh head",
    "lora": "a pre-trained network trained on by low-rank adapters and a fresh head",
}


TRAINING = ("scratch", "finetune", "lora")
"""Methods that train a network: their result depends on the seed, and they have a precision."""


LORA_RATE = 1e-4
"""Learning rate of `lora` where a recipe says nothing: adapters want a higher one than all weights do."""


def trains(name: str) -> bool:
    """Whether a method trains a network."""
    return name in TRAINING


def make(name: str, recipe: dict[str, Any], checkpoints: Path | None = None) -> Method:
    """The method of a name with a recipe, its defaults filled in.

    Args:
        name: one of `METHODS`.
        recipe: values over the method's defaults.
        checkpoints: folder in which methods that train for long may keep what a killed training goes on from.

    Raises:
        UsageError: there is no such method, or the recipe has a key or value it does not know.
    """
    if name == "probe":
        from glmbench.methods.probe import Probe

        return Probe(recipe)
    if name == "scratch":
        from glmbench.methods.scratch import Scratch

        return Scratch(recipe, checkpoints)
    if name in ("finetune", "lora"):
        from glmbench.methods.finetune import Finetune

        adapters = {"lora": {}, "lr": LORA_RATE} if name == "lora" else {}
        return Finetune({**adapters, **recipe}, checkpoints, name)
    raise UsageError(f"no method {name!r}; there are: {', '.join(METHODS)}")
