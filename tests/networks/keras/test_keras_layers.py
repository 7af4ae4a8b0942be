"""Single layers: by hand, against torch's own, and against Keras' own conversion of CuDNN weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from numpy.typing import NDArray
from torch import Tensor, nn

from glmbench.errors import DataError
from glmbench.networks.keras.activations import hard_sigmoid
from glmbench.networks.keras.convolution import padding
from glmbench.networks.keras.embedding import sinusoids
from glmbench.networks.keras.kinds import build_layer
from glmbench.networks.keras.layer import Layer, Weights, strided
from glmbench.networks.keras.recurrent import Recurrent
from glmbench.networks.keras.settings import Settings, Shape
from keras_files import FILES, random_arrays


def build(kind: str, config: dict[str, Any], arrays: Sequence[NDArray[np.float32]], *shapes: Shape) -> Layer:
    described = Settings("it", kind, config)
    weights = Weights(described, arrays)
    made = build_layer(described, shapes, weights)
    weights.finish()
    return made


def column(*values: float) -> Tensor:
    """One sequence with one channel."""
    return torch.tensor(values, dtype=torch.float32)[None, :, None]


def test_hard_sigmoid_is_that_of_keras_2() -> None:
    x = torch.tensor([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 9.0])
    torch.testing.assert_close(hard_sigmoid(x), torch.tensor([0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]))
    assert not torch.allclose(hard_sigmoid(x), nn.functional.hardsigmoid(x), atol=0.01)


@pytest.mark.parametrize(
    ("length", "width", "stride", "mode", "wanted"),
    [
        (10, 4, 1, "same", (1, 2)),  # the odd place on the right
        (61, 7, 2, "same", (3, 3)),
        (61, 4, 3, "same", (1, 2)),
        (6, 2, 3, "same", (0, 0)),
        (10, 5, 1, "causal", (4, 0)),
        (10, 5, 1, "valid", (0, 0)),
    ],
)
def test_padding_by_hand(length: int, width: int, stride: int, mode: str, wanted: tuple[int, int]) -> None:
    assert padding(length, width, stride, mode) == wanted


def test_a_convolution_by_hand() -> None:
    config = {"filters": 1, "kernel_size": [2], "padding": "causal", "use_bias": True, "activation": "linear"}
    made = build("Conv1D", config, [np.array([[[1.0]], [[10.0]]], np.float32), np.array([0.5], np.float32)], (3, 1))
    torch.testing.assert_close(made([column(1, 2, 3)]), column(10.5, 21.5, 32.5))


def test_an_average_counts_what_is_there() -> None:
    config = {"pool_size": [2], "strides": [2], "padding": "same"}
    average = build("AveragePooling1D", config, [], (3, 1))
    torch.testing.assert_close(average([column(1, 3, 5)]), column(2, 5))
    largest = build("MaxPooling1D", config, [], (3, 1))
    torch.testing.assert_close(largest([column(-1, -3, -5)]), column(-1, -5))
    dropped = build("MaxPooling1D", {"pool_size": 2, "strides": None}, [], (3, 1))
    torch.testing.assert_close(dropped([column(1, 3, 5)]), column(3))


def test_flatten_goes_place_by_place() -> None:
    made = build("Flatten", {}, [], (2, 3))
    assert made([torch.arange(6.0).reshape(1, 2, 3)]).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_leaky_relu_has_the_slope_of_the_file() -> None:
    x = torch.tensor([[-2.0, 3.0]])
    assert build("LeakyReLU", {"alpha": 0.0}, [], (2,))([x]).tolist() == [[0, 3]]
    torch.testing.assert_close(build("LeakyReLU", {"alpha": 0.1}, [], (2,))([x]), torch.tensor([[-0.2, 3.0]]))


def test_sinusoids_by_hand() -> None:
    table = sinusoids(3, 4, 10_000.0)
    assert table[0].tolist() == [0, 1, 0, 1]
    wanted = [np.sin(2), np.cos(2), np.sin(2 / 100), np.cos(2 / 100)]
    torch.testing.assert_close(table[2], torch.tensor(wanted, dtype=torch.float32))


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_cudnn_weights_are_read_as_keras_reads_them(kind: str, gates: int) -> None:
    """`cudnn_layout.npz`: Keras 2.15 converted weights to CuDNN's layout and ran the plain layer on some input."""
    with np.load(FILES / "cudnn_layout.npz") as arrays:
        weights = [arrays[f"{kind}_{name}"] for name in ("kernel", "recurrent", "bias")]
        x, wanted = torch.from_numpy(arrays[f"{kind}_x"]), torch.from_numpy(arrays[f"{kind}_y"])
    assert weights[2].shape == (2 * gates * 5,)
    config = {"units": 5, "return_sequences": True}
    got = build(f"CuDNN{kind}", config, weights, (7, 3))([x])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
    # Weights of the one layer under the name of the other: the length of the bias tells.
    plain = {**config, "activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}
    torch.testing.assert_close(build(kind, plain, weights, (7, 3))([x]), got, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_cudnn_weights_are_the_memory_of_torchs_own_layers(kind: str) -> None:
    """A CuDNN kernel's gate is the memory of torch's matrix of that gate, the halves of its bias are torch's two."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(3, 5, batch_first=True)
    gates = 4 if kind == "LSTM" else 3
    order = range(4) if kind == "LSTM" else (1, 0, 2)

    def gate(array: Tensor) -> list[NDArray[np.float32]]:
        parts = array.detach().numpy().reshape(gates, 5, -1)
        return [parts[number] for number in order]

    kernel = np.concatenate([part.reshape(3, 5) for part in gate(theirs.weight_ih_l0)], axis=1)
    recurrent = np.concatenate(gate(theirs.weight_hh_l0), axis=1)
    bias = np.concatenate([part.ravel() for b in (theirs.bias_ih_l0, theirs.bias_hh_l0) for part in gate(b)])
    made = build(f"CuDNN{kind}", {"units": 5, "return_sequences": True}, [kernel, recurrent, bias], (7, 3))
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(made([x]), theirs(x)[0].detach(), rtol=0, atol=1e-6)


def recurrent(kind: str, seed: int, **config: Any) -> Recurrent:
    gates = 4 if kind == "LSTM" else 3
    bias = (4 * 5,) if kind == "LSTM" else (2, 3 * 5)
    arrays = random_arrays(seed, (3, gates * 5), (5, gates * 5), bias)
    base = {"units": 5, "return_sequences": True, "recurrent_activation": "sigmoid", "reset_after": True}
    made = build(kind, {**base, "activation": "tanh", **config}, arrays, (None, 3))
    assert isinstance(made, Recurrent)
    return made


@given(
    kind=strategies.sampled_from(["LSTM", "GRU"]),
    seed=strategies.integers(0, 99),
    length=strategies.integers(1, 12),
    held=strategies.dictionaries(strategies.integers(0, 4), strategies.floats(-2, 2), max_size=2),
    backwards=strategies.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_kernel_and_the_loop_agree(
    kind: str, seed: int, length: int, held: dict[int, float], backwards: bool
) -> None:
    made = recurrent(kind, seed, go_backwards=backwards)
    assert made.kernel_runs_it
    for unit, value in held.items():
        made.hold(unit, value)
    x = torch.from_numpy(random_arrays(seed, (2, length, 3))[0])
    fast = made([x])
    made.kernel_runs_it = False
    torch.testing.assert_close(fast, made([x]), rtol=0, atol=1e-5)
    for unit, value in held.items():
        torch.testing.assert_close(fast[..., unit], torch.full((2, length), value))


def test_a_unit_held_at_zero_is_one_whose_weights_are_zero() -> None:
    made = recurrent("LSTM", 1)
    x = torch.from_numpy(random_arrays(2, (2, 9, 3))[0])
    made.hold(2, 0.0)
    held = made([x])
    made.hold(2, None)
    assert not torch.allclose(made([x])[..., 3], held[..., 3], atol=1e-3)
    made.weight_recurrent[:, 2] = 0
    free = made([x])
    torch.testing.assert_close(held[..., [0, 1, 3, 4]], free[..., [0, 1, 3, 4]], rtol=0, atol=0)


def test_a_masked_place_changes_nothing() -> None:
    made = recurrent("LSTM", 3)
    x = torch.from_numpy(random_arrays(4, (1, 6, 3))[0])
    mask = torch.tensor([[False, True, True, False, True, False]])
    got = made([x], mask)
    kept = made([x[:, [1, 2, 4]]])
    torch.testing.assert_close(got[:, [1, 2, 4]], kept, rtol=0, atol=1e-6)
    torch.testing.assert_close(got[:, [3, 5]], kept[:, [1, 2]], rtol=0, atol=1e-6)
    assert got[:, 0].abs().max() == 0


def test_directions_side_by_side_are_held_where_they_read() -> None:
    arrays = random_arrays(5, *2 * [(3, 20), (5, 20), (20,)])
    inner = {"units": 5, "return_sequences": True, "recurrent_activation": "sigmoid", "activation": "tanh"}
    config = {"layer": {"class_name": "LSTM", "config": inner}, "merge_mode": "concat"}
    made = build("Bidirectional", config, arrays, (6, 3))
    x = torch.from_numpy(random_arrays(6, (1, 6, 3))[0])
    free = made([x])
    made.hold(7, 0.5)
    held = made([x])
    assert torch.equal(held[..., :5], free[..., :5])
    assert (held[..., 7] == 0.5).all()
    assert not torch.allclose(held[..., 8], free[..., 8], atol=1e-4)  # its recurrence read the unit


@given(length=strategies.integers(1, 50), stride=strategies.integers(1, 9), offset=strategies.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_strided_places_leave_no_base_out(length: int, stride: int, offset: int) -> None:
    places = max(1, (length - offset) // stride)
    bounds = strided(np.arange(length + 1), places, stride, offset)
    assert len(bounds) == places + 1
    assert (bounds[0], bounds[-1]) == (0, length)
    assert (np.diff(bounds) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("Lambda", {}, "holds Python code"),
        ("SomeoneElses", {}, "not run here; wanted one of Activation"),
        ("LSTM", {"units": 5, "time_major": True}, "time_major switched on"),
        ("LSTM", {"units": 5, "return_state": True}, "return_state switched on"),
        ("LSTM", {"units": 5, "recurrent_activation": "my_own"}, "'my_own', wanted one of elu"),
        ("LSTM", {"units": "5"}, "units '5', wanted an integer"),
        ("LSTM", {"units": 10**5000 // 10**4000}, "wanted an integer from 1 to 10,000,000"),
        ("LeakyReLU", {"alpha": 10**400}, "wanted a number"),
        ("Conv1D", {"filters": 2, "kernel_size": [3], "dilation_rate": [1_000_000]}, "spans 2000001"),
        ("Conv1D", {"filters": 2, "kernel_size": [3], "data_format": "channels_first"}, "wanted one of channels_last"),
        ("Conv1D", {"filters": 2, "kernel_size": [90], "padding": "valid"}, "wanted a kernel"),
        ("Reshape", {"target_shape": [7, 7]}, "makes .7, 7. of 30 numbers"),
        ("Concatenate", {"axis": 0}, "joins inputs"),
        ("TimeDistributed", {}, "has no layer to wrap"),
        ("Bidirectional", {"layer": {"class_name": "Lambda", "config": {}}}, "wraps a Lambda"),
        ("layer_pos_sinusoid", {"maxlen": 9, "vocabulary_size": 4, "embed_dim": 0}, "has 9 positions"),
    ],
)
def test_settings_that_are_refused(kind: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        build(kind, config, [], (10, 3))
    assert "'it" in str(caught.value)  # the layer is named


def test_arrays_of_other_shapes_are_refused() -> None:
    config = {"units": 4, "activation": "relu"}
    with pytest.raises(DataError, match=r"a kernel of shape \(3, 5\) in the file, wanted \(3, 4\)"):
        build("Dense", config, random_arrays(0, (3, 5), (5,)), (3,))
    with pytest.raises(DataError, match=r"has 1 weight arrays in the file, wanted a bias \(4,\)"):
        build("Dense", config, random_arrays(0, (3, 4)), (3,))
    with pytest.raises(DataError, match="of different networks"):
        build("Dense", config, random_arrays(0, (3, 4), (4,), (4,)), (3,))
