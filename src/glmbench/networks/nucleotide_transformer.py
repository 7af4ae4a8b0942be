"""The second Nucleotide Transformer: ESM with rotary positions and a gated feed-forward (Dalla-Torre et al., 2024).

Norm before each part; SwiGLU without biases; attention and norms have biases. Parameter names are those of the released
checkpoints, whose own code this replaces. Dropout stands where it stands there, and none of theirs uses it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from glmbench.networks.attention import Attention, Needs, make_attention, product_dtype
from glmbench.networks.nucleotide_transformer_config import NucleotideTransformerConfig
from glmbench.networks.packed_models import PackedForMaskedLM, PackedForSequenceClassification, PackedModel
from glmbench.networks.packing import Packing
from glmbench.networks.rotary import rotary_angles, rotate
from glmbench.networks.unpadding import positions

Angles = tuple[Tensor, Tensor]


def _norm(config: NucleotideTransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class Embeddings(nn.Module):
    """Tokens to features; positions are left to attention."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)


class SelfAttention(nn.Module):
    """Queries and keys turned by position, and values."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, attend: Attention, angles: Angles) -> Tensor:
        """Mixed values, (tokens, dim)."""
        q, k, v = (project(x).view(len(x), self.heads, -1) for project in (self.query, self.key, self.value))
        return attend(rotate(q, *angles), rotate(k, *angles), v).flatten(1)


class ToResidual(nn.Module):
    """A linear layer with dropout that writes to the residual stream."""

    def __init__(self, config: NucleotideTransformerConfig, features: int, *, bias: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(features, config.hidden_size, bias=bias)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(tokens, dim)."""
        out: Tensor = residual + self.dropout(self.dense(x))
        return out


class AttentionBlock(nn.Module):
    """Norm, attention, projection."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = ToResidual(config, config.hidden_size, bias=True)
        self.LayerNorm = _norm(config)

    def forward(self, x: Tensor, attend: Attention, angles: Angles, asked: Tensor | None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        mixed = self.self(self.LayerNorm(x), attend, angles)
        out: Tensor = self.output(*((mixed, x) if asked is None else (mixed[asked], x[asked])))
        return out


class GatedLinear(nn.Module):
    """SwiGLU: half of the wide features, through SiLU, gates the other half."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, dim) to (tokens, intermediate)."""
        gate, value = self.dense(x).chunk(2, dim=-1)
        out: Tensor = functional.silu(gate) * value
        return out


class Layer(nn.Module):
    """Attention, then feed-forward, each on normed states and added to the residual stream."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.intermediate = GatedLinear(config)
        self.output = ToResidual(config, config.intermediate_size, bias=False)
        self.LayerNorm = _norm(config)

    def forward(self, x: Tensor, attend: Attention, angles: Angles, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        x = self.attention(x, attend, angles, asked)
        out: Tensor = self.output(self.intermediate(self.LayerNorm(x)), x)
        return out


class Encoder(nn.Module):
    """All layers, and the last norm."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.emb_layer_norm_after = _norm(config)


class NucleotideTransformerPreTrainedModel(PreTrainedModel):
    """What these networks share. Weights start normal with `initializer_range`, biases at 0."""

    config_class = NucleotideTransformerConfig
    config: NucleotideTransformerConfig
    base_model_prefix = "esm"


class NucleotideTransformerModel(NucleotideTransformerPreTrainedModel, PackedModel):
    """The encoder."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
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
        x = self.embeddings.word_embeddings(ids)
        attend = self._attention(x, packing)
        features = self.config.hidden_size // self.config.num_attention_heads
        angles = rotary_angles(positions(packing), features, 10_000.0)
        states = [x]
        for layer in self.encoder.layer:
            x = layer(x, attend, angles, asked if layer is self.encoder.layer[-1] else None)
            states = [*states, x] if every else [x]
        states[-1] = self.encoder.emb_layer_norm_after(x)
        return states

    def _attention(self, x: Tensor, packing: Packing) -> Attention:
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        needs = Needs(packing=packing, device=x.device, dtype=product_dtype(x), dropout=dropout)
        return make_attention(self.config.attention_backend, needs)


class MaskedLMHead(nn.Module):
    """States to logits, by a matrix of its own."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = _norm(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor) -> Tensor:
        """Float32 logits (n, vocabulary) of states (n, dim)."""
        logits: Tensor = self.decoder(self.layer_norm(functional.gelu(self.dense(states)))) + self.bias
        return logits.float()


class NucleotideTransformerForMaskedLM(NucleotideTransformerPreTrainedModel, PackedForMaskedLM):
    """The encoder with its head: a `networks.packing.PackedLanguageModel`."""

    decoder_at = "lm_head.decoder"
    # ties only where the configuration says so
    _tied_weights_keys = {"lm_head.decoder.weight": "esm.embeddings.word_embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__(config)
        self.esm = NucleotideTransformerModel(config)
        self.lm_head = MaskedLMHead(config)
        self.post_init()

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.lm_head(states)
        return logits


class ClassificationHead(nn.Module):
    """The first token through dropout, a dense layer, tanh, dropout and the last linear layer."""

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__()
        share = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(share)
        self.out_proj = nn.Linear(config.hidden_size, cast(int, config.num_labels))

    def forward(self, states: Tensor) -> Tensor:
        """Scores (batch, labels) of states (batch, length, dim)."""
        first = torch.tanh(self.dense(self.dropout(states[:, 0])))
        scores: Tensor = self.out_proj(self.dropout(first))
        return scores


class NucleotideTransformerForSequenceClassification(
    NucleotideTransformerPreTrainedModel, PackedForSequenceClassification
):
    """The encoder with ESM's classification head; padding must be on the right."""

    reads_first_token = True

    def __init__(self, config: NucleotideTransformerConfig) -> None:
        super().__init__(config)
        self.esm = NucleotideTransformerModel(config)
        self.classifier = ClassificationHead(config)
        self.post_init()

    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """See `networks.packed_models.PackedForSequenceClassification`."""
        logits: Tensor = self.classifier(encoded.last_hidden_state)
        return logits
