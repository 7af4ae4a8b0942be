"""Released GENA-LM checkpoints, loaded natively, against transformers' RoBERTa with the norm before each part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.checkpoint import Checkpoint
from glmbench.models.huggingface.families import recognise
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.weights import load_network, random_network, read_config

CONFIG: dict[str, Any] = {
    "architectures": ["BertForPretraining"],
    "auto_map": {"AutoModel": "modeling_bert.BertForPreTraining"},
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "last_layer_norm": False,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 3,
    "position_embedding_type": "absolute",
    "pre_layer_norm": True,
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 32000,
}
"""The released `config.json` of gena-lm-bert-base."""

TINY: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "vocab_size": 44,
    "max_position_embeddings": 64,
}


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every weight of the released file, which is that of `BertForPreTraining`."""
    dim, wide, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    found: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (vocabulary, dim),
        "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], dim),
        "bert.embeddings.token_type_embeddings.weight": (2, dim),
        "cls.predictions.bias": (vocabulary,),
        "cls.predictions.decoder.weight": (vocabulary, dim),
        "cls.predictions.decoder.bias": (vocabulary,),
    }
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    norms += ["bert.encoder.last_layer_ln"] if config["last_layer_norm"] else []
    linears = {"bert.pooler.dense": (dim, dim), "cls.predictions.transform.dense": (dim, dim)}
    linears["cls.seq_relationship"] = (2, dim)
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}"
        linears |= {f"{at}.attention.self.{part}": (dim, dim) for part in ("query", "key", "value")}
        linears |= {f"{at}.attention.output.dense": (dim, dim)}
        linears |= {f"{at}.intermediate.dense": (wide, dim), f"{at}.output.dense": (dim, wide)}
        norms += [f"{at}.pre_attention_ln", f"{at}.post_attention_ln"]
    for name, (out, features) in linears.items():
        found |= {f"{name}.weight": (out, features), f"{name}.bias": (out,)}
    return found | {f"{norm}.{part}": (dim,) for norm in norms for part in ("weight", "bias")}


