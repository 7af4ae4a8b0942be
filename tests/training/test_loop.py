"""The training loop on toys small enough to check."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from toy_language import Language, Network
from toy_language import loss as language_loss

from glmbench.training import checkpoint as checkpoints
from glmbench.training import display, loop
from glmbench.training.batches import Batch, Encoded, InMemoryBatches
from glmbench.training.checkpoint import CheckpointError
from glmbench.training.guard import Guard
from glmbench.training.loop import DivergenceError, Plan, TrainingRecord, train
from glmbench.training.optimiser import adamw
from glmbench.training.schedule import Schedule


class Toy:
    """Twelve batches an epoch of points labelled by the sign of their sum; stops with an error where told to."""

    def __init__(self, fail_at: int | None = None, *, shift: int = 0) -> None:
        self.fail_at, self.given, self.shift = fail_at, 0, shift

    def __len__(self) -> int:
        return 12

    def content_hash(self) -> str:
        return str(self.shift)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        rng = np.random.default_rng(number + self.shift)
        x = torch.from_numpy(rng.normal(size=(12, 16, 5)).astype(np.float32))
        for i in range(start, 12, every):
            if self.fail_at is not None and self.given == self.fail_at:
                raise KeyboardInterrupt
            self.given += 1
            yield Batch((x[i],), (x[i].sum(1) > 0).long(), 16)


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    return functional.cross_entropy(module(*batch.inputs), batch.targets)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it a second later: one a step, one more after each checkpoint."""
    seconds = iter(range(1_000_000))
    monkeypatch.setattr(loop, "monotonic", lambda: next(seconds))


def held_out_loss(module: nn.Module) -> float:
    assert not module.training
    return float(np.mean([loss(module, batch).item() for batch in Toy().epoch(1000)]))


def run(module: nn.Module, batches: Toy, plan: Plan, **options: object) -> TrainingRecord:
    optimiser = adamw(module, lr=0.02, weight_decay=0.01)
    return train(module, batches, loss, optimiser, plan, seed=3, **options)


def test_converges_and_records() -> None:
    module = network()
    record = run(module, Toy(), Plan(60, Schedule("cosine", warmup=5)), evaluate=held_out_loss)
    assert record.losses[0] > 0.5
    assert record.evaluations[-1][1] < 0.2
    assert [step for step, _ in record.evaluations] == [12, 24, 36, 48, 60]
    assert record.stopped == "steps"
    assert record.epochs == 5
    assert record.cost.units == 60 * 16
    assert record.cost.units_per_s is not None
    assert record.cost.energy_j is None
    assert not module.training


def test_equal_arguments_give_equal_losses_and_leave_torch_s_random_state_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    first = run(network(), Toy(), Plan(20))
    torch.manual_seed(11)
    second = run(network_without_seeding(), Toy(), Plan(20))
    assert first.losses == second.losses
    assert torch.equal(torch.rand(3), expected)


def network_without_seeding() -> nn.Module:
    with torch.random.fork_rng():
        return network()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("stop_at", [1, 12, 17, 25, 29])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(stop_at: int, tmp_path: Path) -> None:
    plan = Plan(30, Schedule("cosine", warmup=4), evaluate_every=7)
    whole = network()
    expected = run(whole, Toy(), plan, evaluate=held_out_loss)
    options = {"evaluate": held_out_loss, "checkpoint": tmp_path / "run", "checkpoint_every": 5.0}
    with pytest.raises(KeyboardInterrupt):
        run(network(), Toy(fail_at=stop_at), plan, **options)
    torch.manual_seed(999)
    resumed = network()
    batches = Toy()
    record = run(resumed, batches, plan, **options)
    assert batches.given == 30 - stop_at // 5 * 5
    assert record.losses == expected.losses
    assert record.evaluations == expected.evaluations
    assert record.cost.units == expected.cost.units
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


class Points:
    """A collate of eight codes an example."""

    def batch(self, encoded: Encoded, rows: np.ndarray) -> tuple[torch.Tensor]:
        return (torch.from_numpy(encoded.matrix(rows, fill=0)).float(),)


