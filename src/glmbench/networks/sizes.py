"""Sizes of encoders: published presets, one dial, and what a size costs. Imports no torch.

Costs are counts of what the function needs, not of what a kernel happens to do: a multiplication and an addition are
two operations; norms, activations and look-ups are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from glmbench.errors import UsageError

Kind = Literal["dnabert2", "modern", "bert"]

_HEAD_DIM = 64
_LEARNED_POSITIONS = 512


@dataclass(frozen=True)
class EncoderSizes:
    """An encoder with its masked language model head."""

    kind: Kind
    layers: int
    dim: int
    heads: int
    feed_forward: int
    """Features between the two linear layers of the feed-forward part; gated parts have as many gates besides."""
    vocabulary: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    learned_positions: int = 0
    """Rows of the position table: the longest input; 0: no table."""
    window: int | None = None
    """Greatest distance at which tokens of local layers see each other; None: all layers are global."""
    global_every: int = 1
    """Layers 0, n, 2n, … are global."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if self.kind not in get_args(Kind):
            raise UsageError(f"there is no network {self.kind!r}; wanted one of {', '.join(get_args(Kind))}")
        if min(self.layers, self.dim, self.heads, self.feed_forward, self.vocabulary, self.global_every) < 1:
            raise UsageError(f"sizes of an encoder must be positive, got {self}")
        if self.dim % self.heads:
            raise UsageError(f"{self.heads} heads do not divide {self.dim} features; choose a number that does")

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part is gated (GEGLU): three matrices, not two."""
        return self.kind != "bert"


PRESETS: Mapping[str, EncoderSizes] = {
    "dnabert2": EncoderSizes("dnabert2", 12, 768, 12, 3072, 4096, dropout=0.1),
    "modern": EncoderSizes("modern", 12, 768, 12, 3072, 4096, window=64, global_every=3),
    "dnabert": EncoderSizes(
        "bert", 12, 768, 12, 3072, 4101, dropout=0.1, attention_dropout=0.1, learned_positions=_LEARNED_POSITIONS
    ),
    "logo": EncoderSizes("bert", 2, 256, 8, 3072, 4101, learned_positions=_LEARNED_POSITIONS),
}
"""DNABERT-2 (Zhou et al.), a modern encoder of its budget, DNABERT for 6-mers (Ji et al.), GeneMask's LOGO."""


def preset(name: str, vocabulary: int | None = None) -> EncoderSizes:
    """A published encoder, with another vocabulary where a number of tokens is given.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; wanted one of {', '.join(PRESETS)}")
    sizes = PRESETS[name]
    return sizes if vocabulary is None else replace(sizes, vocabulary=vocabulary)


def encoder_sizes(kind: Kind, depth: int, vocabulary: int) -> EncoderSizes:
    """All sizes from one dial: `depth` layers and heads of 64 features, feed-forward four times as wide, no dropout.

    Depth 12 has the published sizes of DNABERT-2 and DNABERT.
    """
    dim = _HEAD_DIM * depth
    sizes = EncoderSizes(kind, depth, dim, depth, 4 * dim, vocabulary)
    if kind == "modern":
        return replace(sizes, window=PRESETS["modern"].window, global_every=PRESETS["modern"].global_every)
    return replace(sizes, learned_positions=_LEARNED_POSITIONS) if kind == "bert" else sizes


def parameters(sizes: EncoderSizes) -> int:
    """Weights of the encoder and its head, whose largest matrix is the token embeddings'."""
    d, vocabulary = sizes.dim, sizes.vocabulary
    head = d * d + vocabulary + (d if sizes.kind == "modern" else 3 * d)
    return body_parameters(sizes) + head


def body_parameters(sizes: EncoderSizes) -> int:
    """Weights of the encoder, embeddings included, without head and pooler."""
    d, f, layers = sizes.dim, sizes.feed_forward, sizes.layers
    matrices = layers * _matrix_weights(sizes)
    if sizes.kind == "modern":  # no biases; a norm for the embeddings, two a layer but one in the first, a last one
        return sizes.vocabulary * d + matrices + (2 * layers + 1) * d
    embeddings = (sizes.vocabulary + sizes.learned_positions + 2) * d + 2 * d  # two segments, a norm
    biases = (4 * d + d) + (0 if sizes.gated else f)  # of attention and the last linear layer; the gated first has none
    return embeddings + matrices + layers * (biases + 4 * d)


def flops_per_token(sizes: EncoderSizes, length: int, *, predicted: float = 1.0) -> float:
    """Operations of one forward pass per token of sequences of `length` tokens.

    Args:
        sizes: of the encoder.
        length: tokens of a sequence.
        predicted: share of the tokens that are asked about: only for these the head is computed, and what the last
            layer does after attention.
    """
    d = sizes.dim
    seen = sum(_keys_seen(sizes, layer, length) for layer in range(sizes.layers))
    head = 2 * d * d + 2 * d * sizes.vocabulary
    after_attention = _matrix_weights(sizes) - 3 * d * d
    spared = 2.0 * (1 - predicted) * after_attention  # by the last layer
    return 2.0 * sizes.layers * _matrix_weights(sizes) - spared + 4.0 * d * seen + predicted * head


def training_flops_per_token(sizes: EncoderSizes, length: int, *, predicted: float = 1.0) -> float:
    """Operations of forward and backward pass per token: three times the forward pass."""
    return 3 * flops_per_token(sizes, length, predicted=predicted)


def sizes_of(config: Mapping[str, Any]) -> EncoderSizes:
    """The sizes that a `config.json` of one of our encoders, or of BERT, states.

    Raises:
        UsageError: it is of another architecture.
    """
    kinds: dict[str, Kind] = {"glmbench-dnabert2": "dnabert2", "glmbench-modern": "modern", "bert": "bert"}
    kind = kinds.get(str(config.get("model_type")))
    if kind is None:
        raise UsageError(
            f"model type {config.get('model_type')!r} has no known sizes; wanted one of {', '.join(kinds)}"
        )
    sizes = EncoderSizes(
        kind,
        config["num_hidden_layers"],
        config["hidden_size"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["vocab_size"],
        dropout=config["hidden_dropout_prob"],
        attention_dropout=config["attention_probs_dropout_prob"],
    )
    if kind == "modern":
        return replace(sizes, window=config["local_attention"] // 2, global_every=config["global_attention_every"])
    return replace(sizes, learned_positions=config["max_position_embeddings"]) if kind == "bert" else sizes


def _matrix_weights(sizes: EncoderSizes) -> int:
    """Weights of a layer that every token is multiplied with."""
    return 4 * sizes.dim**2 + (3 if sizes.gated else 2) * sizes.dim * sizes.feed_forward


def _keys_seen(sizes: EncoderSizes, layer: int, length: int) -> float:
    """Tokens that a token of a sequence attends to in a layer, on average."""
    window = sizes.window
    if window is None or layer % sizes.global_every == 0 or window >= length:
        return length
    return 2 * window + 1 - window * (window + 1) / length  # those at the ends see fewer
