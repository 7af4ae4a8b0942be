"""The GenomeNet networks: sizes by hand, TensorFlow's outputs, Keras' starting weights, what a prediction sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import glmbench
from glmbench.errors import UsageError
from glmbench.networks.genomenet import GenomeNetForBasePrediction, GenomeNetModel
from glmbench.networks.genomenet_config import ARCHITECTURES, Architecture, GenomeNetConfig, Position, preset
from glmbench.networks.genomenet_layers import LSTM, Branch, ConvolutionBlock, SequenceDropout
from glmbench.tokenizers.character import CharacterTokenizer

ALL = [(architecture, position) for architecture in ARCHITECTURES for position in ("end", "middle")]


def network(config: GenomeNetConfig, seed: int = 0) -> GenomeNetForBasePrediction:
    """In evaluation mode, with batch norms that are not trivial."""
    torch.manual_seed(seed)
    built = GenomeNetForBasePrediction(config)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    return built.eval()


def bases(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(5, 9, (rows, length)))


def keras_parameters(module: nn.Module) -> int:
    """As Keras counts: running statistics too."""
    return sum(p.numel() for p in module.parameters()) + sum(
        b.numel() for name, b in module.named_buffers() if "running" in name
    )


def convolution(width: int, inputs: int, filters: int) -> int:
    return width * inputs * filters + filters


def lstm(inputs: int, units: int) -> int:
    return 4 * (inputs * units + units * units + units)


CNN_LSTM = (
    *(convolution(12, 4, 32), 4 * 32),
    *(convolution(12, 32, 64), 4 * 64),
    *(convolution(12, 64, 64), 4 * 64),
    lstm(64, 32),
)
CNN = (
    *(convolution(12, 4, 32), 4 * 32),
    *(convolution(12, 32, 64), 4 * 64),
    *(convolution(12, 64, 128), 4 * 128),
)
LSTM_LAYERS = (lstm(4, 128), lstm(128, 128))
SKIP = (
    *(convolution(8, 4, 64), 4 * 64),
    *(convolution(8, 64, 64), 4 * 64),  # as many filters as before: nothing on the skip path has weights
    *(convolution(8, 64, 128), 4 * 128, convolution(1, 64, 128), 4 * 128),
    *(convolution(8, 128, 128), 4 * 128),
)


@pytest.mark.parametrize(
    ("architecture", "branch", "end", "middle"),
    [
        ("lstm", LSTM_LAYERS, 128, 256),
        ("stateful-lstm", LSTM_LAYERS, 128, 256),
        ("cnn", CNN, 5 * 128, 2 * 2 * 128),  # 150 / 27 and 75 / 27 positions are left after pooling
        ("cnn-lstm", CNN_LSTM, 32, 64),
        ("skip", SKIP, 128, 256),
    ],
)
def test_parameters_are_those_of_a_hand_count(
    architecture: Architecture, branch: tuple[int, ...], end: int, middle: int
) -> None:
    for position, branches, features in (("end", 1, end), ("middle", 2, middle)):
        built = GenomeNetForBasePrediction(preset(architecture, position))
        assert keras_parameters(built) == branches * sum(branch) + features * 4 + 4
    published = {"lstm": 200_196, "stateful-lstm": 200_196, "cnn": 128_100, "cnn-lstm": 88_612, "skip": 242_692}
    assert keras_parameters(GenomeNetForBasePrediction(preset(architecture))) == published[architecture]


def test_the_published_cnn_lstm_is_the_preset() -> None:
    config = preset("cnn-lstm")
    assert (config.context, config.momentum) == (500, 0.8)
    assert keras_parameters(GenomeNetForBasePrediction(config)) == 88_612
    norms = [m for m in GenomeNetForBasePrediction(config).modules() if isinstance(m, nn.BatchNorm1d)]
    assert [(norm.eps, round(norm.momentum, 9)) for norm in norms] == 3 * [(1e-3, 0.2)]


class Keras:
    """A model of the fixture: layer by layer in the file's order, as TensorFlow 2.15 wrote and ran it."""

    def __init__(self, name: str) -> None:
        with np.load(Path(__file__).with_name("genomenet_keras.npz")) as file:
            self.arrays = {
                key.removeprefix(f"{name}/"): torch.from_numpy(file[key]) for key in file if key.startswith(f"{name}/")
            }

    def layer(self, name: str) -> dict[str, Tensor]:
        found = {key.split("/")[1]: v for key, v in self.arrays.items() if key.startswith(f"{name}/")}
        assert found, name
        return found

    def ids(self, which: str = "x0") -> Tensor:
        return self.arrays[which].long() + 5

    def dense(self, name: str, x: Tensor) -> Tensor:
        layer = self.layer(name)
        return x @ layer["kernel"] + layer["bias"]

    def into_lstm(self, lstm: nn.Module, name: str) -> None:
        layer = self.layer(name)
        assert isinstance(lstm, LSTM)
        lstm.kernel.data, lstm.recurrent.data = layer["kernel"].T, layer["recurrent_kernel"].T
        lstm.bias.data = layer["bias"]

    def into_convolution(self, convolution: nn.Conv1d, norm: nn.BatchNorm1d, number: int) -> None:
        layer = self.layer(f"conv1d_{number}")
        convolution.weight.data, convolution.bias.data = layer["kernel"].permute(2, 1, 0), layer["bias"]
        layer = self.layer(f"batch_normalization_{number}")
        norm.weight.data, norm.bias.data = layer["gamma"], layer["beta"]
        norm.running_mean, norm.running_var = layer["moving_mean"], layer["moving_variance"]

    def into_block(self, block: nn.Module, number: int, skip: int | None = None) -> None:
        assert isinstance(block, ConvolutionBlock)
        self.into_convolution(block.convolution, block.norm, number)
        if skip is not None:
            self.into_convolution(block.skip_convolution, block.skip_norm, skip)


