"""The configuration of the second Nucleotide Transformer."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from glmbench.errors import UsageError
from glmbench.networks.attention_choice import Choice, check_heads


class NucleotideTransformerConfig(PretrainedConfig):
    """Sizes of `networks.nucleotide_transformer`; the defaults are those of the released model of 50 M weights.

    Args:
        vocab_size: tokens: 6 special ones, 4,096 6-mers, A, T, C, G, N.
        hidden_size: features of a token.
        num_hidden_layers: layers.
        num_attention_heads: heads; the features of one must be an even number, as they are turned in pairs.
        intermediate_size: features between the two linear layers of the gated feed-forward part.
        max_position_embeddings: longest input in tokens; positions are rotary, so this is what it was trained to read.
        layer_norm_eps: added to variances.
        hidden_dropout_prob: share of features dropped while training.
        attention_probs_dropout_prob: share of attention weights dropped while training.
        initializer_range: standard deviation of initial weights.
        pad_token_id: the padding token.
        mask_token_id: the token that hides another.
        classifier_dropout: before and inside the classification head; None: `hidden_dropout_prob`.
        attention_backend: see `networks.attention`.
        tie_word_embeddings: the head has a matrix of its own unless this is true.
        kwargs: of every transformers configuration.

    Raises:
        UsageError: sizes that make no network.
    """

    model_type = "glmbench-nucleotide-transformer"

    def __init__(
        self,
        *,
        vocab_size: int = 4107,
        hidden_size: int = 512,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 16,
        intermediate_size: int = 2048,
        max_position_embeddings: int = 2048,
        layer_norm_eps: float = 1e-12,
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.0,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 1,
        mask_token_id: int | None = 2,
        classifier_dropout: float | None = None,
        attention_backend: Choice = "auto",
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        check_heads(hidden_size, num_attention_heads)
        if hidden_size // num_attention_heads % 2:
            raise UsageError(
                f"rotary positions turn pairs of features; a head has {hidden_size // num_attention_heads}, wanted even"
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.layer_norm_eps = layer_norm_eps
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.initializer_range = initializer_range
        self.mask_token_id = mask_token_id
        self.classifier_dropout = classifier_dropout
        self.attention_backend = attention_backend
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings)
        super().__init__(**kwargs)
