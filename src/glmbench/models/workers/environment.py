"""Private environments: a virtual environment under the cache for packages that conflict with ours.

`CACHE/environments/NAME-HASH` is whole once it holds a manifest; a folder without one is what a killed builder left,
and the next one clears it away. Of two builders of one environment the second waits and finds it done.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from glmbench.errors import GlmbenchError, MissingData, UsageError
from glmbench.models.workers.interpreters import clean_variables, find_python, refuse_specifier
from glmbench.progress import Bar, progress
from glmbench.storage.atomic import write_text
from glmbench.storage.cache import cache_folder
from glmbench.storage.hashing import sha256_json

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What an environment or a model may be called: it becomes the name of a folder."""

MANIFEST = "glmbench-environment.json"
_TAIL = 15
"""Last lines of pip's output that an error repeats."""


class Environment(BaseModel):
    """What must be installed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: str | None = None
    """Versions of Python that will do (`>=3.8,<3.12`); None: any."""
    packages: tuple[str, ...]
    """Requirements as pip reads them (`transformers==4.29.2`). numpy is installed whether or not it is named."""
    constraints: tuple[str, ...] = ()
    """Versions of packages that are not asked for but may come along (`tokenizers<0.14`)."""

    @field_validator("python")
    @classmethod
    def _is_specifier(cls, value: str | None) -> str | None:
        if value is not None:
            refuse_specifier(value)
        return value

    @field_validator("packages", "constraints")
    @classmethod
    def _are_requirements(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        from packaging.requirements import InvalidRequirement, Requirement

        for value in values:
            try:
                Requirement(value)
            except InvalidRequirement as error:
                raise ValueError(f"{value!r} is no requirement: {str(error).splitlines()[0]}") from error
        return values

    def content_hash(self) -> str:
        """SHA-256 of what is declared; the order of packages does not count."""
        return sha256_json([self.python, sorted(self.packages), sorted(self.constraints)])


class Manifest(BaseModel):
    """What an environment holds; written last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    environment: Environment
    python: str
    """Version of its interpreter."""
    packages: tuple[str, ...]
    """What pip resolved the requirements to (`pip freeze`)."""
    platform: str
    created: str


@dataclass(frozen=True)
class Installed:
    """An environment that is there."""

    folder: Path
    manifest: Manifest

    @property
    def executable(self) -> Path:
        """Its Python."""
        return _executable(self.folder)

    def content_hash(self) -> str:
        """SHA-256 of what decides a model's numbers: the packages as resolved, and the minor version of Python."""
        minor = self.manifest.python.rpartition(".")[0]
        return sha256_json([minor, sorted(self.manifest.packages)])


def environments_folder() -> Path:
    """Where environments stand."""
    return cache_folder() / "environments"


def folder_of(environment: Environment, name: str) -> Path:
    """Where an environment stands, whether or not it is built; another on every kind of machine that shares a cache."""
    address = sha256_json([environment.content_hash(), sys.platform, platform.machine()])
    return environments_folder() / f"{name}-{address[:12]}"


def find(environment: Environment, name: str) -> Installed | None:
    """The environment if it is built and its interpreter is still there."""
    found = _read(folder_of(environment, name))
    return found if found is not None and found.executable.exists() else None


def require(environment: Environment, name: str, command: str) -> Installed:
    """The environment.

    Raises:
        MissingData: it is not built; the message holds `command`.
    """
    found = find(environment, name)
    if found is None:
        raise MissingData(f"the private environment of {name} is not built; build it with `{command}`")
    return found


