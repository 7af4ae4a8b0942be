"""A modern encoder: norm before each part, rotary positions, local and global layers, no biases; tokens unpadded once.

The block is ModernBERT's (Warner et al., 2024): with layer norm and rotary positions the two compute the same function.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from glmbench.networks.alibi import alibi_slopes
from glmbench.networks.attention import Attention, Needs, make_attention, product_dtype
from glmbench.networks.modern_config import ModernConfig
from glmbench.networks.packed_models import PackedForMaskedLM, PackedForSequenceClassification, PackedModel
from glmbench.networks.packing import Packing
from glmbench.networks.rotary import rotary_angles, rotate
from glmbench.networks.unpadding import positions

Angles = tuple[Tensor, Tensor]


def _norm(config: ModernConfig) -> nn.Module:
    if config.norm == "rms":
        return nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)


class Embeddings(nn.Module):
    """Tokens to features."""

    def __init__(self, config: ModernConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = _norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        """Features (tokens, dim) of ids (tokens,)."""
        out: Tensor = self.dropout(self.norm(self.tokens(ids)))
        return out


class ToResidual(nn.Linear):
    """A linear layer that writes to the residual stream, which decides how its weights start."""


class SelfAttention(nn.Module):
    """Queries, keys and values from one linear layer, turned where positions are rotary."""

    def __init__(self, config: ModernConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.window = config.num_attention_heads, config.window(layer)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = ToResidual(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, attend: Attention, angles: Angles | None, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        qkv = self.qkv(x).view(len(x), 3, self.heads, -1)
        v = qkv[:, 2]
        q, k = (qkv[:, :2] if angles is None else rotate(qkv[:, :2], *angles)).unbind(1)
        mixed = attend(q, k, v, self.window).flatten(1)
        out: Tensor = self.out(mixed if asked is None else mixed[asked])
        return out


class GatedFeedForward(nn.Module):
    """GEGLU: half of the wide features, through GELU, gates the other half."""

    def __init__(self, config: ModernConfig) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.out = ToResidual(config.intermediate_size, config.hidden_size, bias=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        gate, value = self.gate_and_value(x).chunk(2, dim=-1)
        out: Tensor = self.out(self.dropout(functional.gelu(gate) * value))
        return out


class Layer(nn.Module):
    """Attention, then feed-forward, each on normed states and added to the residual stream."""

    def __init__(self, config: ModernConfig, layer: int) -> None:
        super().__init__()
        # the embeddings are normed already
        self.attention_norm = nn.Identity() if layer == 0 else _norm(config)
        self.attention = SelfAttention(config, layer)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(self, x: Tensor, attend: Attention, angles: Angles | None, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        mixed = self.attention(self.attention_norm(x), attend, angles, asked)
        x = mixed + (x if asked is None else x[asked])
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class ModernPreTrainedModel(PreTrainedModel):
    """What the modern networks share."""

    config_class = ModernConfig
    config: ModernConfig
    base_model_prefix = "model"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """As in transformers, but what writes to the residual stream starts smaller the more layers write to it."""
        super()._init_weights(module)
        if isinstance(module, ToResidual):
            spread = self.config.initializer_range / math.sqrt(2 * self.config.num_hidden_layers)
            nn.init.normal_(module.weight, std=spread)  # transformers spares weights that were read from a file


class ModernModel(ModernPreTrainedModel, PackedModel):
    """The encoder."""

    embeddings_at = "embeddings.tokens"

    def __init__(self, config: ModernConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in range(config.num_hidden_layers))
        self.final_norm = _norm(config)
        self.post_init()

    def layer_states(
        self,
        ids: Tensor,
        packing: Packing,
        segments: Tensor | None = None,
        *,
        every: bool = False,
        asked: Tensor | None = None,
    ) -> list[Tensor]:
        """States (tokens, dim) of packed ids: of the last layer, or with `every` of the embeddings and each layer.

        Those of the last layer are normed, the others are the residual stream. With `asked` those of the last layer are
        of these tokens only, (n, dim).
        """
        x = self.embeddings(ids)
        attend, angles = self._attention(x, packing), self._angles(packing)
        states = [x]
        for layer in self.layers:
            x = layer(x, attend, angles, asked if layer is self.layers[-1] else None)
            states = [*states, x] if every else [x]
        states[-1] = self.final_norm(x)
        return states

    def _attention(self, x: Tensor, packing: Packing) -> Attention:
        config = self.config
        needs = Needs(
            packing=packing,
            device=x.device,
            dtype=product_dtype(x),
            slopes=alibi_slopes(config.num_attention_heads) if config.positions == "alibi" else None,
            windows=tuple(config.window(layer) for layer in range(config.num_hidden_layers)),
            dropout=config.attention_probs_dropout_prob if self.training else 0.0,
        )
        return make_attention(config.attention_backend, needs)

    def _angles(self, packing: Packing) -> Angles | None:
        if self.config.positions == "alibi":
            return None
        features = self.config.hidden_size // self.config.num_attention_heads
        return rotary_angles(positions(packing), features, self.config.rope_theta)


class MaskedLMHead(nn.Module):
    """States to logits; the decoder's weight is the token embeddings', its bias is its own."""

    def __init__(self, config: ModernConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.norm = _norm(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: Tensor) -> Tensor:
        """Float32 logits (n, vocabulary) of states (n, dim)."""
        logits: Tensor = self.decoder(self.norm(functional.gelu(self.dense(states))))
        return logits.float()


class ModernForMaskedLM(ModernPreTrainedModel, PackedForMaskedLM):
    """The encoder with its tied head: a `networks.packing.PackedLanguageModel`."""

    decoder_at = "lm_head.decoder"
    _tied_weights_keys = {"lm_head.decoder.weight": "model.embeddings.tokens.weight"}  # noqa: RUF012

    def __init__(self, config: ModernConfig) -> None:
        super().__init__(config)
        self.model = ModernModel(config)
        self.lm_head = MaskedLMHead(config)
        self.post_init()

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.lm_head(states)
        return logits


class ModernForSequenceClassification(ModernPreTrainedModel, PackedForSequenceClassification):
    """The encoder, the mean over real tokens, dropout and a linear layer."""

    def __init__(self, config: ModernConfig) -> None:
        super().__init__(config)
        self.model = ModernModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()

    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """See `networks.packed_models.PackedForSequenceClassification`."""
        states = cast(Tensor, encoded.last_hidden_state)  # 0 at padding
        counts = states.shape[1] if attention_mask is None else (attention_mask != 0).sum(1, keepdim=True)
        logits: Tensor = self.classifier(self.dropout(states.sum(1) / counts))
        return logits
