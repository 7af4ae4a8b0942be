"""All backends against attention written out: one row of scores at a time."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from glmbench.errors import Unsupported, UsageError
from glmbench.networks import accelerated_attention, attention
from glmbench.networks.alibi import alibi_slopes
from glmbench.networks.attention import Needs, SdpaAttention, choose_backend, make_attention
from glmbench.networks.packing import Packing

HEADS, DIM = 3, 8
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SLOPES = alibi_slopes(HEADS)
PACKINGS = {"uniform": (6, 6, 6), "ragged": (1, 9, 9, 4, 17, 9), "single": (13,)}


def packing_of(*lengths: int) -> Packing:
    return Packing.from_offsets(np.concatenate(([0], np.cumsum(lengths))))


def test_runs_are_of_neighbours_of_one_length() -> None:
    assert packing_of(3, 3, 5, 3).runs == [(2, 3), (1, 5), (1, 3)]
    assert packing_of(4).runs == [(1, 4)]


def written_out(
    q: Tensor, k: Tensor, v: Tensor, packing: Packing, slopes: tuple[float, ...] | None, window: int | None
) -> Tensor:
    rows = []
    bounds = packing.offsets.tolist()
    for start, end in pairwise(bounds):
        for i in range(start, end):
            seen = [j for j in range(start, end) if window is None or abs(i - j) <= window]
            distance = torch.tensor([abs(i - j) for j in seen], dtype=q.dtype)
            scores = torch.einsum("hd,jhd->hj", q[i], k[seen]) / DIM**0.5
            if slopes is not None:
                scores = scores - torch.tensor(slopes, dtype=q.dtype)[:, None] * distance
            rows.append(torch.einsum("hj,jhd->hd", scores.softmax(-1), v[seen]))
    return torch.stack(rows)


def drawn(tokens: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, tokens, HEADS, DIM, dtype=dtype)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


@pytest.mark.parametrize("window", [None, 0, 3])
@pytest.mark.parametrize("slopes", [None, SLOPES])
@pytest.mark.parametrize("lengths", PACKINGS.values(), ids=PACKINGS)
def test_sdpa_and_its_gradients_are_what_the_formula_says(
    window: int | None, slopes: tuple[float, ...] | None, lengths: tuple[int, ...]
) -> None:
    packing = packing_of(*lengths)
    q, k, v = drawn(packing.tokens)
    expected = written_out(q, k, v, packing, slopes, window)
    mixed = make_attention("sdpa", Needs(packing, CPU, torch.float32, slopes))(q, k, v, window)
    torch.testing.assert_close(mixed, expected, atol=2e-6, rtol=1e-5)
    weights = torch.randn(mixed.shape)
    ours = torch.autograd.grad((mixed * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("slopes", [None, SLOPES])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_flex_is_what_the_formula_says(window: int | None, slopes: tuple[float, ...] | None) -> None:
    packing = packing_of(*PACKINGS["ragged"])
    q, k, v = drawn(packing.tokens)
    attend = make_attention("flex", Needs(packing, CPU, torch.float32, slopes, (None, window)))
    for layer_window in {None, window}:
        expected = written_out(q, k, v, packing, slopes, layer_window)
        torch.testing.assert_close(attend(q, k, v, layer_window), expected, atol=2e-6, rtol=1e-5)


def test_no_array_of_length_squared_is_kept() -> None:
    packing = packing_of(50, 50)
    q, k, v = drawn(packing.tokens)
    attend = attention.SdpaAttention(packing, SLOPES)
    attend(q, k, v)
    attend(q, k, v, window=4)
    assert sum(bias.untyped_storage().nbytes() for bias in attend._biases.values()) == 2 * HEADS * 99 * 4


def test_the_bias_is_made_once_for_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = packing_of(5, 7, 5)
    q, k, v = drawn(packing.tokens)
    attend = attention.SdpaAttention(packing, SLOPES)
    first = attend(q, k, v)
    monkeypatch.setattr(torch, "arange", None)
    assert torch.equal(attend(q, k, v), first)


def test_bf16_stays_near_float32() -> None:
    packing = packing_of(40, 12)
    q, k, v = drawn(packing.tokens, torch.bfloat16)
    mixed = make_attention("sdpa", Needs(packing, CPU, torch.bfloat16, SLOPES))(q, k, v)
    assert mixed.dtype is torch.bfloat16
    exact = written_out(*(x.float() for x in (q, k, v)), packing, SLOPES, None)
    assert (mixed.float() - exact).abs().max() < 0.03


@pytest.fixture
def medium() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("medium")
@pytest.mark.parametrize("slopes", [None, SLOPES])
def test_where_small_products_are_slow_all_is_computed_with_the_default_ones(
    slopes: tuple[float, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = packing_of(*PACKINGS["ragged"])
    q, k, v = drawn(packing.tokens)
    seen = []
    written = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        mixed = written(*args, **kwargs)
        seen.append(torch.get_float32_matmul_precision())
        mixed.register_hook(lambda _: seen.append(torch.get_float32_matmul_precision()))
        return mixed

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    mixed = attention.SdpaAttention(packing, slopes)(q, k, v, 3)
    ours = torch.autograd.grad(mixed.pow(2).sum(), (q, k, v))
    assert seen == ["highest"] * 2 * 5  # runs of equal length, forward and backward
    assert torch.get_float32_matmul_precision() == "medium"
    expected = written_out(q, k, v, packing, slopes, 3)
    torch.testing.assert_close(mixed, expected, atol=2e-6, rtol=1e-5)
    for one, other in zip(ours, torch.autograd.grad(expected.pow(2).sum(), (q, k, v)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("medium")
def test_bf16_is_mixed_in_float32_where_small_products_are_slow() -> None:
    packing = packing_of(40, 12)
    q, k, v = drawn(packing.tokens, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = attention.SdpaAttention(packing, SLOPES)(q, k, v)
    exact = written_out(*(x.float() for x in (q, k, v)), packing, SLOPES, None)
    torch.testing.assert_close(mixed.float(), exact, atol=1e-5, rtol=2**-8)  # rounded once, at the end
    assert [x.dtype for x in (mixed, *torch.autograd.grad(mixed.sum(), (q, k, v)))] == [torch.bfloat16] * 4


@pytest.mark.usefixtures("medium")
def test_only_what_wants_a_gradient_gets_one_where_small_products_are_slow() -> None:
    packing = packing_of(9, 4)
    q, k, v = (x.detach() for x in drawn(packing.tokens))
    attend = attention.SdpaAttention(packing, None)
    assert not attend(q, k, v).requires_grad
    v.requires_grad_()
    attend(q, k, v).sum().backward()
    torch.testing.assert_close(v.grad.sum(), torch.tensor(float(v.numel())))


def exact_gradients(tensors: tuple[Tensor, ...], packing: Packing, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Attention written out and its gradients, in float32, of the same numbers."""
    plain = [x.detach().float().requires_grad_() for x in tensors]
    q, k, v = plain
    mixed = written_out(q, k, v, packing, SLOPES, None)
    return mixed.detach(), list(torch.autograd.grad((mixed * weights).sum(), plain))