def points(at_once: int | None = None, processes: int = 1) -> InMemoryBatches:
    values = np.random.default_rng(0).integers(-9, 9, (50, 8)).astype(np.int8)
    encoded = Encoded.from_arrays(list(values))
    cut = {"at_once": at_once, "processes": processes}
    return InMemoryBatches(Points(), encoded, (values.sum(1) > 0).astype(np.int64), batch_size=8, seed=1, **cut)


@pytest.mark.usefixtures("clock")
def test_a_training_is_gone_on_with_whatever_cuts_its_batches(tmp_path: Path) -> None:
    """Another number of processes, or less memory: the steps see the same examples."""

    def trained(batches: InMemoryBatches, **options: object) -> TrainingRecord:
        torch.manual_seed(5)
        module = nn.Linear(8, 2)
        plan = Plan(20, Schedule("linear", warmup=4), evaluate_every=1, accumulate=batches.parts)
        return train(module, batches, loss, adamw(module, lr=0.02, weight_decay=0.0), plan, seed=3, **options)

    def stopped(module: nn.Module) -> float:
        evaluations.append(1)
        if len(evaluations) == 11:
            raise KeyboardInterrupt
        return 1.0

    evaluations: list[int] = []
    options = {"checkpoint": tmp_path, "checkpoint_every": 0.0}
    with pytest.raises(KeyboardInterrupt):
        trained(points(), evaluate=stopped, **options)
    cut = points(at_once=24, processes=2)
    assert cut.parts == 4
    resumed = trained(cut, evaluate=stopped, **options)
    assert len(evaluations) == 21, "ten more"
    assert resumed.losses == pytest.approx(trained(points()).losses, rel=1e-5)


@pytest.mark.usefixtures("clock")
def test_the_first_checkpoint_waits_and_short_trainings_write_none(tmp_path: Path) -> None:
    run(network(), Toy(), Plan(9), checkpoint=tmp_path, checkpoint_every=10.0)
    assert not list(tmp_path.iterdir())
    run(network(), Toy(), Plan(25), checkpoint=tmp_path, checkpoint_every=10.0)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000025"], "its end is kept too"


@pytest.mark.parametrize("change", ["plan", "data", "shapes"])
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, change: str) -> None:
    run(network(), Toy(), Plan(5), checkpoint=tmp_path, checkpoint_every=0.0)
    wide = nn.Sequential(nn.Linear(5, 17), nn.BatchNorm1d(17), nn.ReLU(), nn.Dropout(0.3), nn.Linear(17, 2))
    words = {"plan": r"steps=5 \(now 6\)", "data": r"data='0' \(now '1'\)", "shapes": "weights="}[change]
    with pytest.raises(CheckpointError, match=f"another training: {words}"):
        run(
            wide if change == "shapes" else network(),
            Toy(shift=int(change == "data")),
            Plan(6 if change == "plan" else 5),
            checkpoint=tmp_path,
        )


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("no space")])
def test_a_checkpoint_that_cannot_be_written_is_told_once_and_does_not_stop_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(checkpoints, "save_model", fail)
    assert run(network(), Toy(), Plan(3), checkpoint=tmp_path, checkpoint_every=0.0).steps == 3
    assert not list(tmp_path.iterdir())
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "the checkpoint of step 1 cannot be written" in told
    assert "no space" in told
    assert "the training goes on" in told


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_early_stopping_restores_the_best_weights(higher_is_better: bool) -> None:
    module = network()
    scores = iter([0.5, 0.3, 0.4, 0.3, 0.9])
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate(module: nn.Module) -> float:
        seen.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
        score = next(scores)
        return -score if higher_is_better else score

    plan = Plan(100, evaluate_every=4, patience=2, higher_is_better=higher_is_better)
    record = run(module, Toy(), plan, evaluate=evaluate)
    assert record.stopped == "patience"
    assert record.steps == 16  # the fourth evaluation only equals the second: two in a row without a new best
    assert record.best_step == 8
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in module.state_dict().items())
    assert not torch.equal(seen[1]["0.weight"], seen[3]["0.weight"])


