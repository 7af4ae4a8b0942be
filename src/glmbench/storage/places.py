"""Places a file may be in, and how to take it from there: a folder, an archive in it, an archive behind a URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glmbench.errors import DataError
from glmbench.storage.archive import extract_member
from glmbench.storage.atomic import atomic_path
from glmbench.storage.download import download
from glmbench.storage.reading import UnavailableError, copy_stream

FRESH_SECONDS = 300.0
"""How long an archive counts as what its mirror serves now: one that lacks dozens of members is not loaded for each."""

_downloaded: dict[Path, float] = {}
"""When an archive was downloaded by this process, on the monotonic clock."""


@dataclass(frozen=True)
class Place:
    """A place a file may be in, and how to write the file from there to a path."""

    words: str
    write: Callable[[Path], None]
    public: bool = False
    """One of the card's URLs, rather than a mirror that the user chose."""


def copy_file(source: Path, destination: Path) -> None:
    """Copy a file of a folder.

    Raises:
        UnavailableError: it is absent or cannot be read.
    """
    try:
        opened = source.open("rb")
    except OSError as error:
        raise UnavailableError(error.strerror or str(error)) from error
    with opened, destination.open("wb") as sink:
        copy_stream(opened, sink)


def copy_member(archive: Path, member: str, destination: Path) -> None:
    """Copy one member of an archive in a folder.

    Raises:
        UnavailableError: the archive is absent, cannot be read, or has no such member.
        DataError: the archive is damaged.
    """
    if not extract_member(archive, member, destination):
        raise UnavailableError("the archive has no such member")


def download_member(url: str, member: str, archive: Path, check: Callable[[Path], None], destination: Path) -> None:
    """Copy one member of an archive behind a URL, which is kept at `archive`, since a card's other files are in it too.

    A kept archive that lacks the member, or whose member fails the check, may be older than what the mirror serves: it
    is downloaded again.

    Raises:
        UnavailableError: the archive cannot be downloaded, or has no such member.
        DataError: the archive is damaged or the member is not what the card says; the archive is not kept.
    """
    if archive.is_file():
        try:
            copy_member(archive, member, destination)
            check(destination)
        except UnavailableError:
            if time.monotonic() - _downloaded.get(archive, -FRESH_SECONDS) < FRESH_SECONDS:
                raise
        except DataError:
            archive.unlink(missing_ok=True)
        else:
            return
    with atomic_path(archive) as temporary:
        download(url, temporary)
    _downloaded[archive] = time.monotonic()
    try:
        copy_member(archive, member, destination)
        check(destination)
    except DataError:
        archive.unlink(missing_ok=True)
        raise
