"""Content hashes: of bytes, of files, and of plain values through one canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_file(path: Path) -> str:
    """The id that git gives a file of this content: SHA-1 over `blob <size>`, a NUL and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_strings(strings: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of a list of strings; the boundaries between them count."""
    digest = hashlib.sha256()
    for string in strings:
        encoded = string.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """The one JSON text of a plain value: keys sorted, no white space, NaN refused.

    Raises:
        ValueError: the value holds a NaN or an infinity, which have no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of the canonical JSON of a plain value."""
    return sha256_bytes(canonical_json(value).encode())