def test_a_loss_that_is_not_finite_names_step_and_learning_rate() -> None:
    def explode(module: nn.Module, batch: Batch) -> torch.Tensor:
        value = loss(module, batch)
        return value * float("nan") if len(calls) == 6 else calls.append(1) or value

    calls: list[int] = []
    module = network()
    with pytest.raises(DivergenceError, match=r"loss is nan in step 6 at learning rate 0\.02"):
        train(module, Toy(), explode, adamw(module, lr=0.02, weight_decay=0.0), Plan(20, Schedule("constant")), seed=0)
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_an_infinite_gradient_is_noticed() -> None:
    def steep(module: nn.Module, batch: Batch) -> torch.Tensor:
        return (module(*batch.inputs) * 0).abs().sqrt().sum()  # finite, but its derivative at 0 is not

    module = nn.Linear(5, 1)
    with pytest.raises(DivergenceError, match="norm of the gradient"):
        train(module, Toy(), steep, adamw(module, lr=0.1, weight_decay=0.0), Plan(3), seed=0)


def test_a_score_that_is_not_finite_is_noticed() -> None:
    with pytest.raises(DivergenceError, match="evaluation is nan"):
        run(network(), Toy(), Plan(12), evaluate=lambda module: float("nan"))


def test_gradients_are_clipped_to_the_norm() -> None:
    module = nn.Linear(5, 2, bias=False)
    torch.nn.init.zeros_(module.weight)
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
    train(
        module,
        Toy(),
        lambda m, b: 1000 * loss(m, b),
        optimiser,
        Plan(1, Schedule("constant"), clip_norm=0.5),
        seed=0,
    )
    assert module.weight.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_frozen_weights_stay_and_decay_is_for_matrices_only() -> None:
    module = network()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.clone()
    optimiser = adamw(module, lr=0.1, weight_decay=0.5)
    assert [(len(g["params"]), g["weight_decay"]) for g in optimiser.param_groups] == [(1, 0.5), (4, 0.0)]
    train(module, Toy(), loss, optimiser, Plan(3), seed=0)
    assert torch.equal(module[0].weight, frozen)


def test_micro_batches_add_up_to_the_mean_over_all_targets() -> None:
    def gradient_step(batches: object, accumulate: int) -> tuple[float, torch.Tensor]:
        module = Network().eval()
        optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
        before = module.head.weight.detach().clone()
        plan = Plan(1, Schedule("constant"), clip_norm=None, accumulate=accumulate)
        record = train(Quiet(module), batches, language_loss, optimiser, plan, seed=0)
        return record.losses[0], before - module.head.weight

    class Joined(Language):
        """The first four batches as one."""

        def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
            parts = [batch for _, batch in zip(range(4), Language().epoch(number), strict=False)]
            ids = torch.cat([part.inputs[0] for part in parts])
            positions = torch.cat([part.inputs[1] + 40 * i for i, part in enumerate(parts)])
            yield Batch((ids, positions), torch.cat([part.targets for part in parts]), 160)

    assert [batch.weight for _, batch in zip(range(4), Language().epoch(0), strict=False)].count(0) == 1
    (value, gradient), (joined_value, joined_gradient) = gradient_step(Language(), 4), gradient_step(Joined(), 1)
    assert value == pytest.approx(joined_value, rel=1e-6)
    torch.testing.assert_close(gradient, joined_gradient, rtol=1e-4, atol=1e-6)


