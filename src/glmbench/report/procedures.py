"""What each method did, in the words of a paper, from the recipes that were run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from glmbench.evaluation.summary import Arm
from glmbench.report.text import listing

Recipe = dict[str, Any]

SCHEDULES = {"linear": "linear decay", "cosine": "cosine decay", "constant": "no decay"}
TOO_LONG = {
    "refuse": "longer sequences refused",
    "truncate": "longer sequences cut at their end",
    "window": "longer sequences read in overlapping windows",
}


def procedures(found: Iterable[Arm]) -> dict[str, str]:
    """Words for every method of these arms that has some; where recipes differ, each value that was used."""
    recipes: dict[str, list[Recipe]] = defaultdict(list)
    for arm in found:
        recipe = arm.results[0].job.recipe
        if recipe not in recipes[arm.key.method]:
            recipes[arm.key.method].append(recipe)
    words: dict[str, Callable[[list[Recipe]], str]] = {
        "probe": _probe,
        "scratch": _scratch,
        "finetune": _finetune,
        "lora": _finetune,
    }
    return {method: words[method](used) for method, used in recipes.items() if method in words}


def _probe(recipes: list[Recipe]) -> str:
    scalings = {"standardise": "scaled to unit variance", "l2": "scaled to unit length", "none": "as they are"}
    scaled = _each(recipes, lambda recipe: scalings[recipe["normalise"]])
    penalty = _each(
        recipes,
        lambda recipe: (
            f"fixed at C = {recipe['penalty']:g}"
            if recipe["penalty"] is not None
            else f"chosen by {recipe['folds']}-fold inner cross-validation on the training rows"
        ),
    )
    return f"L2-regularised logistic regression (values: ridge) on frozen features {scaled}, penalty {penalty}"


def _scratch(_: list[Recipe]) -> str:
    return "all weights trained from random initialisation, early stopping on held-out labelled rows"


def _finetune(recipes: list[Recipe]) -> str:
    parts = [
        _each(recipes, _what),
        f"AdamW with weight decay {_numbers(recipes, 'weight_decay')}",
        f"learning rate {_numbers(recipes, 'lr')}, {_each(recipes, _schedule)}",
        f"batches of {_numbers(recipes, 'batch_size')} sequences",
        _each(recipes, _length_of_training),
        f"the weights kept that had {_each(recipes, _selection)} on the dev split or on held-out training rows",
        f"inputs of at most {_each(recipes, _length)}, {_each(recipes, _too_long)}",
    ]
    if any(recipe.get("reverse_complement") for recipe in recipes):
        parts.append("either strand in training and the mean of both in prediction")
    if any(recipe.get("retries") for recipe in recipes):
        parts.append("a training that collapsed by the held-out rows done again from another seed")
    return "; ".join(parts)


def _what(recipe: Recipe) -> str:
    lora = recipe.get("lora")
    if not lora:
        return "all weights of the pre-trained network and a fresh head trained"
    targets = f" in {listing(lora['targets'])}" if lora["targets"] else " in all linear layers of the stack"
    rank, alpha, dropout = lora["rank"], lora["alpha"], lora["dropout"]
    return (
        f"low-rank adapters (rank {rank}, alpha {alpha:g}, dropout {dropout:g}){targets} and a fresh head trained, "
        "the pre-trained weights frozen"
    )


def _schedule(recipe: Recipe) -> str:
    steps = recipe["warmup_steps"]
    warmup = f"{100 * recipe['warmup']:g} % of the steps" if steps is None else f"{steps} steps"
    return f"warm-up over {warmup} and {SCHEDULES[recipe['schedule']]}"


def _length_of_training(recipe: Recipe) -> str:
    bounds = [f"at least {recipe['min_steps']} steps"] if recipe["min_steps"] > 1 else []
    bounds += [f"at most {recipe['max_steps']} steps"] if recipe["max_steps"] is not None else []
    epochs = f"{recipe['epochs']} epoch{'' if recipe['epochs'] == 1 else 's'}"
    return epochs + (f" ({listing(bounds)})" if bounds else "")


def _selection(recipe: Recipe) -> str:
    return "the lowest loss" if recipe["select"] == "loss" else "the best main metric"


def _length(recipe: Recipe) -> str:
    return "the model's context" if recipe["max_length"] is None else f"{recipe['max_length']} tokens"


def _too_long(recipe: Recipe) -> str:
    return TOO_LONG.get(recipe["too_long"], str(recipe["too_long"]))


def _each(recipes: list[Recipe], words: Callable[[Recipe], str]) -> str:
    """The words of every recipe, each once, joined by `or`."""
    return " or ".join(dict.fromkeys(words(recipe) for recipe in recipes))


def _numbers(recipes: list[Recipe], name: str) -> str:
    return _each(recipes, lambda recipe: f"{recipe[name]:g}")
