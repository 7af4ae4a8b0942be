"""The recipe of a pre-training: everything that decides the weights, as one TOML file. Imports no torch.

A value that is left out is derived from one dial, the depth of the network: see `sized`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glmbench.errors import UsageError
from glmbench.networks.sizes import PRESETS as ENCODERS


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectivePart(_Part):
    """What the network is asked."""

    name: str = "uniform"
    rate: float | None = Field(default=None, gt=0, lt=1)
    """Probability of a token (`uniform`, `span`) or of a span's centre; None: the published one of the objective."""
    hide: float | None = Field(default=None, gt=0, lt=1)
    """Share to hide: the rate is then set so that this share of tokens or nucleotides (`of`) is hidden."""
    of: Literal["tokens", "nucleotides"] = "tokens"
    ranks: Path | None = None
    """NPMI table of `glmbench npmi`; None: counted on the training part of the corpus."""


class NetworkPart(_Part):
    """What is trained."""

    name: str = "dnabert2"
    depth: int | None = Field(default=None, ge=1, le=64)
    """The dial: layers, with a width of 64 times as much; None: the sizes that were published."""
    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of the network's configuration, over what the dial or the publication gives."""
    attention: Literal["auto", "sdpa", "flash", "flex", "varlen"] = "auto"


class DataPart(_Part):
    """What a step sees."""

    crop: int = Field(default=512, ge=16)
    """Bases of a random crop."""
    max_tokens: int | None = Field(default=None, ge=8)
    """Longer crops are cut to so many tokens, special ones included; None: never."""
    batch: int = Field(default=64, ge=1)
    """Crops in an optimiser step, over all micro-batches and processes."""
    both_strands: bool = True


class TrainingPart(_Part):
    """How it is trained."""

    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; None: `tokens_per_parameter` decides."""
    tokens_per_parameter: float = Field(default=20.0, gt=0)
    """Tokens to see for every weight, those of the head included, where `steps` is left out."""
    optimiser: Literal["adamw", "adam", "adafactor"] = "adamw"
    lr: float | None = Field(default=None, gt=0)
    """Peak rate; None: 5e-4 at a width of 768, falling with the square root of the width."""
    schedule: Literal["constant", "linear", "cosine", "inverse-sqrt", "wsd"] = "linear"
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """Share of the steps."""
    weight_decay: float = Field(default=1e-5, ge=0)
    decay: Literal["matrices", "all"] = "all"
    coupling: Literal["lr", "schedule"] = "schedule"
    """Whether weight decay is multiplied by the rate (torch) or by its share of the peak (Composer)."""
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(default=1e-6, gt=0)
    clip_norm: float | None = Field(default=1.0, ge=0)
    """Largest norm of the whole gradient; 0: any."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the device multiplies it in hardware."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches that an optimiser step is cut into, in each process."""
    compile: bool = False
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations; None: ten in all."""
    seed: int = Field(default=1, ge=0)


class Recipe(_Part):
    """All of it."""

    description: str = ""
    tokenizer: str = "bpe:4096"
    objective: ObjectivePart = ObjectivePart()
    network: NetworkPart = NetworkPart()
    data: DataPart = DataPart()
    training: TrainingPart = TrainingPart()


def names() -> list[str]:
    """Recipes that come with glmbench."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load(name_or_path: str) -> Recipe:
    """A recipe of ours, or a TOML file.

    Raises:
        UsageError: there is none, or something in it is not understood.
    """
    path = Path(name_or_path)
    if name_or_path in names():
        text = (_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise UsageError(f"no recipe {name_or_path!r}: want a TOML file or one of {', '.join(names())}")
    try:
        return parsed(tomllib.loads(text), name_or_path)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name_or_path} is no TOML: {error}") from None


def parsed(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe of plain values.

    Raises:
        UsageError: a key is unknown or a value is out of bounds; the message says which.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"recipe {where}: {problems}") from None


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with values at dotted keys (`training.lr`) replaced; None leaves a value as it is.

    Another network that has no depth to choose drops the depth, and any other network the sizes, of the one before;
    another objective drops its rate and ranks, and a share to hide takes the place of a rate.

    Raises:
        UsageError: as `parsed`.
    """
    values = recipe.model_dump()
    name = changes.get("network.name")
    if name not in (None, recipe.network.name):
        values["network"]["sizes"] = {}
        values["network"]["depth"] = recipe.network.depth if name in ENCODERS else None
    if changes.get("objective.name") not in (None, recipe.objective.name):
        values["objective"] |= {"rate": None, "ranks": None}
    if changes.get("objective.hide") is not None:
        values["objective"]["rate"] = None
    for key, value in changes.items():
        if value is None:
            continue
        *parents, last = key.split(".")
        part = values
        for parent in parents:
            if not isinstance(part.get(parent), dict):
                raise UsageError(f"recipe key {key}: there is no part {parent!r}; parts are {', '.join(values)}")
            part = part[parent]
        part[last] = value
    return parsed(values, "after changes")


def sized(recipe: Recipe, *, width: int, parameters: int, tokens_per_crop: float) -> Recipe:
    """The recipe with nothing left to derive.

    Args:
        recipe: what was asked for.
        width: of the network's states.
        parameters: weights of the network, those of the head included.
        tokens_per_crop: mean, special tokens included.
    """
    training = recipe.training
    steps = training.steps or max(
        100, round(training.tokens_per_parameter * parameters / (recipe.data.batch * tokens_per_crop))
    )
    derived = {
        "steps": steps,
        "lr": training.lr or 5e-4 * (768 / width) ** 0.5,
        "evaluate_every": training.evaluate_every or max(1, steps // 10),
    }
    return recipe.model_copy(update={"training": training.model_copy(update=derived)})


def _folder() -> Any:
    return resources.files("glmbench.pretraining") / "recipes"
