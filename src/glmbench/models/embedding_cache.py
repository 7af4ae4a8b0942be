"""Embeddings kept on disk, sequence by sequence, so that no sequence goes through a slow network twice.

Under the folder of a model (its fingerprint and the options of its reference: layer, pool, precision, …) lie shards of
up to `SHARD` sequences: `NAME.vectors.npy` (float32, (n, dim)) and `NAME.keys.npy` (uint8, (n, 16): a hash of each
sequence). Keys are written after vectors, each atomically, so a killed run loses at most the shard it was at, and any
number of processes may share the folder. Look-up is by sequence: budgets, draws, splits and tasks share what they have
in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from glmbench.models.model import Embeds, Model, ModelCard
from glmbench.models.reference import parse_reference
from glmbench.models.reporting import NotesInput, ReportsProgress
from glmbench.progress import Bar, progress
from glmbench.storage.atomic import atomic_path
from glmbench.storage.hashing import sha256_bytes, sha256_json

SHARD = 2_048
"""Sequences in a shard: what a killed run may lose."""

SLOW_SCHEMES = ("hf", "random")

_KEY = 16
_VECTORS, _KEYS = ".vectors.npy", ".keys.npy"

Keys = NDArray[np.void]


def with_cache(model: Model, folder: Path) -> Model:
    """`model` behind a cache under `folder` if it is a slow one, else itself."""
    slow = parse_reference(model.card.reference).scheme in SLOW_SCHEMES
    return CachedEmbeddings(model, folder) if slow and isinstance(model, Embeds) else model


class CachedEmbeddings:
    """An `Embeds` that asks the wrapped model only for sequences that are not on disk. Dense features only."""

    def __init__(self, model: Embeds, folder: Path) -> None:
        self._model = model
        options = dict(parse_reference(model.card.reference).options)
        self._folder = folder / sha256_json([model.card.fingerprint, options])

    @property
    def card(self) -> ModelCard:
        """The wrapped model's card."""
        return self._model.card

    def notes(self, sequences: Sequence[str]) -> dict[str, int | float]:
        """The wrapped model's notes; empty if it makes none."""
        return self._model.notes(sequences) if isinstance(self._model, NotesInput) else {}

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """As the wrapped model's `embed`, float32 (batch, dim); sequences that occur twice are embedded once."""
        if not sequences:
            return np.asarray(self._model.embed(sequences), dtype=np.float32)
        keys = _keys_of(sequences)
        unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        shards = self._shards()
        known = np.concatenate([np.empty(0, keys.dtype), *(shard_keys for shard_keys, _ in shards)])
        missing = first[~np.isin(unique, known)]
        missing.sort()
        if len(missing):
            with progress(f"embedding by {self.card.name}", total=len(missing)) as bar:
                shards += [
                    self._compute(sequences, keys, missing[start : start + SHARD], bar)
                    for start in range(0, len(missing), SHARD)
                ]
        return _gather(unique, shards)[inverse]

    def _shards(self) -> list[tuple[Keys, NDArray[np.float32]]]:
        """Keys (n,) and vectors (n, dim), mapped from disk, of every whole shard; broken ones are removed."""
        shards = []
        for keys_path in sorted(self._folder.glob(f"[!.]*{_KEYS}")):
            vectors_path = keys_path.with_name(keys_path.name.removesuffix(_KEYS) + _VECTORS)
            try:
                keys = np.load(keys_path)
                vectors = np.load(vectors_path, mmap_mode="r")
                whole = keys.dtype == np.uint8 and keys.shape[1:] == (_KEY,) and vectors.shape[:1] == keys.shape[:1]
            except (ValueError, EOFError, OSError):
                whole = False
            if whole and vectors.dtype == np.float32 and vectors.ndim == 2:
                shards.append((_as_void(keys), vectors))
            else:
                keys_path.unlink(missing_ok=True)
                vectors_path.unlink(missing_ok=True)
        return shards

    def _compute(
        self, sequences: Sequence[str], keys: Keys, at: NDArray[np.intp], bar: Bar
    ) -> tuple[Keys, NDArray[np.float32]]:
        """Embed `sequences[at]` and store them as a shard named by its content."""
        texts = [sequences[index] for index in at]
        if isinstance(self._model, ReportsProgress):
            vectors = self._model.embed_reporting(texts, bar.advance)
        else:
            vectors = _dense(self._model, texts)
            bar.advance(len(texts))
        shard_keys = keys[at]
        raw = shard_keys.view(np.uint8).reshape(-1, _KEY)
        name = sha256_bytes(raw.tobytes())
        with suppress(OSError):  # a full or read-only cache costs time later, not the job now
            for suffix, array in ((_VECTORS, vectors), (_KEYS, raw)):
                with atomic_path(self._folder / f"{name}{suffix}") as temporary, temporary.open("wb") as file:
                    np.save(file, array)
        return shard_keys, vectors


def _dense(model: Embeds, texts: list[str]) -> NDArray[np.float32]:
    features = model.embed(texts)
    if not isinstance(features, np.ndarray):
        features = features.toarray()
    return np.ascontiguousarray(features, dtype=np.float32)


def _keys_of(sequences: Sequence[str]) -> Keys:
    """A 128-bit hash of each sequence, void (n,)."""
    digests = b"".join(blake2b(sequence.encode(), digest_size=_KEY).digest() for sequence in sequences)
    return _as_void(np.frombuffer(digests, dtype=np.uint8).reshape(-1, _KEY))


def _as_void(keys: NDArray[np.uint8]) -> Keys:
    return cast(Keys, np.ascontiguousarray(keys).view(f"V{_KEY}").reshape(-1))


def _gather(wanted: Keys, shards: list[tuple[Keys, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Rows (len(wanted), dim) of sorted, unique keys that the shards hold."""
    gathered = np.empty((len(wanted), shards[0][1].shape[1]), dtype=np.float32)
    for keys, vectors in shards:
        place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        here = np.flatnonzero(wanted[place] == keys)
        gathered[place[here]] = vectors[here]
    return gathered
