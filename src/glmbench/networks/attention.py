"""Attention over packed tokens: one exact path that always works, and faster ones where the machine has them.

| backend  | what it is                                   | where it works                              |
|----------|----------------------------------------------|---------------------------------------------|
| `sdpa`   | torch's scaled dot product, per equal length | everywhere                                  |
| `flash`  | `flash_attn_varlen_func` of flash-attn       | CUDA, fp16 and bf16                         |
| `varlen` | torch's `varlen_attn`                        | CUDA, fp16 and bf16, no ALiBi, no dropout   |
| `flex`   | torch's FlexAttention                        | CUDA, no dropout; a CPU without gradients   |

All compute the same function: softmax of q·k / sqrt(dim) - slope x distance over the tokens of the own sequence, or
over those at most `window` away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.errors import Unsupported, UsageError
from glmbench.networks.attention_choice import Backend, Choice
from glmbench.networks.packing import Packing


class Attention(Protocol):
    """Attention within the sequences of one packing; made once per forward pass, shared by its layers."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
        """Mixed values, (tokens, heads, dim), of queries, keys and values of that shape.

        `window` is the greatest distance at which tokens see each other; None: any.
        """


@dataclass(frozen=True)
class Needs:
    """What an attention has to do: decides which backends can do it."""

    packing: Packing
    device: torch.device
    dtype: torch.dtype
    """Of queries, keys and values."""
    slopes: tuple[float, ...] | None = None
    """ALiBi slope of each head; None: no ALiBi."""
    windows: tuple[int | None, ...] = (None,)
    """The windows of its layers."""
    dropout: float = 0.0
    """Share of attention weights that is dropped."""


def make_attention(choice: Choice, needs: Needs) -> Attention:
    """The attention of one forward pass.

    Raises:
        Unsupported: the chosen backend cannot do it here; the message says what is missing.
        UsageError: there is no such backend.
    """
    backend = choose_backend(choice, needs)
    if backend == "sdpa":
        return SdpaAttention(needs.packing, needs.slopes, needs.dropout)
    from glmbench.networks import accelerated_attention as accelerated

    if backend == "flash":
        return accelerated.FlashAttention(needs)
    if backend == "varlen":
        return accelerated.VarlenAttention(needs)
    return accelerated.FlexAttention(needs)


def choose_backend(choice: Choice, needs: Needs) -> Backend:
    """The backend that `make_attention` takes.

    `auto` on CUDA is the first that works of flash, varlen and, for sequences of different lengths, flex; else sdpa.

    Raises:
        Unsupported: the chosen backend cannot do it here.
        UsageError: there is no such backend.
    """
    if choice not in get_args(Choice):
        raise UsageError(f"attention_backend is {choice!r}; wanted one of {', '.join(get_args(Choice))}")
    if choice == "sdpa" or (choice == "auto" and needs.device.type != "cuda"):
        return "sdpa"
    from glmbench.networks.accelerated_attention import what_is_missing

    if choice != "auto":
        missing = what_is_missing(choice, needs)
        if missing is not None:
            raise Unsupported(f"attention_backend {choice}: {missing}; use auto or sdpa, which always work")
        return choice
    bias_is_small = needs.packing.uniform and needs.packing.longest <= _LARGEST_BIAS
    candidates: tuple[Backend, ...] = ("flash", "varlen") if bias_is_small else ("flash", "varlen", "flex")
    return next((backend for backend in candidates if what_is_missing(backend, needs) is None), "sdpa")


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype that a linear layer gives for x here: autocast's, where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


_LARGEST_BIAS = 1024
"""Tokens of a sequence up to which a GPU may hold the bias of all pairs, where a kernel could compute it as it goes."""


_HALF_FROM = 512
"""Tokens of a sequence from which on a processor differentiates attention in half precision."""


