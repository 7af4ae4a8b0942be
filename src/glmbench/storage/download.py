"""A file over http(s), by the standard library, with the reason in plain words where it fails."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

from glmbench.progress import progress
from glmbench.storage.reading import UnavailableError

TIMEOUT_SECONDS = 20.0
UNREACHABLE_SECONDS = 300.0
"""How long a host that did not answer is not asked again: without a network, dozens of files would each wait."""

_BLOCK = 1 << 18
_unreachable: dict[str, float] = {}
"""When a host last did not answer, on the monotonic clock."""


class DownloadError(UnavailableError):
    """A URL that could not be read to its end; the message is the reason alone."""


def is_url(place: str) -> bool:
    """Whether `place` is an http(s) URL rather than a folder."""
    return place.lower().startswith(("http://", "https://"))


def download(url: str, destination: Path, *, timeout: float = TIMEOUT_SECONDS) -> None:
    """Write what `url` serves to `destination`.

    Raises:
        DownloadError: an HTTP status other than success, no connection, a time-out, or fewer bytes than announced.
        OSError: the destination cannot be written.
    """
    import http.client
    import urllib.error
    import urllib.parse
    import urllib.request

    if not is_url(url):
        raise DownloadError("not an http(s) URL")
    host = urllib.parse.urlsplit(url).netloc
    if time.monotonic() - _unreachable.get(host, -UNREACHABLE_SECONDS) < UNREACHABLE_SECONDS:
        raise DownloadError(f"no connection (to {host}, a moment ago)")
    request = urllib.request.Request(url, headers={"User-Agent": "glmbench"})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"HTTP status {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        _unreachable[host] = time.monotonic()
        raise DownloadError(f"no connection ({error.reason})") from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise DownloadError(f"broken answer ({type(error).__name__}: {error})") from error
    with response, destination.open("wb") as sink:
        announced = response.headers.get("Content-Length")
        total = int(announced) if announced and announced.isdigit() else None
        received = _copy(response, sink, url, total)
    if total is not None and received != total:
        raise DownloadError(f"the connection ended after {received} of {total} bytes")


def _copy(source: BinaryIO, sink: BinaryIO, url: str, total: int | None) -> int:
    received = 0
    with progress(f"downloading {url.rsplit('/', 1)[-1]} (bytes)", total) as bar:
        while block := _read(source):
            sink.write(block)
            received += len(block)
            bar.advance(len(block))
    return received


def _read(source: BinaryIO) -> bytes:
    """One block; a failure here is the connection's, one of the write beside it is the disk's and passes through."""
    from http.client import HTTPException

    try:
        return source.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise DownloadError(f"the connection broke ({type(error).__name__}: {error})") from error
