"""Embeddings kept on disk, sequence by sequence, so that no sequence goes through a slow network twice.

Under the folder of a model (its fingerprint and the options of its reference: layer, pool, precision, …) lie shards of
up to `SHARD` sequences: `NAME.vectors.npy` (float32, (n, dim)) and `NAME.keys.npy` (uint8, (n, 16): a hash of each
sequence). Keys are written after vectors, each atomically, so a killed run loses at most the shard it was at, and any
number of processes may share the folder. Look-up is by sequence: budgets, draws, splits and tasks share what they have
in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

SLOW_SCHEMES = ("hf", "random", "worker", "h5")

_KEY = 16
_VECTORS, _KEYS = ".vectors.npy", ".keys.npy"

Keys = NDArray[np.void]
Part = tuple[NDArray[np.intp], NDArray[np.float32]]
"""Places (n,) in the sorted keys of what was asked, and their vectors (n, dim)."""

_NOTHING: Part = (np.empty(0, dtype=np.intp), np.empty((0, 0), dtype=np.float32))


def with_cache(model: Model, folder: Path) -> Model:
    """`model` behind a cache under `folder` if it is a slow one, else itself."""
    slow = parse_reference(model.card.reference).scheme in SLOW_SCHEMES
    return CachedEmbeddings(model, folder) if slow and isinstance(model, Embeds) else model


class CachedEmbeddings:
    """An `Embeds` that asks the wrapped model only for sequences that are not on disk. Dense features only.

    Whatever else the model can do, this cannot.
    """

    def __init__(self, model: Embeds, folder: Path) -> None:
        self._model = model
        self.computed = 0
        """Sequences that went through the model so far; all others were found on disk."""
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
        unique, first, inverse = np.unique(_keys_of(sequences), return_index=True, return_inverse=True)
        features: NDArray[np.float32] | None = None
        for places, vectors in self._parts(sequences, unique, first):
            if features is None:
                features = np.empty((len(unique), vectors.shape[1]), dtype=np.float32)
            features[places] = vectors
        assert features is not None
        return features[inverse]

    def _parts(self, sequences: Sequence[str], unique: Keys, first: NDArray[np.intp]) -> Iterator[Part]:
        """Vectors of every key, first those on disk, then those that must be computed, in order of occurrence."""
        absent = np.ones(len(unique), dtype=np.bool_)
        for keys_path in self._shards():
            places, vectors = _read_shard(keys_path, unique, absent)
            if len(places):
                absent[places] = False
                yield places, vectors
        missing = np.flatnonzero(absent)
        missing = missing[np.argsort(first[missing])]
        if len(missing):
            with progress(f"embedding by {self.card.name}", total=len(missing)) as bar:
                for start in range(0, len(missing), SHARD):
                    places = missing[start : start + SHARD]
                    texts = [sequences[index] for index in first[places]]
                    yield places, self._compute(texts, unique[places], bar)

    def _shards(self) -> list[Path]:
        """Key files; none where the folder cannot be listed."""
        with suppress(OSError):
            return sorted(self._folder.glob(f"[!.]*{_KEYS}"))
        return []

    def _compute(self, texts: list[str], keys: Keys, bar: Bar) -> NDArray[np.float32]:
        """Embed sequences and store them as a shard named by their keys."""
        if isinstance(self._model, ReportsProgress):
            vectors = self._model.embed_reporting(texts, bar.advance)
        else:
            vectors = _dense(self._model, texts)
            bar.advance(len(texts))
        self.computed += len(texts)
        raw = keys.view(np.uint8).reshape(-1, _KEY)
        name = sha256_bytes(raw.tobytes())
        with suppress(OSError):  # a full or read-only cache costs time later, not the job now
            for suffix, array in ((_VECTORS, vectors), (_KEYS, raw)):
                with atomic_path(self._folder / f"{name}{suffix}") as temporary, temporary.open("wb") as file:
                    np.save(file, array)
        return vectors


def _read_shard(keys_path: Path, wanted: Keys, absent: NDArray[np.bool_]) -> Part:
    """Places in `wanted` (sorted, unique) that are absent and that a shard holds, and their vectors.

    A broken shard is removed. One that cannot be read now (too many open files, a network share that is gone) is left
    alone and holds nothing for the moment.
    """
    vectors_path = keys_path.with_name(keys_path.name.removesuffix(_KEYS) + _VECTORS)
    with suppress(OSError):
        try:
            return _read_whole_shard(keys_path, vectors_path, wanted, absent)
        except (ValueError, EOFError):
            keys_path.unlink(missing_ok=True)
            vectors_path.unlink(missing_ok=True)
    return _NOTHING


def _read_whole_shard(keys_path: Path, vectors_path: Path, wanted: Keys, absent: NDArray[np.bool_]) -> Part:
    raw = np.load(keys_path)
    if raw.dtype != np.uint8 or raw.shape[1:] != (_KEY,):
        raise ValueError(f"{keys_path} holds no keys")
    keys = _as_void(raw)
    places = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    here = np.flatnonzero((wanted[places] == keys) & absent[places])
    if not len(here):
        return _NOTHING
    vectors = np.load(vectors_path, mmap_mode="r")  # let go of on return, so that no file stays open
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(keys):
        raise ValueError(f"{vectors_path} holds no vectors of {len(keys)} sequences")
    return places[here], np.asarray(vectors[here])


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
