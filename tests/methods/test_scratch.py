"""Training from scratch: learns what is planted, uses no label it may not see, answers in the right unit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import Unsupported, UsageError
from glmbench.methods.scratch import Scratch
from glmbench.models.model import Predicts
from glmbench.models.onehot_cnn import OneHotCNNModel
from glmbench.models.registry import load
from glmbench.sequences.encoding import reverse_complement
from glmbench.tasks.budget import Budget

FULL = Budget()
QUICK = {"epochs": 10, "batch_size": 64, "lr": 0.003}
MOTIF = "TGACTCAGCA"


def motif_rows(rows: int, *, seed: int, split: str = "train", length: int = 60, flip: bool = False) -> pl.DataFrame:
    """Random sequences; those of class 1 hold a motif somewhere, on a random strand where `flip`."""
    rng = np.random.default_rng(seed)
    sequences = []
    for i in range(rows):
        letters = "".join(rng.choice(list("ACGT"), length))
        if i % 2:
            at = rng.integers(0, length - len(MOTIF))
            motif = reverse_complement(MOTIF) if flip and rng.random() < 0.5 else MOTIF
            letters = letters[:at] + motif + letters[at + len(MOTIF) :]
        sequences.append(letters)
    ids = [f"{split}/{i}" for i in range(rows)]
    return pl.DataFrame({"id": ids, "sequence": sequences, "label": np.arange(rows) % 2, "group": ids})


def accuracy(predictor: Predicts, rows: pl.DataFrame) -> float:
    return float((predictor.predict(rows["sequence"].to_list()).argmax(1) == rows["label"].to_numpy()).mean())


def test_learns_a_planted_motif_and_keeps_what_it_did() -> None:
    task = FrameTask({"train": motif_rows(800, seed=0), "test": motif_rows(200, seed=1, split="test")})
    fit = Scratch(QUICK).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
    scores = fit.predictor.predict(task.load("test")["sequence"].to_list())
    assert scores.shape == (200, 2)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert accuracy(fit.predictor, task.load("test")) > 0.85
    assert fit.details["stopped_on"] == "held-out training rows"
    assert fit.details["trained_on"] + fit.details["stopped_on_rows"] == fit.details["train_rows"] == 800
    assert fit.details["cost"]["units"] > 0


def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    task = FrameTask({"train": motif_rows(64, seed=0)})
    predictor = Scratch({"min_steps": 5, "epochs": 1}).fit(OneHotCNNModel(), task, budget=FULL, seed=0).predictor
    sequences = ["ACGT" * n for n in (1, 40, 3, 10, 17)]
    together = predictor.predict(sequences)
    alone = np.concatenate([predictor.predict([sequence]) for sequence in sequences])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    assert predictor.predict([]).shape == (0, 2)


def test_equal_seeds_give_equal_fits() -> None:
    task = FrameTask({"train": motif_rows(48, seed=0)})
    sequences = motif_rows(10, seed=5)["sequence"].to_list()

    def scores(seed: int) -> np.ndarray:
        fit = Scratch({"min_steps": 4, "epochs": 1}).fit(OneHotCNNModel(), task, budget=FULL, seed=seed)
        return fit.predictor.predict(sequences)

    assert np.array_equal(scores(1), scores(1))
    assert not np.array_equal(scores(1), scores(2))


def test_dev_decides_at_the_full_budget_only() -> None:
    task = FrameTask({"train": motif_rows(400, seed=0), "dev": motif_rows(50, seed=1), "test": motif_rows(50, seed=2)})
    quick = {"max_steps": 4}
    full = Scratch(quick).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
    assert (full.details["stopped_on"], full.details["stopped_on_rows"]) == ("dev split", 50)
    few = Scratch(quick).fit(OneHotCNNModel(), task, budget=Budget(per_class=20), seed=0)
    assert (few.details["trained_on"], few.details["stopped_on_rows"]) == (40, 0)
    assert few.details["steps"] == 4


def test_either_strand_counts_the_same_with_reverse_complements() -> None:
    task = FrameTask({"train": motif_rows(600, seed=0, flip=True)})
    fit = Scratch({**QUICK, "reverse_complement": True}).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
    rows = motif_rows(60, seed=1, flip=True)
    forward = rows["sequence"].to_list()
    backward = [reverse_complement(sequence) for sequence in forward]
    np.testing.assert_allclose(fit.predictor.predict(forward), fit.predictor.predict(backward), rtol=1e-4, atol=1e-6)


def test_a_class_absent_from_training_still_has_a_column() -> None:
    card = CARD.model_copy(update={"classes": ()})
    absent = gc_rows(10, seed=1, split="test").with_columns(label=pl.lit(3))
    fit = Scratch({"max_steps": 2}).fit(
        OneHotCNNModel(), FrameTask({"train": gc_rows(20, seed=0), "test": absent}, card), budget=FULL, seed=0
    )
    assert fit.predictor.predict(["ACGTACGT"]).shape == (1, 4)


def test_values_come_back_in_the_unit_of_the_labels() -> None:
    rows = gc_rows(600, seed=0, contrast=0.8)
    gc = np.array([sum(base in "GC" for base in sequence) / 40 for sequence in rows["sequence"]])
    card = CARD.model_copy(update={"kind": "regression", "classes": ()})
    task = FrameTask({"train": rows.with_columns(label=pl.Series(1000 + 50 * gc))}, card)
    fit = Scratch(QUICK).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
    test = gc_rows(100, seed=1, contrast=0.8)["sequence"].to_list()
    expected = 1000 + 50 * np.array([sum(base in "GC" for base in sequence) / 40 for sequence in test])
    got = fit.predictor.predict(test)
    assert got.shape == (100, 1)
    assert np.abs(got[:, 0] - expected).mean() < 0.4 * expected.std()


@pytest.mark.parametrize(
    "recipe", [{"epoch": 3}, {"epochs": 0}, {"lr": -1.0}, {"precision": "fp16"}, {"held_out": 1.0}, {"patience": "no"}]
)
def test_recipes_that_make_no_sense_are_refused(recipe: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(recipe))):
        Scratch(recipe)


def test_the_resolved_recipe_holds_every_setting() -> None:
    assert Scratch({"lr": 0.01}).recipe == {**Scratch().recipe, "lr": 0.01}
    assert Scratch().recipe["epochs"] > 0


def test_a_model_without_weights_cannot_be_trained() -> None:
    with pytest.raises(Unsupported, match="kmer:3 cannot be trained"):
        Scratch().fit(load("kmer:3"), FrameTask({"train": gc_rows(20, seed=0)}), budget=FULL, seed=0)
