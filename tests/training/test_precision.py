"""The precision policy."""

from __future__ import annotations

import pytest
import torch

from glmbench.errors import Unsupported
from glmbench.training import precision
from glmbench.training.precision import Precision, fast_bf16, resolve

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "matmul"),
    [
        ({"avx2"}, "highest"),
        ({"avx2", "avx512_bf16"}, "medium"),
        ({"avx2", "avx512_bf16", "amx_bf16", "amx_tile"}, "highest"),
        (set(), "highest"),
    ],
)
def test_medium_only_where_it_is_still_float32(flags: set[str], matmul: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
    assert resolve("fp32", CPU) == Precision("fp32", matmul)


def test_bf16_without_hardware_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2"}))
    assert not fast_bf16(CPU)
    with pytest.raises(Unsupported, match="use fp32"):
        resolve("bf16", CPU)


def test_forward_and_matmuls_set_what_they_say_and_put_it_back() -> None:
    chosen = Precision("bf16", "medium")
    before = torch.get_float32_matmul_precision()
    a = torch.ones(2, 2)
    with chosen.matmuls(), chosen.forward(CPU):
        assert torch.get_float32_matmul_precision() == "medium"
        assert (a @ a).dtype == torch.bfloat16
    assert torch.get_float32_matmul_precision() == before
    assert (a @ a).dtype == torch.float32


def test_the_chosen_setting_keeps_float32_products() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(64, 300), torch.randn(300, 64)
    exact = (a.double() @ b.double()).float()
    with resolve("fp32", CPU).matmuls():
        torch.testing.assert_close(a @ b, exact, rtol=1e-4, atol=1e-4)
