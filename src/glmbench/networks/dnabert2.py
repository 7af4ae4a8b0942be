"""DNABERT-2's encoder: ALiBi, gated feed-forward, norm after each part; tokens unpadded once (Zhou et al., ICLR 2024).

Parameter names are those of the released checkpoint (MosaicBERT's). Dropout stands where it stands there: after the
embeddings, on the output of attention, and inside the feed-forward part before its last linear layer.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from glmbench.networks.alibi import alibi_slopes
from glmbench.networks.attention import Attention, Needs, make_attention, product_dtype
from glmbench.networks.bert_heads import MaskedLMHead, Pooler
from glmbench.networks.dnabert2_config import DNABERT2Config
from glmbench.networks.packed_models import PackedForMaskedLM, PackedForSequenceClassification, PackedModel
from glmbench.networks.packing import Packing


class Embeddings(nn.Module):
    """Tokens and segments to features; positions are left to ALiBi."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, segments: Tensor | None) -> Tensor:
        """Features (tokens, dim) of ids and segments, (tokens,); None: all in segment 0."""
        kinds = self.token_type_embeddings
        x = self.word_embeddings(ids) + (kinds.weight[0] if segments is None else kinds(segments))
        out: Tensor = self.dropout(self.LayerNorm(x))
        return out


class SelfAttention(nn.Module):
    """Queries, keys and values from one linear layer."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)

    def forward(self, x: Tensor, attend: Attention) -> Tensor:
        """Mixed values, (tokens, dim)."""
        q, k, v = self.Wqkv(x).view(len(x), 3, self.heads, -1).unbind(1)
        return attend(q, k, v).flatten(1)


class AttentionOutput(nn.Module):
    """Projection, residual and norm."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        """(tokens, dim); x is what went into attention."""
        out: Tensor = self.LayerNorm(x + self.dropout(self.dense(mixed)))
        return out


class AttentionBlock(nn.Module):
    """Attention with its output."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = AttentionOutput(config)

    def forward(self, x: Tensor, attend: Attention, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        mixed = self.self(x, attend)
        out: Tensor = self.output(*((mixed, x) if asked is None else (mixed[asked], x[asked])))
        return out


class GatedFeedForward(nn.Module):
    """GEGLU: half of the wide features, through GELU, gates the other half."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.gated_layers = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.wo = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        gate, value = self.gated_layers(x).chunk(2, dim=-1)
        out: Tensor = self.layernorm(x + self.wo(self.dropout(functional.gelu(gate) * value)))
        return out


class Layer(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.mlp = GatedFeedForward(config)

    def forward(self, x: Tensor, attend: Attention, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        out: Tensor = self.mlp(self.attention(x, attend, asked))
        return out


class Encoder(nn.Module):
    """All layers."""

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class DNABERT2PreTrainedModel(PreTrainedModel):
    """What DNABERT-2's networks share. Weights start as in BERT: normal with `initializer_range`, biases at 0."""

    config_class = DNABERT2Config
    config: DNABERT2Config
    base_model_prefix = "bert"


class DNABERT2Model(DNABERT2PreTrainedModel, PackedModel):
    """The encoder, with or without the pooler."""

    def __init__(self, config: DNABERT2Config, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if add_pooling_layer else None
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

        With `asked` those of the last layer are of these tokens only, (n, dim).
        """
        x = self.embeddings(ids, segments)
        attend = self._attention(x, packing)
        states = [x]
        for layer in self.encoder.layer:
            x = layer(x, attend, asked if layer is self.encoder.layer[-1] else None)
            states = [*states, x] if every else [x]
        return states

    def pooled(self, states: Tensor) -> Tensor | None:
        """See `networks.packed_models.PackedModel`."""
        return None if self.pooler is None else self.pooler(states)

    def _attention(self, x: Tensor, packing: Packing) -> Attention:
        needs = Needs(
            packing=packing,
            device=x.device,
            dtype=product_dtype(x),
            slopes=alibi_slopes(self.config.num_attention_heads),
            dropout=self.config.attention_probs_dropout_prob if self.training else 0.0,
        )
        return make_attention(self.config.attention_backend, needs)


class DNABERT2ForMaskedLM(DNABERT2PreTrainedModel, PackedForMaskedLM):
    """The encoder with its tied head: a `networks.packing.PackedLanguageModel`."""

    decoder_at = "cls.predictions.decoder"
    _tied_weights_keys = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__(config)
        self.bert = DNABERT2Model(config, add_pooling_layer=False)
        self.cls = MaskedLMHead(config)
        self.post_init()

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.cls.predictions(states)
        return logits


class DNABERT2ForSequenceClassification(DNABERT2PreTrainedModel, PackedForSequenceClassification):
    """The encoder with pooler, dropout and a linear layer, as it is fine-tuned on GUE."""

    reads_first_token = True

    def __init__(self, config: DNABERT2Config) -> None:
        super().__init__(config)
        self.bert = DNABERT2Model(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()

    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """See `networks.packed_models.PackedForSequenceClassification`."""
        logits: Tensor = self.classifier(self.dropout(encoded.pooler_output))
        return logits
