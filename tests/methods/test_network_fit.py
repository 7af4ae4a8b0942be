"""What all trainings share: retries after a collapse, one batch in several pieces, and every kind of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import Unsupported
from glmbench.methods import judging, registry
from glmbench.methods.finetune import Finetune
from glmbench.methods.network_fit import BETWEEN_ATTEMPTS
from glmbench.methods.scratch import Scratch
from glmbench.metrics.predictions import per_base_frame
from glmbench.models.fitted.trained_network import TrainedNetwork, TrainedOnBases
from glmbench.models.model import Model
from glmbench.models.onehot_cnn import OneHotCNNModel
from glmbench.models.registry import load
from glmbench.tasks.budget import Budget
from glmbench.training.guard import DivergenceError

FULL = Budget()
QUICK: dict[str, Any] = {"max_steps": 3, "min_steps": 1, "retries": 0}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dnabert2(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from tiny_checkpoints import save_without_dropout

    folder = save_without_dropout(tmp_path_factory.mktemp("checkpoints") / "dnabert2", "dnabert2")
    return load(f"hf:{folder}")


def task(train: int = 120) -> FrameTask:
    return FrameTask(
        {
            "train": gc_rows(train, seed=0, contrast=0.5, length=30),
            "dev": gc_rows(60, seed=1, split="dev", contrast=0.5, length=30),
            "test": gc_rows(40, seed=2, split="test", contrast=0.5, length=30),
        }
    )


def state(fit: Any) -> dict[str, torch.Tensor]:
    assert isinstance(fit.predictor, TrainedNetwork)
    return fit.predictor.module.state_dict()


def test_a_training_that_collapsed_is_done_again_from_another_seed(
    dnabert2: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])
    monkeypatch.setattr(judging, "COLLAPSED_BELOW", 0.05)
    monkeypatch.setattr(
        "glmbench.methods.network_fit.collapse", lambda *_: {"collapsed": next(answers), "stopped_on_mcc": 0.0}
    )
    fit = Finetune({**QUICK, "retries": 2}).fit(dnabert2, task(), budget=FULL, seed=4)
    assert fit.details["retries"] == 1
    assert [attempt["seed"] for attempt in fit.details["attempts"]] == [4, 4 + BETWEEN_ATTEMPTS]
    assert [attempt["collapsed"] for attempt in fit.details["attempts"]] == [True, False]
    assert fit.details["collapsed"] is False
    monkeypatch.undo()
    first, last = (Finetune(QUICK).fit(dnabert2, task(), budget=FULL, seed=seed) for seed in (4, 4 + BETWEEN_ATTEMPTS))
    test = task().load("test")["sequence"].to_list()
    assert fit.first_attempt is not None
    np.testing.assert_array_equal(fit.first_attempt.predict(test), first.predictor.predict(test))
    np.testing.assert_array_equal(fit.predictor.predict(test), last.predictor.predict(test))


def test_retries_end_and_what_did_not_collapse_has_one_attempt(dnabert2: Model) -> None:
    splits = dict(task()._splits)
    splits["train"] = splits["train"].with_columns(label=pl.lit(1))
    fit = Finetune({**QUICK, "retries": 1}).fit(dnabert2, FrameTask(splits), budget=FULL, seed=0)
    assert (fit.details["retries"], fit.details["collapsed"]) == (1, True)
    good = Scratch({"max_steps": 60, "lr": 3e-3}).fit(OneHotCNNModel(), task(400), budget=FULL, seed=0)
    assert good.details["collapsed"] is False
    assert "retries" not in good.details
    assert good.first_attempt is None


def test_dev_rows_of_one_label_tell_nothing_of_a_collapse(dnabert2: Model) -> None:
    splits = dict(task()._splits)
    splits["dev"] = splits["dev"].filter(pl.col("label") == 1)
    fit = Finetune({**QUICK, "retries": 1}).fit(dnabert2, FrameTask(splits), budget=FULL, seed=0)
    assert fit.details["collapsed"] is None
    assert fit.details["selected_by"] == "loss", "nor does a metric of classes tell epochs apart"
    assert fit.details["best_score"] > 0
    assert "retries" not in fit.details


def test_an_attempt_that_diverged_leaves_what_went_before(dnabert2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from glmbench.methods import network_fit

    train, calls = network_fit.train_module, []

    def once(*arguments: Any, **options: Any) -> Any:
        calls.append(options["seed"])
        if len(calls) > 1:
            raise DivergenceError("the loss is nan")
        return train(*arguments, **options)

    monkeypatch.setattr(network_fit, "train_module", once)
    monkeypatch.setattr(network_fit, "collapse", lambda *_: {"collapsed": True, "stopped_on_mcc": 0.0})
    fit = Finetune({**QUICK, "retries": 2}).fit(dnabert2, task(), budget=FULL, seed=0)
    assert calls == [0, BETWEEN_ATTEMPTS, 2 * BETWEEN_ATTEMPTS]
    assert [attempt.get("error") for attempt in fit.details["attempts"]] == [None, "the loss is nan", "the loss is nan"]
    assert (fit.details["retries"], fit.first_attempt) == (2, None)


def test_rows_of_one_group_leave_nothing_to_decide_by(dnabert2: Model) -> None:
    rows = gc_rows(400, seed=0, length=20).with_columns(group=pl.lit("chr1"))
    fit = Finetune(QUICK).fit(dnabert2, FrameTask({"train": rows}), budget=FULL, seed=0)
    assert (fit.details["stopped_on"], fit.details["trained_on"]) == ("nothing: the groups cannot be parted", 400)


def test_a_batch_in_pieces_gives_the_weights_of_the_whole_batch(dnabert2: Model) -> None:
    recipe = {"max_steps": 8, "min_steps": 8, "batch_size": 10, "lr": 1e-3, "retries": 0}
    whole = Finetune(recipe).fit(dnabert2, task(45), budget=FULL, seed=0)
    pieces = Finetune({**recipe, "tokens_at_once": 3 * 32}).fit(dnabert2, task(45), budget=FULL, seed=0)
    for name, tensor in state(whole).items():
        torch.testing.assert_close(state(pieces)[name], tensor, rtol=1e-4, atol=1e-5)
    assert whole.details["epochs"] == pieces.details["epochs"] == 1.6
    assert whole.details["last_loss"] == pytest.approx(pieces.details["last_loss"], rel=1e-4)
    assert whole.details["cost"]["units"] == pieces.details["cost"]["units"] == 45 + 10 + 10 + 10


def base_task(train: int = 200) -> FrameTask:
    """Of every base, whether it is G; every seventh has no label."""

    def labelled(rows: pl.DataFrame) -> pl.DataFrame:
        of_bases = [
            [-1 if at % 7 == 3 else int(base == "G") for at, base in enumerate(text)] for text in rows["sequence"]
        ]
        return rows.with_columns(label=pl.Series(of_bases, dtype=pl.List(pl.Int64)))

    card = CARD.model_copy(update={"kind": "per-base", "classes": ("other", "G")})
    return FrameTask({name: labelled(rows) for name, rows in task(train)._splits.items()}, card)


@pytest.mark.parametrize(
    ("method", "form"),
    [("finetune", {}), ("finetune", {"max_length": 14, "too_long": "window"}), ("lora", {}), ("scratch", {})],
)
def test_labels_by_base_are_learned(dnabert2: Model, method: str, form: dict[str, Any]) -> None:
    asked = base_task()
    recipe = {"epochs": 6, "lr": 5e-3, "min_steps": 40 if method == "scratch" else 1, **form}
    model = OneHotCNNModel() if method == "scratch" else dnabert2
    fit = registry.make(method, recipe).fit(model, asked, budget=FULL, seed=0)
    assert isinstance(fit.predictor, TrainedOnBases)
    test = asked.load("test")
    scores = fit.predictor.predict_bases(test["sequence"].to_list())
    assert [len(one) for one in scores] == test["sequence"].str.len_bytes().to_list()
    frame = per_base_frame(test, scores)
    from glmbench.metrics.scores import evaluate

    assert frame.height == 40 * 26, "bases without a label are not scored"
    assert evaluate(frame, ["auroc"])["auroc"] > 0.95
    assert fit.details["selected_by"] == ("loss" if method == "scratch" else "mcc")
    if form:
        assert fit.details["train_input"]["in_windows"] == fit.details["train_rows"]
    with pytest.raises(Unsupported, match="either strand"):
        registry.make(method, {**recipe, "reverse_complement": True}).fit(model, asked, budget=FULL, seed=0)


def label_task() -> FrameTask:
    def labelled(rows: pl.DataFrame) -> pl.DataFrame:
        both = [[rich, rich] for rich in rows["label"]]
        return rows.with_columns(label=pl.Series(both, dtype=pl.List(pl.Int64)))

    names = {"mean_auroc", "mean_mcc"}
    card = CARD.model_copy(
        update={
            "kind": "multilabel",
            "classes": ("rich", "again"),
            "metric": "mean_auroc",
            "metrics": tuple(sorted(names)),
        }
    )
    return FrameTask({name: labelled(rows) for name, rows in task(300)._splits.items()}, card)


def test_several_labels_are_learned_each_by_itself(dnabert2: Model) -> None:
    asked = label_task()
    fit = Finetune({"epochs": 8, "lr": 5e-3}).fit(dnabert2, asked, budget=FULL, seed=0)
    test = asked.load("test")
    assert isinstance(fit.predictor, TrainedNetwork)
    scores = fit.predictor.predict(test["sequence"].to_list())
    from sklearn.metrics import roc_auc_score

    labels = np.array(test["label"].to_list())
    assert min(roc_auc_score(labels[:, label], scores[:, label]) for label in (0, 1)) > 0.8
    assert scores.sum(1).max() > 1.1, "they do not exclude each other"
    assert fit.details["collapsed"] is False


def pair_task() -> FrameTask:
    """The class is whether both sequences are rich in G and C, so that neither alone tells."""
    splits = {}
    for split, count in (("train", 400), ("dev", 60), ("test", 100)):
        one, other = (gc_rows(count, seed=seed + count, split=split, length=20, contrast=0.9) for seed in (0, 9))
        order = np.random.default_rng(count).permutation(count)
        second, its_label = other["sequence"].gather(order), other["label"].gather(order)
        splits[split] = one.with_columns(sequence_2=second, label=(one["label"] == its_label).cast(pl.Int64)).select(
            "id", "sequence", "sequence_2", "label", "group"
        )
    return FrameTask(splits)


def test_pairs_go_in_as_two_sequences_or_as_one(dnabert2: Model) -> None:
    asked = pair_task()
    pair = list(
        zip(*asked.load("test").select("sequence", "sequence_2").to_dict(as_series=False).values(), strict=True)
    )
    fits = {
        how: Finetune({**QUICK, "pairs": how}).fit(dnabert2, asked, budget=FULL, seed=0)
        for how in ("pair", "concatenate")
    }
    tokens = {how: fit.details["train_input"]["tokens"] for how, fit in fits.items()}
    assert tokens["pair"] == tokens["concatenate"] == 400 * 40
    assert fits["pair"].details["bases"] == 400 * 40
    joined = fits["concatenate"].predictor.predict([a + b for a, b in pair[:3]])
    parted = fits["pair"].predictor.predict(pair[:3])
    assert joined.shape == parted.shape == (3, 2)
    fit = Scratch({"max_steps": 120, "lr": 3e-3}).fit(OneHotCNNModel(), asked, budget=FULL, seed=0)
    test = asked.load("test")
    assert (fit.predictor.predict(pair).argmax(1) == test["label"].to_numpy()).mean() > 0.8


def test_long_sequences_go_in_windows_whose_scores_are_averaged(dnabert2: Model) -> None:
    long = {name: gc_rows(40, seed=3, split=name, length=90) for name in ("train", "test")}
    recipe = {**QUICK, "max_length": 32, "too_long": "window", "overlap": 0.5}
    fit = Finetune(recipe).fit(dnabert2, FrameTask(long), budget=FULL, seed=0)
    assert isinstance(fit.predictor, TrainedNetwork)
    notes = fit.predictor.notes(long["test"]["sequence"].to_list())
    assert (notes["in_windows"], notes["windows"], notes["truncated"]) == (40, 40 * 5, 0)  # 30 tokens each, 15 apart
    text = long["test"]["sequence"][0]
    logits = [
        fit.predictor.module(*fit.predictor.collate.batch(fit.predictor.collate.encode([part]), np.array([0])))
        for part in (text[start : start + 30] for start in (0, 15, 30, 45, 60))
    ]
    wanted = torch.stack(logits).mean(0).softmax(1).detach().numpy()
    np.testing.assert_allclose(fit.predictor.predict([text]), wanted, rtol=1e-5)


def test_memory_of_predictions_does_not_grow_with_their_number() -> None:
    """Ids of the sequences are not kept: what is encoded at once is a bounded number of them."""
    from glmbench.models.fitted import trained_network

    fit = Scratch({"max_steps": 2, "retries": 0}).fit(OneHotCNNModel(), task(), budget=FULL, seed=0)
    assert isinstance(fit.predictor, TrainedNetwork)
    encoded: list[int] = []
    collate = fit.predictor.collate

    class Counting:
        def encode(self, sequences: list[str]) -> Any:
            encoded.append(len(sequences))
            return collate.encode(sequences)

        batch = staticmethod(collate.batch)

    fit.predictor.collate = Counting()
    sequences = ["ACGTACGTAC"] * (2 * trained_network.CHUNK + 5)
    assert fit.predictor.predict(sequences).shape == (len(sequences), 2)
    assert encoded == [trained_network.CHUNK, trained_network.CHUNK, 5]
