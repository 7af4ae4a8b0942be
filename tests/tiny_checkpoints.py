"""Tiny random checkpoints of several architectures, saved as anyone would save them; one token a base."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save_tokenizer(folder: Path, *, template: str = "[CLS] $A [SEP]", pad: bool = True) -> None:
    """One token a base: A, C, G, T; all else is unknown."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate([*SPECIAL, *"ACGT"])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    if template != "$A":
        ends = [(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]") if token in template]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
    names = {"pad_token": "[PAD]"} if pad else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **names).save_pretrained(folder)


def _bert(**changes: Any) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    return BertForMaskedLM(BertConfig(vocab_size=9, max_position_embeddings=64, **sizes | changes))


def _dnabert2() -> Any:
    from glmbench.networks.dnabert2 import DNABERT2ForMaskedLM
    from glmbench.networks.dnabert2_config import DNABERT2Config

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return DNABERT2ForMaskedLM(DNABERT2Config(vocab_size=9, **sizes))


def _esm() -> Any:
    from transformers import EsmConfig, EsmForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    kind = {"position_embedding_type": "rotary", "token_dropout": True, "emb_layer_norm_before": False}
    return EsmForMaskedLM(
        EsmConfig(vocab_size=9, pad_token_id=0, mask_token_id=4, max_position_embeddings=66, **kind, **sizes)
    )


def _gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(vocab_size=9, bos_token_id=2, eos_token_id=3, **sizes))


def _mistral() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return MistralForCausalLM(MistralConfig(vocab_size=9, num_key_value_heads=1, max_position_embeddings=64, **sizes))


def _t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(T5Config(vocab_size=9, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2))


MAKERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "bert": (_bert, {}),
    "dnabert2": (_dnabert2, {}),
    "esm": (_esm, {}),
    "gpt2": (_gpt2, {"template": "$A", "pad": False}),
    "mistral": (_mistral, {"template": "[CLS] $A", "pad": False}),
    "t5": (_t5, {"template": "$A [SEP]"}),
}


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """Weights and tokenizer of one architecture."""
    import torch

    make, tokenizer = MAKERS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make()
        # The initial weights are so small that layers barely differ.
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    save_tokenizer(folder, **tokenizer)
    return folder


def save_without_dropout(folder: Path, kind: str) -> Path:
    """The same trained without dropout, so that a batch in pieces, or on several processes, is the batch."""
    config = save(folder, kind) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_dropout_prob": 0.0}))
    return folder
