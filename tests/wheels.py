"""Wheels of nothing, in a folder that pip takes instead of a registry."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest


def write_wheel(folder: Path, name: str, version: str, requires: str | None = None) -> None:
    """A package of one empty module."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires is not None:
        metadata += f"Requires-Dist: {requires}\n"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def use_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """pip asks no registry; that its configuration is kept is what the tests that build rely on."""
    for name, version in (("numpy", "1.0"), ("tiny", "1.0"), ("tiny", "2.0")):
        write_wheel(folder, name, version)
    write_wheel(folder, "wants", "1.0", "tiny")
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(folder))
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
