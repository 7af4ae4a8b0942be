"""The methods `finetune` and `lora`: train a pre-trained network on with a fresh head, all of it or adapters alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.method import Fit, Start
from glmbench.methods.network_fit import Training, fit_network
from glmbench.methods.training import Positive
from glmbench.models.fitted.adapters import LoraRecipe
from glmbench.models.fitted.building import Form, Pairing, TooLong
from glmbench.models.model import Model, Trainable
from glmbench.tasks.budget import Budget
from glmbench.tasks.task import Task

if TYPE_CHECKING:
    from glmbench.training.plan import Plan


@dataclass(frozen=True)
class FinetuneRecipe:
    """The settings of `Finetune`; lengths are in tokens, special ones included."""

    epochs: Positive = 3
    """Passes over the training rows at most."""
    min_steps: Positive = 100
    """Few rows are passed over more often, until so many optimiser steps are planned."""
    max_steps: Positive | None = None
    batch_size: Positive = 32
    """Examples in an optimiser step, whatever the number of devices and of micro-batches."""
    tokens_at_once: Positive = 8192
    """Tokens of a micro-batch at most, which bounds the memory; a longer sequence goes alone."""
    lr: Annotated[float, Field(gt=0)] = 3e-5
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """So many steps instead of a share."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    max_length: Positive | None = None
    """Longest input; None: the context of the model."""
    too_long: TooLong = "refuse"
    """What becomes of longer sequences: an error, their end cut (how many were is in the result), or windows whose
    outputs are averaged (of labels by base, the states of a token in several windows)."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a window, at least, that it has in common with the next."""
    pairs: Pairing = "pair"
    """How two sequences that belong together go in: as the tokenizer joins two, or `concatenate`, as one sequence."""
    evaluate_every: Positive | None = None
    """Steps between looks at the held-out rows; None: after each epoch."""
    select: Literal["metric", "loss"] = "metric"
    """What decides on the held-out rows whose weights are kept: the task's metric, or the lowest loss."""
    patience: Positive | None = None
    """Evaluations in a row without a better one before training stops."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the training rows that is held out, where the task's dev split cannot serve."""
    held_out_from: int = 300
    """With fewer training rows than this none are held out, and the last weights are kept."""
    reverse_complement: bool = False
    """Train on either strand at random and average the predictions of both."""
    lora: LoraRecipe | None = None
    """Train adapters and the head alone; None: all weights."""
    retries: Annotated[int, Field(ge=0)] = 1
    """Further attempts, each from another seed, while a training has collapsed on the held-out rows."""
    compile: bool = False
    """Compile the loss by torch.compile."""
    precision: Literal["fp32", "bf16"] = "fp32"
    version: Literal[3] = 3
    """Of this code: grows whenever the same settings would give other numbers, so that results get a new address."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> FinetuneRecipe:
        """The recipe with `values` over the defaults.

        Raises:
            UsageError: a key is unknown, or a value has the wrong type or is out of range.
        """
        try:
            return TypeAdapter(cls).validate_python(values, extra="forbid")
        except ValidationError as error:
            raise UsageError(f"finetune recipe {values}: {error}") from None

    def plan(self, batches: int, *, higher_is_better: bool) -> Plan:
        """How to train with so many batches an epoch."""
        from glmbench.training.plan import Plan
        from glmbench.training.schedule import Schedule

        steps = max(self.epochs * batches, self.min_steps)
        steps = steps if self.max_steps is None else min(steps, self.max_steps)
        warmup = round(self.warmup * steps) if self.warmup_steps is None else min(self.warmup_steps, steps)
        return Plan(
            steps=steps,
            schedule=Schedule(self.schedule, warmup=warmup),
            precision=self.precision,
            clip_norm=self.clip_norm,
            evaluate_every=self.evaluate_every or batches,
            patience=self.patience,
            higher_is_better=higher_is_better,
            compile=self.compile,
        )


class Finetune:
    """Train a copy of a pre-trained network under a fresh head on the training rows of a budget.

    What decides, and what never does, says `network_fit.fit_network`.

    Args:
        recipe: values over the defaults of `FinetuneRecipe`.
        checkpoints: folder for checkpoints of long trainings. A training that was killed is gone on with by the next
            fit of the same network on the same rows with the same recipe and seed; what it leaves is removed when it
            has finished. With adapters a checkpoint holds these and the head alone.
        name: of the method.
    """

    needs: type = Trainable
    stochastic = True
    starts_from: Start | None = "given"

    def __init__(
        self, recipe: dict[str, Any] | None = None, checkpoints: Path | None = None, name: str = "finetune"
    ) -> None:
        self._recipe, self._checkpoints, self.name = FinetuneRecipe.of(recipe or {}), checkpoints, name
        self.recipe: dict[str, Any] = asdict(self._recipe)

    def fit(self, model: Model, task: Task, *, budget: Budget, seed: int) -> Fit:
        """See `methods.method.Method`.

        Raises:
            Unsupported: the model cannot be trained, or has no weights to start from; sequences are too long and may
                not be cut; the tokenizer cannot join pairs; or the task has no such budget.
            UsageError: a target of adapters is not there.
            MissingData: the task's files are absent.
            DivergenceError: the loss became infinite.
        """
        if not isinstance(model, Trainable) or model.card.weights != self.starts_from:
            raise Unsupported(
                f"{model.card.reference} cannot be fine-tuned; method {self.name} wants a pre-trained model, such as "
                "hf:PATH, or its random twin"
            )
        recipe = self._recipe
        training = Training(
            self.name,
            model,
            recipe,
            self.recipe,
            Form(recipe.max_length, recipe.too_long, recipe.overlap, recipe.pairs, recipe.lora),
            select=recipe.select,
            at_once=recipe.tokens_at_once,
            checkpoints=self._checkpoints,
        )
        return fit_network(training, task, budget=budget, seed=seed)
