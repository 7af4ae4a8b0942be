"""The second Nucleotide Transformer (v2): its released files in `networks.nucleotide_transformer`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmbench.models.huggingface.families.family import Family
from glmbench.models.huggingface.families.fields import check_fields

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HOME = "glmbench.networks.nucleotide_transformer"
_NO_PART = re.compile(r"embeddings\.position_embeddings\.|contact_head\.|(rotary_embeddings\.inv_freq|position_ids)$")
"""A table of positions that rotary networks never read, a head for contacts that was not trained, and buffers."""

_TAKEN = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "pad_token_id", "mask_token_id",
    "tie_word_embeddings", "classifier_dropout", "id2label", "label2id", "num_labels", "problem_type",
)  # fmt: skip


def _recognises(config: Mapping[str, Any]) -> bool:
    """`add_bias_fnn` is a field of their own code only; some of their files name no `model_type`.

    Networks that have it as a part (SegmentNT) have architectures of other names.
    """
    esm = all(str(name).startswith("Esm") for name in config.get("architectures") or ())
    return esm and config.get("add_bias_fnn") is False and config.get("model_type", "esm") == "esm"


def _make_config(config: Mapping[str, Any]) -> PretrainedConfig:
    from glmbench.networks.nucleotide_transformer_config import NucleotideTransformerConfig

    fixed = {"position_embedding_type": "rotary", "token_dropout": False, "emb_layer_norm_before": False}
    check_fields(config, "Nucleotide Transformer", (*_TAKEN, "max_position_embeddings"), fixed)
    taken = {key: config[key] for key in _TAKEN if config.get(key) is not None}
    # ESM counts positions from the one after the padding token's id
    limit = int(config.get("max_position_embeddings", 2050)) - int(config.get("pad_token_id") or 0) - 1
    return NucleotideTransformerConfig(**taken, max_position_embeddings=limit)


NUCLEOTIDE_TRANSFORMER = Family(
    name="Nucleotide Transformer v2",
    recognises=_recognises,
    make_config=_make_config,
    networks={
        "states": f"{_HOME}:NucleotideTransformerModel",
        "masked": f"{_HOME}:NucleotideTransformerForMaskedLM",
        "classifier": f"{_HOME}:NucleotideTransformerForSequenceClassification",
    },
    rename=lambda name: None if _NO_PART.search(name) else name,
    quirks=(
        "a table of learned positions is in the released files and is not read: positions are rotary",
        "norms add 1e-12 to variances, as the released PyTorch configuration says; the authors' JAX code adds 1e-5",
    ),
)
