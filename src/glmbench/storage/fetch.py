"""Files named by a card, brought into the cache: from a mirror, from an archive in it, or from their source.

The order is: the cache; the mirror's file; the archive in the mirror; each URL. What arrives is checked before it is
installed, so a file that stands in the cache is whole, and no web page that some network served in its place. Where a
card knows no checksum, the SHA-256 of the first download is written beside the file (`<file>.sha256`) and holds from
then on; such a file is reported as unverified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from glmbench.errors import DataError, GlmbenchError, MissingData, UsageError
from glmbench.storage.archive import relative_name
from glmbench.storage.atomic import atomic_path, sweep, write_text
from glmbench.storage.cache import cache_folder
from glmbench.storage.download import download, is_url
from glmbench.storage.hashing import git_blob_file, sha256_bytes, sha256_file, sha256_json
from glmbench.storage.places import Place, copy_file, copy_member, download_member
from glmbench.storage.reading import UnavailableError, is_html


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
    own_card: Path | None = None
    """The user's own card that names the files: what it names is kept apart from the files of other cards."""


_checked: set[tuple[str, int, int, str]] = set()
"""Files found good in this process, by path, size, time of change and checksum."""


def cached_path(file: SourceFile, access: Access) -> Path:
    """Where the file stands in the cache, whether or not it does yet.

    Cards of the package agree on their paths. A user's own card may use any: its files lie under a name made of their
    checksum or, without one, of the card and the sources.
    """
    data, relative = access.cache / "data", relative_name(file.path)
    if access.own_card is None:
        return data / relative
    known = [file.sha256, file.git_blob]
    sources = [str(access.own_card.resolve()), file.archive, file.member, list(file.urls)]
    return data / "own" / sha256_json(known if file.verifiable else sources)[:16] / relative


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
        is_here = target.is_file()
        if not is_here:
            _install(file, target, places, access, name)
    if is_here:
        _check_cached(file, target)
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


def _install(file: SourceFile, target: Path, places: list[Place], access: Access, name: str) -> None:
    tried: list[str] = []
    refused: DataError | None = None
    for place in places:
        try:
            with atomic_path(target) as temporary:
                place.write(temporary)
                if is_html(temporary) and not file.path.endswith((".html", ".htm")):
                    raise UnavailableError("a web page instead of the file; does the network ask for a log-in?")
                _check(file, temporary, place.words)
            if not file.verifiable:
                write_text(record_path(target), sha256_file(target) + "\n")
            return
        except UnavailableError as error:
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


def _places(file: SourceFile, access: Access) -> Iterator[Place]:
    relative = relative_name(file.path)
    mirror = access.mirror
    if mirror is not None and is_url(mirror):
        yield from _mirror_url_places(file, access, mirror.rstrip("/"))
    elif mirror is not None:
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise UsageError(f"mirror {mirror!r}: no such folder; want a folder or an http(s) URL")
        yield Place(str(folder / relative), partial(copy_file, folder / relative))
        if file.archive is not None and file.member is not None:
            archive = folder / relative_name(file.archive)
            yield Place(f"{archive}:{file.member}", partial(copy_member, archive, file.member))
    if not access.offline:
        for url in file.urls:
            yield Place(url, partial(download, url), public=True)


def _mirror_url_places(file: SourceFile, access: Access, mirror: str) -> Iterator[Place]:
    from urllib.parse import quote

    url = f"{mirror}/{quote(file.path)}"
    archive_url = f"{mirror}/{quote(file.archive)}" if file.archive is not None else None
    if access.offline:
        yield Place(url, _refuse_offline)
        return
    yield Place(url, partial(download, url))
    if archive_url is not None and file.member is not None:
        kept = access.cache / "archives" / f"{sha256_bytes(archive_url.encode())[:16]}.zip"
        words = f"{archive_url}:{file.member}"
        check = partial(_check, file, words=words)
        yield Place(words, partial(download_member, archive_url, file.member, kept, check))


def _refuse_offline(destination: Path) -> None:
    raise UnavailableError("not asked (offline)")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Hold the file's lock, so that of two processes one downloads; an unwritable cache is said in plain words.

    Places that cannot be read are `UnavailableError` by now: what is left of OSError is the cache's.
    """
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


def record_path(path: Path) -> Path:
    """Where the SHA-256 of the first download is kept, for a file that the card knows no checksum of."""
    return path.with_name(path.name + ".sha256")


def _recorded(path: Path) -> str | None:
    try:
        return record_path(path).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def mismatch(file: SourceFile, path: Path) -> str | None:
    """What a file has otherwise than the card says (checksum, number of bytes), in words; None where it fits."""
    if file.sha256 is not None and (got := sha256_file(path)) != file.sha256:
        return f"sha256 is {got}, want {file.sha256}"
    if file.sha256 is None and file.git_blob is not None and (got := git_blob_file(path)) != file.git_blob:
        return f"git blob id is {got}, want {file.git_blob}"
    if file.bytes is not None and (size := path.stat().st_size) != file.bytes:
        return f"it has {size} bytes, want {file.bytes}"
    return None


def _check(file: SourceFile, path: Path, words: str) -> None:
    """Refuse a file that is not what the card knows of it."""
    if (wrong := mismatch(file, path)) is not None:
        raise DataError(
            f"{words}: {wrong} for {file.path}; the file is damaged or has changed. "
            "Remove it, or take it from another mirror"
        )


def _check_cached(file: SourceFile, path: Path) -> None:
    """Check a cached file once per process; one without a known checksum against the record of its first download."""
    status = path.stat()
    known = f"{file.sha256 or file.git_blob or ''} {file.bytes}"
    key = (str(path), status.st_size, status.st_mtime_ns, known)
    if key in _checked:
        return
    _check(file, path, str(path))
    if not file.verifiable:
        _check_record(path)
    _checked.add(key)


def _check_record(path: Path) -> None:
    if (recorded := _recorded(path)) is None:
        # A cache that may only be read stays without a record: nobody here can change the file.
        with suppress(OSError):
            write_text(record_path(path), sha256_file(path) + "\n")
    elif (got := sha256_file(path)) != recorded:
        raise DataError(
            f"{path}: sha256 is {got}, was {recorded} when first downloaded; remove it and {record_path(path).name}, "
            "and get it again"
        )