def test_the_lstm_is_that_of_keras() -> None:
    keras = Keras("lstm")
    model = GenomeNetModel(GenomeNetConfig(context=50, units=(16, 12), readout="last")).eval()
    for layer, name in zip(model.left.lstms, ("lstm", "lstm_1"), strict=True):
        keras.into_lstm(layer, name)
    hidden = keras.dense("dense", model.target_features(keras.ids())).relu()
    torch.testing.assert_close(keras.dense("dense_1", hidden).softmax(1), keras.arrays["y"], rtol=0, atol=2e-6)


def test_the_network_with_skip_connections_is_that_of_keras() -> None:
    keras = Keras("residual")
    config = GenomeNetConfig(context=60, filters=(16, 16, 32), kernel=8, pools=(2, 1, 2), residual=True, readout="mean")
    model = GenomeNetModel(config).eval()
    for block, number, skip in zip(model.left.blocks, (9, 10, 12), (None, None, 11), strict=True):
        keras.into_block(block, number, skip)
    scores = keras.dense("dense_10", model.target_features(keras.ids()))
    torch.testing.assert_close(scores.softmax(1), keras.arrays["y"], rtol=0, atol=2e-6)


def test_the_cnn_and_lstm_are_those_of_keras() -> None:
    keras = Keras("cnn_lstm")  # its blocks are those of a middle network: pooling before batch norm
    branch = Branch(
        GenomeNetConfig("middle", 120, filters=(16, 24), kernel=8, pools=(3, 3), units=(12, 10), readout="last")
    ).eval()
    for block, number in zip(branch.blocks, (7, 8), strict=True):
        keras.into_block(block, number)
    for layer, name in zip(branch.lstms, ("lstm_7", "lstm_8"), strict=True):
        keras.into_lstm(layer, name)
    x = functional.one_hot(keras.ids() - 5, 4).float()
    torch.testing.assert_close(keras.dense("dense_9", branch(x)).softmax(1), keras.arrays["y"], rtol=0, atol=2e-6)


def test_the_middle_network_is_that_of_keras() -> None:
    keras = Keras("target_middle")  # its second input is the right flank, already reversed
    config = GenomeNetConfig("middle", 50, filters=(16,), kernel=8, pools=(2,), units=(12, 10), readout="last")
    model = GenomeNetModel(config).eval()
    assert model.right is not None
    for branch, number, names in ((model.left, 13, ("lstm_9", "lstm_10")), (model.right, 14, ("lstm_11", "lstm_12"))):
        keras.into_block(branch.blocks[0], number)
        for layer, name in zip(branch.lstms, names, strict=True):
            keras.into_lstm(layer, name)
    window = torch.cat((keras.ids("x0"), torch.full((8, 1), 4), keras.ids("x1").flip(1)), dim=1)
    hidden = keras.dense("dense_11", model.target_features(window)).relu()
    torch.testing.assert_close(keras.dense("dense_12", hidden).softmax(1), keras.arrays["y"], rtol=0, atol=2e-6)


