"""Files that are broken, or made to break something: a DataError that says why, and nothing else happens."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies

from glmbench.errors import DataError, MissingData
from glmbench.networks.keras.architecture import parse_network
from glmbench.networks.keras.graph import KerasNetwork, weights_by_layer
from glmbench.networks.keras.h5_apart import read_apart
from glmbench.networks.keras.h5_file import read_keras_file
from glmbench.networks.keras.loading import load_network as load_apart
from keras_files import dense, file, layer, random_arrays, sequential, write

DENSE = {"dense": random_arrays(0, (8, 4), (4,))}
FLAT = layer("Flatten", "flatten")
load_network = partial(load_apart, read=read_keras_file)


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


def test_a_small_file_written_here_is_taken(tmp_path: Path) -> None:
    network = load_network(write(tmp_path / "a.h5", sequential((2, 4), FLAT, dense(4)), DENSE)).network
    assert network.output_shapes == ((4,),)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no such file"):
        load_network(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"not a file of Keras", "cannot be read"),
        (pickle.dumps({"weights": [1, 2]}), "cannot be read"),
        (b"PK\x03\x04 and so on", "zip archive, as Keras 3 writes"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read"),
    ],
)
def test_no_hdf5(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    refused(path, message)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files(tmp_path: Path, share: float) -> None:
    content = file("lstm").read_bytes()
    path = tmp_path / "half.h5"
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "cannot be read")


@pytest.mark.parametrize("seed", range(6))
def test_overwritten_files(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = np.frombuffer(file("masks").read_bytes(), dtype=np.uint8).copy()
    content[rng.integers(0, 4_000, 20)] = rng.integers(0, 256, 20)
    path = tmp_path / "broken.h5"
    path.write_bytes(content.tobytes())
    with suppress(DataError):  # and nothing else; a changed bit of a weight is no error that anyone could see
        load_apart(path)


def test_a_crash_of_the_library_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over which HDF5 crashes is not one to keep: here the process kills itself instead."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(DataError, match=r"lstm\.hdf5: the HDF5 library crashed \(signal 11\) over it"):
        read_apart(file("lstm"))
    python.write_text("#!/bin/sh\necho out of luck >&2; exit 3\n")
    with pytest.raises(DataError, match=r"failed \(out of luck\)"):
        read_apart(file("lstm"))


@pytest.mark.parametrize("content", [b"no file of Keras", None])
def test_what_the_process_refuses_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingData if content is None else DataError, match=str(path)):
        load_apart(path)


@pytest.mark.parametrize("name", ["lstm", "nested_twice", "target_middle", "gru_kinds"])
@given(seed=strategies.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_an_architecture_changed_anywhere_is_refused_or_runs(name: str, seed: int) -> None:
    read = read_keras_file(file(name))
    assert read.architecture is not None
    rng = random.Random(seed)
    places = list(_places(read.architecture))
    holder, key = rng.choice(places)
    holder[key] = rng.choice([None, True, -1, 0, 3, 10**9, 10**400, 1.5, float("nan"), "", "LSTM", [], {}, [[]]])
    with suppress(DataError):
        spec = parse_network(read.architecture)
        network = KerasNetwork(spec, weights_by_layer(spec, read.weights))
        network([torch.zeros(1, *(length or 5 for length in shape)) for shape in network.input_shapes])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value that holds another."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def test_attributes_cut_into_parts(tmp_path: Path) -> None:
    layers = [dense(4, f"dense_{number}", "relu") for number in range(7)]
    weights = {f"dense_{number}": random_arrays(number, (4, 4), (4,)) for number in range(7)}
    config = sequential((4,), *layers)
    whole = load_network(write(tmp_path / "whole.h5", config, weights)).network
    parts = load_network(write(tmp_path / "parts.h5", config, weights, parts=3)).network
    assert parts.state_dict().keys() == whole.state_dict().keys()
    assert all(bool((a == b).all()) for a, b in zip(parts.buffers(), whole.buffers(), strict=True))


def test_keras_3_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.h5", sequential((2, 4), FLAT, dense(4)), DENSE, version="3.4.1"), "Keras 3.4.1")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ('{"a":' * 100_000, "no JSON"),
        (json.dumps({"class_name": "Lambda", "config": {}}), "network of class 'Lambda'"),
        (json.dumps({"class_name": "Sequential", "config": {"layers": 3}}), "without a list of layers"),
        (json.dumps({"class_name": "Sequential", "config": {"layers": [{}]}}), "without class_name"),
        (json.dumps(sequential((2, 4))), "no layers behind its input"),
        (json.dumps(sequential((2, 4), dense(4), dense(4))), "two layers named 'dense'"),
        (json.dumps(sequential((None, 4), FLAT, dense(4))), "wanted a fixed one"),
        (json.dumps(sequential((10**7, 10**7), FLAT, dense(4))), "more than 134,217,728 numbers"),
        (json.dumps(sequential((10**30, 4), FLAT, dense(4))), "wanted a list of lengths"),
        (json.dumps(sequential(("all", 4), FLAT, dense(4))), "wanted a list of lengths"),
        (json.dumps(sequential((2, 4), FLAT, dense(4 * 10**6))), r"a kernel of shape \(8, 4\)"),
        (json.dumps(sequential((2, 4), FLAT, dense(10**12))), "wanted an integer"),
        (json.dumps(sequential((2, 4), layer("Lambda", "dense", function=["gASV", None, None]))), "'dense'.*Python"),
        (json.dumps(sequential((2, 4), FLAT, layer("Evil>Thing", "dense"))), "'dense' .Thing. is of a class"),
        (json.dumps(sequential((2, 4), layer("LSTM", "dense", units=4, time_major=True))), "time_major"),
        (json.dumps(sequential((2, 4), layer("Flatten", "other"))), "of different networks"),
    ],
)
def test_architectures_that_are_refused(tmp_path: Path, config: str, message: str) -> None:
    refused(write(tmp_path / "a.h5", config, DENSE), message)


def functional(layers: list[dict[str, Any]], output: list[Any]) -> dict[str, Any]:
    first = {"class_name": "InputLayer", "name": "i", "config": {"name": "i", "batch_input_shape": [None, 8]}}
    body = {"layers": [{**first, "inbound_nodes": []}, *layers], "input_layers": [["i", 0, 0]], "output_layers": output}
    return {"class_name": "Functional", "config": body}


def node(name: str, *sources: list[Any], kind: str = "Dropout") -> dict[str, Any]:
    return {"class_name": kind, "name": name, "config": {"name": name}, "inbound_nodes": [list(sources)]}


@pytest.mark.parametrize(
    ("layers", "output", "message"),
    [
        ([node("a", ["b", 0, 0, {}]), node("b", ["a", 0, 0, {}])], [["b", 0, 0]], "in a circle"),
        ([node("a", ["nobody", 0, 0, {}])], [["a", 0, 0]], "in a circle or to layers it lacks"),
        ([node("a", ["i", 0, 0, {}])], [["nobody", 0, 0]], "none of its layers"),
        ([node("a", ["i", 0, 0, {}])], [["i", 0, 0]], "none of its layers"),
        ([node("a", ["i", 0, 0, {}])], [["a", 0, 1]], "output 1 of 'a'"),
        ([node("a", ["i", 0, 0, {}])], [["a", -1, 0]], "numbers are -1"),
        ([node("a", ["i", 0, 0, {"mask": ["i", 0, 0]}])], [["a", 0, 0]], "further arguments"),
        ([node("a", ["i", 0, 0, {}]), node("b", ["a", 0, 0], ["a", 5, 0], kind="Add")], [["b", 0, 0]], "2 calls"),
        ([node("a")], [["a", 0, 0]], "reads nothing"),
        ([node("a", ["i", 0, 0, {}])], [], "no output_layers"),
    ],
)
def test_joints_that_are_refused(tmp_path: Path, layers: list[dict[str, Any]], output: list[Any], message: str) -> None:
    refused(write(tmp_path / "a.h5", functional(layers, output), {}), message)


def test_networks_within_networks_end_somewhere(tmp_path: Path) -> None:
    config: dict[str, Any] = sequential((8,), dense(4))
    for number in range(30):
        config = sequential((8,), {**config, "config": {**config["config"], "name": f"net_{number}"}})
    refused(write(tmp_path / "a.h5", config, {}), "more than 16 deep")


def _external(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]
    made["model_weights/dense/dense/weight_0:0"] = h5py.ExternalLink("other.h5", "/data")


def _soft(made: h5py.File) -> None:
    del made["model_weights/dense"]
    made["model_weights/dense"] = h5py.SoftLink("/elsewhere")


def _outside(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]
    secret = Path(made.filename).with_name("secret")
    secret.write_bytes(bytes(8 * 4 * 4))
    made["model_weights/dense/dense"].create_dataset(
        "weight_0:0", (8, 4), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
    )


def _virtual(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]
    layout = h5py.VirtualLayout((8, 4), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (8, 4))
    made["model_weights/dense/dense"].create_virtual_dataset("weight_0:0", layout)


def _huge(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]
    made["model_weights/dense/dense"].create_dataset("weight_0:0", (10**7, 10**7), "f4", chunks=(64, 64))


def _linked(made: h5py.File) -> None:
    """Forty layers that are the same 8 MB, which take 8 kB in the file."""
    zeros = made.create_dataset("zeros", data=np.zeros((1000, 2000), "f4"), compression="gzip")
    for number in range(40):
        group = made["model_weights"].create_group(f"l{number}")
        group["x"] = zeros
        group.attrs["weight_names"] = [b"x"]
    made["model_weights"].attrs["layer_names"] = [f"l{number}".encode() for number in range(40)]


def _missing(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]


def _upwards(made: h5py.File) -> None:
    made["model_weights/dense"].attrs["weight_names"] = [b"../dense/weight_0:0"]


def _deep(made: h5py.File) -> None:
    made["model_weights/dense"].attrs["weight_names"] = [b"a/" * 999]


def _objects(made: h5py.File) -> None:
    del made["model_weights/dense/dense/weight_0:0"]
    made["model_weights/dense/dense"]["weight_0:0"] = "text"


def _infinite(made: h5py.File) -> None:
    made["model_weights/dense/dense/weight_0:0"][0, 0] = np.inf


def _group(made: h5py.File) -> None:
    del made["model_weights"]
    made["model_weights"] = np.zeros(3)


def _nameless(made: h5py.File) -> None:
    del made["model_weights"].attrs["layer_names"]


def _numbers(made: h5py.File) -> None:
    made["model_weights"].attrs["layer_names"] = [1, 2]


def _twice(made: h5py.File) -> None:
    made["model_weights"].attrs["layer_names"] = [b"dense", b"dense"]


def _no_text(made: h5py.File) -> None:
    made.attrs["model_config"] = 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "link to elsewhere"),
        (_soft, "link to elsewhere"),
        (_outside, "in another file"),
        (_virtual, "in another file"),
        (_huge, "holds 0 bytes"),
        (_linked, "claims more in its arrays up to .* than a file of its size can hold"),
        (_missing, "has no such thing"),
        (_upwards, "has no such thing"),
        (_deep, "parts, wanted at most 32"),
        (_objects, "no array of floating-point numbers"),
        (_infinite, "NaN or infinite"),
        (_group, "wanted a group"),
        (_nameless, "no attribute layer_names"),
        (_numbers, "where a text was wanted"),
        (_twice, "lists a name twice"),
        (_no_text, "where a text was wanted"),
    ],
)
def test_hdf5_that_no_keras_wrote(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    path = write(tmp_path / "a.h5", sequential((2, 4), FLAT, dense(4)), DENSE)
    with h5py.File(path, "r+") as made:
        change(made)
    refused(path, message)


def test_a_layer_with_a_slash_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, sequential((2, 4), FLAT, dense(4, "my/dense:1")), {"my/dense:1": DENSE["dense"]})
    network = load_network(path).network
    assert tuple(network.shapes) == ("flatten", "my/dense:1")
    assert network.layer("my/dense:1").output_shape((8,)) == (4,)


def test_an_architecture_that_is_no_file_or_no_json(tmp_path: Path) -> None:
    weights = shutil.copy(file("weights_only"), tmp_path / "w.h5")
    with pytest.raises(MissingData, match="to_json"):
        load_network(Path(weights), tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"bad\.json"):
        load_network(Path(weights), tmp_path / "bad.json")
