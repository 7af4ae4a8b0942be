"""How a network is fitted to labelled rows: what `scratch`, `finetune` and `lora` have in common, all but recipes.

A fit is one attempt, or more where the first collapsed (see `judging.collapse`) and the recipe has retries: then the
training is done again from a seed that the result names. The first attempt's predictor is kept beside the last one's,
so that scores are known with and without retried runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import polars as pl

from glmbench.errors import Unsupported
from glmbench.methods.examples import inputs_of, target_of
from glmbench.methods.held_out import Split, split_rows
from glmbench.methods.judging import collapse, loss_on, metric_on
from glmbench.methods.method import Fit
from glmbench.methods.training import make_batches, train_module, training_folder
from glmbench.models.fitted.building import Form, Pairing, build
from glmbench.models.fitted.target import NO_LABEL, Target
from glmbench.models.fitted.trained_network import Trained, TrainedNetwork, TrainedOnBases
from glmbench.models.model import Trainable
from glmbench.models.reporting import NotesInput
from glmbench.tasks.budget import Budget, training_rows
from glmbench.tasks.task import Task
from glmbench.training.batches import Collate, InMemoryBatches

if TYPE_CHECKING:
    from glmbench.training.loop import Evaluate
    from glmbench.training.plan import Plan

BETWEEN_ATTEMPTS = 1_000_003
"""Between the seed of a fit and that of its next attempt: seeds of other fits are small numbers."""


class Recipe(Protocol):
    """What a recipe says to this procedure; see `finetune.FinetuneRecipe` for the meaning of each."""

    @property
    def batch_size(self) -> int:
        """Examples in an optimiser step."""

    @property
    def lr(self) -> float:
        """Highest learning rate."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""

    @property
    def held_out(self) -> float:
        """Share of the training rows that decides, where dev cannot."""

    @property
    def held_out_from(self) -> int:
        """With fewer training rows none are held out."""

    @property
    def reverse_complement(self) -> bool:
        """Train on either strand, and average the predictions of both."""

    @property
    def retries(self) -> int:
        """Further attempts after a collapse."""

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """Of the arithmetic."""

    def plan(self, batches: int, *, higher_is_better: bool) -> Plan:
        """How to train with so many batches an epoch."""


@dataclass(frozen=True)
class Training:
    """A way to train a network.

    Attributes:
        name: of the method.
        model: what is trained.
        recipe: its settings.
        values: the same as plain values, all of them.
        form: what of them decides the network and its inputs.
        select: whether the task's metric or the loss on held-out rows decides whose weights are kept.
        at_once: bases or tokens of a micro-batch at most; None: a batch is computed at once.
        checkpoints: folder for checkpoints of long trainings.
    """

    name: str
    model: Trainable
    recipe: Recipe
    values: dict[str, Any]
    form: Form
    select: Literal["metric", "loss"]
    at_once: int | None = None
    checkpoints: Path | None = None


def fit_network(training: Training, task: Task, *, budget: Budget, seed: int) -> Fit:
    """Train on the rows of draw `seed` of the budget; again from another seed where the training collapsed.

    Labels outside the budget are never used. At the full budget the task's dev split decides whose weights are kept,
    less any of its rows that are also in test or train; otherwise some training rows are held out for that, whole
    groups at a time, unless there are too few. Test rows never decide anything.

    Raises:
        Unsupported: the task has no such budget, or the model no such head or no room for its sequences.
        MissingData: the task's files are absent.
        DivergenceError: the loss became infinite.
    """
    from glmbench.training.guard import DivergenceError

    recipe = training.recipe
    rows = training_rows(task, budget, seed)
    split = split_rows(task, rows, budget, seed, held_out=recipe.held_out, held_out_from=recipe.held_out_from)
    target = target_of(task, rows)
    if recipe.reverse_complement and target.kind == "bases":
        raise Unsupported(f"{task.card.reference}: labels by base cannot be trained on either strand; turn it off")
    attempts = [_attempt(training, task, target, split, seed)]
    lost: list[dict[str, Any]] = []
    while attempts[-1].collapsed and len(attempts) + len(lost) <= recipe.retries:
        other = seed + BETWEEN_ATTEMPTS * (len(attempts) + len(lost))
        try:
            attempts.append(_attempt(training, task, target, split, other))
        except DivergenceError as error:  # what went before stands
            lost.append({"seed": other, "error": str(error)})
    last = attempts[-1]
    details = {
        **split.details(),
        **_labels(target, split),
        **_read(last.predictor, split, training.form.pairing),
        **last.details,
    }
    if len(attempts) + len(lost) > 1:
        told = [*(attempt.outline() for attempt in attempts), *lost]
        details |= {"retries": len(told) - 1, "attempts": told}
    folders = tuple(attempt.folder for attempt in attempts if attempt.folder is not None)
    return Fit(last.predictor, details, attempts[0].predictor if len(attempts) > 1 else None, folders)


