"""From a network of any class to its body and its head: the class is asked itself, and its answer is checked."""

from __future__ import annotations

import copy
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from glmbench.models.huggingface.attention_type import attention_type
from glmbench.models.huggingface.families.family import Role
from glmbench.models.huggingface.keys import body_of
from glmbench.models.huggingface.network import LoadedNetwork

_PROBE = 7
"""Tokens of the row that head and network are compared on."""


def assemble(network: nn.Module, role: Role) -> LoadedNetwork:
    """Body and head, frozen, of a network whose weights are all there.

    A language-model head is given only if on states of the body it gives the logits that the whole network gives;
    a warning says where it does not.
    """
    network = network.eval().requires_grad_(False)
    body, prefix = body_of(network)
    if getattr(cast(Any, network).config, "is_encoder_decoder", False) and hasattr(body, "get_decoder"):
        body = cast(Any, body).get_encoder()
    if role == "classifier":
        return LoadedNetwork(body, classifier=network)
    if role == "flanks" and hasattr(network, "base_log_probabilities"):
        return LoadedNetwork(body, flanks=network)
    if role not in ("masked", "causal") or not prefix:
        return LoadedNetwork(body)
    head = _Head(network, prefix.removesuffix("."))
    problem = _difference(network, body, head)
    if problem is not None:
        warnings.warn(
            f"the head of {type(network).__name__} cannot be asked apart from its body ({problem}); "
            "the model gives embeddings only",
            stacklevel=2,
        )
        return LoadedNetwork(body)
    return LoadedNetwork(body, "masked" if role == "masked" else "causal", head)


class _Head(nn.Module):
    """What of a network stands on its body: the network itself, with given states in the place of the body's."""

    def __init__(self, network: nn.Module, body: str) -> None:
        super().__init__()
        shell = copy.copy(network)  # weights are the same objects, the table of modules is not
        shell._modules = {**network._modules, body: _GivenStates()}
        self.network = shell
        self._body = body
        self._has_method = callable(getattr(type(network), "head", None))  # `networks.packing.PackedLanguageModel`
        self._fixed = _fixed(network)

    def forward(self, states: Tensor) -> Tensor:
        """Logits (n, vocabulary) of states of the last layer, (n, dim)."""
        if self._has_method:
            return cast(Tensor, cast(Any, self.network).head(states))
        body = cast(_GivenStates, self.network._modules[self._body])
        ids = torch.zeros((1, len(states)), dtype=torch.int64, device=states.device)
        body.states = states[None]
        try:
            return _first(self.network(input_ids=ids, **self._fixed), "logits")[0]
        finally:
            body.states = None  # else they would lie in memory until the next call


class _GivenStates(nn.Module):
    """A body that gives what it was given."""

    states: Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> _Output:
        """The states, in the form of any body's output."""
        return _Output(last_hidden_state=self.states)


@dataclass
class _Output(ModelOutput):
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    past_key_values: Any = None
    cache_params: Any = None
    router_logits: Any = None


def _difference(network: nn.Module, body: nn.Module, head: nn.Module) -> str | None:
    """What keeps the head on states of the body from being the whole network; None: nothing."""
    try:
        ids = torch.arange(_PROBE)[None] % cast(Any, network).config.vocab_size
        attention = attention_type(network)
        with torch.inference_mode(), nullcontext() if attention is None else attention.of_rows(_PROBE):
            wanted = _first(network(input_ids=ids, **_fixed(network)), "logits")[0].float()
            states = _first(body(input_ids=ids, **_fixed(body)), "last_hidden_state")[0]
            got = head(states).float()
    except Exception as error:  # a class may be the checkpoint's own code, which raises anything
        return f"{type(error).__name__}: {error}"
    if got.shape != wanted.shape:
        return f"logits are {tuple(got.shape)}, wanted {tuple(wanted.shape)}"
    largest = float((got - wanted).abs().max())
    if torch.allclose(got, wanted, rtol=1e-4, atol=1e-4, equal_nan=True):
        return None
    return f"logits differ by up to {largest:.2g}"


def _first(output: Any, name: str) -> Tensor:
    return cast(Tensor, output[0] if isinstance(output, tuple) else getattr(output, name))


def _fixed(network: nn.Module) -> dict[str, Any]:
    """A decoder would keep keys and values of every layer for a next token that never comes."""
    return {"use_cache": False} if "use_cache" in signature(network.forward).parameters else {}
