from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import encode_batch
from glmbench.simulation.classification import labelled_distribution
from glmbench.tasks import registry
from glmbench.tasks.card import TaskCard
from glmbench.tasks.simulated import BAYES_OPTIMAL, SimulatedTask
from glmbench.tasks.task import EXAMPLE_COLUMNS

NAMES = ("coding", "grammar", "markov", "promoter", "splice")
HASHES = {
    "coding": "232d0340c947a0b994e84d0b7186c7c784fb92de10be205d2f38fd4b5c42cb16",
    "grammar": "79a2a00035526db60f57b5519a178d7e8fb2b7a14a55cae6df3679b1ab42583d",
    "markov": "e95e9152b98e8a2b3877d9f535773f61687aef6df811ed47735f50bf6a3730c2",
    "promoter": "d84df593a20ad49d3362964b6ca870944bd089dd97fdd0897068413e1f0a7807",
    "splice": "fd1b81726cfa68a1eabf9617207f3f6e169a1b2ea00af5c35d31a5b972e228d7",
}


def task(name: str) -> SimulatedTask:
    return SimulatedTask(registry.find(f"sim/{name}"))


def small(**parameters: object) -> SimulatedTask:
    card = registry.find("sim/markov")
    changed = card.parameters | {"rows": {"train": 30, "test": 20}} | parameters
    return SimulatedTask(card.model_copy(update={"parameters": changed}))


def test_the_registry_lists_the_cards():
    assert {f"sim/{name}" for name in NAMES} == {name for name in registry.names() if name.startswith("sim/")}


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_what_the_card_says(name: str):
    simulated = task(name)
    card = simulated.card
    assert simulated.splits() == ("train", "dev", "test")
    for split, rows in (("train", 4000), ("dev", 1000), ("test", 2000)):
        examples = simulated.load(split)
        assert tuple(examples.columns) == EXAMPLE_COLUMNS
        assert examples.height == rows == examples["id"].n_unique()
        assert (examples["group"] == examples["id"]).all()
        assert (examples["sequence"].str.len_bytes() == card.length).all()
        assert examples["sequence"].str.contains("^[ACGT]+$").all()
        assert examples["label"].dtype == pl.Int64
        shares = examples["label"].value_counts()["count"] / rows
        assert shares.len() == len(card.classes)
        assert (shares - 1 / len(card.classes)).abs().max() < 0.06


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_pinned(name: str):
    """Rows of a card never change: a failure wants a new `GENERATOR_VERSION`, unless a library draws otherwise."""
    assert task(name).data_hash() == HASHES[name]


@pytest.mark.parametrize("name", NAMES)
def test_bayes_optimal_scores_are_the_posterior_and_of_the_stated_difficulty(name: str):
    simulated = task(name)
    examples = simulated.load("test")
    predictions = simulated.references("test")[BAYES_OPTIMAL]
    assert predictions.select("id", "group", "label").equals(examples.select("id", "group", "label"))
    scores = predictions.select(pl.col("^score_.*$")).to_numpy()
    codes = encode_batch(examples["sequence"].to_list()).matrix()
    np.testing.assert_array_equal(scores, labelled_distribution(simulated.parameters).posterior(codes))
    assert scores.shape[1] == len(simulated.card.classes)
    accuracy = (scores.argmax(axis=1) == examples["label"].to_numpy()).mean()
    assert 0.85 < accuracy < 0.98
    assert accuracy == pytest.approx(scores.max(axis=1).mean(), abs=0.025)


def test_splits_share_no_sequence():
    simulated = task("grammar")
    sequences = pl.concat([simulated.load(split) for split in simulated.splits()])["sequence"]
    assert sequences.n_unique() == sequences.len()


def test_context_keeps_the_central_bases():
    simulated = small()
    whole, cut = simulated.load("test"), simulated.load("test", context=50)
    assert cut["sequence"].to_list() == [sequence[50:100] for sequence in whole["sequence"]]


def test_data_hash_follows_the_parameters_and_nothing_else():
    assert small().data_hash() == small().data_hash()
    assert small().data_hash() != small(seed=1).data_hash()
    assert small().data_hash() != small(rows={"train": 31, "test": 20}).data_hash()


def test_a_split_does_not_depend_on_the_others():
    assert small(rows={"test": 20}).load("test").equals(small().load("test"))


def test_unknown_split_and_unknown_generator():
    with pytest.raises(UsageError, match="no split 'train-10'; it has train, test"):
        small().load("train-10")
    card = TaskCard(name="sim/none", title="", metric="mcc", metrics=("mcc",), parameters={"seed": 1, "rows": {}})
    with pytest.raises(DataError, match="generator"):
        SimulatedTask(card)
