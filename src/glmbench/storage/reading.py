"""Reading from places that may fail, told apart from writing to a disk that may be full."""

from __future__ import annotations

from pathlib import Path
from typing import IO, BinaryIO

_BLOCK = 1 << 20
_HTML_STARTS = (b"<!doctype html", b"<html")


class UnavailableError(Exception):
    """A place that does not have the file, or that cannot be read to its end; the message is the reason alone."""


def copy_stream(source: IO[bytes], sink: BinaryIO) -> None:
    """Copy to the end of `source`.

    Raises:
        UnavailableError: the source cannot be read.
        OSError: the sink cannot be written.
    """
    while block := _read(source):
        sink.write(block)


def _read(source: IO[bytes]) -> bytes:
    try:
        return source.read(_BLOCK)
    except OSError as error:
        raise UnavailableError(f"cannot be read: {error.strerror or error}") from error


def is_html(path: Path) -> bool:
    """Whether a file begins as a web page does: what a log-in page or a polite `not found` serves for any address."""
    with path.open("rb") as file:
        head = file.read(1024)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_HTML_STARTS)