class Quiet(nn.Module):
    """A network without dropout whatever its mode."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.module.eval()(*inputs)


def test_a_step_in_which_nothing_is_asked_changes_nothing_by_itself() -> None:
    class Nothing(Language):
        def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
            for batch in super().epoch(number, start=start, every=every):
                yield Batch((batch.inputs[0], batch.inputs[1][:0]), batch.targets[:0], batch.size)

    module = Network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    record = train(module, Nothing(), language_loss, adamw(module, lr=0.1, weight_decay=0.1), Plan(3), seed=0)
    assert record.losses == (0.0, 0.0, 0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_weights_that_are_kept(keep: str) -> None:
    scores, seen = iter([3.0, 1.0, 2.0]), []

    def evaluate(module: nn.Module) -> float:
        seen.append(module.state_dict()["0.weight"].clone())
        return next(scores)

    module = network()
    record = run(module, Toy(), Plan(9, evaluate_every=3, keep=keep), evaluate=evaluate)
    assert (record.best_step, record.best_score) == (6, 1.0)
    assert torch.equal(module.state_dict()["0.weight"], seen[{"best": 1, "last": 2}[keep]])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("ahead", [0, 2])
def test_a_source_that_changes_with_the_scores_is_told_them_in_time(tmp_path: Path, ahead: int) -> None:
    class Harder(Toy):
        """Labels depend on how many evaluations there were when a batch is made."""

        scores: tuple[float, ...] = ()

        def observe(self, scores: Sequence[float]) -> None:
            self.scores = tuple(scores)

        def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
            for batch in super().epoch(number, start=start, every=every):
                yield Batch(batch.inputs, (batch.inputs[0].sum(1) > len(self.scores) - 2).long(), 16)

    def harder(fail_at: int | None = None, **options: object) -> TrainingRecord:
        batches = Harder(fail_at)
        plan = Plan(18, evaluate_every=5)
        return run(network(), batches, plan, evaluate=held_out_loss, observe=batches.observe, **options)

    expected = harder()
    options = {"checkpoint": tmp_path, "checkpoint_every": 4.0, "ahead": ahead}
    with pytest.raises(KeyboardInterrupt):
        harder(14, **options)
    assert list(tmp_path.iterdir())
    assert harder(**options).losses == expected.losses
    assert harder(ahead=ahead).losses == expected.losses


def test_a_loss_that_went_up_stops_a_guarded_training() -> None:
    def rising(module: nn.Module, batch: Batch) -> torch.Tensor:
        calls.append(1)
        return loss(module, batch) * 0 + len(calls)

    calls: list[int] = []
    module = network()
    optimiser = adamw(module, lr=0.1, weight_decay=0.0)
    with pytest.raises(DivergenceError, match="smoothed loss"):
        train(module, Toy(), rising, optimiser, Plan(50, guard=Guard(1.0, 3, 0.5)), seed=0)
    assert len(calls) < 10
    assert run(network(), Toy(), Plan(20, guard=Guard())).steps == 20


def test_compilation_leaves_the_module_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    module = network()
    names = list(module.state_dict())
    run(module, Toy(), Plan(2))
    assert not compiled
    run(module, Toy(), Plan(2, compile=True))
    assert compiled == [loss]
    assert list(module.state_dict()) == names


def test_the_log_says_what_every_step_did(tmp_path: Path) -> None:
    record = run(network(), Toy(), Plan(9, evaluate_every=4), evaluate=held_out_loss, log=tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert [line["loss"] for line in lines] == list(record.losses)
    assert [(line["step"], line["evaluation"]) for line in lines if "evaluation" in line] == list(record.evaluations)
    assert [line["units"] for line in lines] == [16 * step for step in range(1, 10)]
    assert lines[0]["lr"] == 0.02
    assert all(line["gradient_norm"] > 0 for line in lines)
    assert sorted(line["seconds"] for line in lines) == [line["seconds"] for line in lines]


def test_the_bar_says_loss_score_and_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn:
        texts: ClassVar[list[str]] = []
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount

        def describe(self, text: str) -> None:
            self.texts.append(text)

    bar = Drawn()
    monkeypatch.setattr(display, "progress", lambda description, total: nullcontext(bar))
    monkeypatch.setattr(display, "_REFRESH_S", 0.0)
    words = {"description": "pre-training", "score_name": "bits/base", "unit": "tokens"}
    run(network(), Toy(), Plan(3, evaluate_every=2), evaluate=lambda module: 1.9, **words)
    assert bar.done == 3
    assert re.fullmatch(r"pre-training: loss \d\.\d{4}, [\d,]+ tokens/s", bar.texts[0])
    assert re.fullmatch(r"pre-training: loss \d\.\d{4}, bits/base 1\.9000, [\d,]+ tokens/s", bar.texts[2])
