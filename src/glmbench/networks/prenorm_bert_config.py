"""The configuration of BERT with the norm before each part."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from glmbench.networks.attention_choice import Choice, check_heads


class PrenormBertConfig(PretrainedConfig):
    """Sizes of `networks.prenorm_bert`; the defaults are GENA-LM's base ones.

    Args:
        vocab_size: tokens.
        hidden_size: features of a token.
        num_hidden_layers: layers.
        num_attention_heads: heads; any number that divides `hidden_size`.
        intermediate_size: features between the two linear layers of the feed-forward part.
        last_layer_norm: whether the states of the last layer are normed as well.
        hidden_dropout_prob: share of features dropped while training.
        attention_probs_dropout_prob: share of attention weights dropped while training.
        max_position_embeddings: longest input in tokens: positions are learned.
        type_vocab_size: kinds of segments.
        layer_norm_eps: added to variances.
        initializer_range: standard deviation of initial weights.
        pad_token_id: the padding token, whose embedding starts at 0 and gets no gradient as an input.
        classifier_dropout: before the classification head; None: as `hidden_dropout_prob`.
        attention_backend: see `networks.attention`.
        tie_word_embeddings: must be true.
        kwargs: of every transformers configuration.
    """

    model_type = "glmbench-prenorm-bert"

    def __init__(
        self,
        *,
        vocab_size: int = 32_000,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        last_layer_norm: bool = True,
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 3,
        classifier_dropout: float | None = None,
        attention_backend: Choice = "auto",
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        check_heads(hidden_size, num_attention_heads)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.last_layer_norm = last_layer_norm
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.classifier_dropout = classifier_dropout
        self.attention_backend = attention_backend
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings)
        super().__init__(**kwargs)