def random_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes(config).items()}
    for name in weights:
        if name.endswith(("LayerNorm.weight", "_ln.weight")):
            weights[name] = 1 + weights[name]
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"].clone()
    return weights


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes config.json and weights of a checkpoint folder, and code that must not run."""

    def folder(weights: dict[str, Tensor], *, pickled: bool = False, **changes: Any) -> Path:
        config = CONFIG | TINY | changes
        (tmp_path / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "-"}))
        (tmp_path / "modeling_bert.py").write_text("raise RuntimeError('own code ran')")
        if pickled:
            torch.save(
                weights | {"bert.embeddings.position_ids": torch.arange(64)[None]}, tmp_path / "pytorch_model.bin"
            )
        else:
            save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return folder


def load(folder: Path) -> LoadedNetwork:
    checkpoint = Checkpoint(folder)
    return load_network(checkpoint, read_config(checkpoint, "hf:x"), "hf:x")


def roberta(weights: dict[str, Tensor], config: dict[str, Any]) -> Any:
    """The same function as transformers has it under another name and other names of weights."""
    from transformers import RobertaPreLayerNormConfig, RobertaPreLayerNormForMaskedLM

    sizes = {key: config[key] for key in TINY} | {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 3}
    oracle = RobertaPreLayerNormForMaskedLM(RobertaPreLayerNormConfig(**sizes)).eval()
    renamed = {}
    for name, value in weights.items():
        name = name.replace(".pre_attention_ln.", ".attention.LayerNorm.")
        name = name.replace(".post_attention_ln.", ".intermediate.LayerNorm.")
        name = name.replace("encoder.last_layer_ln.", "LayerNorm.")
        name = name.replace("cls.predictions.transform.dense", "lm_head.dense")
        name = name.replace("cls.predictions.transform.LayerNorm", "lm_head.layer_norm")
        name = name.replace("cls.predictions.", "lm_head.")
        renamed[name.replace("bert.", "roberta_prelayernorm.")] = value
    report = oracle.load_state_dict(renamed, strict=False)
    assert not report.missing_keys
    assert set(report.unexpected_keys) == {
        "roberta_prelayernorm.pooler.dense.weight", "roberta_prelayernorm.pooler.dense.bias",
        "cls.seq_relationship.weight", "cls.seq_relationship.bias",
    }  # fmt: skip
    return oracle


def padded(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids, mask = torch.full((len(lengths), max(lengths)), 3), torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 44, (length,), generator=generator)
        mask[row, :length] = 1
    return ids, mask


@pytest.mark.parametrize("stated", [True, "-"])
@torch.no_grad()
def test_states_and_logits_are_those_of_transformers(save: Callable[..., Path], stated: bool | str) -> None:
    """With the last norm, said or by default."""
    config = CONFIG | TINY | {"last_layer_norm": True}
    weights = random_weights(config)
    oracle = roberta(weights, config)
    network = load(save(weights, last_layer_norm=stated))
    assert network.objective == "masked"
    assert network.head is not None
    ids, mask = padded((9, 31, 1, 17))
    places = torch.arange(ids.shape[1])[None]
    expected = oracle(ids, mask, position_ids=places, output_hidden_states=True)
    got = network.body(ids, mask, output_hidden_states=True).hidden_states
    last = oracle.roberta_prelayernorm(ids, mask, position_ids=places).last_hidden_state
    real = mask.bool()
    for ours, theirs in zip(got, (*expected.hidden_states[:-1], last), strict=True):
        assert float((ours - theirs)[real].abs().max()) <= 1e-5
    assert float(expected.logits[real].std()) > 0.3
    assert float((network.head(got[-1][real]) - expected.logits[real]).abs().max()) <= 2e-5


@pytest.mark.parametrize("pickled", [False, True])
@torch.no_grad()
def test_without_the_last_norm_states_are_the_stream(save: Callable[..., Path], pickled: bool) -> None:
    weights = random_weights(CONFIG | TINY)
    body = load(save(weights, pickled=pickled)).body
    normed = CONFIG | TINY | {"last_layer_norm": True}
    ones = {"bert.encoder.last_layer_ln.weight": torch.ones(24), "bert.encoder.last_layer_ln.bias": torch.zeros(24)}
    oracle = roberta(weights | ones, normed).roberta_prelayernorm
    ids, mask = padded((9, 31))
    stream = body(ids, mask).last_hidden_state
    expected = oracle(ids, mask, position_ids=torch.arange(31)[None]).last_hidden_state
    got = torch.nn.functional.layer_norm(stream, (24,), eps=1e-12)
    assert float((got - expected)[mask.bool()].abs().max()) <= 1e-5
    assert float((stream - expected)[mask.bool()].abs().max()) > 0.1


@torch.no_grad()
def test_a_classifier_has_pooler_and_linear_layer(save: Callable[..., Path]) -> None:
    weights = {name: value for name, value in random_weights(CONFIG | TINY).items() if not name.startswith("cls.")}
    torch.manual_seed(2)
    weights |= {"classifier.weight": torch.randn(2, 24), "classifier.bias": torch.randn(2)}
    network = load(save(weights, architectures=["BertForSequenceClassification"]))
    assert network.classifier is not None
    ids, mask = padded((9, 31))
    first = network.body(ids, mask).last_hidden_state[:, 0]
    pooled = torch.tanh(first @ weights["bert.pooler.dense.weight"].T + weights["bert.pooler.dense.bias"])
    wanted = pooled @ weights["classifier.weight"].T + weights["classifier.bias"]
    torch.testing.assert_close(network.classifier(input_ids=ids, attention_mask=mask).logits, wanted)


def test_the_released_sizes_have_the_released_names_and_shapes() -> None:
    from glmbench.networks.prenorm_bert import PrenormBertForMaskedLM

    family = recognise(CONFIG)
    assert family is not None
    with torch.device("meta"):
        network = PrenormBertForMaskedLM(family.make_config(CONFIG))
    released = shapes(CONFIG)
    unused = {"bert.pooler.dense", "cls.seq_relationship", "cls.predictions"}  # cls.predictions.bias is decoder.bias
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        name: shape for name, shape in released.items() if name.rpartition(".")[0] not in unused
    }


@torch.no_grad()
def test_states_of_the_tokens_asked_about_are_those_of_all(save: Callable[..., Path]) -> None:
    from glmbench.networks.prenorm_bert import PrenormBertModel
    from glmbench.networks.unpadding import uniform_packing

    config = CONFIG | TINY | {"last_layer_norm": True}
    body = load(save(random_weights(config), last_layer_norm=True)).body
    assert isinstance(body, PrenormBertModel)
    ids = torch.randint(4, 44, (30,))
    packing = uniform_packing(3, 10, ids.device)
    asked = torch.tensor([0, 7, 29])
    whole = body.packed_states(ids, packing)
    torch.testing.assert_close(body.packed_states(ids, packing, asked), whole[asked])
    with pytest.raises(Unsupported, match="65 tokens, this BERT has 64"):
        body.packed_states(torch.ones(65, dtype=torch.int64), uniform_packing(1, 65, ids.device))


def test_weights_and_configuration_that_disagree_are_refused(save: Callable[..., Path]) -> None:
    weights = random_weights(CONFIG | TINY | {"last_layer_norm": True})
    with pytest.raises(DataError, match=r"2 weights have no place \(bert.encoder.last_layer_ln"):
        load(save(weights))
    with pytest.raises(DataError, match=r'put "pre_layer_norm": true back into config.json'):
        load(save(weights, pre_layer_norm="-", auto_map="-", architectures=["BertForMaskedLM"]))


@pytest.mark.parametrize(
    ("changes", "claimed"),
    [
        ({}, True),
        ({"pre_layer_norm": False}, False),
        ({"sparse_config_cls": "deepspeed.ops.sparse_attention:BigBirdSparsityConfig"}, False),
        ({"model_type": "big_bird"}, False),
    ],
)
def test_only_full_attention_with_the_norm_before_is_claimed(changes: dict[str, Any], claimed: bool) -> None:
    family = recognise(CONFIG | changes)
    assert (family is not None and family.name == "GENA-LM") == claimed


def test_other_positions_are_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(Unsupported, match=r"position_embedding_type.*rotary.*absolute"):
        load(save(random_weights(CONFIG | TINY), position_embedding_type="rotary"))


def test_the_random_twin_has_bert_s_spread(save: Callable[..., Path]) -> None:
    checkpoint = Checkpoint(save(random_weights(CONFIG | TINY), vocab_size=4000))
    twin = random_network(checkpoint, read_config(checkpoint, "hf:x"), 0)
    assert twin.objective == "masked"
    embedding = twin.body.state_dict()["embeddings.word_embeddings.weight"]
    assert embedding.std().item() == pytest.approx(0.02, rel=0.03)
