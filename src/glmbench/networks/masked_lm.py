"""Masked language models over packed tokens: made from sizes, and loaded from folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, BertConfig

from glmbench.errors import DataError, Unsupported
from glmbench.networks.attention_choice import Choice
from glmbench.networks.bert import BertForMaskedLM
from glmbench.networks.dnabert2 import DNABERT2ForMaskedLM
from glmbench.networks.dnabert2_config import DNABERT2Config
from glmbench.networks.fields import check_fields
from glmbench.networks.modern import ModernForMaskedLM
from glmbench.networks.modern_config import ModernConfig
from glmbench.networks.sizes import EncoderSizes, Kind

MaskedLM = DNABERT2ForMaskedLM | ModernForMaskedLM | BertForMaskedLM
MaskedLMConfig = DNABERT2Config | ModernConfig | BertConfig

_CONFIGS: dict[Kind, type[Any]] = {"dnabert2": DNABERT2Config, "modern": ModernConfig, "bert": BertConfig}
_CLASSES: dict[type[Any], type[Any]] = {
    DNABERT2Config: DNABERT2ForMaskedLM,
    ModernConfig: ModernForMaskedLM,
    BertConfig: BertForMaskedLM,
}


def masked_lm_config(sizes: EncoderSizes, *, pad: int, **changes: Any) -> MaskedLMConfig:
    """The transformers configuration of an encoder.

    Args:
        sizes: of the encoder.
        pad: id of the padding token in the vocabulary that it will read.
        changes: fields of the configuration over these, such as `positions` of the modern encoder.

    Raises:
        UsageError: a field is none of the configuration's.
    """
    check_fields(_CONFIGS[sizes.kind](), changes)
    common: dict[str, Any] = {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.dim,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "pad_token_id": pad,
        **changes,
    }
    if sizes.kind == "bert":
        common = {"max_position_embeddings": sizes.learned_positions, **common}
    if sizes.kind == "modern":
        every = 1 if sizes.window is None else sizes.global_every
        common = {"local_attention": 2 * (sizes.window or 0), "global_attention_every": every, **common}
    config: MaskedLMConfig = _CONFIGS[sizes.kind](**common)
    return config


def new_masked_lm(config: MaskedLMConfig, *, seed: int, attention_backend: Choice = "auto") -> MaskedLM:
    """A network with fresh float32 weights, drawn on the CPU from `seed`; torch's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network: MaskedLM = _CLASSES[type(config)](config)
    return set_backend(network, attention_backend)


def load_masked_lm(folder: Path, *, attention_backend: Choice = "auto") -> MaskedLM:
    """The network of a folder that `save_pretrained` wrote, in float32 and evaluation mode.

    Raises:
        Unsupported: its architecture has no packed form.
        DataError: weights are missing, left over, or of another shape than the configuration says.
    """
    config = AutoConfig.from_pretrained(folder)
    found = _CLASSES.get(type(config))
    if found is None:
        known = ", ".join(kind.model_type for kind in _CLASSES)
        raise Unsupported(f"{folder} holds a {config.model_type}; masked language models are known of types {known}")
    try:
        network, report = found.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, local_files_only=True
        )
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise DataError(f"the weights in {folder} cannot be loaded: {error}; get the checkpoint again") from error
    wrong = {what: sorted(report[what]) for what in ("missing_keys", "mismatched_keys") if report[what]}
    if wrong:
        raise DataError(f"the weights in {folder} do not fit its config.json: {wrong}; get the checkpoint again")
    return set_backend(network.eval(), attention_backend)


def set_backend(network: MaskedLM, choice: Choice) -> MaskedLM:
    """Choose how attention is computed; see `networks.attention`. Not saved with plain BERT."""
    if isinstance(network, BertForMaskedLM):
        network.attention_backend = choice
    else:
        network.config.attention_backend = choice
    return network


@contextmanager
def any_backend(network: object) -> Iterator[None]:
    """Inside, a network takes the attention that works where it is; after it, the one that was chosen again.

    For what is not a training step: kernels chosen for bfloat16 on a GPU cannot measure in float32, nor be asked for in
    a `config.json` that is opened on another machine. Networks that have no such choice are left alone.
    """
    if not isinstance(network, MaskedLM):
        yield
        return
    chosen = network.attention_backend if isinstance(network, BertForMaskedLM) else network.config.attention_backend
    set_backend(network, "auto")
    try:
        yield
    finally:
        set_backend(network, chosen)
