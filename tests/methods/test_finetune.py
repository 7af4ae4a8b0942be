"""Fine-tuning: starts from the checkpoint's weights, learns, trains what it says, goes on where it was stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.methods import registry, training
from glmbench.methods.finetune import Finetune
from glmbench.models.fitted.trained_network import TrainedNetwork
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.model import Predicts
from glmbench.models.registry import load
from glmbench.tasks.budget import Budget
from glmbench.training import loop
from glmbench.training.guard import DivergenceError

FULL = Budget()
QUICK = {"max_steps": 3, "min_steps": 1, "retries": 0}
Folder = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Small checkpoints, saved once."""
    from tiny_checkpoints import save

    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            made[kind] = save(tmp_path_factory.mktemp("checkpoints") / kind, kind)
        return made[kind]

    return find


def model(folder: Path, options: str = "") -> HuggingFaceModel:
    found = load(f"hf:{folder}{options}")
    assert isinstance(found, HuggingFaceModel)
    return found


def gc_task(train: int = 400, length: int = 30) -> FrameTask:
    def rows(count: int, seed: int, split: str) -> pl.DataFrame:
        return gc_rows(count, seed=seed, split=split, length=length, contrast=0.5)

    return FrameTask({"train": rows(train, 0, "train"), "dev": rows(60, 1, "dev"), "test": rows(200, 2, "test")})


def accuracy(predictor: Predicts, rows: pl.DataFrame) -> float:
    return float((predictor.predict(rows["sequence"].to_list()).argmax(1) == rows["label"].to_numpy()).mean())


def network(predictor: Predicts) -> torch.nn.Module:
    assert isinstance(predictor, TrainedNetwork)
    return predictor.module


@pytest.mark.parametrize("kind", ["dnabert2", "bert"])
@pytest.mark.parametrize("method", ["finetune", "lora"])
def test_it_learns_a_task_that_an_untrained_head_does_not_know(folder: Folder, kind: str, method: str) -> None:
    task = gc_task()
    recipe = {"epochs": 6, "lr": 3e-3}
    fit = registry.make(method, recipe).fit(model(folder(kind)), task, budget=FULL, seed=0)
    untrained = registry.make(method, {**QUICK, "max_steps": 1, "lr": 1e-12})
    before = untrained.fit(model(folder(kind)), task, budget=FULL, seed=0)
    test = task.load("test")
    assert accuracy(fit.predictor, test) > max(0.85, accuracy(before.predictor, test) + 0.1)
    assert fit.details["stopped_on"] == "dev split"
    assert fit.details["selected_by"] == "mcc"
    assert fit.details["collapsed"] is False
    scores = fit.predictor.predict(test["sequence"].to_list())
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_it_starts_from_the_weights_of_the_checkpoint_and_leaves_the_model_alone(folder: Folder) -> None:
    found = model(folder("dnabert2"))
    sequences = gc_rows(4, seed=3)["sequence"].to_list()
    before = found.embed(sequences)
    module, _ = found.trainable(2, seed=0)
    fitted = Finetune({**QUICK, "lr": 0.01}).fit(found, gc_task(40), budget=FULL, seed=0)
    np.testing.assert_array_equal(found.embed(sequences), before)
    given = found._network.body.state_dict()
    start, end = module.state_dict(), network(fitted.predictor).state_dict()
    for name, tensor in given.items():
        assert torch.equal(start[f"network.bert.{name}"], tensor)
    assert any(not torch.equal(end[f"network.bert.{name}"], tensor) for name, tensor in given.items())


