"""The plan and the optimiser that a recipe's training part asks for, in the words of `training`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmbench.pretraining.recipe import TrainingPart

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

    from glmbench.training.plan import Plan


def make_plan(part: TrainingPart, device: torch.device, *, may_rise: bool = False) -> Plan:
    """The plan of a recipe whose steps are known, for a device.

    Args:
        part: of the recipe.
        device: where it is trained.
        may_rise: the loss may go up without anything being wrong, as in curricula that become harder.
    """
    from glmbench.training.guard import Guard
    from glmbench.training.plan import Plan
    from glmbench.training.precision import fast_bf16
    from glmbench.training.schedule import Schedule

    assert part.steps is not None  # `recipe.sized` has set it
    return Plan(
        steps=part.steps,
        schedule=Schedule(part.schedule, warmup=round(part.warmup * part.steps)),
        precision=part.precision if part.precision != "auto" else "bf16" if fast_bf16(device) else "fp32",
        clip_norm=part.clip_norm or None,
        evaluate_every=part.evaluate_every,
        accumulate=part.accumulate,
        keep="last",
        guard=None if may_rise else Guard(),
        compile=part.compile,
    )


def make_optimiser(module: nn.Module, part: TrainingPart) -> Optimizer:
    """The optimiser of a recipe whose rate is known, over a module's weights."""
    from glmbench.training.optimiser import adafactor, adam, adamw

    assert part.lr is not None  # `recipe.sized` has set it
    if part.optimiser == "adafactor":
        return adafactor(module, lr=part.lr)
    if part.optimiser == "adam":
        return adam(module, lr=part.lr, betas=part.betas, eps=part.eps)
    return adamw(
        module,
        lr=part.lr,
        weight_decay=part.weight_decay,
        betas=part.betas,
        eps=part.eps,
        decay=part.decay,
        coupling=part.coupling,
    )