@pytest.mark.parametrize("lengths", PACKINGS.values(), ids=PACKINGS)
def test_bf16_with_gradients_is_float32_rounded_once_for_short_sequences(lengths: tuple[int, ...]) -> None:
    packing = packing_of(*lengths)
    tensors = drawn(packing.tokens, torch.bfloat16)
    mixed = attention.SdpaAttention(packing, SLOPES)(*tensors)
    weights = torch.randn(mixed.shape).bfloat16().float()
    exact, gradients = exact_gradients(tensors, packing, weights)
    ours = torch.autograd.grad(mixed, tensors, weights.bfloat16())
    assert {x.dtype for x in (mixed, *ours)} == {torch.bfloat16}
    torch.testing.assert_close(mixed.float(), exact, atol=1e-5, rtol=2**-8)
    for one, other in zip(ours, gradients, strict=True):
        torch.testing.assert_close(one.float(), other, atol=1e-5, rtol=2**-8)


@pytest.mark.parametrize(
    ("lengths", "gradients", "products"),
    [
        ((500, 500), True, torch.float32),
        ((9, 511), True, torch.float32),
        ((9, 512), True, torch.bfloat16),
        ((9, 500), False, torch.bfloat16),
    ],
)
def test_attention_is_differentiated_in_half_precision_from_512_tokens_on(
    lengths: tuple[int, ...], gradients: bool, products: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = packing_of(*lengths)
    q, k, v = (x.detach().requires_grad_(gradients) for x in drawn(packing.tokens, torch.bfloat16))
    seen = set()
    written = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        seen.add(args[0].dtype)
        return written(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    mixed = attention.SdpaAttention(packing, None)(q, k, v)
    assert seen == {products}
    assert mixed.dtype is torch.bfloat16


def test_bf16_of_long_sequences_stays_near_float32_too() -> None:
    packing = packing_of(520)
    q, k, v = drawn(packing.tokens, torch.bfloat16)
    exact = [x.detach().float().requires_grad_() for x in (q, k, v)]
    mixed = attention.SdpaAttention(packing, None)(q, k, v)
    wanted = attention.SdpaAttention(packing, None)(*exact)
    assert (mixed.float() - wanted).abs().max() < 0.01
    ours, theirs = (torch.autograd.grad(x.float().pow(2).sum(), y) for x, y in ((mixed, (q, k, v)), (wanted, exact)))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.nn.functional.cosine_similarity(one.float().flatten(), other.flatten(), dim=0) > 0.999


def test_bf16_without_a_gradient_of_the_values_asks_for_none() -> None:
    packing = packing_of(9, 4)
    q, k, v = drawn(packing.tokens, torch.bfloat16)
    v = v.detach()
    mixed = attention.SdpaAttention(packing, None)(q, k, v)
    mixed.sum().backward()
    assert q.grad is not None
    assert k.grad is not None
    assert v.grad is None


def test_dropout_drops_weights() -> None:
    packing = packing_of(30)
    q, k, v = drawn(packing.tokens)
    kept = make_attention("sdpa", Needs(packing, CPU, torch.float32))(q, k, v)
    dropped = make_attention("sdpa", Needs(packing, CPU, torch.float32, dropout=0.5))(q, k, v)
    assert not torch.allclose(kept, dropped)


RAGGED = Needs(packing_of(3, 5), CUDA, torch.bfloat16)
UNIFORM = replace(RAGGED, packing=packing_of(4, 4))


def present(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(accelerated_attention, "find_spec", lambda name: name if name in packages else None)
    monkeypatch.setattr(accelerated_attention, "version", lambda _: "2.8.1")


FLASH, VARLEN, FLEX = "flash_attn", "torch.nn.attention.varlen", "torch.nn.attention.flex_attention"


@pytest.mark.parametrize(
    ("needs", "packages", "expected"),
    [
        (RAGGED, (FLASH, VARLEN, FLEX, "triton"), "flash"),
        (RAGGED, (VARLEN, FLEX, "triton"), "varlen"),
        (replace(RAGGED, slopes=SLOPES), (FLASH, VARLEN), "flash"),
        (replace(RAGGED, slopes=SLOPES), (VARLEN, FLEX, "triton"), "flex"),
        (replace(RAGGED, slopes=SLOPES), (VARLEN, FLEX), "sdpa"),
        (replace(UNIFORM, slopes=SLOPES), (VARLEN, FLEX, "triton"), "sdpa"),
        (replace(RAGGED, dtype=torch.float32), (FLASH, VARLEN, FLEX, "triton"), "flex"),
        (replace(RAGGED, dropout=0.1), (VARLEN, FLEX, "triton"), "sdpa"),
        (replace(RAGGED, device=CPU), (FLASH, VARLEN, FLEX, "triton"), "sdpa"),
    ],
)
def test_auto_takes_the_first_that_works(
    needs: Needs, packages: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    present(monkeypatch, *packages)
    assert choose_backend("auto", needs) == expected


@pytest.mark.parametrize(
    ("choice", "needs", "packages", "missing"),
    [
        ("flash", replace(RAGGED, device=CPU), (FLASH,), "needs a CUDA device, the tokens are on cpu"),
        ("flash", RAGGED, (), "package flash-attn, which is not installed"),
        ("flash", replace(RAGGED, dtype=torch.float32), (FLASH,), "needs fp16 or bf16, got float32"),
        ("varlen", replace(RAGGED, slopes=SLOPES), (VARLEN,), "has no ALiBi"),
        ("varlen", replace(RAGGED, dropout=0.1), (VARLEN,), "no dropout of attention weights"),
        ("varlen", RAGGED, (), "needs a torch with torch.nn.attention.varlen"),
        ("flex", replace(RAGGED, dropout=0.1), (FLEX,), "no dropout of attention weights"),
        ("flex", RAGGED, (), "needs a torch with torch.nn.attention.flex_attention"),
        ("flex", RAGGED, (FLEX,), "triton"),
        ("flex", replace(RAGGED, device=CPU), (FLEX,), "has a backward pass on CUDA only, the tokens are on cpu"),
    ],
)
def test_a_backend_that_cannot_be_used_says_what_is_missing(
    choice: Any, needs: Needs, packages: tuple[str, ...], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    present(monkeypatch, *packages)
    with pytest.raises(Unsupported, match=f"attention_backend {choice}: .*{missing}.* use auto or sdpa"):
        choose_backend(choice, needs)


def test_an_old_flash_attn_has_no_alibi(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, FLASH)
    monkeypatch.setattr(accelerated_attention, "version", lambda _: "2.3.6")
    assert choose_backend("flash", RAGGED) == "flash"
    with pytest.raises(Unsupported, match=r"2\.4 or newer for ALiBi, installed is 2\.3\.6"):
        choose_backend("flash", replace(RAGGED, slopes=SLOPES))


def test_a_torch_without_windows_cannot_do_local_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, VARLEN)
    old = types.SimpleNamespace(varlen_attn=lambda query, key, value: None)
    monkeypatch.setattr(accelerated_attention, "import_module", lambda _: old)
    assert choose_backend("varlen", RAGGED) == "varlen"
    with pytest.raises(Unsupported, match="whose varlen_attn has windows"):
        choose_backend("varlen", replace(RAGGED, windows=(None, 4)))


def test_an_unknown_backend_is_an_error() -> None:
    unknown: Any = "magic"
    with pytest.raises(UsageError, match="'magic'; wanted one of auto, sdpa, flash, varlen, flex"):
        choose_backend(unknown, RAGGED)


def kernel_like(slopes_name: str | None) -> Callable[..., Tensor]:
    """A stand-in with the arguments of the packages' kernels, computed by the formula."""

    def kernel(
        q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, **more: Any
    ) -> Tensor:
        assert cu_q.dtype == cu_k.dtype == torch.int32
        assert (max_q, max_k) == (9, 9)
        left, right = more.get("window_size", (-1, -1))
        assert left == right
        slopes = more.get(slopes_name) if slopes_name else None
        lengths = cu_q.diff().tolist()
        return written_out(
            q,
            k,
            v,
            packing_of(*lengths),
            None if slopes is None else tuple(slopes.tolist()),
            None if left < 0 else left,
        )

    return kernel


@pytest.mark.parametrize("window", [None, 2])
def test_flash_and_varlen_are_called_with_the_same_meaning(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = types.ModuleType("flash_attn")
    fake.flash_attn_varlen_func = kernel_like("alibi_slopes")
    monkeypatch.setitem(sys.modules, "flash_attn", fake)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel_like(None))
    packing = packing_of(4, 9, 2)
    q, k, v = drawn(packing.tokens)
    plain = Needs(packing, CPU, torch.float32, windows=(window,))
    faded = replace(plain, slopes=SLOPES)
    for needs, attend in (
        (faded, accelerated_attention.FlashAttention(faded)),
        (plain, accelerated_attention.FlashAttention(plain)),
        (plain, accelerated_attention.VarlenAttention(plain)),
    ):
        torch.testing.assert_close(attend(q, k, v, window), make_attention("sdpa", needs)(q, k, v, window))


def test_of_the_first_token_alone_dropped_weights_drop_states_and_their_bias() -> None:
    """The same weights are dropped as if keys and values were made."""
    packing = packing_of(3, 5, 5)
    torch.manual_seed(0)
    x, q = torch.randn(13, 8), torch.randn(3, 2, 4)
    key, value = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    torch.manual_seed(1)
    found = SdpaAttention(packing, None, dropout=0.5).of_first(q, x, key, value)
    torch.manual_seed(1)
    wanted = []
    for queries, run in zip((q[:1], q[1:]), (x[:3].view(1, 3, 8), x[3:].view(2, 5, 8)), strict=True):
        k, v = (layer(run).view(*run.shape[:2], 2, 4).transpose(1, 2) for layer in (key, value))
        weights = torch.softmax((queries[:, :, None] @ k.mT)[:, :, 0] / 2, -1)
        wanted.append((torch.nn.functional.dropout(weights, 0.5)[:, :, None] @ v)[:, :, 0])
    torch.testing.assert_close(found, torch.cat(wanted), atol=1e-5, rtol=1e-4)