def test_lstm_by_hand() -> None:
    layer = LSTM(3, 2)
    x = torch.randn(1, 4, 3)
    output, cell = np.zeros(2), np.zeros(2)
    kernel, recurrent, bias = (p.detach().double().numpy() for p in (layer.kernel, layer.recurrent, layer.bias))
    for row in x[0].double().numpy():
        gates = kernel @ row + recurrent @ output + bias
        i, f, o = (1 / (1 + np.exp(-gates[at : at + 2])) for at in (0, 2, 6))
        cell = f * cell + i * np.tanh(gates[4:6])
        output = o * np.tanh(cell)
    zero = torch.zeros(1, 2)
    states, last, after = layer(x, (zero, zero))
    np.testing.assert_allclose(states[0, -1].detach().numpy(), output, atol=1e-6)
    np.testing.assert_allclose(last[0].detach().numpy(), output, atol=1e-6)
    np.testing.assert_allclose(after[0].detach().numpy(), cell, atol=1e-6)


def test_fresh_weights_start_as_keras_starts_them() -> None:
    built = GenomeNetForBasePrediction(preset("cnn-lstm"))
    layer = built.genomenet.left.lstms[0]
    assert isinstance(layer, LSTM)
    torch.testing.assert_close(layer.recurrent.T @ layer.recurrent, torch.eye(32), rtol=0, atol=1e-5)
    assert layer.bias.tolist() == 32 * [0.0] + 32 * [1.0] + 64 * [0.0]
    limits = [(layer.kernel, 64 + 4 * 32), (built.head.weight, 32 + 4)]
    for block, (inputs, filters) in zip(built.genomenet.left.blocks, ((4, 32), (32, 64), (64, 64)), strict=True):
        assert isinstance(block, ConvolutionBlock)
        limits.append((block.convolution.weight, 12 * (inputs + filters)))
        assert not block.convolution.bias.any()
    for kernel, fans in limits:
        limit = (6 / fans) ** 0.5
        assert 0.9 * limit < kernel.abs().max() <= limit
        assert kernel.std().item() == pytest.approx(limit / 3**0.5, rel=0.15)


def test_dropout_has_one_mask_a_sequence() -> None:
    torch.manual_seed(1)
    dropout = SequenceDropout(0.3)
    x = torch.ones(200, 7, 50)
    dropped = dropout(x)
    assert torch.equal(dropped, dropped[:, :1].expand_as(x))
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    torch.testing.assert_close(dropped.max(), torch.tensor(1 / 0.7))
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize(("architecture", "position"), ALL)
def test_predictions_are_probabilities_and_see_the_nearest_bases_only(
    architecture: Architecture, position: Position
) -> None:
    config = preset(architecture, position, context=100)
    built = network(config)
    window = bases(2, 100 if position == "end" else 101)
    expected = built.base_log_probabilities(window)
    assert expected.shape == (2, 4)
    torch.testing.assert_close(expected.exp().sum(1), torch.ones(2))
    if not config.stateful:
        further = functional.pad(window, (30, 30 if position == "middle" else 0), value=7)
        torch.testing.assert_close(built.base_log_probabilities(further), expected)