class SdpaAttention:
    """One call per run of sequences of equal length, on views of the packed tokens.

    ALiBi and windows depend on the distance only, so keys and values are taken in reverse order and the bias of all
    pairs is a view of one value per head and distance: bias[i, j] = table[i + j]. A CPU never makes a length² array.
    """

    def __init__(self, packing: Packing, slopes: tuple[float, ...] | None, dropout: float = 0.0) -> None:
        self._runs = packing.runs
        self._slopes, self._dropout = slopes, dropout
        self._biases: dict[tuple[int, int | None], Tensor] = {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, window: int | None = None) -> Tensor:
        """See `Attention`."""
        return self._computed(lambda q, k, v: self._mixed(q, k, v, window), q, k, v)

    def of_first(self, q: Tensor, x: Tensor, key: nn.Linear, value: nn.Linear) -> Tensor:
        """Mixed values, (sequences, heads, dim), of the first token of each sequence alone, by its query of that shape.

        Keys and values, of the states x (tokens, features), are never made, as there is one query for all of them: with
        weights p, q·(Kx + b) is (Kᵀq)·x and a number that all tokens share, and the sum of p(Vx + b) is V(sum of px) +
        b(sum of p). Without ALiBi.
        """
        assert self._slopes is None
        return self._computed(self._first, q, x, key.weight, value.weight, value.bias)

    def _computed(self, function: Callable[..., Tensor], q: Tensor, *others: Tensor) -> Tensor:
        """What a function makes of queries and other tensors, in the kind of products that is quicker here."""
        if not (small_products_are_slow(q) or self._half_gradients_are_slow(q)):
            return function(q, *others)
        mixed: Tensor = _PlainFloat32.apply(function, q, *others)
        return mixed

    def _first(self, q: Tensor, x: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        heads, dim = q.shape[1:]
        asked = torch.einsum("shd,hdf->shf", q * dim**-0.5, key.view(heads, dim, -1))
        seen = []
        for (sequences, length), of_run, states in zip(
            self._runs,
            torch.split(asked, [sequences for sequences, _ in self._runs]),
            torch.split(x, [sequences * length for sequences, length in self._runs]),
            strict=True,
        ):
            states = states.view(sequences, length, -1)
            weights = functional.dropout(torch.softmax(of_run @ states.mT, -1), self._dropout)
            # the sum of the weights goes along as one feature more
            seen.append(torch.cat((weights @ states, weights.sum(-1, keepdim=True)), -1))
        mixed = torch.cat(seen)
        return torch.einsum("shf,hdf->shd", mixed, torch.cat((value, bias[:, None]), 1).view(heads, dim, -1))

    def _half_gradients_are_slow(self, q: Tensor) -> bool:
        """Whether torch's backward pass of attention in half precision would cost more than the forward pass saves.

        With AMX, forward and backward pass took 23 ms in bfloat16 and 4 ms in float32 at 35 tokens (32 sequences, 2
        heads), 102 and 78 ms at 128 (16, 12), 137 and 145 ms at 512 (4, 12), 349 and 531 ms at 2,048 (1, 12).
        """
        if torch.compiler.is_compiling() or q.device.type != "cpu" or not q.requires_grad:
            return False
        return q.dtype != torch.float32 and max(length for _, length in self._runs) < _HALF_FROM

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
        if len(self._runs) == 1:
            return self._attend(q, k, v, *self._runs[0], window)
        return torch.cat(list(self._pieces(q, k, v, window)))

    def _pieces(self, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Iterator[Tensor]:
        sizes = [sequences * length for sequences, length in self._runs]
        # split, and not slices: its backward writes each gradient once
        split = (torch.split(x, sizes) for x in (q, k, v))
        for (sequences, length), q_run, k_run, v_run in zip(self._runs, *split, strict=True):
            yield self._attend(q_run, k_run, v_run, sequences, length, window)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, sequences: int, length: int, window: int | None) -> Tensor:
        q, k, v = (
            x.view(sequences, length, *x.shape[1:]).transpose(1, 2) for x in (q, k, v)
        )  # (n, heads, length, dim)
        bias = None
        if self._slopes is not None or (window is not None and window < length - 1):
            bias = self._bias(length, window, q)
            k, v = k.flip(2), v.flip(2)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=self._dropout)
        return mixed.transpose(1, 2).flatten(0, 1)

    def _bias(self, length: int, window: int | None, like: Tensor) -> Tensor:
        """What is added to scores of query i and reversed key j, (1, heads or 1, length, length)."""
        key = length, window
        if key not in self._biases:
            distance = torch.arange(1 - length, length, device=like.device).abs()
            slopes = torch.tensor(self._slopes or (0.0,), device=like.device)
            table = -slopes[:, None] * distance  # (heads or 1, 2 length - 1)
            if window is not None:
                table = table.masked_fill(distance > window, -torch.inf)
            table = table.to(like.dtype)
            bias = table.as_strided((1, len(slopes), length, length), (0, 2 * length - 1, 1, 1))
            # the kernels of other devices read aligned rows only
            self._biases[key] = bias if like.device.type == "cpu" else bias.contiguous()
        return self._biases[key]


def small_products_are_slow(x: Tensor) -> bool:
    """Whether torch would hand the products of attention to oneDNN: made for large ones, it prepares every one anew.

    At 97 tokens and 64 features forward and backward pass took 4.3 ms so, 3.1 ms in bfloat16, and 0.7 ms in plain
    float32. The precision `medium` says that this happens; see `training.precision.resolve`.
    """
    if torch.compiler.is_compiling() or x.device.type != "cpu":  # first: the precision cannot be asked while compiling
        return False
    return torch.get_float32_matmul_precision() == "medium"


class _PlainFloat32(torch.autograd.Function):
    """A function of tensors, computed and differentiated in float32 with torch's default products."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        plain = [x.detach().float().requires_grad_(x.requires_grad) for x in inputs]
        with default_products(), torch.set_grad_enabled(any(ctx.needs_input_grad)):
            out = function(*plain)
        ctx.inner = out, plain
        return out.detach().to(inputs[0].dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (out, plain), ctx.inner = ctx.inner, None
        wanted = [x for x in plain if x.requires_grad]
        with default_products():
            found = iter(torch.autograd.grad(out, wanted, gradients[0].float()))
        # autograd casts to the dtypes of the inputs
        return None, *(next(found) if x.requires_grad else None for x in plain)


@contextmanager
def default_products() -> Iterator[None]:
    """Inside, products on the processor are torch's plain float32 ones; see `small_products_are_slow`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
