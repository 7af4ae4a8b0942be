from __future__ import annotations

import pytest
import torch
from transformers import T5ForConditionalGeneration

from glmbench.errors import UsageError
from glmbench.networks.t5 import t5_config


def test_the_small_one_has_version_1_1_s_count_but_for_the_tied_output() -> None:
    with torch.device("meta"):
        network = T5ForConditionalGeneration(t5_config("t5-small", 32_128, pad=0, end=1))
    tied = network.lm_head.weight is network.shared.weight
    own = network.lm_head.weight.numel() if tied else 0
    assert sum(parameter.numel() for parameter in network.parameters()) + own == 76_961_152
    assert not network.config.scale_decoder_outputs


def test_it_learns_from_labels() -> None:
    torch.manual_seed(0)
    config = t5_config("t5-small", 30, pad=3, end=2, num_layers=1, d_model=16, d_kv=8, d_ff=16)
    network = T5ForConditionalGeneration(config)
    labels = torch.tensor([[7, 2, -100], [8, 9, 2]])
    output = network(input_ids=torch.randint(5, 30, (2, 6)), labels=labels)
    assert output.logits.shape == (2, 3, 30)
    output.loss.backward()
    assert config.num_decoder_layers == 1
    assert config.decoder_start_token_id == 3


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no T5 't5-huge'; wanted one of t5-small, t5-base"):
        t5_config("t5-huge", 30, pad=3, end=2)
    with pytest.raises(UsageError, match="depth: no fields of T5Config"):
        t5_config("t5-small", 30, pad=3, end=2, depth=2)
