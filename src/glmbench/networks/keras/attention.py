"""deepG's `layer_transformer_block`: self-attention and a feed-forward part, each with a residual and a layer norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from glmbench.networks.keras.layer import Layer, Weights, rank_two
from glmbench.networks.keras.settings import Settings, Shape

ARRAYS = 16
_EPSILON = 1e-6


class TransformerBlock(Layer):
    """Attention and feed-forward biases throughout; norms come after the additions."""

    def __init__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> None:
        super().__init__()
        _, width = rank_two(settings, inputs[0])
        heads, size, hidden = settings.integer("num_heads"), settings.integer("head_size"), settings.integer("ff_dim")
        self.heads, self.size = heads, size
        for name in ("query", "key", "value"):
            self.register_buffer(name, weights.take(f"a {name} kernel", (width, heads, size)).flatten(1))
            self.register_buffer(f"{name}_bias", weights.take(f"a {name} bias", (heads, size)).flatten())
        self.register_buffer("out", weights.take("an output kernel", (heads, size, width)).flatten(0, 1))
        self.register_buffer("out_bias", weights.take("an output bias", (width,)))
        for name, shape in (("wide", (width, hidden)), ("narrow", (hidden, width))):
            self.register_buffer(name, weights.take(f"a {name} kernel", shape))
            self.register_buffer(f"{name}_bias", weights.take(f"a {name} bias", shape[1:]))
        for number in (1, 2):
            self.register_buffer(f"gamma_{number}", weights.take("a gamma", (width,)))
            self.register_buffer(f"beta_{number}", weights.take("a beta", (width,)))

    def compute(self, inputs: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, width) in and out."""
        x = inputs[0]
        query, key, value = (self._affine(x, name).unflatten(2, (self.heads, -1)) for name in ("query", "key", "value"))
        mixed = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        y = self._norm(x + self._affine(mixed.transpose(1, 2).flatten(2), "out"), 1)
        return self._norm(y + self._affine(torch.relu(self._affine(y, "wide")), "narrow"), 2)

    def _affine(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.get_buffer(name).mT, self.get_buffer(f"{name}_bias"))

    def _norm(self, x: Tensor, number: int) -> Tensor:
        gamma, beta = self.get_buffer(f"gamma_{number}"), self.get_buffer(f"beta_{number}")
        return functional.layer_norm(x, x.shape[-1:], gamma, beta, _EPSILON)
