"""Sizes of T5 for DNA: the two small ones of version 1.1, with the vocabulary of a DNA tokenizer.

The network is transformers' own and reads padded rows. Sizes are those of the published configurations of T5 1.1, which
also say: gated GELU, no dropout while pre-training. Theirs have an output matrix of their own; transformers 5 ties it
to the embeddings in every T5 and leaves no choice, but keeps the outputs unscaled, as with a matrix of their own.
"""

from __future__ import annotations

from typing import Any

from transformers import T5Config

from glmbench.errors import UsageError
from glmbench.networks.fields import check_fields

_SIZES: dict[str, dict[str, int]] = {
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
}
T5_PRESETS = tuple(_SIZES)


def t5_config(name: str, vocabulary: int, *, pad: int, end: int, **changes: Any) -> T5Config:
    """The transformers configuration of a T5, whose decoder has as many layers as its encoder.

    Args:
        name: one of `T5_PRESETS`.
        vocabulary: tokens, sentinels of span corruption included.
        pad: id of the padding token, with which the decoder also starts.
        end: id of the token that ends a sequence.
        changes: fields of the configuration over these.

    Raises:
        UsageError: there is no such preset, or a field is none of T5's.
    """
    if name not in _SIZES:
        raise UsageError(f"there is no T5 {name!r}; wanted one of {', '.join(T5_PRESETS)}")
    check_fields(T5Config(), changes)
    common: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "dropout_rate": 0.0}
    ids = {"pad_token_id": pad, "eos_token_id": end, "decoder_start_token_id": pad}
    return T5Config(vocab_size=vocabulary, **{**common, **ids, **_SIZES[name], **changes})
