from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bases_factory import ConstantNetwork
from transformers import T5ForConditionalGeneration

from glmbench.networks.packing import Packing
from glmbench.networks.t5 import t5_config
from glmbench.pretraining.losses import NO_LABEL, MaskedModel, SpanModel, base_loss, token_loss
from glmbench.training.batches import Batch


class Network(ConstantNetwork, torch.nn.Module):
    def __init__(self, probabilities: list[float]) -> None:
        torch.nn.Module.__init__(self)
        ConstantNetwork.__init__(self, probabilities)
        self.asked = 0

    def head(self, states: torch.Tensor) -> torch.Tensor:
        self.asked += len(states)
        return super().head(states)


def test_only_what_is_asked_meets_the_head_and_the_loss_is_the_mean_surprise() -> None:
    network = Network([0.5, 0.25, 0.125, 0.125])
    packing = Packing.from_offsets(np.array([0, 3, 6]))
    inputs = (torch.arange(6) % 4, packing, torch.tensor([1, 4, 5]))
    loss = token_loss(MaskedModel(network), Batch(inputs, torch.tensor([0, 1, 2]), 6))
    assert network.asked == 3
    assert loss.item() == pytest.approx(math.log(2) * (1 + 2 + 3) / 3)


def test_span_loss_is_that_of_transformers() -> None:
    config = t5_config("t5-small", 20, pad=3, end=2, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    network = T5ForConditionalGeneration(config).eval()
    ids, mask = torch.tensor([[5, 6, 7, 2], [5, 8, 2, 3]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    labels = torch.tensor([[9, 5, 2], [9, 2, NO_LABEL]])
    batch = Batch((ids, mask, labels), labels[labels != NO_LABEL], 7)
    wanted = network(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert token_loss(SpanModel(network), batch).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_base_loss_takes_logits_of_lanes_and_of_windows() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]]))
    batch = Batch((torch.zeros(2, 1),), torch.tensor([0, 3]), 2)
    for shape in ((2, 4), (1, 2, 4)):
        loss = base_loss(lambda _, shape=shape: logits.reshape(shape), batch)
        assert loss.item() == pytest.approx(math.log(2) * 1.5)
