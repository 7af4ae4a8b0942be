"""The configuration of DNABERT-2's encoder."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from glmbench.networks.attention_choice import Choice, check_heads


class DNABERT2Config(PretrainedConfig):
    """Sizes of `networks.dnabert2`; the defaults are the published ones.

    Args:
        vocab_size: tokens.
        hidden_size: features of a token.
        num_hidden_layers: layers.
        num_attention_heads: heads; any number that divides `hidden_size`.
        intermediate_size: features between the two linear layers of the gated feed-forward part.
        hidden_dropout_prob: share of features dropped while training.
        attention_probs_dropout_prob: share of attention weights dropped while training.
        type_vocab_size: kinds of segments.
        layer_norm_eps: added to variances.
        initializer_range: standard deviation of initial weights.
        pad_token_id: the padding token, whose embedding starts at 0 and gets no gradient as an input. Padding is never
            computed, so this matters for the released checkpoint only: its configuration says 0, where its vocabulary
            has [UNK], and [PAD] is 3. The default is right for that vocabulary.
        classifier_dropout: before the classification head; None: as `hidden_dropout_prob`.
        attention_backend: see `networks.attention`.
        max_position_embeddings: longest input in tokens that users of the network should give it; None: ALiBi has no
            limit.
        tie_word_embeddings: must be true.
        kwargs: of every transformers configuration.
    """

    model_type = "glmbench-dnabert2"

    def __init__(
        self,
        *,
        vocab_size: int = 4096,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.0,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 3,
        classifier_dropout: float | None = None,
        attention_backend: Choice = "auto",
        max_position_embeddings: int | None = None,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        check_heads(hidden_size, num_attention_heads)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.type_vocab_size = type_vocab_size
        self.layer_norm_eps = layer_norm_eps
        self.initializer_range = initializer_range
        self.classifier_dropout = classifier_dropout
        self.attention_backend = attention_backend
        self.max_position_embeddings = max_position_embeddings
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings)
        super().__init__(**kwargs)
