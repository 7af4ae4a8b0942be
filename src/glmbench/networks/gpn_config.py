"""The configuration of GPN."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from glmbench.errors import UsageError


class GPNConfig(PretrainedConfig):
    """Sizes of `networks.gpn`; the defaults are those of the released model of Brassicales.

    Args:
        vocab_size: tokens.
        hidden_size: features of a token; tokens enter as one-hot rows of this width.
        num_hidden_layers: layers.
        kernel_size: places that a convolution sees, odd.
        dilation_base: how much wider the next dilation is.
        dilation_max: the widest.
        dilation_cycle: layers after which dilations start at 1 again.
        dilation_double_every: layers of one dilation.
        initializer_range: standard deviation of initial weights.
        pad_token_id: the padding token.
        kwargs: of every transformers configuration.

    Raises:
        UsageError: sizes that make no network.
    """

    model_type = "glmbench-gpn"

    def __init__(
        self,
        *,
        vocab_size: int = 7,
        hidden_size: int = 512,
        num_hidden_layers: int = 25,
        kernel_size: int = 9,
        dilation_base: int = 2,
        dilation_max: int = 32,
        dilation_cycle: int = 6,
        dilation_double_every: int = 1,
        initializer_range: float = 0.02,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ) -> None:
        if vocab_size > hidden_size or kernel_size % 2 == 0:
            raise UsageError(
                f"a vocabulary of {vocab_size} in {hidden_size} features, kernels of {kernel_size}; wanted at least as "
                "many features as tokens, and an odd kernel"
            )
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.kernel_size = kernel_size
        self.dilation_base = dilation_base
        self.dilation_max = dilation_max
        self.dilation_cycle = dilation_cycle
        self.dilation_double_every = dilation_double_every
        self.initializer_range = initializer_range
        kwargs.update(pad_token_id=pad_token_id, tie_word_embeddings=False)
        super().__init__(**kwargs)

    def dilation(self, layer: int) -> int:
        """Distance between the places that a layer's convolution sees."""
        power = layer % self.dilation_cycle // self.dilation_double_every
        return int(min(self.dilation_max, self.dilation_base**power))
