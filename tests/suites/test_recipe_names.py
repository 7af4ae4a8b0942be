"""Recipes go by the last part of a model's path: one model has one recipe, whatever it is called by."""

from __future__ import annotations

import pytest

from glmbench.suites import suite


def length(model: str, *, method: str = "finetune", task: str = "gue/tf/0", protocol: str = "released") -> int | None:
    recipe = suite.load("gue").recipe(method=method, protocol=protocol, model=model, task=task, budget="full")
    found: int | None = recipe.get("max_length")
    return found


@pytest.mark.parametrize(
    "model",
    [
        "hf:zhihan1996/DNABERT-2-117M",
        "random:zhihan1996/DNABERT-2-117M@abc",
        "hf:/x/dnabert2/",
        "hf:dnabert-2?pool=cls",
    ],
)
def test_one_model_has_one_length_by_any_name(model: str) -> None:
    assert length(model) == 30
    assert length(model, protocol="corrected") is None


def test_others_read_up_to_their_context() -> None:
    assert length("hf:/home/me/dnabert-2-study/hyenadna") is None
    assert length("hf:zhihan1996/DNA_bert_6") == 110
    assert length("hf:InstaDeepAI/nucleotide-transformer-v2-500m-multi-species", method="lora") == 30
    assert length("hf:InstaDeepAI/nucleotide-transformer-v2-500m-multi-species") is None


def test_published_settings_of_the_scripts() -> None:
    def settings(method: str, task: str, protocol: str = "released") -> tuple[object, ...]:
        recipe = suite.load("gue").recipe(method=method, protocol=protocol, model="hf:x", task=task, budget="full")
        return tuple(recipe.get(key) for key in ("epochs", "max_steps", "warmup_steps", "evaluate_every", "select"))

    assert settings("finetune", "gue/virus/covid") == (8, None, 50, 200, "loss")
    assert settings("finetune", "gue/mouse/3") == (5, 1000, 30, 200, "loss")
    assert settings("finetune", "gue/prom/prom_core_all") == (4, None, 50, 400, "loss")
    assert settings("finetune", "gue/prom/prom_300_tata") == (10, None, 50, 200, "loss")
    assert settings("finetune", "gue/prom/prom_300_tata", "corrected") == (10, None, 50, 200, None)
    assert settings("lora", "gue/virus/covid") == (3, None, 200, 200, "loss")
    assert settings("lora", "gue/mouse/3") == (5, 1000, 100, 200, "loss")
