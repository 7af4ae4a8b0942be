from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from finished import RECIPE, add
from glmbench.evaluation.store import Store
from glmbench.evaluation.summary import arms
from glmbench.methods import registry
from glmbench.methods.finetune import FinetuneRecipe
from glmbench.models.fitted.building import TooLong
from glmbench.report.procedures import TOO_LONG, procedures


def words(folder: Path, method: str, *recipes: dict[str, Any]) -> str:
    store = Store(folder)
    for recipe in recipes:
        add(store, skill=0.5, method=method, recipe=recipe)
    return procedures(arms(store))[method]


def finetune(**values: Any) -> dict[str, Any]:
    return asdict(FinetuneRecipe.of(values))


def test_every_method_has_words(tmp_path: Path) -> None:
    for method in registry.METHODS:
        recipe = RECIPE if method == "probe" else registry.make(method, {}).recipe
        assert len(words(tmp_path / method, method, recipe)) > 40


def test_fine_tuning_in_words(tmp_path: Path) -> None:
    told = words(
        tmp_path, "finetune",
        finetune(epochs=5, min_steps=1, max_steps=1000, warmup_steps=30, max_length=30, too_long="truncate",
                 select="loss", retries=0),
    )  # fmt: skip
    assert told == (
        "all weights of the pre-trained network and a fresh head trained; AdamW with weight decay 0.01; learning rate "
        "3e-05, warm-up over 30 steps and linear decay; batches of 32 sequences; 5 epochs (at most 1000 steps); the "
        "weights kept that had the lowest loss on the dev split or on held-out training rows; inputs of at most 30 "
        "tokens, longer sequences cut at their end"
    )


def test_adapters_in_words(tmp_path: Path) -> None:
    told = words(
        tmp_path, "lora",
        finetune(lora={"rank": 8, "alpha": 32, "dropout": 0.1, "targets": ("query", "value")}, lr=1e-4),
    )  # fmt: skip
    assert told.startswith("low-rank adapters (rank 8, alpha 32, dropout 0.1) in query and value and a fresh head")
    assert "the pre-trained weights frozen" in told
    assert "learning rate 0.0001, warm-up over 10 % of the steps" in told
    assert "longer sequences refused" in told
    assert "a training that collapsed by the held-out rows done again" in told
    everywhere = words(tmp_path / "all", "lora", finetune(lora={}))
    assert "in all linear layers of the stack" in everywhere


def test_what_differs_is_told_once_each(tmp_path: Path) -> None:
    told = words(tmp_path, "finetune", finetune(epochs=3), finetune(epochs=4), finetune(epochs=4, lr=1e-4))
    assert "3 epochs (at least 100 steps) or 4 epochs (at least 100 steps)" in told
    assert "learning rate 3e-05 or 0.0001, warm-up" in told
    assert told.count("batches of 32 sequences") == 1


def test_every_way_with_long_sequences_has_words() -> None:
    assert set(TOO_LONG) == set(TooLong.__args__)


@pytest.mark.parametrize(("penalty", "expected"), [(None, "chosen by 5-fold inner"), (10.0, "fixed at C = 10")])
def test_a_probe_in_words(tmp_path: Path, penalty: float | None, expected: str) -> None:
    assert expected in words(tmp_path, "probe", RECIPE | {"penalty": penalty})
