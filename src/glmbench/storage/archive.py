"""One member of a zip archive, taken out safely; and the rule for names that come from outside."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from glmbench.errors import DataError
from glmbench.storage.reading import UnavailableError, copy_stream


def relative_name(name: str) -> PurePosixPath:
    """`name` as a relative POSIX path that cannot leave the folder it is joined to.

    Raises:
        DataError: it is empty, absolute, has a drive, a backslash or NUL, or a `..` part.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        raise DataError(f"unsafe file name {name!r}: want a relative path with '/' between its parts and without '..'")
    return path


def extract_member(archive: Path, member: str, destination: Path) -> bool:
    """Write one member of a zip to `destination`; False where the archive has no such member.

    Only the wanted member is read, and its name never decides where it is written.

    Raises:
        DataError: the name is unsafe, the member is a link, a folder or encrypted, or the archive is damaged.
        UnavailableError: the archive is absent or cannot be read.
        OSError: the destination cannot be written.
    """
    relative_name(member)
    try:
        with _opened(archive) as opened:
            try:
                info = opened.getinfo(member)
            except KeyError:
                return False
            _require_plain_file(info, archive)
            with opened.open(info) as source, destination.open("wb") as sink:
                copy_stream(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        # NotImplementedError: what zipfile raises where damage has turned into an unknown compression
        raise DataError(
            f"{archive} is not a whole zip archive ({error or 'it ends too early'}), wanted its member {member}; "
            "remove it and get it again"
        ) from error
    return True


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except OSError as error:
        raise UnavailableError(error.strerror or str(error)) from error


def _require_plain_file(info: zipfile.ZipInfo, archive: Path) -> None:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        raise DataError(f"{archive}: member {info.filename} is a link or a folder, want a plain file")
    if info.flag_bits & 0x1:
        raise DataError(f"{archive}: member {info.filename} is encrypted, want a plain file")
