"""The configuration of HyenaDNA."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from glmbench.errors import UsageError


class HyenaDNAConfig(PretrainedConfig):
    """Sizes of `networks.hyenadna`; the defaults are those of the released model for 1,024 bases with 256 features.

    Args:
        vocab_size: tokens: 7 special ones and A, C, G, T, N; tables are rounded up, see `pad_vocab_size_multiple`.
        hidden_size: features of a token.
        num_hidden_layers: layers.
        intermediate_size: features between the two linear layers of the feed-forward part.
        max_position_embeddings: positions of the long filters, and so the longest input in tokens.
        emb_dim: features that describe a position to the network that makes the filters; odd, at least 3.
        filter_order: width of that network.
        num_inner_mlps: its layers between the first and the last.
        short_filter_order: tokens that the short convolution sees, the last one included.
        activation_freq: frequencies of its sine activations start here.
        layer_norm_epsilon: added to variances by the last norm; the others add 1e-5.
        embed_dropout: share of embedding features dropped while training.
        initializer_range: standard deviation of initial weights.
        pad_vocab_size_multiple: rows of the embedding table and of the head are a multiple of this.
        pad_token_id: the padding token.
        tie_word_embeddings: the head has a matrix of its own unless this is true.
        kwargs: of every transformers configuration.

    Raises:
        UsageError: `emb_dim` is even or below 3.
    """

    model_type = "glmbench-hyenadna"

    def __init__(
        self,
        *,
        vocab_size: int = 12,
        hidden_size: int = 256,
        num_hidden_layers: int = 2,
        intermediate_size: int = 1024,
        max_position_embeddings: int = 1026,
        emb_dim: int = 5,
        filter_order: int = 64,
        num_inner_mlps: int = 2,
        short_filter_order: int = 3,
        activation_freq: float = 10.0,
        layer_norm_epsilon: float = 1e-5,
        embed_dropout: float = 0.1,
        initializer_range: float = 0.02,
        pad_vocab_size_multiple: int = 8,
        pad_token_id: int | None = 4,
        tie_word_embeddings: bool = False,
        **kwargs: Any,
    ) -> None:
        if emb_dim < 3 or emb_dim % 2 == 0:
            raise UsageError(f"emb_dim is {emb_dim}; wanted an odd number of at least 3: time, cosines and sines")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.emb_dim = emb_dim
        self.filter_order = filter_order
        self.num_inner_mlps = num_inner_mlps
        self.short_filter_order = short_filter_order
        self.activation_freq = activation_freq
        self.layer_norm_epsilon = layer_norm_epsilon
        self.embed_dropout = embed_dropout
        self.initializer_range = initializer_range
        self.pad_vocab_size_multiple = pad_vocab_size_multiple
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings)
        super().__init__(**kwargs)

    @property
    def rows(self) -> int:
        """Rows of the embedding table: the vocabulary, rounded up."""
        return -(-self.vocab_size // self.pad_vocab_size_multiple) * self.pad_vocab_size_multiple
