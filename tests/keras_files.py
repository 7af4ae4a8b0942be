"""Keras files for tests: those that TensorFlow 2.15 wrote, and small ones written here as Keras writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

FILES = Path(__file__).parent / "networks" / "keras" / "files"
"""`.hdf5` files beside the inputs and outputs that TensorFlow gave, `.npz`; README.md there says how they were made."""

WEIGHTS_ONLY = "weights_only"
NAMES = sorted(path.stem for path in FILES.glob("*.hdf5"))
ORIGINALS = 17
"""Files that were there first; the others hold layers that those lack."""


def file(name: str) -> Path:
    return FILES / f"{name}.hdf5"


def stored(name: str) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """TensorFlow's inputs and output; the file of weights alone has those of the network they were taken from."""
    with np.load(FILES / f"{'lstm' if name == WEIGHTS_ONLY else name}.npz") as arrays:
        return [arrays[key] for key in sorted(arrays.files) if key.startswith("x")], arrays["y"]


def architecture_of(name: str, folder: Path) -> Path:
    """The architecture of a file by itself."""
    with h5py.File(file(name)) as opened:
        text = opened.attrs["model_config"]
    path = folder / f"{name}_architecture.json"
    path.write_text(text)
    return path


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def sequential(shape: Sequence[int | None], *layers: Mapping[str, Any]) -> dict[str, Any]:
    first = layer("InputLayer", "input", batch_input_shape=[None, *shape])
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *layers]}}


def dense(units: int, name: str = "dense", activation: str = "softmax") -> dict[str, Any]:
    return layer("Dense", name, units=units, activation=activation, use_bias=True)


def write(
    path: Path,
    config: Mapping[str, Any] | str | None,
    weights: Mapping[str, Sequence[NDArray[np.float32]]],
    *,
    version: str = "2.15.0",
    parts: int = 1,
) -> Path:
    """A file as Keras lays it out; `parts` cuts the list of layers, as Keras does with long ones."""
    with h5py.File(path, "w") as made:
        root = made.create_group("model_weights")
        made.attrs["keras_version"] = version
        if config is not None:
            made.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        names = [name.encode() for name in weights]
        if parts == 1:
            root.attrs["layer_names"] = names
        else:
            for number, part in enumerate(np.array_split(np.array(names), parts)):
                root.attrs[f"layer_names{number}"] = part
        for name, arrays in weights.items():
            group = root.create_group(name)
            listed = [f"{name}/weight_{number}:0" for number in range(len(arrays))]
            group.attrs["weight_names"] = [text.encode() for text in listed]
            for text, array in zip(listed, arrays, strict=True):
                group.create_dataset(text, data=array)
    return path


def random_arrays(seed: int, *shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]