def test_the_head_is_drawn_from_the_seed(folder: Folder) -> None:
    found = model(folder("dnabert2"))
    one, same, other = (found.trainable(3, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing == {"network.bert.pooler.dense.weight", "network.classifier.weight"}


@pytest.mark.parametrize("kind", ["dnabert2", "bert", "esm", "gpt2", "t5"])
def test_padding_makes_no_difference(folder: Folder, kind: str) -> None:
    module, collate = model(folder(kind)).trainable(2, seed=0)
    module.eval()
    encoded = collate.encode(["ACGTACGTAACCGGTT", "ACGA", "TTTGACCA"])
    with torch.inference_mode():
        together = module(*collate.batch(encoded, np.arange(3)))
        alone = torch.cat([module(*collate.batch(encoded, np.array([row]))) for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_scores_are_those_of_the_class_of_transformers(folder: Folder) -> None:
    from transformers import AutoTokenizer, BertForSequenceClassification

    module, collate = model(folder("bert")).trainable(2, seed=0)
    oracle = BertForSequenceClassification.from_pretrained(folder("bert"), num_labels=2).eval()
    state = {name.removeprefix("network."): tensor for name, tensor in module.state_dict().items()}
    drawn = {name: tensor for name, tensor in state.items() if name.startswith(("bert.pooler", "classifier"))}
    oracle.load_state_dict(drawn, strict=False)
    sequences = ["ACGTACGTAA", "ACG"]
    inputs = AutoTokenizer.from_pretrained(folder("bert"))(sequences, padding=True, return_tensors="pt")
    with torch.inference_mode():
        wanted = oracle(**inputs).logits
        got = module.eval()(*collate.batch(collate.encode(sequences), np.arange(2)))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dnabert2", "gpt2"])
def test_lora_trains_adapters_and_head_alone(folder: Folder, kind: str) -> None:
    found = model(folder(kind))
    start, _ = found.trainable(2, seed=0)
    fit = registry.make("lora", {**QUICK, "lr": 0.01}).fit(found, gc_task(60), budget=FULL, seed=0)
    end = network(fit.predictor)
    parameters = dict(end.named_parameters())
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    head = {name for name in trained if "lora_" not in name}
    parts = {"dnabert2": ("bert.pooler.dense", "classifier"), "gpt2": ("head",)}[kind]
    assert head == {f"network.{part}.{which}" for part in parts for which in ("weight", "bias")}
    for name, before in start.named_parameters():
        layer, _, which = name.rpartition(".")
        now = parameters[name if name in parameters else f"{layer}.base_layer.{which}"]
        assert torch.equal(now, before) == (name not in head), name
    assert fit.details["adapted_layers"] == 8
    assert fit.details["trained_weights"] == sum(parameters[name].numel() for name in trained)


def test_lora_targets_of_dnabert2_are_all_linear_layers_of_a_layer_unless_named(folder: Folder) -> None:
    found = model(folder("dnabert2"))

    def adapted(lora: dict[str, object]) -> set[str]:
        fit = Finetune({**QUICK, "lora": lora}).fit(found, gc_task(40), budget=FULL, seed=0)
        names = [name for name, _ in network(fit.predictor).named_parameters() if ".lora_A." in name]
        return {name.partition(".layer.0.")[2].partition(".lora_A")[0] for name in names} - {""}

    assert adapted({}) == {"attention.self.Wqkv", "attention.output.dense", "mlp.gated_layers", "mlp.wo"}
    assert adapted({"targets": ["Wqkv"]}) == {"attention.self.Wqkv"}
    with pytest.raises(UsageError, match=r"'query'.*Wqkv"):
        adapted({"targets": ["query"]})


def weights(folder: Path, method: str, checkpoints: Path | None) -> dict[str, torch.Tensor]:
    recipe = {"epochs": 2, "min_steps": 1, "lr": 1e-3}
    fit = registry.make(method, recipe, checkpoints).fit(model(folder), gc_task(320), budget=FULL, seed=0)
    return network(fit.predictor).state_dict()


class Killed(BaseException):
    """Stops a training from within."""


@pytest.mark.parametrize("method", ["finetune", "lora"])
def test_an_interrupted_training_ends_with_the_same_weights(
    folder: Folder, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = weights(folder("dnabert2"), method, None)
    seconds, taken = itertools.count(), []
    step = loop.Meter.step

    def count(self: loop.Meter, duration: float, units: int) -> None:
        taken.append(units)
        if len(taken) == 15:
            raise Killed
        step(self, duration, units)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "monotonic", lambda: next(seconds))
        patch.setattr(training, "CHECKPOINT_SECONDS", 4.0)
        patch.setattr(loop.Meter, "step", count)
        with pytest.raises(Killed):
            weights(folder("dnabert2"), method, tmp_path)
    (file,) = tmp_path.glob("*/step-*/weights.safetensors")
    with safe_open(file, "pt") as stored:
        names = set(stored.keys())
    assert any(".lora_A." in name for name in names) == (method == "lora")
    assert any("word_embeddings" in name for name in names) == (method == "finetune")
    got = weights(folder("dnabert2"), method, tmp_path)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_a_training_that_has_ended_is_kept_until_its_result_is(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "monotonic", lambda: next(seconds))
        patch.setattr(training, "CHECKPOINT_SECONDS", 4.0)
        expected = weights(folder("dnabert2"), "finetune", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Meter, "step", lambda *_: pytest.fail("no step is taken again"))
        method = Finetune({"epochs": 2, "min_steps": 1, "lr": 1e-3}, tmp_path)
        fit = method.fit(model(folder("dnabert2")), gc_task(320), budget=FULL, seed=0)
    got = network(fit.predictor).state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    for checkpoints in fit.checkpoints:
        training.discard(checkpoints)
    assert not list(tmp_path.iterdir())


def test_long_sequences_are_refused_or_cut_and_counted(folder: Folder) -> None:
    short, long = gc_rows(30, seed=0, length=8), gc_rows(10, seed=1, length=40, split="long")
    task = FrameTask({"train": pl.concat([short, long]), "test": gc_rows(5, seed=2)})
    found = model(folder("dnabert2"))
    with pytest.raises(Unsupported, match=r"10 of 40 sequences have more than 12 tokens.*too_long"):
        Finetune({**QUICK, "max_length": 12}).fit(found, task, budget=FULL, seed=0)
    cut = Finetune({**QUICK, "max_length": 12, "too_long": "truncate"}).fit(found, task, budget=FULL, seed=0)
    assert cut.details["train_input"]["truncated_share"] == 0.25
    assert cut.details["train_input"]["cut_tokens"] == 10 * (40 - 10)
    assert isinstance(cut.predictor, TrainedNetwork)
    assert cut.predictor.notes(task.load("test")["sequence"].to_list())["truncated"] == 5
    start = "ACGTACGTAC"
    np.testing.assert_array_equal(*(cut.predictor.predict([start + end]) for end in ("AAAA", "TTTTT")))
    with pytest.raises(Unsupported, match="1 tokens, of which 2 are special"):
        Finetune({**QUICK, "max_length": 1}).fit(found, task, budget=FULL, seed=0)
    with pytest.raises(Unsupported, match="max_length is 65 tokens, the model reads 64"):
        Finetune({**QUICK, "max_length": 65}).fit(model(folder("bert")), task, budget=FULL, seed=0)


def test_without_a_dev_split_test_is_never_looked_at(folder: Folder) -> None:
    looked: list[str] = []

    class Watched(FrameTask):
        def load(self, split: str, *, context: int | None = None) -> pl.DataFrame:
            looked.append(split)
            frame = super().load(split)
            return frame if split != "test" else frame.with_columns(sequence=pl.lit("not DNA at all!"))

    task = Watched({"train": gc_rows(40, seed=0), "test": gc_rows(20, seed=1)})
    fit = Finetune(QUICK).fit(model(folder("dnabert2")), task, budget=FULL, seed=0)
    assert "test" in looked, "for the number of classes"
    assert fit.details["stopped_on"] == "nothing: a fixed number of steps"
    assert (fit.details["best_step"], fit.details["collapsed"], fit.details["selected_by"]) == (None, None, None)
    more = Watched({"train": gc_rows(400, seed=0), "test": gc_rows(20, seed=1)})
    fit = Finetune(QUICK).fit(model(folder("dnabert2")), more, budget=FULL, seed=0)
    assert (fit.details["stopped_on"], fit.details["stopped_on_rows"]) == ("held-out training rows", 60)


def test_classes_that_train_lacks_and_gaps_have_outputs(folder: Folder) -> None:
    card = CARD.model_copy(update={"classes": ()})
    rare = gc_rows(25, seed=1, split="dev").with_columns(label=pl.lit(3))
    task = FrameTask({"train": gc_rows(40, seed=0), "dev": rare, "test": gc_rows(10, seed=2)}, card)
    fit = Finetune(QUICK).fit(model(folder("dnabert2")), task, budget=FULL, seed=0)
    assert fit.predictor.predict(["ACGTACGT"]).shape == (1, 4)
    assert fit.details["classes_absent_from_train"] == [2, 3]
    negative = FrameTask({"train": gc_rows(40, seed=0).with_columns(label=pl.col("label") - 1)}, card)
    with pytest.raises(DataError, match="label is -1"):
        Finetune(QUICK).fit(model(folder("dnabert2")), negative, budget=FULL, seed=0)


def test_a_collapse_is_seen_on_the_rows_that_it_was_stopped_on(folder: Folder) -> None:
    task = gc_task(60)
    train = task.load("train").with_columns(label=pl.lit(1))
    constant = FrameTask({"train": train, "dev": task.load("dev")}, CARD)
    fit = Finetune({"max_steps": 20, "min_steps": 20, "lr": 1e-3}).fit(
        model(folder("dnabert2")), constant, budget=FULL, seed=0
    )
    assert fit.details["collapsed"] is True
    assert fit.details["stopped_on_classes_predicted"] == 1


def test_values_are_learned_in_their_own_unit(folder: Folder) -> None:
    rows = gc_rows(400, seed=0, contrast=0.8)
    card = CARD.model_copy(update={"kind": "regression", "classes": (), "metric": "spearman", "metrics": ("spearman",)})

    def valued(rows: pl.DataFrame) -> pl.DataFrame:
        share = [sum(base in "GC" for base in sequence) / 40 for sequence in rows["sequence"]]
        return rows.with_columns(label=pl.Series(1000 + 50 * np.array(share)))

    task = FrameTask({"train": valued(rows), "dev": valued(gc_rows(50, seed=1, split="dev", contrast=0.8))}, card)
    fit = Finetune({"epochs": 6, "lr": 3e-3, "select": "loss"}).fit(
        model(folder("dnabert2")), task, budget=FULL, seed=0
    )
    test = valued(gc_rows(100, seed=2, contrast=0.8))
    got = fit.predictor.predict(test["sequence"].to_list())[:, 0]
    wanted = test["label"].to_numpy()
    assert np.abs(got - wanted).mean() < 0.5 * wanted.std()
    by_metric = Finetune(QUICK).fit(model(folder("dnabert2")), task, budget=FULL, seed=0)
    assert by_metric.details["selected_by"] == "spearman"


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    method = registry.make("finetune", {"lr": 1e30, "clip_norm": None, "min_steps": 30}, tmp_path)
    with pytest.raises(DivergenceError):
        method.fit(model(folder("dnabert2")), gc_task(60), budget=FULL, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "recipe", [{"epoch": 3}, {"lr": -1.0}, {"schedule": "sine"}, {"lora": {"r": 8}}, {"lora": {"rank": 0}}]
)
def test_recipes_that_make_no_sense_are_refused(recipe: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="finetune recipe"):
        Finetune(recipe)


def test_the_plan_follows_the_recipe() -> None:
    recipe = Finetune({"max_steps": 1000, "warmup_steps": 30, "evaluate_every": 200, "min_steps": 1})._recipe
    plan = recipe.plan(500, higher_is_better=False)
    assert (plan.steps, plan.schedule.warmup, plan.evaluate_every) == (1000, 30, 200)
    assert recipe.plan(100, higher_is_better=False).steps == 300
    rates = [plan.schedule.multiplier(step, plan.steps) for step in range(plan.steps)]
    assert max(rates) == rates[30] == 1
    assert rates[-1] == 0
    np.testing.assert_allclose(np.diff(rates[30:]), -1 / 969)


def test_scratch_and_finetune_want_other_models(folder: Folder) -> None:
    with pytest.raises(Unsupported, match="onehot-cnn cannot be fine-tuned"):
        Finetune(QUICK).fit(load("onehot-cnn"), gc_task(20), budget=FULL, seed=0)
    with pytest.raises(Unsupported, match="cannot be trained from random weights"):
        registry.make("scratch", {}).fit(model(folder("bert")), gc_task(20), budget=FULL, seed=0)
    assert registry.make("lora", {}).recipe["lora"]["rank"] == 8
    assert registry.make("lora", {}).recipe["lr"] == registry.LORA_RATE
    assert registry.make("lora", {"lr": 1e-3}).recipe["lr"] == 1e-3
