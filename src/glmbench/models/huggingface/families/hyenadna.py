"""HyenaDNA: its released files (the `-hf` repositories) in `networks.hyenadna`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glmbench.models.huggingface.families.family import Family
from glmbench.models.huggingface.families.fields import check_fields

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HOME = "glmbench.networks.hyenadna"
_NO_PART = re.compile(r"(pos_emb\.t|modulation\.deltas|implicit_filter\.([3-9]|\d\d)\.freq)$")
"""Buffers that follow from the sizes, and further names of the one set of frequencies."""

_TAKEN = (
    "vocab_size", "emb_dim", "filter_order", "num_inner_mlps", "short_filter_order", "activation_freq",
    "layer_norm_epsilon", "embed_dropout", "initializer_range", "pad_vocab_size_multiple", "pad_token_id",
    "tie_word_embeddings", "id2label", "label2id", "num_labels", "problem_type",
)  # fmt: skip
_RENAMED = {
    "d_model": "hidden_size",
    "n_layer": "num_hidden_layers",
    "d_inner": "intermediate_size",
    "max_seq_len": "max_position_embeddings",
}


_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N")


def _make_tokenizer(stated: Mapping[str, Any]) -> Any:
    """What `tokenization_hyena.py` of the repositories does: a token a base, and [SEP] at the end."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(_TOKENS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 1)])
    names = {"cls": 0, "sep": 1, "eos": 1, "bos": 2, "mask": 3, "pad": 4, "unk": 6}
    special = {f"{name}_token": _TOKENS[index] for name, index in names.items()}
    limit = {"model_max_length": int(stated["model_max_length"])} if stated.get("model_max_length") else {}
    wrapper: Any = PreTrainedTokenizerFast
    return wrapper(tokenizer_object=tokenizer, **special, **limit)


def _recognises(config: Mapping[str, Any]) -> bool:
    """The repositories without `-hf` have `layer` instead of the sizes of filters, and other names of weights."""
    return config.get("model_type") == "hyenadna" and "max_seq_len" in config


def _make_config(config: Mapping[str, Any]) -> PretrainedConfig:
    from glmbench.networks.hyenadna_config import HyenaDNAConfig

    fixed = {"hyena_order": 2, "train_freq": True, "use_bias": True, "short_filter_order": 3}
    training = ("checkpoint_mixer", "checkpoint_mlp")
    check_fields(config, "HyenaDNA", (*_TAKEN, *_RENAMED, *training), fixed)
    taken = {key: config[key] for key in _TAKEN if config.get(key) is not None}
    renamed = {ours: config[theirs] for theirs, ours in _RENAMED.items() if config.get(theirs) is not None}
    renamed.setdefault("intermediate_size", 4 * int(config["d_model"]))
    return HyenaDNAConfig(**taken, **renamed)


HYENADNA = Family(
    name="HyenaDNA",
    recognises=_recognises,
    make_config=_make_config,
    networks={
        "states": f"{_HOME}:HyenaDNAModel",
        "causal": f"{_HOME}:HyenaDNAForCausalLM",
        "classifier": f"{_HOME}:HyenaDNAForSequenceClassification",
    },
    rename=lambda name: None if _NO_PART.search(name) else name,
    make_tokenizer=_make_tokenizer,
    quirks=(
        "the released code lists the states of the last layer twice, as they are and normed; here layer -1 is the "
        "normed one and layer -2 the one before the last",
        "the tokenizer of the -hf repositories puts [SEP] after a sequence and nothing before it; that of the authors' "
        "own code puts [CLS] before it as well",
    ),
)
