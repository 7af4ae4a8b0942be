"""Precision: which number format each part of the arithmetic uses, decided in one place and always recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from glmbench.errors import Unsupported

Format = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Precision:
    """What was resolved for one device. Weights, optimiser state and the loss are always float32."""

    autocast: Format
    """`bf16`: matrix products and convolutions in bfloat16 by autocast."""
    matmul: Literal["highest", "medium"]
    """torch's float32 matmul precision. See `resolve` for when `medium` is chosen: it is still float32 there."""

    def forward(self, device: torch.device) -> torch.autocast:
        """Forward passes inside use the autocast format."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.autocast == "bf16")

    @contextmanager
    def matmuls(self) -> Iterator[None]:
        """Float32 matrix products inside use the matmul setting, which is process-wide and put back afterwards."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmul)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set flags of this machine's processor; empty where the system does not list them in /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return frozenset()
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and not cpu_flags().isdisjoint({"avx512_bf16", "amx_bf16"})


def resolve(wanted: Format, device: torch.device) -> Precision:
    """The precision for a device.

    Processors with AVX512-BF16 and without AMX get `medium`: torch then hands float32 products to oneDNN instead of
    MKL, which is 1.7 to 1.9 times faster on AMD and differs by 4e-7. With AMX the same switch would round to bfloat16.

    Raises:
        Unsupported: bf16 is asked of a device that would only emulate it, more slowly than fp32.
    """
    if wanted == "bf16" and not fast_bf16(device):
        raise Unsupported(f"precision bf16: this {device.type} device has no bfloat16 arithmetic; use fp32")
    flags = cpu_flags()
    safe = device.type == "cpu" and "avx512_bf16" in flags and not any(flag.startswith("amx") for flag in flags)
    return Precision(autocast=wanted, matmul="medium" if safe else "highest")
