"""Holding a unit of a layer: which module of a network gives the states of that layer, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_TRIED = 17.0
"""A value that no unit has by chance in every token."""


def find_module(network: nn.Module, read: Callable[[], Tensor]) -> nn.Module | None:
    """The module whose output the states of a layer are.

    Args:
        network: its modules are looked at, outer ones first.
        read: runs the network and gives the states of the layer, (tokens, dim).

    Returns:
        A module that runs once in a pass; when its output is held at a value in one unit, so are the states, and
        nothing else in them changes. None: there is none.
    """
    wanted = read()
    alike: list[nn.Module] = []
    runs: dict[nn.Module, int] = {}

    def look(module: nn.Module, _: Any, output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        states = _states_in(output)
        if states is None or states.numel() != wanted.numel():
            return
        if torch.equal(states.reshape(wanted.shape).float(), wanted):
            alike.append(module)

    with ExitStack() as stack:
        for module in network.modules():
            stack.enter_context(module.register_forward_hook(look))
        read()
    expected = wanted.clone()
    expected[:, 0] = _TRIED
    for module in reversed(alike):  # outer modules end last
        if runs[module] == 1:
            with held(module, 0, _TRIED):
                got = read()
            if torch.equal(got, expected):
                return module
    return None


@contextmanager
def held(module: nn.Module, unit: int, value: float) -> Iterator[None]:
    """Inside, a unit (last axis) of what a module gives has this value at every place."""

    def hold(_: nn.Module, __: Any, output: Any) -> Any:
        states = _states_in(output)
        if states is None:
            return output
        changed = states.clone()
        changed[..., unit] = value
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    # first, as transformers collects hidden states by hooks of its own
    with module.register_forward_hook(hold, prepend=True):
        yield


def _states_in(output: Any) -> Tensor | None:
    if isinstance(output, tuple):
        output = output[0] if output else None
    return output if isinstance(output, Tensor) else None
