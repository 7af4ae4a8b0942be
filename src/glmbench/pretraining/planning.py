"""`pretrain --plan`: what a pre-training would be, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from glmbench.pretraining.corpus import Source
from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.learner import make_learner
from glmbench.pretraining.optimisation import make_optimiser, make_plan
from glmbench.pretraining.preparation import Prepared, make_tokenizer, open_sources, prepare
from glmbench.pretraining.recipe import Recipe, changed

_TIMED_CROPS = 8
"""On a CPU, where more are not faster; a GPU needs its whole micro-batch to be busy."""


def plan(
    sources: Sequence[Path | Source],
    recipe: Recipe,
    *,
    held_out: HeldOut = HeldOut(),
    corpus_folder: Path | None = None,
) -> dict[str, Any]:
    """What `pretrain` would do: sizes, steps, tokens, floating-point operations and time.

    Builds corpus and tokenizer, which are kept, and times a few small steps.

    Raises:
        UsageError, DataError, Unsupported: as `pretrain`.
    """
    corpus = open_sources(sources, held_out, corpus_folder)
    tokenizer = make_tokenizer(recipe, corpus, None)
    prepared = prepare(recipe, corpus, tokenizer)
    complete, learner, steps = prepared.recipe, prepared.learner, prepared.steps
    tokens, bases = prepared.first_step()
    flops = prepared.flops_per_step
    return {
        "training_bases": corpus.training_bases,
        "held_out_bases": corpus.manifest["bases"]["held_out"],
        "species": sorted(set(corpus.species)),
        "tokenizer": tokenizer.name,
        "vocabulary": len(tokenizer.vocabulary),
        "network": complete.network.name,
        "parameters": prepared.parameters,
        "objective": learner.objective,
        "hidden": {name: asdict(shares) for name, shares in learner.hidden.items()},
        "steps": steps,
        "lr": complete.training.lr,
        "tokens_per_step": tokens,
        "tokens": tokens * steps,
        "bases": bases * steps,
        "epochs": round(bases * steps / corpus.training_bases, 2),
        "flops_per_step": flops,
        "flops": None if flops is None else flops * steps,
        "seconds": _seconds(prepared),
    }


def _seconds(prepared: Prepared) -> float | None:
    """Seconds that all steps take if each crop takes as long as in a few small steps, without evaluations."""
    from glmbench.training.loop import train

    recipe, device = prepared.recipe, prepared.network.device
    crops = max(1, recipe.data.batch // recipe.training.accumulate)
    if device.type == "cpu":
        crops = min(crops, _TIMED_CROPS)
    small = changed(recipe, {"data.batch": crops, "training.accumulate": 1, "training.steps": 3})
    learner = make_learner(small, prepared.corpus, prepared.tokenizer, prepared.network)
    record = train(
        learner.module,
        learner.batches,
        learner.loss,
        make_optimiser(learner.module, small.training),
        replace(make_plan(small.training, device), compile=False),
        seed=0,
        description="timing a step",
    )
    per_step = record.cost.step_s
    return None if per_step is None else per_step / crops * recipe.data.batch * prepared.steps
