"""The one training loop. It knows steps, not tasks: what is learned is in `batches` and `loss`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from glmbench.storage.hashing import sha256_json
from glmbench.training import checkpoint as checkpoints
from glmbench.training import distributed
from glmbench.training.batches import Batch, Batches
from glmbench.training.checkpoint import Progress
from glmbench.training.cost import Meter, TrainingCost
from glmbench.training.display import Wording, display
from glmbench.training.guard import DivergenceError, Watch, finite
from glmbench.training.journal import Journal
from glmbench.training.memory import keep_freed_memory
from glmbench.training.plan import Plan
from glmbench.training.precision import Precision, resolve
from glmbench.training.record import TrainingRecord
from glmbench.training.stream import Stream

__all__ = ["DivergenceError", "Evaluate", "Loss", "Plan", "TrainingRecord", "train"]

Loss = Callable[[nn.Module, Batch], Tensor]
"""Calls the module on a batch and returns the mean loss over its targets, a float32 scalar."""
Evaluate = Callable[[nn.Module], float]
"""Scores a module that is in evaluation mode."""
Observe = Callable[[Sequence[float]], None]
"""Told the scores of all evaluations so far."""


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    *,
    seed: int,
    evaluate: Evaluate | None = None,
    observe: Observe | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 60.0,
    log: Path | None = None,
    ahead: int = 0,
    description: str = "training",
    score_name: str = "held out",
    unit: str = "examples",
) -> TrainingRecord:
    """Train a module in place, on the device its weights are on, and leave it in evaluation mode.

    The learning rates of the optimiser's groups are taken as the base rates that `plan.schedule` multiplies. The same
    arguments give the same losses, bit for bit on a CPU with the same number of threads, however often the training was
    interrupted. torch's global random state is as before afterwards.

    Inside `distributed.process_group` all processes train one network: N of them that accumulate A micro-batches do
    what one does that accumulates N * A, but for the order in which floats are added. The first evaluates, writes and
    draws; batch normalisation sees one micro-batch at a time, and its running statistics are those of the first.

    Args:
        module: what is trained.
        batches: entered at any epoch and batch; see `training.batches`.
        loss: called on each micro-batch that has targets.
        optimiser: over the module's parameters; see `training.optimiser`.
        plan: steps, schedule, precision, early stopping.
        seed: of dropout and whatever else draws from torch while training.
        evaluate: score on held-out data. With it the weights of the best evaluation are restored at the end, unless
            the plan keeps the last.
        observe: told all scores so far after every evaluation and when an interrupted training goes on, for sources of
            batches that change with them: no batch after an evaluation is made before it.
        checkpoint: folder of this training's checkpoint; a training found there is gone on with. Where it cannot be
            written (a full disk), training goes on and a warning on standard error says so; the last one stays.
        checkpoint_every: seconds of training before the first checkpoint and between any two, and the last step is one;
            shorter trainings write none. The last checkpoint stays for the caller to remove: a training that has ended
            is gone on with in no time.
        log: file of JSON lines, one a step; see docs/training.md. Started anew with the training, gone on with it.
        ahead: micro-batches to make ahead in a thread; the source must not draw from torch's global generator then.
        description: words before the progress bar.
        score_name: what `evaluate` gives, for the bar: `bits/base`.
        unit: what `Batch.size` counts, for the bar: `tokens`.

    Raises:
        DivergenceError: a loss, gradient or score is not finite, or the plan's guard finds that the loss went up.
        CheckpointError: the checkpoint in the folder is damaged or of another training; the module is unchanged.
        Unsupported: the device has no such precision.
    """
    device = next(module.parameters()).device
    precision = resolve(plan.precision, device)
    base_rates = [float(group["lr"]) for group in optimiser.param_groups]
    first, together = distributed.first(), distributed.processes() * plan.accumulate
    identity = _identity(module, batches, plan, seed, base_rates, together) if checkpoint else {}
    compiled: Loss = torch.compile(loss) if plan.compile else loss
    module.train()
    if device.type == "cpu":
        keep_freed_memory()
    distributed.share_state(module)
    with ExitStack() as stack:
        stack.enter_context(_own_random_state(device, seed))
        stack.enter_context(precision.matmuls())
        shown = stack.enter_context(display(Wording(description, score_name, unit), plan.steps, shown=first))
        at = (checkpoints.resume(checkpoint, module, optimiser, identity) if checkpoint else None) or Progress()
        distributed.require_same(at.step, device)
        shown.skip(at.step)
        meter = Meter(device, at.cost)
        watch = Watch(plan.guard, at.losses) if plan.guard else None
        journal = stack.enter_context(closing(Journal(log if first else None, at.step, shown.warn)))
        stream = stack.enter_context(closing(Stream(batches, distributed.rank(), distributed.processes(), ahead)))
        gradients = distributed.Gradients(module, optimiser)
        if observe is not None and at.evaluations:
            observe(_scores(at))
        stream.enter(*divmod(at.step * together, len(batches)))
        began = saved = monotonic()
        while at.step < plan.steps and not _out_of_patience(at, plan):
            started = perf_counter()
            multiplier = plan.schedule.multiplier(at.step, plan.steps)
            for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
                group["lr"] = rate * multiplier
            lr = float(optimiser.param_groups[0]["lr"])
            own = stream.take(plan.accumulate)
            waited = perf_counter() - started
            counts = [sum(b.weight for b in own), sum(b.size for b in own), sum(b.bases for b in own)]
            weight, units, bases = distributed.totals(counts, device)

            gradients.clear()
            draws = _draws(seed, at.step, plan.accumulate)
            value = gradients.reduce(_backward(module, compiled, own, weight, draws, precision, device))
            norm = None if plan.clip_norm is None else nn.utils.clip_grad_norm_(module.parameters(), plan.clip_norm)
            at.losses.append(finite(value.item(), "loss", at.step, lr))
            gradient_norm = None if norm is None else finite(norm.item(), "norm of the gradient", at.step, lr)
            optimiser.step()

            at.step += 1
            meter.step(perf_counter() - started, units)
            meter.batches(waited, bases)
            if watch is not None:
                watch.update(at.losses[-1])
            score = None
            if evaluate is not None and _evaluation_due(at, plan, len(batches) // together):
                stream.close()  # nothing is made ahead of what `observe` changes, nor computed beside the evaluation
                with precision.forward(device):
                    score = _evaluate(module, evaluate, at, plan, lr)
                if observe is not None:
                    observe(_scores(at))
                stream.enter(*divmod(at.step * together, len(batches)))
            journal.write(_line(at, lr, gradient_norm, score, meter))
            ended = at.step >= plan.steps or _out_of_patience(at, plan)
            now = monotonic()
            if checkpoint is not None and first and now - (began if ended else saved) >= checkpoint_every:
                at.cost = meter.state()
                journal.flush()
                try:
                    checkpoints.save(checkpoint, at, module, optimiser, identity)
                except (OSError, RuntimeError, SafetensorError) as error:  # no room: each library has its own
                    shown.warn("checkpoint", _unsaved(at, error))
                saved = monotonic()
            shown.step(at.losses[-1], at.evaluations[-1][1] if at.evaluations else None, meter.units_per_s)
    if at.best_weights is not None:
        checkpoints.load_trained_state(module, at.best_weights)
    distributed.share_state(module)
    module.eval()
    return _record(at, plan, batches, precision, meter.record(), together)


def _identity(
    module: nn.Module, batches: Batches, plan: Plan, seed: int, rates: list[float], together: int
) -> dict[str, Any]:
    """What must be equal for an interrupted training to be gone on with.

    How processes share the work need not, nor into how many micro-batches a batch is cut: a step then sees the same
    examples, and the share of an epoch that it takes is the same.
    """
    state = module.state_dict()
    described = asdict(plan)
    del described["accumulate"]
    return {
        **described,
        "seed": seed,
        "rates": rates,
        "steps_in_epoch": str(Fraction(len(batches), together)),
        "data": batches.content_hash(),
        "weights": sha256_json([[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in state.items()]),
        "device": next(module.parameters()).device.type,
    }


def _draws(seed: int, step: int, accumulate: int) -> list[int] | None:
    """Seeds of this process's micro-batches in a step: a micro-batch has its own, whichever process it falls to.

    None where a step is one micro-batch: its draws go on where those of the step before ended.
    """
    together = distributed.processes() * accumulate
    if together == 1:
        return None
    own = range(step * together + distributed.rank(), (step + 1) * together, distributed.processes())
    return [int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) for index in own]


def _backward(
    module: nn.Module,
    loss: Loss,
    own: list[Batch],
    weight: int,
    draws: list[int] | None,
    precision: Precision,
    device: torch.device,
) -> Tensor:
    """Add up the gradients of this process's micro-batches, each at its share of the step's targets, and their loss."""
    value = torch.zeros((), device=device)
    for i, batch in enumerate(own):
        if draws is not None:
            torch.manual_seed(draws[i])
        if batch.weight == 0:  # nothing is asked: a mean over no targets would not be a number
            continue
        with precision.forward(device):
            mean = loss(module, batch.to(device))
        share = mean * (batch.weight / weight)
        torch.autograd.backward(share)
        value += share.detach()
    return value


def _evaluation_due(at: Progress, plan: Plan, steps_of_epoch: int) -> bool:
    return at.step % (plan.evaluate_every or max(1, steps_of_epoch)) == 0 or at.step == plan.steps


def _evaluate(module: nn.Module, evaluate: Evaluate, at: Progress, plan: Plan, lr: float) -> float:
    """Score the module, which the first process does for all, and keep its weights if they are the best so far."""
    score, error = 0.0, None
    device = next(module.parameters()).device
    if distributed.first():
        module.eval()
        try:
            with torch.inference_mode():
                score = float(evaluate(module))
        except Exception as raised:  # the others wait for a score, and are told that there is none
            error = raised
        module.train()
    if distributed.from_first(float(error is not None), device):
        raise error or DivergenceError(f"the first process could not evaluate step {at.step}; it says why")
    score = finite(distributed.from_first(score, device), "evaluation", at.step, lr)
    at.evaluations.append((at.step, score))
    if plan.keep == "best" and distributed.first() and _best(at, plan) == len(at.evaluations) - 1:
        at.best_weights = {name: tensor.detach().clone() for name, tensor in checkpoints.trained_state(module).items()}
    return score


def _scores(at: Progress) -> list[float]:
    return [score for _, score in at.evaluations]


def _best(at: Progress, plan: Plan) -> int | None:
    """Index of the best evaluation, the first of equals; None before any."""
    sign = -1 if plan.higher_is_better else 1
    return min(range(len(at.evaluations)), key=lambda i: sign * at.evaluations[i][1], default=None)


def _out_of_patience(at: Progress, plan: Plan) -> bool:
    best = _best(at, plan)
    return plan.patience is not None and best is not None and len(at.evaluations) - 1 - best >= plan.patience


def _unsaved(at: Progress, error: Exception) -> str:
    return (
        f"the checkpoint of step {at.step} cannot be written ({error}); the training goes on, the checkpoint before it "
        "stays; make room on the disk"
    )


def _line(at: Progress, lr: float, gradient_norm: float | None, score: float | None, meter: Meter) -> dict[str, Any]:
    """What the log says of a step; seconds, units and bases count from the start of the training."""
    cost = meter.state()
    line = {
        "step": at.step,
        "loss": at.losses[-1],
        "lr": lr,
        "gradient_norm": gradient_norm,
        "seconds": round(cost["wall_s"], 3),
        "units": int(cost["units"]),
        "bases": int(cost["bases"]),
    }
    return line if score is None else {**line, "evaluation": score}


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch inside; outside its generators are as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _record(
    at: Progress, plan: Plan, batches: Batches, precision: Precision, cost: TrainingCost, together: int
) -> TrainingRecord:
    best = _best(at, plan)
    best_step, best_score = (None, None) if best is None else at.evaluations[best]
    return TrainingRecord(
        steps=at.step,
        epochs=at.step * together / len(batches),
        losses=tuple(at.losses),
        evaluations=tuple(at.evaluations),
        best_step=best_step,
        best_score=best_score,
        stopped="steps" if at.step >= plan.steps else "patience",
        precision=precision,
        cost=cost,
    )
