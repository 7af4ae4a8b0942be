"""From a file to a network that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glmbench.errors import DataError
from glmbench.networks.keras.architecture import parse_network
from glmbench.networks.keras.graph import KerasNetwork, weights_by_layer
from glmbench.networks.keras.h5_apart import read_apart
from glmbench.networks.keras.h5_file import KerasFile, read_architecture

LOADER_VERSION = 1
"""Raised when the same file gives other numbers."""


@dataclass(frozen=True)
class LoadedKeras:
    """A network and what its file says of it."""

    network: KerasNetwork
    parameters: int
    keras_version: str


def load_network(
    path: Path, architecture: Path | None = None, *, read: Callable[[Path], KerasFile] = read_apart
) -> LoadedKeras:
    """The network of a file, in evaluation mode on the processor.

    Args:
        path: a `.h5` or `.hdf5` file that Keras 2 wrote, of a whole model or of weights alone.
        architecture: JSON of `model.to_json()`, for weights alone.
        read: reads the file: in a process of its own, or `h5_file.read_keras_file` for files of one's own making.

    Raises:
        MissingData: a file is not there.
        DataError: a file is broken or hostile, has a layer that is not run here, or the two are of different networks;
            the message names the layer.
    """
    file = read(path)
    config = file.architecture if architecture is None else read_architecture(architecture)
    if config is None:
        raise DataError(
            f"{path}: holds weights alone, no architecture; give that too: ?architecture=FILE.json, the file that "
            "Keras' model.to_json() gives"
        )
    try:
        spec = parse_network(config)
        network = KerasNetwork(spec, weights_by_layer(spec, file.weights))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return LoadedKeras(network.eval().requires_grad_(False), file.parameters, file.keras_version)
