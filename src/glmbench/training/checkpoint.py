"""Checkpoints: everything a training needs to go on as if it had never stopped, written whole or not at all.

A checkpoint is a folder `step-00001200` with `weights.safetensors` (what is trained of the module) and `state.pt` (the
rest: plain values and tensors, read with `weights_only=True`, so that a checkpoint from elsewhere runs no code).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

from glmbench.errors import DataError
from glmbench.storage.atomic import atomic_folder, sweep


class CheckpointError(DataError):
    """A checkpoint that cannot be gone on with: damaged, or of another training."""


@dataclass
class Progress:
    """Where a training stands."""

    step: int = 0
    """Optimiser steps taken; what they saw of the data follows from it."""
    losses: list[float] = field(default_factory=list)
    """Training loss of each step."""
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    """Step and score of each evaluation."""
    best_weights: dict[str, Tensor] | None = None
    """The module's trained state at its best evaluation."""
    cost: dict[str, float] = field(default_factory=dict)


def save(
    folder: Path, progress: Progress, module: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, Any]
) -> None:
    """Write a checkpoint of this step into `folder`, then remove those of earlier steps.

    `identity` is what must be equal for a resumed training to be the same training.
    """
    target = folder / f"step-{progress.step:08d}"
    with atomic_folder(target) as temporary:
        save_trained(module, temporary / "weights.safetensors")
        state = {
            "identity": identity,
            "progress": {f.name: getattr(progress, f.name) for f in fields(progress)},
            "optimiser": optimiser.state_dict(),
            "random": _random_state(),
        }
        torch.save(state, temporary / "state.pt")
    for other in _steps(folder):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    sweep(folder)


def resume(
    folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, identity: dict[str, Any]
) -> Progress | None:
    """Put module, optimiser and random generators into the state of the newest checkpoint; None where there is none.

    On an error all three are as they were.

    Raises:
        CheckpointError: the checkpoint cannot be read, or belongs to another training.
    """
    found = _steps(folder)
    if not found:
        return None
    newest = found[-1]
    try:
        state = torch.load(newest / "state.pt", weights_only=True, map_location="cpu")
    except UnpicklingError:
        raise CheckpointError(
            f"checkpoint {newest} holds more than plain values and tensors; remove it to start again"
        ) from None
    except (OSError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"checkpoint {newest} cannot be read ({error}); remove it to start again") from error
    _require_same(newest, state["identity"], identity)
    try:
        load_trained(module, newest / "weights.safetensors")
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint {newest} cannot be read ({error}); remove it to start again") from error
    optimiser.load_state_dict(state["optimiser"])
    _set_random_state(state["random"])
    return Progress(**state["progress"])


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module without weights that want no gradient: what a training may change."""
    frozen = _frozen(module)
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def load_trained_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Put what `trained_state` gave back.

    Raises:
        RuntimeError: it is not the state of this module: names are missing or left over, or shapes differ.
    """
    if differing := sorted(state.keys() ^ trained_state(module).keys()):
        raise RuntimeError(f"the state is of another network: {', '.join(differing[:3])} on one side only")
    module.load_state_dict({**module.state_dict(), **state})


def _frozen(module: nn.Module) -> set[str]:
    named = module.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def save_trained(module: nn.Module, path: Path) -> None:
    """Write `trained_state` of a module to a safetensors file."""
    if not _frozen(module):
        save_model(module, str(path))
        return
    save_file({name: tensor.contiguous() for name, tensor in trained_state(module).items()}, path)


def load_trained(module: nn.Module, path: Path) -> None:
    """Read what `save_trained` wrote into a module of the same form; the whole file is read before anything changes.

    Raises:
        OSError, SafetensorError: the file cannot be read.
        RuntimeError: it is of another form.
    """
    if not _frozen(module):
        load_model(module, path)
        return
    load_trained_state(module, load_file(path))


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _require_same(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))
    if differing:
        got = ", ".join(f"{key}={stored.get(key)!r} (now {wanted.get(key)!r})" for key in differing)
        raise CheckpointError(f"checkpoint {path} is of another training: {got}; remove it or choose another folder")


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None  # of the current device, which trains
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
