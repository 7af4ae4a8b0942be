"""Predictors of every kind, fitted to a few rows in a few steps, and a folder with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from frame_task import CARD, FrameTask, gc_rows
from glmbench.methods import registry
from glmbench.models.fitted.saving import Fitted, save
from glmbench.models.model import Input, PredictsEachBase
from glmbench.models.registry import load
from glmbench.tasks.budget import Budget
from glmbench.tasks.card import TaskCard

QUICK = {"max_steps": 3, "min_steps": 1, "retries": 0}
TRAINED = {**QUICK, "lr": 0.01}


@dataclass(frozen=True)
class Kind:
    """A way to fit: `model` is a reference, where {bert} and the like stand for folders of checkpoints."""

    model: str
    method: str
    recipe: dict[str, Any]
    labels: str = "classes"
    pairs: bool = False


KINDS = {
    "probe": Kind("kmer:2", "probe", {"penalty": 1.0}),
    "probe of unit rows": Kind("kmer:2", "probe", {"penalty": 1.0, "normalise": "l2"}),
    "sparse probe": Kind("kmer:6", "probe", {"penalty": 1.0}),
    "probe of a checkpoint": Kind("hf:{bert}?layer=1&pool=max", "probe", {"penalty": 1.0}),
    "probe of pairs": Kind("kmer:2", "probe", {"penalty": 1.0}, pairs=True),
    "probe of labels": Kind("kmer:2", "probe", {"penalty": 1.0}, "labels"),
    "probe of values": Kind("kmer:2", "probe", {"penalty": 1.0}, "values"),
    "finetune": Kind("hf:{dnabert2}", "finetune", TRAINED),
    "finetune of random weights": Kind("random:{bert}?seed=5", "finetune", TRAINED),
    "finetune of labels": Kind("hf:{bert}", "finetune", TRAINED, "labels"),
    "finetune of values": Kind("hf:{gpt2}", "finetune", TRAINED, "values"),
    "finetune of pairs": Kind("hf:{bert}", "finetune", TRAINED, pairs=True),
    "finetune by base": Kind("hf:{bert}", "finetune", TRAINED, "bases"),
    "finetune by base in windows": Kind(
        "hf:{bert}", "finetune", {**TRAINED, "max_length": 14, "too_long": "window"}, "bases"
    ),
    "finetune in windows, both strands": Kind(
        "hf:{bert}",
        "finetune",
        {**TRAINED, "max_length": 14, "too_long": "window", "overlap": 0.5, "reverse_complement": True},
    ),
    "lora": Kind("hf:{dnabert2}", "lora", TRAINED),
    "lora of some layers": Kind("hf:{bert}", "lora", {**TRAINED, "lora": {"rank": 2, "targets": ["query", "value"]}}),
    "lora by base": Kind("hf:{dnabert2}", "lora", TRAINED, "bases"),
    "lora by base in windows": Kind("hf:{bert}", "lora", {**TRAINED, "max_length": 14, "too_long": "window"}, "bases"),
    "scratch": Kind("onehot-cnn", "scratch", TRAINED),
    "scratch of labels, both strands": Kind("onehot-cnn", "scratch", {**TRAINED, "reverse_complement": True}, "labels"),
    "scratch of pairs": Kind("onehot-cnn", "scratch", TRAINED, pairs=True),
    "scratch by base": Kind("onehot-cnn", "scratch", TRAINED, "bases"),
}

METRICS = {"classes": "mcc", "labels": "mean_mcc", "values": "spearman", "bases": "mcc"}
NAMES = {"classes": ("poor", "rich"), "labels": ("rich", "starts with A"), "values": (), "bases": ("weak", "strong")}
TASK_KINDS = {"classes": "classification", "labels": "multilabel", "values": "regression", "bases": "per-base"}


def card(labels: str) -> TaskCard:
    metric = METRICS[labels]
    fields = {"kind": TASK_KINDS[labels], "classes": NAMES[labels], "metric": metric, "metrics": (metric,)}
    return CARD.model_copy(update=fields)


def rows_of(labels: str, count: int = 40, *, seed: int = 0, pairs: bool = False) -> pl.DataFrame:
    """Sequences of 18 to 30 bases."""
    rows = gc_rows(count, seed=seed, length=30, contrast=0.8)
    rows = rows.with_columns(pl.col("sequence").str.head(18 + pl.int_range(pl.len()) % 13))
    if pairs:
        rows = rows.with_columns(sequence_2=gc_rows(count, seed=seed + 1, length=25)["sequence"])
    if labels == "labels":
        return rows.with_columns(label=pl.concat_list("label", pl.col("sequence").str.starts_with("A").cast(pl.Int64)))
    if labels == "values":
        return rows.with_columns(label=100.0 + pl.col("sequence").str.count_matches("[GC]"))
    if labels == "bases":
        strong = [[int(base in "GC") for base in text] for text in rows["sequence"]]
        return rows.with_columns(label=pl.Series(strong))
    return rows


def fit(kind: Kind, model: str) -> Any:
    rows = rows_of(kind.labels, pairs=kind.pairs)
    task = FrameTask({"train": rows, "test": rows.head(10)}, card(kind.labels))
    return registry.make(kind.method, kind.recipe).fit(load(model), task, budget=Budget(), seed=3).predictor


def about(kind: Kind) -> Fitted:
    return Fitted(kind.method, "test/frames@1", "full", 3, card(kind.labels).classes, kind.pairs)


def saved(predictor: Any, kind: Kind, folder: Path) -> Path:
    folder.mkdir(parents=True)
    save(predictor, about(kind), folder)
    return folder


def inputs(kind: Kind) -> list[Input]:
    rows = rows_of(kind.labels, 7, seed=9, pairs=kind.pairs)
    if kind.pairs:
        return list(zip(rows["sequence"], rows["sequence_2"], strict=True))
    return rows["sequence"].to_list()


def answers(predictor: Any, asked: list[Input]) -> np.ndarray:
    """Of bases those of all sequences one after the other."""
    if isinstance(predictor, PredictsEachBase):
        return np.concatenate(predictor.predict_bases(asked))
    return predictor.predict(asked)
