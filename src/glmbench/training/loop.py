"""The one training loop. It knows steps, not tasks: what is learned is in `batches` and `loss`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from glmbench.errors import GlmbenchError
from glmbench.progress import Bar, progress
from glmbench.storage.hashing import sha256_json
from glmbench.training import checkpoint as checkpoints
from glmbench.training.batches import Batch, Batches
from glmbench.training.checkpoint import Progress
from glmbench.training.cost import Meter, TrainingCost
from glmbench.training.memory import keep_freed_memory
from glmbench.training.precision import Format, Precision, resolve
from glmbench.training.schedule import Schedule

Loss = Callable[[nn.Module, Batch], Tensor]
"""Calls the module on a batch and returns the mean loss, a float32 scalar."""
Evaluate = Callable[[nn.Module], float]
"""Scores a module that is in evaluation mode."""


class DivergenceError(GlmbenchError):
    """The loss, its gradient or an evaluation is not a finite number any more."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train; everything here decides the numbers."""

    steps: int
    """Optimiser steps at most."""
    schedule: Schedule = field(default_factory=Schedule)
    precision: Format = "fp32"
    clip_norm: float | None = 1.0
    """Largest norm of the gradient of all weights together."""
    evaluate_every: int | None = None
    """In steps; None: after every epoch. The last step is always evaluated."""
    patience: int | None = None
    """Stop after so many evaluations in a row without a new best; None: never."""
    higher_is_better: bool = False


@dataclass(frozen=True)
class TrainingRecord:
    """What happened."""

    steps: int
    epochs: float
    losses: tuple[float, ...]
    """Training loss of each step."""
    evaluations: tuple[tuple[int, float], ...]
    """Steps taken and score of each evaluation."""
    best_step: int | None
    """Where the weights are from; None without evaluations: the last step."""
    best_score: float | None
    stopped: Literal["steps", "patience"]
    precision: Precision
    cost: TrainingCost

    def summary(self) -> dict[str, Any]:
        """Plain values for a result, without the loss of every step."""
        return {
            "steps": self.steps,
            "epochs": round(self.epochs, 3),
            "last_loss": self.losses[-1] if self.losses else None,
            "best_step": self.best_step,
            "best_score": self.best_score,
            "stopped": self.stopped,
            "precision": asdict(self.precision),
            "cost": asdict(self.cost),
        }


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    *,
    seed: int,
    evaluate: Evaluate | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 60.0,
    description: str = "training",
) -> TrainingRecord:
    """Train a module in place, on the device its weights are on, and leave it in evaluation mode with its best weights.

    The learning rates of the optimiser's groups are taken as the base rates that `plan.schedule` multiplies. The same
    arguments give the same losses, bit for bit on a CPU with the same number of threads, however often the training was
    interrupted. torch's global random state is as before afterwards.

    Args:
        module: what is trained.
        batches: entered at any epoch and batch; see `training.batches`.
        loss: called on each batch.
        optimiser: over the module's parameters; see `training.optimiser`.
        plan: steps, schedule, precision, early stopping.
        seed: of dropout and whatever else draws from torch while training.
        evaluate: score on held-out data. With it the weights of the best evaluation are restored at the end.
        checkpoint: folder of this training's checkpoint; a training found there is gone on with. Where it cannot be
            written (a full disk), training goes on without.
        checkpoint_every: seconds of training before the first checkpoint and between any two; shorter trainings write
            none, and none is written at the end.
        description: words before the progress bar.

    Raises:
        DivergenceError: a loss, gradient or score is not finite.
        CheckpointError: the checkpoint in the folder is damaged or of another training; the module is unchanged.
        Unsupported: the device has no such precision.
    """
    device = next(module.parameters()).device
    precision = resolve(plan.precision, device)
    base_rates = [float(group["lr"]) for group in optimiser.param_groups]
    identity = _identity(module, batches, plan, seed, base_rates) if checkpoint else {}
    module.train()
    if device.type == "cpu":
        keep_freed_memory()
    with _own_random_state(device, seed), precision.matmuls(), progress(description, plan.steps) as bar:
        at = (checkpoints.resume(checkpoint, module, optimiser, identity) if checkpoint else None) or Progress()
        bar.advance(at.step)
        meter = Meter(device, at.cost)
        stream = _stream(batches, at)
        saved = monotonic()
        while at.step < plan.steps and not _out_of_patience(at, plan):
            started = perf_counter()
            multiplier = plan.schedule.multiplier(at.step, plan.steps)
            for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
                group["lr"] = rate * multiplier
            batch = next(stream).to(device)

            optimiser.zero_grad(set_to_none=True)
            with precision.forward(device):
                value = loss(module, batch)
            at.losses.append(_finite(value.item(), "loss", at.step, optimiser))
            torch.autograd.backward(value)
            if plan.clip_norm is not None:
                norm = nn.utils.clip_grad_norm_(module.parameters(), plan.clip_norm)
                _finite(norm.item(), "norm of the gradient", at.step, optimiser)
            optimiser.step()

            at.step += 1
            at.position += 1
            meter.step(perf_counter() - started, batch.size)
            if evaluate is not None and _evaluation_due(at, plan, batches):
                with precision.forward(device):
                    _evaluate(module, evaluate, at, plan, optimiser)
                _describe(bar, description, at)
            if checkpoint is not None and monotonic() - saved >= checkpoint_every:
                at.cost = meter.state()
                with suppress(OSError, RuntimeError, SafetensorError):  # no room: torch and safetensors have their own
                    checkpoints.save(checkpoint, at, module, optimiser, identity)
                saved = monotonic()
            bar.advance()
    if at.best_weights is not None:
        module.load_state_dict(at.best_weights)
    module.eval()
    return _record(at, plan, batches, precision, meter.record())


