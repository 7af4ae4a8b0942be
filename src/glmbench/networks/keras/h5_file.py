"""The `.h5`/`.hdf5` files of Keras 2: the architecture as JSON, the weights as arrays, and nothing else is read.

A file comes from a stranger: links, arrays kept outside the file, sizes that the file cannot hold and anything that is
no text or number are refused; nothing in it is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, MissingData
from glmbench.storage.hashing import sha256_bytes

MOST_COMPRESSION = 1_100
"""Bytes that one byte on disk can stand for under HDF5's deflate filter; an array that claims more is made up."""
MOST_LARGER = 16
"""Times the size of the file that all its arrays may take in memory together, links to the same array each counted."""
ALWAYS_ALLOWED = 256 << 20
"""Bytes that they may take whatever the size of the file."""
DEEPEST = 32
"""Groups within groups, on the way to an array."""
LARGEST_JSON = 64 << 20


@dataclass(frozen=True)
class KerasFile:
    """What a file holds.

    Attributes:
        architecture: the JSON object `model_config`; None in a file of weights alone.
        weights: float32 arrays of each layer in the order in which the layer made them; all layers are listed.
        parameters: numbers in all arrays, those of layers that are listed twice (shared with a nested model) once.
        keras_version: as the file says; empty if it does not.
    """

    architecture: dict[str, Any] | None
    weights: dict[str, list[NDArray[np.float32]]]
    parameters: int
    keras_version: str


def read_keras_file(path: Path) -> KerasFile:
    """Read a file.

    Raises:
        MissingData: there is no such file.
        DataError: it is no HDF5 file, is truncated, was not written by Keras 2, or holds what no Keras file holds.
    """
    if not path.is_file():
        raise MissingData(f"{path}: no such file; wanted a .h5 or .hdf5 file that Keras wrote")
    with _reading(path), h5py.File(path, "r") as file:
        version = _text(file.attrs.get("keras_version", ""))
        if version.partition(".")[0] not in ("", "1", "2"):
            raise DataError(
                f"was written by Keras {version}, whose files and activations differ; wanted Keras 2 (TensorFlow up "
                "to 2.15): load and save it there, with model.save('model.h5')"
            )
        config = file.attrs.get("model_config")
        root = _group(file, "model_weights") if "model_weights" in file else file
        weights, parameters = _weights(root, max(ALWAYS_ALLOWED, MOST_LARGER * path.stat().st_size))
        return KerasFile(None if config is None else parse_json(_text(config)), weights, parameters, version)


def read_architecture(path: Path) -> dict[str, Any]:
    """An architecture that was saved by itself (`model.to_json()`), for a file of weights alone.

    Raises:
        MissingData: there is no such file.
        DataError: it is no JSON object.
    """
    if not path.is_file():
        raise MissingData(f"{path}: no such file; wanted the JSON that Keras' model.to_json() gives")
    with _reading(path):
        return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DataError: it is none, or lists within lists go too deep.
    """
    if len(text) > LARGEST_JSON:
        raise DataError(f"has an architecture of {len(text):,} characters, wanted at most {LARGEST_JSON:,}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"has an architecture that is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise DataError("has an architecture that is no JSON object")
    return value


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors name the file; whatever a broken file makes h5py raise is a DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError) as error:
        what = "is a zip archive, as Keras 3 writes" if _starts_with(path, b"PK") else f"cannot be read ({error})"
        raise DataError(f"{path}: {what}; wanted a whole .h5 or .hdf5 file written by Keras 2") from None


def _starts_with(path: Path, signature: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(signature)) == signature


def _weights(root: h5py.Group, allowed: int) -> tuple[dict[str, list[NDArray[np.float32]]], int]:
    layers: dict[str, list[NDArray[np.float32]]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for layer in _names(root, "layer_names"):
        group = _group(root, layer)
        layers[layer] = []
        for name in _names(group, "weight_names"):
            array = _array(group, name, allowed)
            allowed -= array.nbytes
            layers[layer].append(array)
            sizes[name, sha256_bytes(array.tobytes())] = array.size
    return layers, sum(sizes.values())


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; Keras cuts lists beyond 64 kB into `attribute0`, `attribute1` and so on."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
        if not parts:
            raise DataError(f"has no attribute {attribute} at {group.name}, so Keras did not write it")
    names = [_text(name) for part in parts for name in np.asarray(part).ravel().tolist()]
    if len(set(names)) != len(names):
        raise DataError(f"lists a name twice in {attribute} at {group.name}")
    return names


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if not isinstance(value, str):
        raise DataError(f"has a {type(value).__name__} where a text was wanted")
    return value


def _child(parent: h5py.Group, name: str) -> Any:
    """What a path below a group leads to, by hard links alone: soft and external links may lead anywhere."""
    steps = name.split("/")
    here: Any = parent
    if len(steps) > DEEPEST:
        raise DataError(f"has a name with {len(steps)} parts, wanted at most {DEEPEST}")
    for step in steps:
        if step in ("", ".", "..") or not isinstance(here, h5py.Group) or here.get(step, getlink=True) is None:
            raise DataError(f"lists {name!r} at {parent.name}, and has no such thing")
        if not isinstance(here.get(step, getlink=True), h5py.HardLink):
            raise DataError(
                f"has a link to elsewhere at {here.name}/{step}, which no Keras file has; it is not followed"
            )
        here = here[step]
    return here


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    found = _child(parent, name)
    if not isinstance(found, h5py.Group):
        raise DataError(f"has an array at {name}, wanted a group")
    return found


def _array(parent: h5py.Group, name: str, allowed: int) -> NDArray[np.float32]:
    """An array of at most `allowed` bytes as float32."""
    dataset = _child(parent, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f" or dataset.shape is None:
        raise DataError(f"has no array of floating-point numbers at {parent.name}/{name}")
    if dataset.external or dataset.is_virtual:
        raise DataError(f"keeps {parent.name}/{name} in another file, which no Keras file does; it is not read")
    claimed, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if claimed > stored * MOST_COMPRESSION:
        raise DataError(f"holds {stored:,} bytes of {parent.name}/{name}, which should have {claimed:,}")
    if dataset.size * 4 > allowed:
        raise DataError(f"claims more in its arrays up to {parent.name}/{name} than a file of its size can hold")
    array = np.array(dataset, dtype=np.float32, order="C")
    if not np.isfinite(array).all():
        raise DataError(f"has numbers in {parent.name}/{name} that are NaN or infinite")
    return array
