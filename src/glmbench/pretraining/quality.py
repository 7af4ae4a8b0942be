"""How good a pre-trained network is: bits per base beside its twin before training and Markov models of the corpus."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from glmbench.pretraining.bits_per_base import BitsPerBase, FrozenEvaluation, HiddenBases, hide_bases, measure
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.markov_baseline import Reach, best_order, markov_baselines
from glmbench.pretraining.preparation import Prepared, fresh_network
from glmbench.progress import progress
from glmbench.storage.atomic import write_text
from glmbench.storage.cache import cache_folder
from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    from torch import nn

WHILE_TRAINING = FrozenEvaluation(windows=64)
"""Enough to see progress by, at an eighth of the time."""
_MARKOV_VERSION = 1
"""Of how Markov models are fitted and measured: another number forgets what the cache keeps."""
_REACHES: dict[Reach, str] = {"left": "left context", "both": "both sides"}


@dataclass(frozen=True)
class Quality:
    """Results of the frozen evaluation.

    Attributes:
        rows: one a model, best known first: this one, itself before training, Markov models.
        trained: this one, base by base.
        order_0: bits per base of the order-0 Markov model on what is measured while training.
    """

    rows: list[dict[str, Any]]
    trained: BitsPerBase
    order_0: float


def measure_quality(prepared: Prepared) -> Quality | None:
    """Measure a network that has been trained; None where the frozen evaluation cannot ask it."""
    from glmbench.networks.masked_lm import any_backend
    from glmbench.training.precision import resolve

    predictor, hidden, device = prepared.learner.predictor, prepared.hidden, prepared.network.device
    if predictor is None or hidden is None:
        return None
    twin = fresh_network(prepared.recipe, prepared.tokenizer)
    cast(Any, twin).to(device)
    with ExitStack() as stack:
        bar = stack.enter_context(progress("measuring bits per base", 3))
        stack.enter_context(resolve("fp32", device).matmuls())
        for network in (prepared.network, twin):
            stack.enter_context(any_backend(network))
        trained = measure(predictor(prepared.network), hidden)
        bar.advance()
        untrained = measure(predictor(twin), hidden)
        bar.advance()
        baselines = _markov(prepared.corpus, hidden)
    rows = [_row("this model", trained), _row("the same before training", untrained), *baselines["rows"]]
    return Quality(rows, trained, baselines["order_0"])


def evaluation(prepared: Prepared) -> Callable[[nn.Module], float] | None:
    """Bits per base on a part of the frozen evaluation, for the loop; None where it cannot ask the network."""
    predictor = prepared.learner.predictor
    if predictor is None:
        return None
    hidden = hide_bases(prepared.corpus, WHILE_TRAINING)
    return lambda _: measure(predictor(prepared.network), hidden).value


def seconds_until(lines: Iterable[Mapping[str, Any]], below: float) -> float | None:
    """Seconds of training until an evaluation was first below a value, from the lines of a log; None if none was."""
    return next((line["seconds"] for line in lines if line.get("evaluation", math.inf) < below), None)


def _markov(corpus: Corpus, hidden: HiddenBases) -> dict[str, Any]:
    """Order 0 and the best orders, one-sided and two-sided; kept in the cache, since many trainings share a corpus."""
    partly = hide_bases(corpus, WHILE_TRAINING)
    key = sha256_json([_MARKOV_VERSION, corpus.content_hash(), hidden.content_hash(), partly.content_hash()])
    kept = cache_folder() / "markov" / f"{key[:16]}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    results = markov_baselines(corpus, hidden)
    rows = [_row("order-0 Markov", results[0, "left"])]
    for reach, words in _REACHES.items():
        order = best_order(results, reach)
        rows.append(_row(f"order-{order} Markov, {words}", results[order, reach]))
    order_0 = markov_baselines(corpus, partly, orders=(0,), reaches=("left",))[0, "left"].value
    found = {"rows": rows, "order_0": order_0}
    with suppress(OSError):  # a full disk costs the cache, not the result
        write_text(kept, json.dumps(found))
    return found


def _row(model: str, result: BitsPerBase) -> dict[str, Any]:
    low, high = (None if math.isnan(end) else end for end in result.interval)
    return {
        "model": model,
        "bits_per_base": result.value,
        "low": low,
        "high": high,
        "accuracy": result.accuracy,
        "positions": result.positions.height,
        "windows": result.positions["window"].n_unique(),
        "by_species": result.by_species().to_dicts(),
    }