def test_a_stateful_network_reads_all_that_is_on_the_left() -> None:
    stateful, plain = (network(preset(name, context=10)) for name in ("stateful-lstm", "lstm"))
    window = bases(2, 20)
    assert torch.equal(plain(window).logits, plain(window[:, 10:]).logits)
    assert not torch.equal(stateful(window).logits, stateful(window[:, 10:]).logits)
    torch.testing.assert_close(stateful(window[:, 10:]).logits, plain(window).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_asked_base_is_not_looked_at_but_its_neighbours_are(architecture: Architecture) -> None:
    built = network(preset(architecture, "middle", context=100))
    window = bases(1, 101)
    expected = built(window).logits
    for at, same in ((50, True), (49, False), (51, False), (10, False), (90, False)):
        other = window.clone()
        other[0, at] = 5 + (other[0, at] - 4) % 4
        assert torch.equal(built(other).logits, expected) == same, at


@pytest.mark.parametrize("architecture", ["lstm", "cnn", "cnn-lstm", "skip"])
def test_short_contexts_are_filled_up_with_zero_rows_at_their_far_ends(architecture: Architecture) -> None:
    unknown = 1
    built = network(preset(architecture, "middle", context=100))
    window = bases(2, 61)
    torch.testing.assert_close(built(window).logits, built(functional.pad(window, (20, 20), value=unknown)).logits)
    built = network(preset(architecture, "end", context=100))
    torch.testing.assert_close(built(window).logits, built(functional.pad(window, (39, 0), value=0)).logits)


def test_a_window_without_a_middle_is_refused() -> None:
    with pytest.raises(UsageError, match="odd number"):
        network(preset("lstm", "middle", context=10))(bases(1, 10))


@pytest.mark.parametrize(("architecture", "position"), ALL)
@pytest.mark.parametrize("length", [1, 30, 77])
def test_states_are_one_a_base(architecture: Architecture, position: Position, length: int) -> None:
    config = preset(architecture, position)
    output = network(config).genomenet(bases(2, length), output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, length, config.hidden_size)
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    assert all(states.shape[:2] == (2, length) for states in output.hidden_states)
    blocks = output.last_hidden_state.split(config.stride, dim=1)
    if position == "end":  # a pooled state is repeated for each of its bases
        assert all(torch.equal(block, block[:, :1].expand_as(block)) for block in blocks)


def test_states_of_a_middle_lstm_have_read_up_to_their_base_from_both_sides() -> None:
    model = network(preset("lstm", "middle")).genomenet
    ids = bases(1, 40)
    other = ids.clone()
    other[0, 20] = 5 + (other[0, 20] - 4) % 4
    differs = (model(ids).last_hidden_state != model(other).last_hidden_state)[0]
    assert differs[:, :128].any(1).tolist() == [at >= 20 for at in range(40)]
    assert differs[:, 128:].any(1).tolist() == [at <= 20 for at in range(40)]


def test_checkpoints_load_by_the_auto_classes(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

    built = network(preset("skip", "middle", context=100))
    built.save_pretrained(tmp_path)
    ids = bases(2, 101)
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == built.config.to_diff_dict()
    assert torch.equal(AutoModelForPreTraining.from_pretrained(tmp_path).eval()(ids).logits, built(ids).logits)
    model = AutoModel.from_pretrained(tmp_path)
    assert type(model) is GenomeNetModel
    states = model.eval()(ids).last_hidden_state
    assert torch.equal(states, built.genomenet(ids).last_hidden_state)


@pytest.mark.parametrize("architecture", ["lstm", "cnn-lstm"])
def test_checkpoints_embed_as_any_other_and_whatever_the_company(architecture: Architecture, tmp_path: Path) -> None:
    config = preset(architecture, "middle", units=(8,), context=60)
    built = network(config)
    built.save_pretrained(tmp_path)
    CharacterTokenizer().save(tmp_path)
    model = glmbench.load_model(f"hf:{tmp_path}")
    sequences = ["ACGTNACGTTTGACA", "A", 40 * "CGA", "TTGACATATAATGCG"]
    embedded = model.embed(sequences)
    assert embedded.shape == (4, 16)
    alone = np.concatenate([model.embed([sequence]) for sequence in sequences])
    np.testing.assert_allclose(embedded, alone, atol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [
        {"position": "left"},
        {"readout": "max"},
        {"filters": (8,), "pools": ()},
        {"units": ()},
        {"units": (0,)},
        {"dropout": 1.0},
        {"base_ids": (5, 6, 7, 7)},
        {"context": 151},
        {"filters": (8, 8), "pools": (10, 10), "context": 150, "position": "middle"},
        {"stateful": True, "units": (8, 16)},
        {"stateful": True, "filters": (8,), "pools": (2,)},
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        GenomeNetConfig(**{"units": (8,), **sizes})


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(UsageError, match="stateful-lstm"):
        preset("transformer")
