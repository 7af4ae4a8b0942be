"""Two processes train one network as one process does that accumulates twice as many micro-batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_language import LENGTH

from glmbench.training import distributed, loop
from glmbench.training.checkpoint import CheckpointError
from glmbench.training.loop import TrainingRecord

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two processes leave."""
    folder = tmp_path_factory.mktemp("two")
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*call, str(HERE / "two_processes.py"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one() -> tuple[TrainingRecord, torch.nn.Module]:
    """One process with twice the accumulation."""
    from two_processes import trained

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "monotonic", loop.monotonic)  # put back afterwards what `trained` changes
        return trained(2)


def test_the_losses_are_those_of_one_process(two: list[dict[str, Any]], one: tuple[TrainingRecord, Any]) -> None:
    record, _ = one
    assert two[0]["losses"] == two[1]["losses"]
    assert two[0]["losses"] == pytest.approx(record.losses, rel=1e-6)
    assert [step for step, _ in two[0]["evaluations"]] == [6, 12, 18, 20]
    assert [s for _, s in two[0]["evaluations"]] == pytest.approx([s for _, s in record.evaluations], rel=1e-5)
    assert two[0]["evaluations"] == two[1]["evaluations"]
    assert two[0]["cost"] == two[1]["cost"] == [record.cost.units, record.cost.bases, 2]
    assert record.cost.units == 20 * 2 * 40
    assert record.cost.bases == 20 * 2 * 100 + 3 * sum(range(LENGTH))  # 40 batches are 3 epochs and batch 0


def test_the_weights_are_equal_on_both_and_those_of_one_process(
    two: list[dict[str, Any]], one: tuple[TrainingRecord, torch.nn.Module]
) -> None:
    for name, tensor in one[1].state_dict().items():
        assert torch.equal(two[0]["weights"][name], two[1]["weights"][name]), name
        torch.testing.assert_close(two[0]["weights"][name], tensor, rtol=1e-4, atol=1e-5)


def test_an_interrupted_training_of_two_goes_on_exactly(two: list[dict[str, Any]]) -> None:
    for process in two:
        assert process["left"] == ["step-00000008"]
        assert process["resumed"] == process["losses"]
        assert all(torch.equal(process["resumed_weights"][name], t) for name, t in process["weights"].items())


def test_every_process_is_told_the_scores_and_the_first_keeps_the_log(folder: Path, two: list[dict[str, Any]]) -> None:
    scores = [score for _, score in two[0]["evaluations"]]
    for process in two:
        assert process["observed"] == [scores[:n] for n in (1, 2, 3, 4)]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["loss"] for line in lines] == list(two[0]["losses"])


def test_alone_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.process_group():
        assert (distributed.processes(), distributed.rank(), distributed.first()) == (1, 0, True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with distributed.process_group():
        assert not torch.distributed.is_initialized()


def test_processes_that_found_different_checkpoints_do_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(distributed, "totals", lambda values, device: [8])
    distributed.require_same(4, torch.device("cpu"))
    with pytest.raises(
        CheckpointError, match=r"process 0 goes on from step 8 and others do not; the checkpoint's folder"
    ):
        distributed.require_same(8, torch.device("cpu"))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads have names on Linux only")
def test_no_thread_of_the_group_outlives_it(folder: Path) -> None:
    """One that does now and then aborts the process as it ends."""
    for rank in (0, 1):
        left = (folder / f"threads-{rank}.txt").read_text()
        assert "python" in left
        assert "gloo" not in left
