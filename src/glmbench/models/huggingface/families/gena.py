"""GENA-LM with full attention (`gena-lm-bert-*`): released files in `networks.prenorm_bert`.

`config.json` says `bert` with `pre_layer_norm`, and brings code of its own that transformers 5 cannot import any more.
GENA-LM's BigBird is stock BigBird and needs no family; its DeepSpeed-sparse networks are left to their own code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmbench.models.huggingface.families.family import Family
from glmbench.models.huggingface.families.fields import check_fields

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HOME = "glmbench.networks.prenorm_bert"
_NO_PART = re.compile(r"embeddings\.(position_ids|token_type_ids)$")
"""Buffers that count positions and segments."""

_TAKEN = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size",
    "layer_norm_eps", "initializer_range", "pad_token_id", "classifier_dropout", "id2label", "label2id", "num_labels",
    "problem_type",
)  # fmt: skip


def _recognises(config: Mapping[str, Any]) -> bool:
    """`pre_layer_norm` is a field of their own code only."""
    return config.get("model_type") == "bert" and config.get("pre_layer_norm") is True and not _sparse(config)


def _sparse(config: Mapping[str, Any]) -> bool:
    return any(config.get(key) for key in ("sparse_config_cls", "sparse_attention"))


def _make_config(config: Mapping[str, Any]) -> PretrainedConfig:
    from glmbench.networks.prenorm_bert_config import PrenormBertConfig

    fixed = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
    fixed |= {"tie_word_embeddings": True}
    check_fields(config, "GENA-LM with full attention", (*_TAKEN, "pre_layer_norm", "last_layer_norm"), fixed)
    taken = {key: config[key] for key in _TAKEN if config.get(key) is not None}
    last = config.get("last_layer_norm")  # their code's default where a file does not say is pre_layer_norm
    return PrenormBertConfig(**taken, last_layer_norm=True if last is None else bool(last))


def _rename(name: str) -> str | None:
    """Their head is transformers' of 2021, which saved the bias of the decoder twice."""
    if _NO_PART.search(name):
        return None
    return "cls.predictions.decoder.bias" if name == "cls.predictions.bias" else name


GENA = Family(
    name="GENA-LM",
    recognises=_recognises,
    make_config=_make_config,
    networks={
        "states": f"{_HOME}:PrenormBertModel",
        "masked": f"{_HOME}:PrenormBertForMaskedLM",
        "classifier": f"{_HOME}:PrenormBertForSequenceClassification",
    },
    rename=_rename,
    sign=("pre_attention_ln", '"pre_layer_norm": true'),
    quirks=(
        "the first networks have no norm after the last layer (last_layer_norm false), so that last states are not "
        "normed",
        "a config.json that does not say last_layer_norm means true, as the released code takes it",
    ),
)
