"""Checkpoints: whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from glmbench.training import checkpoint
from glmbench.training.checkpoint import CheckpointError, Progress
from glmbench.training.optimiser import adamw


class Tied(nn.Module):
    """A channels-last convolution, and two names of one weight, as language-model heads have."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight
        self.convolution = nn.Conv2d(4, 3, (1, 5)).to(memory_format=torch.channels_last)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        return self.head(x).sum() + self.convolution(x.permute(0, 2, 1)[:, :, None]).square().sum()


def stepped() -> tuple[nn.Module, torch.optim.Optimizer]:
    module = Tied()
    optimiser = adamw(module, lr=0.1, weight_decay=0.0)
    module(torch.arange(6).repeat(2, 2)).backward()
    optimiser.step()
    return module, optimiser


def test_everything_comes_back(tmp_path: Path) -> None:
    module, optimiser = stepped()
    at = Progress(7, [0.5, 0.25], [(4, 0.5)], {"w": torch.ones(2)}, {"wall_s": 1.5})
    checkpoint.save(tmp_path, at, module, optimiser, {"seed": 1})
    expected = torch.rand(2)
    other = Tied()
    other_optimiser = adamw(other, lr=0.1, weight_decay=0.0)
    back = checkpoint.resume(tmp_path, other, other_optimiser, {"seed": 1})
    assert back is not None
    assert torch.equal(torch.rand(2), expected)
    assert (back.step, back.losses) == (7, [0.5, 0.25])
    assert back.evaluations == [(4, 0.5)]
    assert back.cost == {"wall_s": 1.5}
    assert back.best_weights is not None
    assert torch.equal(back.best_weights["w"], torch.ones(2))
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert other.head.weight is other.embedding.weight
    moments = [state["exp_avg"] for state in optimiser.state.values()]
    assert all(
        torch.equal(a, state["exp_avg"]) for a, state in zip(moments, other_optimiser.state.values(), strict=True)
    )


def test_only_the_newest_is_kept_and_none_is_none(tmp_path: Path) -> None:
    module, optimiser = stepped()
    assert checkpoint.resume(tmp_path, module, optimiser, {}) is None
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, Progress(step), module, optimiser, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000030"]


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
@pytest.mark.parametrize("left", [None, 0, 7, 100])
def test_a_damaged_checkpoint_is_an_error_that_names_it_and_changes_nothing(
    tmp_path: Path, name: str, left: int | None
) -> None:
    module, optimiser = stepped()
    checkpoint.save(tmp_path, Progress(1), module, optimiser, {})
    file = tmp_path / "step-00000001" / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    fresh = Tied()
    before = {key: tensor.clone() for key, tensor in fresh.state_dict().items()}
    fresh_optimiser = adamw(fresh, lr=0.1, weight_decay=0.0)
    with pytest.raises(CheckpointError, match=r"step-00000001 cannot be read .* remove it"):
        checkpoint.resume(tmp_path, fresh, fresh_optimiser, {})
    assert all(torch.equal(tensor, before[key]) for key, tensor in fresh.state_dict().items())
    assert not fresh_optimiser.state


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    module, optimiser = stepped()
    checkpoint.save(tmp_path, Progress(1), module, optimiser, {})
    torch.save({"identity": {}, "progress": Path}, tmp_path / "step-00000001" / "state.pt")
    with pytest.raises(CheckpointError, match="more than plain values"):
        checkpoint.resume(tmp_path, module, optimiser, {})


SAVE_FOREVER = """
import sys
from pathlib import Path
import torch
from glmbench.training import checkpoint
from glmbench.training.optimiser import adamw

torch.set_num_threads(1)
module = torch.nn.Linear(64, 64)
optimiser = adamw(module, lr=0.1, weight_decay=0.0)
for step in range(1, 10_000_000):
    torch.nn.init.constant_(module.weight, step)
    checkpoint.save(Path(sys.argv[1]), checkpoint.Progress(step), module, optimiser, {})
    print(step, flush=True)
"""


def test_kill_9_while_saving_leaves_a_loadable_checkpoint(tmp_path: Path) -> None:
    for i, delay in enumerate((0.0, 0.007)):
        folder = tmp_path / str(i)
        with subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, str(folder)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            saved = [int(process.stdout.readline()) for _ in range(5)]
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
        module = nn.Linear(64, 64)
        back = checkpoint.resume(folder, module, adamw(module, lr=0.1, weight_decay=0.0), {})
        assert back is not None
        assert back.step >= saved[-1]
        assert torch.all(module.weight == back.step)
