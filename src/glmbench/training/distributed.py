"""Many processes that train one network: who is who, and what they tell each other.

Started by `torchrun`, each process takes every `processes()`-th micro-batch of one stream; gradients are summed in one
flat buffer. Alone, every function here is the identity, so that the loop has one path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import torch
import torch.distributed as dist
from torch import Tensor, nn

from glmbench.training.checkpoint import CheckpointError

_PATIENCE = timedelta(hours=2)
"""How long processes wait for the first, which evaluates alone."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; nothing where WORLD_SIZE is absent or 1.

    On CUDA the process takes the device of its LOCAL_RANK, which is then `torch.device("cuda")`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # Torch's optimisers import this module on first use, and its default arguments keep the group that exists then: its
    # threads would outlive the group and now and then abort the process as it ends.
    import_module("torch.distributed.nn.functional")

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    global _announcements
    _announcements = dist.new_group(backend="gloo", timeout=_UNHURRIED)
    try:
        yield
    finally:
        _announcements = None
        dist.destroy_process_group()


_UNHURRIED = timedelta(days=30)
_announcements: dist.ProcessGroup | None = None
"""A channel of its own for what processes may wait for while the first works alone, for hours."""


def announced(value: int) -> int:
    """The first process's value, on all, however long the others wait for it."""
    if processes() == 1:
        return value
    told = torch.tensor(value, dtype=torch.int64)
    dist.broadcast(told, src=0, group=_announcements)
    return int(told.item())


def processes() -> int:
    """How many train together; 1 outside `process_group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this is the process that evaluates, writes and draws."""
    return rank() == 0


def totals(values: Sequence[int], device: torch.device) -> list[int]:
    """Each value summed over all processes."""
    if processes() == 1:
        return list(values)
    summed = torch.tensor(values, dtype=torch.int64, device=device)
    dist.all_reduce(summed)
    return [int(value) for value in summed.tolist()]


def from_first(value: float, device: torch.device) -> float:
    """The first process's value, on all."""
    if processes() == 1:
        return value
    told = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(told, src=0)
    return float(told.item())


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if processes() > 1:
        dist.barrier()


def share_state(module: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if processes() > 1:
        for tensor in module.state_dict().values():
            told = tensor.contiguous()
            dist.broadcast(told, src=0)
            tensor.copy_(told)


def require_same(step: int, device: torch.device) -> None:
    """All processes go on from one step.

    Raises:
        CheckpointError: they found different checkpoints.
    """
    if totals([step], device) != [step * processes()]:
        raise CheckpointError(
            f"process {rank()} goes on from step {step} and others do not; "
            "the checkpoint's folder must be one that all processes read"
        )


class Gradients:
    """The gradients of a module, summed over all processes.

    With several processes they lie in one flat buffer that is reduced in one call, the loss with them; a parameter that
    no loss reaches then has the gradient 0. Alone, they are torch's own and nothing is reduced.
    """

    def __init__(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser, self._flat = optimiser, None if processes() == 1 else _flat_gradients(module)

    def clear(self) -> None:
        """Forget the gradients of the step before."""
        if self._flat is None:
            self._optimiser.zero_grad(set_to_none=True)
        else:
            self._flat.zero_()

    def reduce(self, loss: Tensor) -> Tensor:
        """Sum the gradients over all processes, in place, and return the sum of the losses."""
        if self._flat is None:
            return loss
        self._flat[-1] = loss
        dist.all_reduce(self._flat)
        return self._flat[-1]


def _flat_gradients(module: nn.Module) -> Tensor:
    """A float32 buffer whose parts are the parameters' gradients, and one number more at its end."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    flat = torch.zeros(sum(p.numel() for p in trained) + 1, device=trained[0].device)
    offset = 0
    for parameter in trained:
        parameter.grad = flat.as_strided(parameter.size(), parameter.stride(), offset)
        offset += parameter.numel()
    return flat
