"""Stock networks of transformers on packed tokens: one row of sequences end to end, attention within each of them.

transformers 5 looks attention up by name at every call (`AttentionInterface`); ours is entered under a name of its own.
A name without an entry among its mask functions gets no mask, so that nothing of size tokens² is made. The network must
take `position_ids` that start anew in each sequence, or none at all. Whether a network computes the same this way is
for the caller to try: nothing here knows architectures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.errors import Unsupported
from glmbench.networks.attention import default_products, small_products_are_slow
from glmbench.networks.packing import Packing

NAME = "glmbench_packed"

_WITHOUT_EFFECT = frozenset(
    {"position_ids", "use_cache", "output_attentions", "output_hidden_states", "return_dict", "deterministic"}
)
"""What networks hand on to attention, and it may overlook."""


class _Row:
    """What attention has to know of the row that is running."""

    def __init__(self, packing: Packing) -> None:
        self.runs = packing.runs
        self.calls = 0
        self._seen: dict[tuple[int, int, bool], Tensor] = {}

    def seen(self, length: int, window: int, causal: bool, device: torch.device) -> Tensor:
        """Which keys a query sees, bool (length, length): at most `window` - 1 away, in a causal network none ahead."""
        key = length, window, causal
        if key not in self._seen:
            distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
            near = distance.abs() < window
            self._seen[key] = near & (distance >= 0) if causal else near
        return self._seen[key]


_ROW: ContextVar[_Row | None] = ContextVar("row", default=None)


@contextmanager
def packed_attention(network: nn.Module, packing: Packing) -> Iterator[None]:
    """Inside, calls of `network` with ids (1, tokens) attend within the sequences of the packing only.

    Raises:
        Unsupported: on leaving, when the network did not come to our attention; or inside, when it wants of attention
            what ours does not do.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    row = _Row(packing)
    token = _ROW.set(row)
    try:
        with ExitStack() as stack:
            for config in _configs(network):
                stack.enter_context(_replaced(config, "_attn_implementation", NAME))
            for module in network.modules():
                if hasattr(module, "compute_bias"):
                    stack.enter_context(_short_bias(module, packing.longest))
            yield
    finally:
        _ROW.reset(token)
    if not row.calls:
        raise Unsupported(f"{type(network).__name__} has an attention of its own")


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers: (1, tokens, heads, dim) of tensors (1, heads, tokens, dim).

    Keys and values may have fewer heads. `position_bias`, (1, heads, n, n), is one of distances: each sequence takes
    its upper left part.

    Raises:
        Unsupported: it is not asked for within `packed_attention`, or for what it does not do.
    """
    row = _ROW.get()
    unknown = sorted(name for name, given in others.items() if given is not None and name not in _WITHOUT_EFFECT)
    if row is None or attention_mask is not None or dropout or unknown or len(query) != 1:
        raise Unsupported(f"packed attention does not do what {type(module).__name__} asks: {unknown or 'a mask'}")
    row.calls += 1
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    groups = query.shape[1] // key.shape[1]
    q, k, v = query[0], key[0].repeat_interleave(groups, 0), value[0].repeat_interleave(groups, 0)
    rule = _Rule(scaling, bool(causal), sliding_window, position_bias)
    if not small_products_are_slow(q):
        return torch.cat(list(_mixed(row, rule, q, k, v)))[None], None
    with default_products():
        mixed = torch.cat(list(_mixed(row, rule, q.float(), k.float(), v.float())))
    return mixed.to(query.dtype)[None], None


@dataclass(frozen=True)
class _Rule:
    """What a layer asks of attention, see `attend`."""

    scale: float | None
    causal: bool
    window: int | None
    bias: Tensor | None


def _mixed(row: _Row, rule: _Rule, q: Tensor, k: Tensor, v: Tensor) -> Iterator[Tensor]:
    """Mixed values (tokens, heads, dim) of one run of sequences of equal length after another."""
    start = 0
    for sequences, length in row.runs:
        stop = start + sequences * length
        q_run, k_run, v_run = (
            x[:, start:stop].unflatten(1, (sequences, length)).transpose(0, 1) for x in (q, k, v)
        )  # (sequences, heads, length, dim)
        mask = _mask(row, rule, length, q)
        mixed = functional.scaled_dot_product_attention(
            q_run, k_run, v_run, attn_mask=mask, scale=rule.scale, is_causal=rule.causal and mask is None
        )
        yield mixed.transpose(1, 2).flatten(0, 1)
        start = stop


def _mask(row: _Row, rule: _Rule, length: int, q: Tensor) -> Tensor | None:
    """What queries see, or what is added to their scores; None: all, or in a causal layer all before."""
    narrow = rule.window is not None and rule.window < length
    if rule.bias is None:
        return row.seen(length, rule.window or length, rule.causal, q.device) if narrow else None
    bias = rule.bias[:, :, :length, :length].to(q.dtype)
    if narrow or rule.causal:
        bias = bias.masked_fill(~row.seen(length, rule.window or length, rule.causal, q.device), -torch.inf)
    # the kernels of other devices read aligned rows only
    return bias if bias.device.type == "cpu" else bias.contiguous()


def _configs(network: nn.Module) -> list[Any]:
    """The configurations that say which attention the parts of a network take."""
    owners = [network, *network.modules()]
    found = {id(config): config for module in owners if (config := getattr(module, "config", None)) is not None}
    return [config for config in found.values() if hasattr(config, "_attn_implementation")]


@contextmanager
def _short_bias(module: Any, longest: int) -> Iterator[None]:
    """Inside, T5 and its kin compute the bias of one sequence, and not that of a row of them."""
    whole = module.compute_bias
    with _replaced(module, "compute_bias", lambda queries, keys, **options: whole(longest, longest, **options)):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, an attribute has another value."""
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own or isinstance(getattr(type(owner), name, None), property):
            setattr(owner, name, before)
        else:
            delattr(owner, name)
