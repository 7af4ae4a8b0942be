"""Files named by a card, brought into the cache: from a mirror, from an archive in it, or from their source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from glmbench.storage.cache import cache_folder


class SourceFile(BaseModel):
    """One file: where it lies in the cache and in a mirror, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Where it lies below a mirror and below the cache's `data` folder; POSIX, relative, without `..`."""
    sha256: str | None = None
    """Of this file (never of an archive that holds it); None where nobody has verified one."""
    bytes: int | None = None
    archive: str | None = None
    """A zip in a mirror that also holds it, by the same rule as `path`."""
    member: str | None = None
    """Its name inside `archive`."""
    urls: tuple[str, ...] = ()
    """Where the file itself can be downloaded."""


@dataclass(frozen=True)
class Access:
    """How data may be reached: the cache, perhaps a mirror (a folder or an http(s) URL), perhaps no network at all."""

    cache: Path = field(default_factory=cache_folder)
    mirror: str | None = None
    offline: bool = False
