"""Files named by a card, brought into the cache: from a mirror, from an archive in it, or from their source.

The order is: the cache; the mirror's file; the archive in the mirror; each URL. What arrives is checked before it is
installed, so a file that stands in the cache is whole. Where a card knows no checksum, the SHA-256 of the first
download is written beside the file (`<file>.sha256`) and holds from then on; such a file is reported as unverified.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from glmbench.errors import DataError, GlmbenchError, MissingData, UsageError
from glmbench.storage.archive import extract_member, relative_name
from glmbench.storage.atomic import atomic_path, sweep, write_text
from glmbench.storage.cache import cache_folder
from glmbench.storage.download import DownloadError, download, is_url
from glmbench.storage.hashing import git_blob_file, sha256_bytes, sha256_file


class SourceFile(BaseModel):
    """One file: where it lies in the cache and in a mirror, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Where it lies below a mirror and below the cache's `data` folder; POSIX, relative, without `..`."""
    sha256: str | None = None
    """Of this file (never of an archive that holds it); None where nobody has verified one."""
    git_blob: str | None = None
    """The id git gives the file, where its source is a git repository: checked where there is no `sha256`."""
    bytes: int | None = None
    archive: str | None = None
    """A zip in a mirror that also holds it, by the same rule as `path`."""
    member: str | None = None
    """Its name inside `archive`."""
    urls: tuple[str, ...] = ()
    """Where the file itself can be downloaded."""

    @property
    def verifiable(self) -> bool:
        """Whether the card knows what the file's content must be."""
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Access:
    """How data may be reached: the cache, perhaps a mirror (a folder or an http(s) URL), perhaps no network at all."""

    cache: Path = field(default_factory=cache_folder)
    mirror: str | None = None
    offline: bool = False


class _AbsentError(Exception):
    """This place does not have the file; the message is the reason."""


@dataclass(frozen=True)
class _Place:
    """A place a file may be in, and how to write the file from there to a path."""

    words: str
    write: Callable[[Path], None]
    public: bool = False
    """One of the card's URLs, rather than a mirror that the user chose."""


_checked: set[tuple[str, int, int, str]] = set()
"""Files found good in this process, by path, size, time of change and checksum."""


def cached_path(file: SourceFile, access: Access) -> Path:
    """Where the file stands in the cache, whether or not it does yet."""
    return access.cache / "data" / relative_name(file.path)


def fetch(file: SourceFile, access: Access, *, name: str = "NAME") -> Path:
    """The verified file in the cache, fetched if need be.

    Args:
        file: what is wanted.
        access: where it may come from.
        name: what `glmbench get` calls the thing it belongs to, for the message.

    Raises:
        MissingData: no place has it, or it may not be downloaded; the message names the places and the command.
        DataError: it was found, but is not what the card says. Nothing was installed.
        UsageError: the mirror is neither a folder nor a URL.
    """
    target = cached_path(file, access)
    if target.is_file():
        _check_cached(file, target)
        return target
    places = list(_places(file, access))
    with _writing(target):
        if target.is_file():
            _check_cached(file, target)
        else:
            _install(file, target, places, access, name)
    return target


def content_id(file: SourceFile, access: Access, *, name: str = "NAME") -> str:
    """What identifies the file's content: the card's checksum, or that of the file where the card knows none.

    Raises:
        MissingData: the card knows none and the file cannot be had.
        DataError: as `fetch`.
    """
    if file.sha256 is not None:
        return file.sha256
    if file.git_blob is not None:
        return f"git:{file.git_blob}"
    path = fetch(file, access, name=name)
    return _recorded(path) or sha256_file(path)


def _install(file: SourceFile, target: Path, places: list[_Place], access: Access, name: str) -> None:
    tried: list[str] = []
    refused: DataError | None = None
    for place in places:
        try:
            with atomic_path(target) as temporary:
                place.write(temporary)
                _check(file, temporary, place.words)
            if not file.verifiable:
                write_text(_record_path(target), sha256_file(target) + "\n")
            return
        except (_AbsentError, DownloadError) as error:
            tried.append(f"{place.words}: {error}")
        except DataError as error:
            # The mirror a user chose must be right; of several public copies one may be, though another is not.
            if not place.public:
                raise
            refused = error
    if refused is not None:
        raise refused
    raise _missing(file, tried, access, name)