def build(environment: Environment, name: str, *, python: Path | None = None, again: bool = False) -> Path:
    """Make the environment if it is not there, and return its folder. pip's own configuration is kept.

    Args:
        environment: what to install.
        name: becomes part of the folder's name.
        python: the interpreter to make it with; default: ours if its version fits, else one of PATH.
        again: remove what is there first: requirements without `==` then resolve to what is newest now.

    Raises:
        GlmbenchError: no fitting Python, or pip could not install; nothing is left then.
    """
    from filelock import FileLock

    folder = folder_of(environment, name)
    with _errors_named(folder), progress(f"building the environment of {name}") as bar:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(folder)):
            if find(environment, name) is not None and not again:
                return folder
            interpreter, version = find_python(environment.python, python)
            _clear(folder)
            try:
                _fill(folder, environment, name, interpreter, version, bar)
            except BaseException:
                _clear(folder)
                raise
    return folder


def installed() -> list[Installed]:
    """Environments that are built, by name."""
    folders = sorted(path for path in environments_folder().glob("*") if path.is_dir())
    return [found for found in map(_read, folders) if found is not None]


def remove(name: str) -> list[Path]:
    """Remove environments by their name or by that of their folder; return what was removed.

    Raises:
        UsageError: there is none of this name.
    """
    from filelock import FileLock

    known = installed()
    folders = [found.folder for found in known if name in (found.manifest.name, found.folder.name)]
    if not folders:
        names = ", ".join(found.folder.name for found in known) or "none"
        raise UsageError(f"no environment {name!r}; built are: {names}")
    for folder in folders:
        with _errors_named(folder), FileLock(_lock(folder)):
            _clear(folder)
    return folders


def _fill(folder: Path, environment: Environment, name: str, python: Path, version: str, bar: Bar) -> None:
    """Make the virtual environment, install, and write the manifest last."""
    borrowed = python == Path(sys.executable) and find_spec("pip") is not None  # saves installing pip, which is slow
    make = [str(python), "-m", "venv", *(["--without-pip"] if borrowed else []), str(folder)]
    _run(make, f"{python} cannot make a virtual environment", bar)
    inside = str(_executable(folder))
    pip = [sys.executable, "-m", "pip", "--python", inside] if borrowed else [inside, "-m", "pip"]
    constraints = folder / "glmbench-constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in environment.constraints), encoding="utf-8")
    options = ["--no-input", "--progress-bar", "off", "--disable-pip-version-check", "--constraint", str(constraints)]
    wanted = [*environment.packages, "numpy"]
    _run([*pip, "install", *options, *wanted], f"pip cannot install {', '.join(environment.packages)}", bar)
    frozen = _run([*pip, "freeze", "--disable-pip-version-check"], "pip freeze failed", bar, warnings=False)
    manifest = Manifest(
        name=name,
        environment=environment,
        python=version,
        packages=tuple(line for line in frozen if line and not line.startswith("#")),
        platform=f"{sys.platform} {platform.machine()}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1))


def _run(command: list[str], problem: str, bar: Bar, *, warnings: bool = True) -> list[str]:
    """Lines of a command's output, with or without what it says on standard error.

    Raises:
        GlmbenchError: it failed; the message begins with `problem` and ends with its last lines.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if warnings else subprocess.DEVNULL,
        env=clean_variables(),
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                bar.describe(line.strip()[:70])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        tail = "\n".join(deque((line for line in lines if line), _TAIL))
        raise GlmbenchError(f"{problem}; its last words:\n{tail}")
    return lines


def _read(folder: Path) -> Installed | None:
    """The manifest of a folder; None where there is none that can be read."""
    try:
        return Installed(folder, Manifest.model_validate_json((folder / MANIFEST).read_bytes()))
    except (OSError, ValidationError):
        return None


def _clear(folder: Path) -> None:
    """Remove a folder, the manifest first, so that no half of it is taken for whole."""
    (folder / MANIFEST).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _executable(folder: Path) -> Path:
    return folder / "bin" / "python"


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    """Say in plain words that the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise GlmbenchError(
            f"cannot write {error.filename or folder}: {error.strerror or error}; free some space, or name a "
            "writable cache in GLMBENCH_CACHE"
        ) from error
