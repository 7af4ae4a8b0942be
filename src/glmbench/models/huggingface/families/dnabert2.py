"""DNABERT-2, DNABERT-S and what was fine-tuned from them: released files in `networks.dnabert2`.

`config.json` says `bert`, and brings code of its own (MosaicBERT's) that needs Triton of 2023 where that is installed.
Names of weights are ours already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmbench.models.huggingface.families.family import Family
from glmbench.models.huggingface.families.fields import check_fields

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HOME = "glmbench.networks.dnabert2"
_NO_PART = re.compile(r"embeddings\.(position_ids|token_type_ids)$")
"""Buffers that count positions and segments."""

_TAKEN = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "type_vocab_size", "layer_norm_eps", "initializer_range",
    "pad_token_id", "classifier_dropout", "id2label", "label2id", "num_labels", "problem_type",
)  # fmt: skip
_SAYING_NOTHING = ("max_position_embeddings", "position_embedding_type", "alibi_starting_size")
"""There is ALiBi alone, for any length."""


def _recognises(config: Mapping[str, Any]) -> bool:
    """`alibi_starting_size` is a field of their own code only, `bert_layers` its file; stock BERT has neither."""
    auto_map = config.get("auto_map") or {}
    targets = [str(target).rpartition("--")[2] for target in auto_map.values()] if isinstance(auto_map, dict) else []
    marked = "alibi_starting_size" in config or any(target.startswith("bert_layers.") for target in targets)
    return config.get("model_type", "bert") == "bert" and marked


def _make_config(config: Mapping[str, Any]) -> PretrainedConfig:
    from glmbench.networks.dnabert2_config import DNABERT2Config

    fixed = {"hidden_act": "gelu", "is_decoder": False, "tie_word_embeddings": True}
    check_fields(config, "DNABERT-2", (*_TAKEN, *_SAYING_NOTHING), fixed)
    taken = {key: config[key] for key in _TAKEN if config.get(key) is not None}
    return DNABERT2Config(**taken)


DNABERT2 = Family(
    name="DNABERT-2",
    recognises=_recognises,
    make_config=_make_config,
    networks={
        "states": f"{_HOME}:DNABERT2Model",
        "masked": f"{_HOME}:DNABERT2ForMaskedLM",
        "classifier": f"{_HOME}:DNABERT2ForSequenceClassification",
    },
    rename=lambda name: None if _NO_PART.search(name) else name,
    sign=("mlp.gated_layers", '"alibi_starting_size": 512'),
    quirks=(
        "the padding index of the embedding is 0, which is [UNK], while [PAD] is 3: the embedding of [UNK] is as "
        "released, and gets no gradient when it is fine-tuned",
        "slopes of 12 ALiBi heads are those of 8, then every second of 16: not sorted",
        "512 positions of the configuration are no limit; sequences of pre-training had 128 tokens, and the authors "
        "recommend whole sequences to about 10,000 bp",
    ),
)
