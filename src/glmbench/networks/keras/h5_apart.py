"""Reads a Keras file in a process of its own: the HDF5 library can crash over a broken file, and we must not.

The process is this module run by itself; it writes one line of JSON and then the arrays, and nothing it says is run.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, GlmbenchError, MissingData
from glmbench.networks.keras.h5_file import KerasFile, read_keras_file

_SECONDS = 600
"""After which a file that is still being read is taken to be broken."""


def read_apart(path: Path) -> KerasFile:
    """As `h5_file.read_keras_file`, and also when the HDF5 library crashes or hangs over the file.

    Raises:
        MissingData: there is no such file.
        DataError: as `read_keras_file`.
    """
    command = [sys.executable, "-P", "-m", __name__, str(path)]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise _broken(path, f"did not finish within {_SECONDS} s") from None
    head, _, body = ran.stdout.partition(b"\n")
    if ran.returncode < 0:
        raise _broken(path, f"crashed (signal {-ran.returncode})")
    if ran.returncode > 0:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise _broken(path, f"failed ({''.join(last)})")
    try:
        said: dict[str, Any] = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: has an architecture that cannot be read ({error})") from None
    if "missing" in said:
        raise MissingData(said["missing"])
    if "broken" in said:
        raise DataError(said["broken"])
    return _unpacked(said, body)


def _broken(path: Path, what: str) -> DataError:
    return DataError(f"{path}: the HDF5 library {what} over it; the file is broken, wanted one that Keras 2 wrote")


def _unpacked(said: dict[str, Any], body: bytes) -> KerasFile:
    numbers = np.frombuffer(body, dtype=np.float32)
    weights: dict[str, list[NDArray[np.float32]]] = {}
    at = 0
    for name, shapes in said["weights"]:
        weights[name] = []
        for shape in shapes:
            size = math.prod(shape)
            weights[name].append(numbers[at : at + size].reshape(shape).copy())
            at += size
    return KerasFile(said["architecture"], weights, said["parameters"], said["keras_version"])


def _tell(path: Path) -> None:
    """The work of the process."""
    out = sys.stdout.buffer
    try:
        file = read_keras_file(path)
    except MissingData as error:
        out.write(json.dumps({"missing": str(error)}).encode())
        return
    except GlmbenchError as error:
        out.write(json.dumps({"broken": str(error)}).encode())
        return
    listed = [[name, [array.shape for array in arrays]] for name, arrays in file.weights.items()]
    said = {
        "architecture": file.architecture,
        "weights": listed,
        "parameters": file.parameters,
        "keras_version": file.keras_version,
    }
    out.write(json.dumps(said).encode() + b"\n")
    for arrays in file.weights.values():
        for array in arrays:
            out.write(array.tobytes())


if __name__ == "__main__":
    _tell(Path(sys.argv[1]))
