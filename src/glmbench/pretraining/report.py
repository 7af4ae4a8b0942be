"""The report of a pre-training: what `pretraining.json` holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmbench.environment import environment
from glmbench.pretraining.bits_per_base import FROZEN, describe
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.preparation import Prepared
from glmbench.pretraining.quality import Quality, seconds_until
from glmbench.tokenizers.tokenizer import describe_settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from glmbench.training.loop import TrainingRecord


def make_report(prepared: Prepared, record: TrainingRecord, quality: Quality | None, log: Path) -> dict[str, Any]:
    """Recipe, data, cost and quality of a training as plain values.

    Args:
        prepared: what it started from.
        record: of the training.
        quality: of what came of it.
        log: its journal.
    """
    learner, recipe, hidden = prepared.learner, prepared.recipe, prepared.hidden
    network = {
        "name": recipe.network.name,
        "parameters": prepared.parameters,
        "flops_per_step": prepared.flops_per_step,
    }
    bases_per_token = record.cost.bases / max(record.cost.units, 1)
    return {
        "recipe": recipe.model_dump(mode="json"),
        "network": network,
        "tokenizer": describe_settings(prepared.tokenizer) | {"bases_per_token": bases_per_token},
        "objective": learner.objective,
        "hidden": {name: asdict(shares) for name, shares in learner.hidden.items()},
        "corpus": _corpus_record(prepared.corpus),
        "steps": record.steps,
        "losses": {"first": record.losses[:1], "last": record.losses[-1:]},
        "evaluations": [list(evaluation) for evaluation in record.evaluations],
        "precision": asdict(record.precision),
        "cost": _cost(prepared, record, quality, log),
        "evaluation": {} if hidden is None else describe(FROZEN, hidden),
        "quality": [] if quality is None else quality.rows,
        "notes": [*prepared.corpus.notes, *_notes(prepared)],
        "environment": environment(),
    }


def _cost(prepared: Prepared, record: TrainingRecord, quality: Quality | None, log: Path) -> dict[str, Any]:
    """The loop's record with two things more: use of the device, and the time until the first baseline was beaten."""
    return {
        **asdict(record.cost),
        **_utilisation(prepared, record),
        "seconds_to_order_0": None if quality is None else _seconds_to_order_0(prepared, quality, log),
    }


def _seconds_to_order_0(prepared: Prepared, quality: Quality, log: Path) -> float | None:
    """Seconds of training until an evaluation was below the order-0 Markov model on the same bases."""
    if prepared.learner.perplexity is not None or not log.is_file():  # evaluated by something else, or the disk is full
        return None
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return seconds_until(lines, quality.order_0)


def _utilisation(prepared: Prepared, record: TrainingRecord) -> dict[str, float | None]:
    """Model FLOP utilisation against the fastest matrix product measured on this device just now."""
    from glmbench.training.cost import measured_matmul_peak, with_utilisation

    flops = prepared.flops_per_step
    if flops is None:
        return {"peak_flops": None}
    device = prepared.network.device
    size, seconds = (8192, 1.0) if device.type == "cuda" else (1024, 0.2)
    with record.precision.matmuls():
        peak = measured_matmul_peak(device, record.precision.autocast, size=size, seconds=seconds)
    per_token = flops / (prepared.tokens_per_crop * prepared.recipe.data.batch)
    cost = with_utilisation(record.cost, flops_per_unit=per_token, peak_flops=peak)
    return {"peak_flops": peak, "flop_utilisation": cost.flop_utilisation}


def _corpus_record(corpus: Corpus) -> dict[str, Any]:
    manifest = corpus.manifest
    keep = {"name": "name", "species": "species", "bases": "known", "held_out": "held_out", "sha256": "sha256"}
    files = [{ours: file[theirs] for ours, theirs in keep.items()} for file in manifest["files"]]
    return {
        "sha256": corpus.content_hash(),
        "species": sorted(set(corpus.species)),
        "training_bases": corpus.training_bases,
        "held_out": manifest["request"]["held_out"],
        "policy": manifest["request"]["policy"],
        "files": files,
    }


def _notes(prepared: Prepared) -> list[str]:
    notes = []
    if prepared.longest_crop < prepared.longest_window and prepared.learner.hidden:
        notes.append(
            f"crops have up to {prepared.longest_crop} tokens, windows of the frozen evaluation up to "
            f"{prepared.longest_window}: at positions beyond the crop the network is asked what it was never trained "
            f"on. {_beyond(prepared.network.config)}"
        )
    if prepared.learner.predictor is None:
        name = prepared.recipe.network.name
        notes.append(f"bits per base are not defined for {name}: its decoder writes tokens, not bases")
    return notes


def _beyond(config: PretrainedConfig) -> str:
    """What a network's positions do beyond the longest crop."""
    if config.model_type == "bert":
        return "Their learned vectors are as they were drawn; crop longer for results to rely on"
    if getattr(config, "positions", "alibi") == "rope":
        return "Rotary positions often do worse there; max_position_embeddings in config.json states the crop"
    return "ALiBi only weakens what is farther away and is known to bear it, but longer distances are untrained too"
