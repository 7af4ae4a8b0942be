"""The modern encoder against transformers' ModernBERT with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from glmbench.errors import UsageError
from glmbench.networks.modern import ModernForMaskedLM, ModernForSequenceClassification, ModernModel
from glmbench.networks.modern_config import ModernConfig
from glmbench.networks.packing import Packing

TINY: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "local_attention": 8,
}
LENGTHS = (5, 23, 1, 23, 12)
OURS_BY_THEIRS = {
    "embeddings.tok_embeddings": "embeddings.tokens",
    "layers.": "layers.",
    ".attn_norm": ".attention_norm",
    ".attn.Wqkv": ".attention.qkv",
    ".attn.Wo": ".attention.out",
    ".mlp_norm": ".feed_forward_norm",
    ".mlp.Wi": ".feed_forward.gate_and_value",
    ".mlp.Wo": ".feed_forward.out",
    "head.dense": "lm_head.dense",
    "head.norm": "lm_head.norm",
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rough(network: Any) -> Any:
    """The network with weights large enough that every part matters."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return network.eval()


def packed_and_padded() -> tuple[Tensor, Packing, Tensor, Tensor]:
    torch.manual_seed(2)
    offsets = np.concatenate(([0], np.cumsum(LENGTHS)))
    ids = torch.randint(5, 40, (sum(LENGTHS),))
    rows = torch.full((len(LENGTHS), max(LENGTHS)), 17)
    mask = torch.zeros_like(rows)
    for row, length in enumerate(LENGTHS):
        rows[row, :length] = ids[offsets[row] : offsets[row + 1]]
        mask[row, :length] = 1
    return ids, Packing.from_offsets(offsets), rows, mask


def modernbert_of(network: ModernForMaskedLM) -> Any:
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    rope = {"rope_type": "default", "rope_theta": network.config.rope_theta}
    sizes = {name: value for name, value in TINY.items() if name != "local_attention"}
    theirs = ModernBertForMaskedLM(
        ModernBertConfig(
            **sizes,
            local_attention=TINY["local_attention"],
            max_position_embeddings=64,
            pad_token_id=3,
            eos_token_id=None,
            bos_token_id=None,
            cls_token_id=None,
            sep_token_id=None,
            rope_parameters={"full_attention": dict(rope), "sliding_attention": dict(rope)},
            attn_implementation="eager",
        )
    ).eval()
    ours = network.state_dict()
    renamed = {}
    for name in theirs.state_dict():
        mapped = name
        for one, other in OURS_BY_THEIRS.items():
            mapped = mapped.replace(one, other)
        renamed[name] = ours[mapped if mapped.startswith(("model.", "lm_head.")) else f"lm_head.{mapped}"]
    theirs.load_state_dict(renamed)
    assert len(renamed) == len(ours)
    return theirs


