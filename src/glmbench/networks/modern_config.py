"""The configuration of the modern encoder."""

from __future__ import annotations

from typing import Any, Literal

from transformers import PretrainedConfig

from glmbench.errors import UsageError
from glmbench.networks.attention_choice import Choice, check_heads


class ModernConfig(PretrainedConfig):
    """Sizes of `networks.modern`; the defaults have DNABERT-2's budget, layer by layer.

    Args:
        vocab_size: tokens.
        hidden_size: features of a token.
        num_hidden_layers: layers.
        num_attention_heads: heads; the features of one must be an even number for `rope`.
        intermediate_size: features between the two linear layers of the gated feed-forward part.
        positions: `rope` turns queries and keys, `alibi` fades scores with distance.
        rope_theta: the base of the rotary frequencies.
        local_attention: width of the window of local layers in tokens, half to each side.
        global_attention_every: layers 0, n, 2n, … see the whole sequence; 1: all do.
        norm: `layer`, or `rms`, which leaves out the mean.
        norm_eps: added to variances.
        hidden_dropout_prob: share of features dropped while training, after the embeddings and inside feed-forward.
        attention_probs_dropout_prob: share of attention weights dropped while training.
        initializer_range: standard deviation of initial weights; of those that write to the residual stream divided by
            sqrt(2 x layers).
        pad_token_id: the padding token, whose embedding starts at 0 and gets no gradient as an input.
        classifier_dropout: before the classification head.
        attention_backend: see `networks.attention`.
        max_position_embeddings: longest input in tokens that users of the network should give it, normally what it was
            trained on where positions are rotary; None: no limit is stated.
        tie_word_embeddings: must be true.
        kwargs: of every transformers configuration.

    Raises:
        UsageError: sizes that make no network.
    """

    model_type = "glmbench-modern"

    def __init__(
        self,
        *,
        vocab_size: int = 4096,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        positions: Literal["rope", "alibi"] = "rope",
        rope_theta: float = 10_000.0,
        local_attention: int = 128,
        global_attention_every: int = 3,
        norm: Literal["layer", "rms"] = "layer",
        norm_eps: float = 1e-5,
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.0,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 3,
        classifier_dropout: float = 0.1,
        attention_backend: Choice = "auto",
        max_position_embeddings: int | None = None,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        check_heads(hidden_size, num_attention_heads)
        if positions == "rope" and hidden_size // num_attention_heads % 2:
            raise UsageError(
                f"rope turns pairs of features; a head has {hidden_size // num_attention_heads}, wanted even"
            )
        if positions not in ("rope", "alibi") or norm not in ("layer", "rms"):
            raise UsageError(f"positions are rope or alibi, norm is layer or rms; got {positions!r} and {norm!r}")
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.positions = positions
        self.rope_theta = rope_theta
        self.local_attention = local_attention
        self.global_attention_every = global_attention_every
        self.norm = norm
        self.norm_eps = norm_eps
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.initializer_range = initializer_range
        self.classifier_dropout = classifier_dropout
        self.attention_backend = attention_backend
        self.max_position_embeddings = max_position_embeddings
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings)
        super().__init__(**kwargs)

    def window(self, layer: int) -> int | None:
        """Greatest distance at which the tokens of a layer see each other; None: any."""
        return None if layer % self.global_attention_every == 0 else self.local_attention // 2
