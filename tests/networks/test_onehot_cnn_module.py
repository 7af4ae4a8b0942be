"""The one-hot CNN: against the usual Conv1d form, and independent of the company in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from glmbench.errors import UsageError
from glmbench.networks.configs import OneHotBaseCNNConfig, OneHotCNNConfig
from glmbench.networks.onehot_cnn import OneHotBaseCNN, OneHotCNN

SMALL = OneHotCNNConfig(channels=(8, 12, 12), kernels=(15, 7, 3), outputs=3)


def one_hot(codes: Tensor) -> Tensor:
    return functional.one_hot(codes.long(), 5)[..., :4].float().permute(0, 2, 1)[:, :, None]


def bases(seed: int, rows: int, length: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (rows, length)))


def fresh(config: OneHotCNNConfig = SMALL) -> OneHotCNN:
    """A network whose batch norms have seen data, so that evaluation mode is not trivial."""
    torch.manual_seed(0)
    network = OneHotCNN(config)
    for seed in range(3):
        network(one_hot(bases(seed, 16, 90)))
    return network.eval()


class Conv1dForm(nn.Module):
    """The textbook form: Conv1d with a ReLU before each pooling, on contiguous (B, 4, L)."""

    def __init__(self, network: OneHotCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        convolutions, norms = self.network.convolutions, self.network.norms
        for layer, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
            kernel = convolution.weight[:, :, 0].contiguous()
            x = functional.conv1d(x, kernel, padding=kernel.shape[2] // 2)
            x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            x = functional.relu(x)
            if layer < len(convolutions) - 1:
                x = functional.max_pool1d(x, self.network.config.pool, ceil_mode=True)
        return self.network.head(torch.cat((x.amax(2), x.mean(2)), 1))


@pytest.mark.parametrize("length", [1, 40, 70, 301])
def test_equals_the_conv1d_form(length: int) -> None:
    network = fresh()
    x = one_hot(bases(7, 5, length))
    torch.testing.assert_close(network(x), Conv1dForm(network)(x[:, :, 0].contiguous()), rtol=1e-5, atol=1e-5)


def test_a_short_sequence_scores_the_same_in_any_company() -> None:
    network = fresh()
    lengths = torch.tensor([40, 41, 63, 64, 200])
    codes = bases(3, 5, 200)
    padded = torch.where(torch.arange(200) < lengths[:, None], codes, 4)
    together = network(one_hot(padded), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = network(one_hot(codes[row : row + 1, :length]))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_ten_kilobases_and_unknown_bases_give_finite_scores() -> None:
    network = fresh()
    codes = bases(1, 1, 10_000)
    codes[0, 500:1500] = 4
    assert torch.isfinite(network(one_hot(codes))).all()
    assert torch.isfinite(network(one_hot(torch.full((1, 50), 4)))).all()


def test_padded_rows_have_finite_gradients() -> None:
    network = fresh().train()
    network(one_hot(bases(1, 4, 60)), torch.tensor([60, 3, 17, 33])).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_parameters_counts_the_weights_below_the_head() -> None:
    network = OneHotCNN(OneHotCNNConfig())
    below = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in network.head.parameters())
    assert OneHotCNNConfig().parameters == below == 110_976


@pytest.mark.parametrize(
    "sizes", [{"kernels": (15, 7)}, {"kernels": (15, 8, 3)}, {"pool": 0}, {"dropout": 1.0}, {"channels": ()}]
)
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        OneHotCNNConfig(**sizes)


def fresh_for_bases(config: OneHotBaseCNNConfig | None = None) -> OneHotBaseCNN:
    torch.manual_seed(0)
    network = OneHotBaseCNN(config or OneHotBaseCNNConfig(channels=16, outputs=3))
    for seed in range(3):
        network(one_hot(bases(seed, 16, 120)))
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 40, 200])
def test_bases_equal_the_conv1d_form(length: int) -> None:
    network = fresh_for_bases()
    codes = bases(7, 5, length)
    x = one_hot(codes)[:, :, 0].contiguous()
    layers = zip(network.convolutions, network.norms, network.config.dilations, strict=True)
    for convolution, norm, dilation in layers:
        kernel = convolution.weight[:, :, 0].contiguous()
        x = functional.conv1d(x, kernel, padding=dilation * (kernel.shape[2] // 2), dilation=dilation)
        x = functional.relu(functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    scores = network(one_hot(codes))
    assert scores.shape == (5, length, 3)
    torch.testing.assert_close(scores, network.head(x.transpose(1, 2)), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_bases_of_a_padded_row_score_as_alone() -> None:
    network = fresh_for_bases()
    lengths = torch.tensor([40, 1, 63, 64, 200])
    codes = bases(3, 5, 200)
    padded = torch.where(torch.arange(200) < lengths[:, None], codes, 4)
    together = network(one_hot(padded), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = network(one_hot(codes[row : row + 1, :length]))
        torch.testing.assert_close(together[row : row + 1, :length], alone, rtol=1e-5, atol=1e-5)
    unhidden = network(one_hot(padded))
    assert (unhidden[0, 35:40] - together[0, 35:40]).abs().max() > 1e-4, "without lengths padding would be seen"


@torch.no_grad()
def test_a_base_sees_49_bases_to_either_side_and_no_further() -> None:
    network = fresh_for_bases(OneHotBaseCNNConfig())
    codes = bases(0, 1, 300)
    before = network(one_hot(codes))[0]
    changed = codes.clone()
    changed[0, 150] = (changed[0, 150] + 1) % 4
    moved = (network(one_hot(changed))[0] - before).abs().max(dim=1).values.nonzero()[:, 0]
    assert (moved.min().item(), moved.max().item()) == (101, 199)
    assert len(moved) == 99, "each base between as well"


def test_padded_bases_have_finite_gradients_and_those_beyond_an_end_none() -> None:
    network = fresh_for_bases().train()
    x = one_hot(bases(1, 4, 60)).requires_grad_()
    lengths = torch.tensor([60, 3, 17, 33])
    network.eval()(x, lengths)[1, :3].sum().backward()
    assert x.grad is not None
    assert x.grad[1, :, 0, :3].any()
    assert not x.grad[0].any()
    network.train()(x, lengths).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(
    "sizes",
    [
        {"kernels": (15, 7)},
        {"kernels": (15, 8, 7, 7)},
        {"dilations": (1, 0, 1, 1)},
        {"dropout": 1.0},
        {"kernels": (), "dilations": ()},
    ],
)
def test_impossible_sizes_for_bases_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        OneHotBaseCNNConfig(**sizes)
