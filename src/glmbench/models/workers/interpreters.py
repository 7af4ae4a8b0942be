"""Which Python a private environment is made with, and what of our own environment it must not see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from glmbench.errors import GlmbenchError

OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables that would lead another Python to our packages."""

_MINORS = range(40, 7, -1)


def clean_variables() -> dict[str, str]:
    """The environment variables of this process, without those that lead to our packages or the user's."""
    kept = {key: value for key, value in os.environ.items() if key not in OURS}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}


def refuse_specifier(specifier: str) -> None:
    """Check a version constraint.

    Raises:
        ValueError: it is none.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(specifier)
    except InvalidSpecifier as error:
        raise ValueError(f"{specifier!r} is no constraint on versions, wanted one as in '>=3.8,<3.12'") from error


def find_python(specifier: str | None, chosen: Path | None = None) -> tuple[Path, str]:
    """A Python that fits, and its version: the one chosen, or ours if it does, else the newest `python3.N` of PATH.

    Raises:
        GlmbenchError: there is none, or the chosen one does not fit; the message names those that are there.
    """
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(specifier or "")
    seen: list[str] = []
    for python in _candidates() if chosen is None else iter([chosen]):
        version = _version(python)
        if version is not None and wanted.contains(version, prereleases=True):
            return python, version
        seen.append(f"{python} ({version or 'does not run'})")
    raise GlmbenchError(
        f"no Python {specifier or 'that runs'} is here, only {', '.join(seen)}; install one so that python3.N is found "
        "on PATH, or name one by --python"
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for minor in _MINORS:
        if (found := shutil.which(f"python3.{minor}")) is not None:
            yield Path(found)


def _version(python: Path) -> str | None:
    """What a Python says of itself; None where it does not run."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
