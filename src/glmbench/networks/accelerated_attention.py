"""Attention backends that not every machine has; `what_is_missing` says why one cannot be used."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from glmbench.networks.attention import Needs
from glmbench.networks.attention_choice import Backend
from glmbench.networks.unpadding import sequence_of

_HALF = (torch.float16, torch.bfloat16)


def what_is_missing(backend: Backend, needs: Needs) -> str | None:
    """Why a backend cannot be used here, in words; None if it can."""
    if backend == "flash":
        return _not_cuda_half(needs) or _flash_missing(needs)
    if backend == "varlen":
        return _not_cuda_half(needs) or _varlen_missing(needs)
    if backend == "flex":
        return _flex_missing(needs)
    return None


def _not_cuda_half(needs: Needs) -> str | None:
    if needs.device.type != "cuda":
        return f"needs a CUDA device, the tokens are on {needs.device.type}"
    if needs.dtype not in _HALF:
        return f"needs fp16 or bf16, got {str(needs.dtype).removeprefix('torch.')} (train with precision bf16)"
    return None


def _flash_missing(needs: Needs) -> str | None:
    if find_spec("flash_attn") is None:
        return "needs the package flash-attn, which is not installed"
    try:
        installed = version("flash-attn")
    except PackageNotFoundError:
        return "needs the package flash-attn, and what is installed under that name has no version"
    if needs.slopes is not None and tuple(map(int, installed.split(".")[:2])) < (2, 4):
        return f"needs flash-attn 2.4 or newer for ALiBi, installed is {installed}"
    return None


def _varlen_missing(needs: Needs) -> str | None:
    if needs.slopes is not None:
        return "has no ALiBi"
    if needs.dropout:
        return f"has no dropout of attention weights, the network has {needs.dropout}"
    if find_spec("torch.nn.attention.varlen") is None:
        return f"needs a torch with torch.nn.attention.varlen, this is {torch.__version__}"
    if any(window is not None for window in needs.windows):
        function = import_module("torch.nn.attention.varlen").varlen_attn
        if "window_size" not in inspect.signature(function).parameters:
            return f"needs a torch whose varlen_attn has windows, this is {torch.__version__}"
    return None


def _flex_missing(needs: Needs) -> str | None:
    if needs.dropout:
        return f"has no dropout of attention weights, the network has {needs.dropout}"
    if find_spec("torch.nn.attention.flex_attention") is None:
        return f"needs a torch with torch.nn.attention.flex_attention, this is {torch.__version__}"
    if needs.device.type != "cuda" and torch.is_grad_enabled():
        return f"has a backward pass on CUDA only, the tokens are on {needs.device.type}"
    if needs.device.type == "cuda" and find_spec("triton") is None:
        return "needs the package triton on CUDA, which is not installed"
    return None


class FlashAttention:
    """The flash-attn package: ALiBi by slopes, windows, no bias tensor."""

    def __init__(self, needs: Needs) -> None:
        self._function: Callable[..., Any] = import_module("flash_attn").flash_attn_varlen_func
        self._offsets, self._longest = needs.packing.offsets, needs.packing.longest
        self._dropout = needs.dropout
        self._slopes = None if needs.slopes is None else torch.tensor(needs.slopes, device=needs.device)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
        """See `attention.Attention`."""
        mixed: Tensor = self._function(
            q, k, v, self._offsets, self._offsets, self._longest, self._longest,
            dropout_p=self._dropout, causal=False, window_size=_both_sides(window), alibi_slopes=self._slopes,
        )  # fmt: skip
        return mixed


class VarlenAttention:
    """torch's own flash attention for sequences of different lengths."""

    def __init__(self, needs: Needs) -> None:
        self._function: Callable[..., Any] = import_module("torch.nn.attention.varlen").varlen_attn
        self._offsets, self._longest = needs.packing.offsets, needs.packing.longest

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
        """See `attention.Attention`."""
        windowed = {} if window is None else {"window_size": _both_sides(window)}
        mixed: Tensor = self._function(
            q, k, v, self._offsets, self._offsets, self._longest, self._longest, **windowed
        )  # fmt: skip
        return mixed


def _both_sides(window: int | None) -> tuple[int, int]:
    return (-1, -1) if window is None else (window, window)


class FlexAttention:
    """torch's FlexAttention: ALiBi and the borders of sequences are functions of two indices; no bias tensor."""

    def __init__(self, needs: Needs) -> None:
        from torch.nn.attention.flex_attention import create_block_mask

        compiled = needs.device.type == "cuda"
        self._function = _flex(compiled)
        owner = sequence_of(needs.packing)
        tokens = needs.packing.tokens
        self._masks = {
            window: create_block_mask(
                _within(owner, window), None, None, tokens, tokens, device=str(needs.device), _compile=compiled
            )
            for window in set(needs.windows)
        }
        self._score = None
        if needs.slopes is not None:
            self._score = _faded(torch.tensor(needs.slopes, device=needs.device))

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
        """See `attention.Attention`."""
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))  # (1, heads, tokens, dim)
        mixed: Tensor = self._function(q, k, v, score_mod=self._score, block_mask=self._masks[window])
        return mixed[0].transpose(0, 1)


@cache
def _flex(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    function: Any = flex_attention
    return torch.compile(function) if compiled else function


def _within(owner: Tensor, window: int | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = owner[query] == owner[key]
        return same if window is None else same & ((query - key).abs() <= window)

    return sees


def _faded(slopes: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    def fade(score: Tensor, _batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score - slopes[head] * (query - key).abs()

    return fade
