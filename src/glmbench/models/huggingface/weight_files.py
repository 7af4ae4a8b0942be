"""Weight files: read without running anything, and refused in words when they are broken or hold code."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from glmbench.errors import DataError
from glmbench.models.huggingface.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Within, whatever goes wrong with weight files is said of the checkpoint at `where`.

    Raises:
        DataError: a file is truncated, not there, or holds pickled code.
    """
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            yield
    except UnpicklingError as error:
        raise DataError(
            f"{where}: the .bin file holds more than plain tensors, and unpickling it could run code; "
            f"get the weights as safetensors ({str(error).splitlines()[0]})"
        ) from None
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError, EOFError) as error:
        raise DataError(f"{where}: the weights cannot be loaded: {error}; get the checkpoint again") from error


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Every weight under its released name, in the precision of the file; use it within `reading`.

    A pickle is read by `torch.load(weights_only=True)`, which runs no code of the file.
    """
    import torch
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in _files(checkpoint.weights):
        if path.suffix == ".safetensors":
            weights |= load_file(path)
            continue
        pickled = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(pickled, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in pickled.values()):
            raise ValueError(f"{path.name} holds {type(pickled).__name__}, wanted names and tensors")
        weights |= pickled
    return weights


def weight_names(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Tensors of nothing but zeros by the names and in the shapes of the file, which take no memory; as `read_weights`.

    Tensors of the file are not read.
    """
    import torch
    from safetensors import safe_open

    shapes: dict[str, list[int]] = {}
    for path in _files(checkpoint.weights):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            continue
        pickled = torch.load(path, map_location="meta", weights_only=True)
        shapes |= {name: list(tensor.shape) for name, tensor in pickled.items()}
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def _files(found: list[Path]) -> list[Path]:
    """The files that hold tensors: the one whole file, else those that the index names."""
    whole = [path for path in found if path.name in ("model.safetensors", "pytorch_model.bin")]
    indices = [path for path in found if path.suffix == ".json"]
    if whole or not indices:
        return whole or found
    named = json.loads(indices[0].read_text(encoding="utf-8"))["weight_map"].values()
    return [indices[0].parent / name for name in sorted(set(named))]