def _identity(module: nn.Module, batches: Batches, plan: Plan, seed: int, rates: list[float]) -> dict[str, Any]:
    """What must be equal for an interrupted training to be gone on with."""
    state = module.state_dict()
    return {
        **asdict(plan),
        "seed": seed,
        "rates": rates,
        "batches": len(batches),
        "data": batches.content_hash(),
        "weights": sha256_json([[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in state.items()]),
        "device": next(module.parameters()).device.type,
    }


def _stream(batches: Batches, at: Progress) -> Iterator[Batch]:
    """Batches from where the training stands, epoch after epoch."""
    while True:
        yield from batches.epoch(at.epoch, start=at.position)
        at.epoch, at.position = at.epoch + 1, 0


def _finite(value: float, what: str, step: int, optimiser: torch.optim.Optimizer) -> float:
    if not math.isfinite(value):
        rates = ", ".join(f"{group['lr']:.3g}" for group in optimiser.param_groups[:1])
        raise DivergenceError(
            f"training diverged: the {what} is {value} in step {step} at learning rate {rates}; "
            "lower the learning rate, lengthen the warm-up, or look for non-finite targets"
        )
    return value


def _evaluation_due(at: Progress, plan: Plan, batches: Batches) -> bool:
    return at.step % (plan.evaluate_every or len(batches)) == 0 or at.step == plan.steps


def _evaluate(
    module: nn.Module, evaluate: Evaluate, at: Progress, plan: Plan, optimiser: torch.optim.Optimizer
) -> None:
    """Score the module and keep its weights if they are the best so far."""
    module.eval()
    with torch.inference_mode():
        score = _finite(float(evaluate(module)), "evaluation", at.step, optimiser)
    module.train()
    at.evaluations.append((at.step, score))
    if _best(at, plan) == len(at.evaluations) - 1:
        at.best_weights = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _best(at: Progress, plan: Plan) -> int | None:
    """Index of the best evaluation, the first of equals; None before any."""
    sign = -1 if plan.higher_is_better else 1
    return min(range(len(at.evaluations)), key=lambda i: sign * at.evaluations[i][1], default=None)


def _out_of_patience(at: Progress, plan: Plan) -> bool:
    best = _best(at, plan)
    return plan.patience is not None and best is not None and len(at.evaluations) - 1 - best >= plan.patience


def _describe(bar: Bar, description: str, at: Progress) -> None:
    bar.describe(f"{description}: loss {at.losses[-1]:.4f}, held out {at.evaluations[-1][1]:.4f}")


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch inside; outside its generators are as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _record(at: Progress, plan: Plan, batches: Batches, precision: Precision, cost: TrainingCost) -> TrainingRecord:
    best = _best(at, plan)
    best_step, best_score = (None, None) if best is None else at.evaluations[best]
    return TrainingRecord(
        steps=at.step,
        epochs=at.step / len(batches),
        losses=tuple(at.losses),
        evaluations=tuple(at.evaluations),
        best_step=best_step,
        best_score=best_score,
        stopped="steps" if at.step >= plan.steps else "patience",
        precision=precision,
        cost=cost,
    )
