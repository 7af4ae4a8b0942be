"""Training from scratch: learns what is planted, uses no label it may not see, answers in the right unit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from frame_task import CARD, FrameTask, gc_rows
from glmbench.errors import Unsupported, UsageError
from glmbench.methods import registry, training
from glmbench.methods.scratch import Scratch
from glmbench.models.fitted.trained_network import TrainedNetwork
from glmbench.models.model import Predicts
from glmbench.models.onehot_cnn import OneHotCNNModel
from glmbench.models.registry import load
from glmbench.sequences.encoding import reverse_complement
from glmbench.tasks.budget import Budget
from glmbench.training import checkpoint as training_checkpoint
from glmbench.training import loop
from glmbench.training.batches import Batch

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


def test_module_and_every_batch_go_to_the_preferred_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU here: the device is another object than the default one, and must be asked for everywhere."""
    chosen = torch.device("cpu", 0)
    monkeypatch.setattr("glmbench.training.device.preferred_device", lambda: chosen)
    modules: list[object] = []
    batches: list[int] = []
    module_to, batch_to = torch.nn.Module.to, Batch.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, *a, **options: modules.extend(a) or module_to(self, *a, **options)
    )
    monkeypatch.setattr(Batch, "to", lambda self, device: batches.append(self.size) or batch_to(self, device))
    task = FrameTask({"train": motif_rows(100, seed=0), "dev": motif_rows(50, seed=1)})
    Scratch({"max_steps": 2, "batch_size": 25, "retries": 0}).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
    assert chosen in modules
    assert batches == [25, 25, 25, 25], "two batches to learn from, two to stop on"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_is_used_for_training_and_prediction() -> None:
    task = FrameTask({"train": motif_rows(400, seed=0), "dev": motif_rows(50, seed=1)})
    sequences = motif_rows(20, seed=5)["sequence"].to_list()
    on_gpu = Scratch({"max_steps": 5}).fit(OneHotCNNModel(), task, budget=FULL, seed=0).predictor
    assert isinstance(on_gpu, TrainedNetwork)
    assert next(on_gpu.module.parameters()).is_cuda
    assert np.isfinite(on_gpu.predict(sequences)).all()


LONG = {"epochs": 3, "min_steps": 1, "batch_size": 16}
ROWS = 320


def long_task() -> FrameTask:
    return FrameTask({"train": gc_rows(ROWS, seed=0), "dev": gc_rows(40, seed=1, split="dev")})


KILLED = """
    import itertools, os, signal, sys
    from pathlib import Path
    import torch
    from frame_task import FrameTask, gc_rows
    from glmbench.methods import scratch, training
    from glmbench.models.onehot_cnn import OneHotCNNModel, OneHotCollate
    from glmbench.tasks.budget import FULL
    from glmbench.training import loop

    torch.set_num_threads(int(sys.argv[2]))
    seconds = itertools.count()
    loop.monotonic = lambda: next(seconds)
    training.CHECKPOINT_SECONDS = 7.0
    make, made = OneHotCollate.batch, itertools.count()

    def batch(self, encoded, rows):
        if next(made) == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(self, encoded, rows)

    OneHotCollate.batch = batch
    task = FrameTask({"train": gc_rows(320, seed=0), "dev": gc_rows(40, seed=1, split="dev")})
    recipe = {"epochs": 3, "min_steps": 1, "batch_size": 16}
    scratch.Scratch(recipe, Path(sys.argv[1])).fit(OneHotCNNModel(), task, budget=FULL, seed=0)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves that is killed between two checkpoints, in its second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    call = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(torch.get_num_threads())]
    done = subprocess.run(call, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def left(killed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(killed, tmp_path / "training")


def weights(folder: Path | None, task: FrameTask | None = None) -> tuple[dict[str, torch.Tensor], int]:
    """Weights after a fit, and how many steps it took itself."""
    steps: list[int] = []
    method = registry.make("scratch", LONG, folder)
    with pytest.MonkeyPatch.context() as patch:
        step = loop.Meter.step
        patch.setattr(
            loop.Meter, "step", lambda self, seconds, units: steps.append(units) or step(self, seconds, units)
        )
        predictor = method.fit(OneHotCNNModel(), task or long_task(), budget=FULL, seed=0).predictor
    assert isinstance(predictor, TrainedNetwork)
    return predictor.module.state_dict(), len(steps)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_training_killed_in_the_middle_ends_with_the_same_weights(left: Path) -> None:
    assert [path.name for path in left.glob("*/step-*")] == ["step-00000035"]
    expected, all_steps = weights(None)
    got, own_steps = weights(left)
    assert (all_steps, own_steps) == (60, 25)
    assert same(got, expected)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt"])
def test_a_truncated_checkpoint_is_started_over(left: Path, name: str) -> None:
    (file,) = left.glob(f"*/step-*/{name}")
    file.write_bytes(file.read_bytes()[:1000])
    got, own_steps = weights(left)
    assert own_steps == 60
    assert same(got, weights(None)[0])


def test_other_rows_of_the_same_number_do_not_go_on_from_it(left: Path) -> None:
    other = FrameTask({"train": gc_rows(ROWS, seed=7), "dev": gc_rows(40, seed=1, split="dev")})
    assert weights(left, other)[1] == 60
    assert [path.name for path in left.glob("*/step-*")] == ["step-00000035"]


def test_short_fits_write_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[object] = []
    monkeypatch.setattr(training_checkpoint, "save", lambda *arguments: saved.append(arguments))
    weights(tmp_path / "training")
    assert training.CHECKPOINT_SECONDS >= 30
    assert not saved
    assert not (tmp_path / "training").exists()
