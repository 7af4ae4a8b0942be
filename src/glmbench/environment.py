"""What a number was made on: versions, processor, threads, precision settings."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "polars", "torch", "transformers", "tokenizers")


def environment() -> dict[str, Any]:
    """Plain values that describe this process."""
    return _fixed() | {"accelerator": _accelerator(), "torch_threads": _torch_threads()}


@cache
def _fixed() -> dict[str, Any]:
    return {
        "glmbench": version("glmbench"),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": _cores(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout this package runs from; with `+` where it has been changed; None when installed."""
    here = Path(__file__).resolve().parent
    root = here.parents[1]
    if not (root / ".git").exists():  # installed somewhere, perhaps inside another project's repository
        return None
    call = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _torch_threads() -> int | None:
    """Threads torch computes with, asked only if something has imported it already."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _cores() -> int | None:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _accelerator() -> str | None:
    """Name of the first CUDA device, asked of torch only if something has imported it already."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name(0))
