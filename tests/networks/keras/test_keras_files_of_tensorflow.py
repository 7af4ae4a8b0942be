"""Whole files against the outputs that TensorFlow 2.15 gave for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from glmbench.errors import DataError
from glmbench.networks.keras.h5_apart import read_apart
from glmbench.networks.keras.h5_file import read_keras_file
from glmbench.networks.keras.loading import LoadedKeras
from glmbench.networks.keras.loading import load_network as load_apart
from keras_files import NAMES, ORIGINALS, WEIGHTS_ONLY, architecture_of, file, stored

OTHERS = 8
load_network = partial(load_apart, read=read_keras_file)  # these files are ours: no process for each


def load(name: str, folder: Path) -> LoadedKeras:
    return load_network(file(name), architecture_of("lstm", folder) if name == WEIGHTS_ONLY else None)


def test_all_files_are_here() -> None:
    assert len(NAMES) == ORIGINALS + OTHERS


def test_a_process_of_its_own_reads_the_same() -> None:
    here, apart = read_keras_file(file("nested_rc")), read_apart(file("nested_rc"))
    assert (apart.architecture, apart.parameters) == (here.architecture, here.parameters)
    assert list(apart.weights) == list(here.weights)
    for name, arrays in here.weights.items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, apart.weights[name], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_tensorflow(name: str, tmp_path: Path) -> None:
    inputs, wanted = stored(name)
    outputs, _ = load(name, tmp_path).network([torch.from_numpy(x) for x in inputs])
    got = outputs[0].numpy()
    assert got.shape == wanted.shape
    # TensorFlow rounded every step of the mixed file to half precision; here all is float32.
    assert np.abs(got - wanted).max() <= (1e-4 if name == "mixed_fp16" else 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_what_each_gives_alone(name: str, tmp_path: Path) -> None:
    inputs = [torch.from_numpy(x) for x in stored(name)[0]]
    network = load(name, tmp_path).network
    together = network(inputs)[0][0]
    alone = torch.cat([network([x[row : row + 1] for x in inputs])[0][0] for row in range(len(inputs[0]))])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together, network(inputs)[0][0], rtol=0, atol=0)  # nothing is left of the call before


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_places_are_known_without_running(name: str, tmp_path: Path) -> None:
    network = load(name, tmp_path).network
    inputs = [torch.from_numpy(x) for x in stored(name)[0]]
    _, found = network(inputs, set(network.shapes))
    bounds = network.bounds([np.arange(x.shape[1] + 1) for x in inputs])
    assert set(found) == set(network.shapes) == set(bounds)
    for label, shape in network.shapes.items():
        seen = tuple(found[label].shape[1:])
        assert len(seen) == len(shape)
        assert all(length in (None, real) for length, real in zip(shape, seen, strict=True))
        borders = bounds[label]
        if borders is not None:
            assert len(borders) == seen[0] + 1
            assert {borders[0], borders[-1]} == {0, inputs[0].shape[1]}


def test_logits_are_what_the_softmax_is_of() -> None:
    network = load_network(file("lstm")).network
    inputs = [torch.from_numpy(x) for x in stored("lstm")[0]]
    assert network.gives_logits()
    logits, _ = network(inputs, logits=True)
    torch.testing.assert_close(torch.softmax(logits[0], -1), network(inputs)[0][0], rtol=0, atol=1e-6)


def test_shared_weights_count_once() -> None:
    # 8 * 4 * 16 + 16 of the convolution, 4 * 16 of the norm, 16 * 3 + 3 of the last layer
    assert load_network(file("nested_rc")).parameters == 528 + 64 + 51


def test_weights_alone_want_an_architecture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"weights alone.*architecture=FILE\.json"):
        load_network(file(WEIGHTS_ONLY))
    with pytest.raises(DataError, match="of different networks"):
        load_network(file(WEIGHTS_ONLY), architecture_of("cnn", tmp_path))


def test_weights_are_taken_in_order_where_no_name_fits(tmp_path: Path) -> None:
    architecture = architecture_of("lstm", tmp_path)
    text = architecture.read_text()
    for name in ("lstm_1", "dense_1", "lstm", "dense"):
        text = text.replace(f'"{name}"', f'"other_{name}"')
    architecture.write_text(text)
    inputs, wanted = stored("lstm")
    network = load_network(file(WEIGHTS_ONLY), architecture).network
    assert "other_dense_1" in network.shapes
    assert np.abs(network([torch.from_numpy(inputs[0])])[0][0].numpy() - wanted).max() < 1e-6