def _missing(file: SourceFile, tried: list[str], access: Access, name: str) -> MissingData:
    looked = ["not in the cache", *tried]
    if access.offline and file.urls:
        looked.append("network not asked (offline)")
    ways = [f"glmbench get {name}"] if file.urls else []
    ways.append(f"glmbench get {name} --mirror DIR")
    return MissingData(f"{file.path} is missing ({'; '.join(looked)}); get it with {' or '.join(ways)}")


def _places(file: SourceFile, access: Access) -> Iterator[_Place]:
    relative = relative_name(file.path)
    mirror = access.mirror
    if mirror is not None and is_url(mirror):
        yield from _mirror_url_places(file, access, mirror.rstrip("/"))
    elif mirror is not None:
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise UsageError(f"mirror {mirror!r}: no such folder; want a folder or an http(s) URL")
        yield _Place(str(folder / relative), partial(_copy_file, folder / relative))
        if file.archive is not None and file.member is not None:
            archive = folder / relative_name(file.archive)
            yield _Place(f"{archive}:{file.member}", partial(_copy_member, archive, file.member))
    if not access.offline:
        for url in file.urls:
            yield _Place(url, partial(download, url), public=True)


def _mirror_url_places(file: SourceFile, access: Access, mirror: str) -> Iterator[_Place]:
    from urllib.parse import quote

    url = f"{mirror}/{quote(file.path)}"
    archive_url = f"{mirror}/{quote(file.archive)}" if file.archive is not None else None
    if access.offline:
        yield _Place(url, _refuse_offline)
        return
    yield _Place(url, partial(download, url))
    if archive_url is not None and file.member is not None:
        member = partial(_download_member, archive_url, file.member, access.cache)
        yield _Place(f"{archive_url}:{file.member}", member)


def _refuse_offline(destination: Path) -> None:
    raise _AbsentError("not asked (offline)")


def _copy_file(source: Path, destination: Path) -> None:
    try:
        opened = source.open("rb")
    except OSError as error:
        raise _AbsentError(error.strerror or str(error)) from error
    with opened, destination.open("wb") as sink:
        shutil.copyfileobj(opened, sink, 1 << 20)


def _copy_member(archive: Path, member: str, destination: Path) -> None:
    if not archive.is_file():
        raise _AbsentError("not there")
    if not extract_member(archive, member, destination):
        raise _AbsentError("the archive has no such member")


def _download_member(url: str, member: str, cache: Path, destination: Path) -> None:
    """Keep the archive in the cache, since a card's other files are in it too; drop it if it proves damaged."""
    archive = cache / "archives" / f"{sha256_bytes(url.encode())[:16]}.zip"
    if not archive.is_file():
        with atomic_path(archive) as temporary:
            download(url, temporary)
    try:
        _copy_member(archive, member, destination)
    except DataError:
        archive.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Hold the file's lock, so that of two processes one downloads; an unwritable cache is said in plain words."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        with FileLock(target.with_name(f".{target.name}.lock")):
            yield
    except OSError as error:
        raise GlmbenchError(
            f"cannot write {target}: {error.strerror or error}; free some space, or name a "
            "writable cache in GLMBENCH_CACHE"
        ) from error


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _recorded(path: Path) -> str | None:
    try:
        return _record_path(path).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def _check(file: SourceFile, path: Path, words: str) -> None:
    """Compare a file with what the card knows of it."""
    if file.sha256 is not None:
        kind, wanted, got = "sha256", file.sha256, sha256_file(path)
    elif file.git_blob is not None:
        kind, wanted, got = "git blob id", file.git_blob, git_blob_file(path)
    else:
        return
    if got != wanted:
        raise DataError(
            f"{words}: {kind} is {got}, want {wanted} for {file.path}; the file is damaged or has changed. "
            "Remove it, or take it from another mirror"
        )


def _check_cached(file: SourceFile, path: Path) -> None:
    """Check a cached file once per process; one without a known checksum against the record of its first download."""
    status = path.stat()
    known = file.sha256 or file.git_blob or ""
    key = (str(path), status.st_size, status.st_mtime_ns, known)
    if key in _checked:
        return
    if file.verifiable:
        _check(file, path, str(path))
    elif (recorded := _recorded(path)) is None:
        with suppress(
            OSError
        ):  # a cache that may only be read: there is no record, and nobody here can change the file
            write_text(_record_path(path), sha256_file(path) + "\n")
    elif (got := sha256_file(path)) != recorded:
        raise DataError(
            f"{path}: sha256 is {got}, was {recorded} when first downloaded; remove it and {_record_path(path).name}, "
            "and get it again"
        )
    _checked.add(key)