@torch.no_grad()
def test_it_is_modernbert() -> None:
    network = rough(ModernForMaskedLM(ModernConfig(**TINY)))
    theirs = modernbert_of(network)
    ids, packing, rows, mask = packed_and_padded()
    expected = theirs(input_ids=rows, attention_mask=mask, output_hidden_states=True)
    ours = network(rows, mask)
    real = mask.bool()
    torch.testing.assert_close(ours.logits[real], expected.logits[real], atol=3e-5, rtol=1e-4)
    states = network.packed_states(ids, packing)
    torch.testing.assert_close(network.head(states), expected.logits[real], atol=3e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("positions", ["rope", "alibi"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_packed_padded_and_alone_are_one_function(positions: Any, norm: Any) -> None:
    network = rough(ModernForMaskedLM(ModernConfig(**TINY, positions=positions, norm=norm)))
    ids, packing, rows, mask = packed_and_padded()
    states = network.packed_states(ids, packing)
    padded = network(rows, mask, token_type_ids=torch.zeros_like(rows), output_hidden_states=True)
    assert len(padded.hidden_states) == TINY["num_hidden_layers"] + 1
    torch.testing.assert_close(padded.hidden_states[-1][mask.bool()], states, atol=1e-5, rtol=1e-5)
    assert not padded.hidden_states[-1][~mask.bool()].any()
    start = packing.offsets[3]
    alone = network.model(ids[None, start : start + LENGTHS[3]]).last_hidden_state[0]
    torch.testing.assert_close(states[start : start + LENGTHS[3]], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("positions", "norm"), [("rope", "layer"), ("alibi", "rms")])
def test_order_matters(positions: Any, norm: Any) -> None:
    network = rough(ModernModel(ModernConfig(**TINY, positions=positions, norm=norm)))
    ids = torch.arange(5, 25)[None]
    turned = network(ids.flip(1)).last_hidden_state.flip(1)
    assert (network(ids).last_hidden_state - turned).abs().max() > (1e-3 if positions == "rope" else -1)
    swapped = ids.clone()
    swapped[0, [3, 9]] = ids[0, [9, 3]]
    assert (network(swapped).last_hidden_state[0, 0] - network(ids).last_hidden_state[0, 0]).abs().max() > 1e-4


@torch.no_grad()
def test_local_layers_see_half_a_window_to_each_side() -> None:
    config = ModernConfig(**TINY | {"num_hidden_layers": 2, "local_attention": 6}, global_attention_every=2)
    network = rough(ModernModel(config))
    network.layers[0].attention.window = 3  # both local: states reach two windows far
    ids = torch.arange(5, 35)[None]
    other = ids.clone()
    other[0, 10] = 39
    changed = (network(ids).last_hidden_state - network(other).last_hidden_state).abs().amax(-1)[0] > 1e-6
    assert changed.nonzero()[:, 0].tolist() == list(range(4, 17))


def test_windows_of_layers() -> None:
    config = ModernConfig(local_attention=128, global_attention_every=3)
    assert [config.window(layer) for layer in range(5)] == [None, 64, 64, None, 64]


def test_it_has_dnabert2_s_budget() -> None:
    with torch.device("meta"):
        network = ModernForMaskedLM(ModernConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == 117_005_824
    assert not any(name.endswith("bias") for name, _ in network.model.named_parameters())


def test_what_writes_to_the_residual_stream_starts_smaller() -> None:
    torch.manual_seed(0)
    network = ModernModel(ModernConfig(vocab_size=500, hidden_size=128, num_attention_heads=2, num_hidden_layers=8))
    for layer in network.layers:
        for part in (layer.attention, layer.feed_forward):
            assert part.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
        assert layer.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)


@torch.no_grad()
def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network = rough(ModernForMaskedLM(ModernConfig(**TINY, positions="alibi")))
    network.save_pretrained(tmp_path)
    back = ModernForMaskedLM.from_pretrained(tmp_path).eval()
    ids, packing, _, _ = packed_and_padded()
    assert torch.equal(back.packed_states(ids, packing), network.packed_states(ids, packing))
    assert back.lm_head.decoder.weight is back.model.embeddings.tokens.weight


def test_classification_is_of_the_mean_of_real_tokens() -> None:
    network = rough(ModernForSequenceClassification(ModernConfig(**TINY, num_labels=3)))
    _, _, rows, mask = packed_and_padded()
    output = network(rows, mask, labels=torch.tensor([0, 1, 2, 0, 1]))
    one = network.model(rows[4:, :12]).last_hidden_state[0].mean(0)
    torch.testing.assert_close(output.logits[4], network.classifier(one))
    output.loss.backward()
    assert network.model.layers[0].attention.qkv.weight.grad.abs().sum() > 0
    torch.testing.assert_close(network(rows[3:4]).logits, output.logits[3:4])


def test_bf16_keeps_the_residual_stream_and_logits_in_float32() -> None:
    network = rough(ModernForMaskedLM(ModernConfig(**TINY)))
    ids, packing, _, _ = packed_and_padded()
    exact = network.head(network.packed_states(ids, packing))
    with torch.autocast("cpu", torch.bfloat16):
        states = network.packed_states(ids, packing)
        logits = network.head(states)
    assert states.dtype == logits.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(logits, exact).mean() > 0.999
    logits.sum().backward()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 3}, "3 heads of 32 features"),
        ({"hidden_size": 30, "num_attention_heads": 2}, "a head has 15, wanted even"),
        ({"positions": "learned"}, "positions are rope or alibi"),
        ({"norm": "batch"}, "norm is layer or rms"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModernConfig(**TINY | changes)


@torch.no_grad()
def test_states_of_the_tokens_asked_about_are_those_of_all() -> None:
    network = rough(ModernForMaskedLM(ModernConfig(**TINY)))
    ids, packing, _, _ = packed_and_padded()
    asked = torch.tensor([0, 7, 3, len(ids) - 1])
    whole = network.packed_states(ids, packing)
    torch.testing.assert_close(network.packed_states(ids, packing, asked), whole[asked], atol=1e-5, rtol=1e-5)
