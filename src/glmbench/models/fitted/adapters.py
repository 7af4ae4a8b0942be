"""Low-rank adapters (Hu et al. 2022, arXiv 2106.09685) in a network, by peft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field

from glmbench.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LoraRecipe:
    """The settings of the adapters; the defaults are those that the Nucleotide Transformer was fine-tuned with."""

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter, by the ends of their names; None: all in the network's stack of layers."""


def add_adapters(module: nn.Module, recipe: LoraRecipe, seed: int) -> dict[str, Any]:
    """Put adapters beside the linear layers of a network in place; only they and what is not pre-trained will train.

    Args:
        module: with an attribute `fresh`, the names of its modules that are not pre-trained.
        recipe: see `LoraRecipe`.
        seed: of the adapters' weights; the second factor of each starts at 0, so the network computes as before.

    Returns:
        Plain values for a result: how many layers have one, and how many weights train of how many.

    Raises:
        Unsupported: the module does not say what is not pre-trained.
        UsageError: a target is the end of no linear layer's name.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    fresh = getattr(module, "fresh", None)
    if fresh is None:
        raise Unsupported(
            f"{type(module).__name__} does not say which of its modules are its head (attribute `fresh`), which must "
            "train beside the adapters"
        )
    linear = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear | Conv1D) and not _within(name, fresh)
    }
    chosen = _chosen(tuple(linear), recipe.targets)
    total = sum(parameter.numel() for parameter in module.parameters())
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=cast(int, recipe.alpha),
        lora_dropout=recipe.dropout,
        target_modules=chosen,
        fan_in_fan_out=any(isinstance(linear[name], Conv1D) for name in chosen),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, module)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_("lora_" in name or _within(name, fresh))
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return {"adapted_layers": len(chosen), "trained_weights": trained, "pretrained_weights": total}


def _chosen(names: tuple[str, ...], targets: tuple[str, ...] | None) -> list[str]:
    """Names of the linear layers that get an adapter."""
    if targets is None:
        chosen = [name for name in names if any(part.isdigit() for part in name.split("."))]
        if not chosen:
            raise Unsupported(
                "this network has no linear layer in a stack of layers that an adapter could stand beside"
            )
        return chosen
    for target in targets:
        if not any(_ends(name, target) for name in names):
            known = sorted({name.rpartition(".")[2] for name in names})
            raise UsageError(
                f"lora target {target!r} is the end of no linear layer's name; there are {', '.join(known)}"
            )
    return [name for name in names if any(_ends(name, target) for target in targets)]


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _within(name: str, modules: frozenset[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