@dataclass(frozen=True)
class _Attempt:
    seed: int
    predictor: Trained
    details: dict[str, Any]
    folder: Path | None
    """Of its checkpoints."""

    @property
    def collapsed(self) -> bool:
        return bool(self.details["collapsed"])

    def outline(self) -> dict[str, Any]:
        """What is told of an attempt where there were several."""
        told = ("collapsed", "stopped_on_mcc", "best_score", "steps")
        return {"seed": self.seed, **{name: self.details.get(name) for name in told}}


def _attempt(training: Training, task: Task, target: Target, split: Split, seed: int) -> _Attempt:
    from glmbench.training.device import preferred_device
    from glmbench.training.optimiser import adamw

    recipe = training.recipe
    module, collate, made = build(training.model, target, training.form, seed)
    module.to(preferred_device())
    both = recipe.reverse_complement
    batches = _batches(training, collate, target, split.train, seed, both=both)
    stop_on = None if split.stop_on is None else _batches(training, collate, target, split.stop_on, seed, both=False)
    selected = "" if stop_on is None else _selected_by(training, task, target, stop_on)
    steps = len(batches) // batches.parts
    folder = training_folder(
        training.checkpoints,
        training.model.card,
        training.values,
        target,
        module,
        (batches, stop_on),
        task.card.metric,
    )
    record = train_module(
        module,
        batches,
        target,
        lambda: adamw(module, lr=recipe.lr, weight_decay=recipe.weight_decay),
        _shared_out(recipe.plan(steps, higher_is_better=selected != "loss"), batches.parts),
        seed=seed,
        evaluate=None if stop_on is None else _evaluate(selected, target, stop_on),
        folder=folder,
        description=training.name,
    )
    predictor = (TrainedOnBases if target.kind == "bases" else TrainedNetwork)(
        training.model.card,
        module,
        collate,
        target,
        form=training.form,
        precision=recipe.precision,
        reverse_complements=recipe.reverse_complement,
        batch_codes=training.at_once,
    )
    judged = _agreed(collapse(module, target, stop_on, recipe.precision))
    return _Attempt(seed, predictor, {**made, **judged, **record.summary(), "selected_by": selected or None}, folder)


def _batches(
    training: Training, collate: Collate, target: Target, rows: pl.DataFrame, seed: int, *, both: bool
) -> InMemoryBatches:
    """Batches of rows; with `both`, on either strand at random."""
    return make_batches(
        collate,
        target,
        inputs_of(rows, training.form.pairing),
        rows["label"],
        batch_size=training.recipe.batch_size,
        seed=seed,
        reverse_complements=both,
        at_once=training.at_once,
    )


def _shared_out(plan: Plan, parts: int) -> Plan:
    """The plan where a batch is so many micro-batches of all processes together."""
    from dataclasses import replace

    from glmbench.training.distributed import processes

    return replace(plan, accumulate=parts // processes())


def _selected_by(training: Training, task: Task, target: Target, stop_on: InMemoryBatches) -> str:
    """What decides whose weights are kept: the loss, or the task's metric unless all classes asked about are one."""
    asked = np.unique(stop_on.targets[stop_on.targets != NO_LABEL])
    tells_nothing = target.kind in ("classes", "bases") and len(asked) == 1
    return "loss" if training.select == "loss" or tells_nothing else task.card.metric


def _evaluate(selected: str, target: Target, stop_on: InMemoryBatches) -> Evaluate:
    return loss_on(target, stop_on) if selected == "loss" else metric_on(target, stop_on, selected)


def _agreed(judged: dict[str, Any]) -> dict[str, Any]:
    """What was judged, with the first process's word on a collapse: those that train together go on together."""
    import torch

    from glmbench.training import distributed

    if judged["collapsed"] is None or distributed.processes() == 1:
        return judged
    return judged | {"collapsed": bool(distributed.from_first(float(judged["collapsed"]), torch.device("cpu")))}


def _labels(target: Target, split: Split) -> dict[str, Any]:
    """How many outputs there are, and which classes no training row has."""
    if target.kind not in ("classes", "bases"):
        return {"outputs": target.outputs}
    labels = split.train["label"]
    there = (labels.explode() if target.kind == "bases" else labels).cast(pl.Int64).to_list()
    return {"outputs": target.outputs, "classes_absent_from_train": sorted(set(range(target.outputs)) - set(there))}


def _read(predictor: NotesInput, split: Split, pairing: Pairing) -> dict[str, Any]:
    """What became of the rows' sequences on their way in."""
    notes = {"train_input": predictor.notes(inputs_of(split.train, pairing))}
    if split.stop_on is not None:
        notes["stopped_on_input"] = predictor.notes(inputs_of(split.stop_on, pairing))
    return {name: values for name, values in notes.items() if values}
