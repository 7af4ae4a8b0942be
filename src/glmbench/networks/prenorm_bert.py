"""BERT with the norm before each part (GENA-LM; Fishman et al., 2025): learned positions, tokens unpadded once.

Parameter names are those of the released GENA-LM checkpoints. Embeddings are normed as in BERT; then each part adds to
the residual stream what it makes of the normed stream (Xiong et al., 2020).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from glmbench.errors import Unsupported
from glmbench.networks.attention import Attention, Needs, make_attention, product_dtype
from glmbench.networks.bert_heads import MaskedLMHead, Pooler
from glmbench.networks.packed_models import PackedForMaskedLM, PackedForSequenceClassification, PackedModel
from glmbench.networks.packing import Packing
from glmbench.networks.prenorm_bert_config import PrenormBertConfig
from glmbench.networks.unpadding import positions


def _norm(config: PrenormBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class Embeddings(nn.Module):
    """Tokens, positions and segments to features."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = _norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, places: Tensor, segments: Tensor | None) -> Tensor:
        """Features (tokens, dim) of ids, positions and segments, (tokens,); None: all in segment 0."""
        kinds = self.token_type_embeddings
        x = self.word_embeddings(ids) + (kinds.weight[0] if segments is None else kinds(segments))
        out: Tensor = self.dropout(self.LayerNorm(x + self.position_embeddings(places)))
        return out


class SelfAttention(nn.Module):
    """Queries, keys and values."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, attend: Attention) -> Tensor:
        """Mixed values, (tokens, dim)."""
        q, k, v = (project(x).view(len(x), self.heads, -1) for project in (self.query, self.key, self.value))
        return attend(q, k, v).flatten(1)


class ToResidual(nn.Module):
    """A linear layer with dropout that writes to the residual stream."""

    def __init__(self, config: PrenormBertConfig, features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, features) to (tokens, dim)."""
        out: Tensor = self.dropout(self.dense(x))
        return out


class AttentionBlock(nn.Module):
    """Attention with its output."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = ToResidual(config, config.hidden_size)


class Intermediate(nn.Module):
    """The wide layer of the feed-forward part."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, dim) to (tokens, wide)."""
        return functional.gelu(self.dense(x))


class Layer(nn.Module):
    """Attention, then feed-forward, each on the normed stream."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.pre_attention_ln = _norm(config)
        self.post_attention_ln = _norm(config)
        self.attention = AttentionBlock(config)
        self.intermediate = Intermediate(config)
        self.output = ToResidual(config, config.intermediate_size)

    def forward(self, x: Tensor, attend: Attention, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        mixed = self.attention.self(self.pre_attention_ln(x), attend)
        if asked is not None:
            mixed, x = mixed[asked], x[asked]
        x = x + self.attention.output(mixed)
        out: Tensor = x + self.output(self.intermediate(self.post_attention_ln(x)))
        return out


class Encoder(nn.Module):
    """All layers, and the norm after the last."""

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.last_layer_ln = _norm(config) if config.last_layer_norm else None


class PrenormBertPreTrainedModel(PreTrainedModel):
    """What these networks share. Weights start as in BERT: normal with `initializer_range`, biases at 0."""

    config_class = PrenormBertConfig
    config: PrenormBertConfig
    base_model_prefix = "bert"


class PrenormBertModel(PrenormBertPreTrainedModel, PackedModel):
    """The encoder, with or without the pooler."""

    def __init__(self, config: PrenormBertConfig, add_pooling_layer: bool = True) -> None:
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

        With `asked` those of the last layer are of these tokens only, (n, dim). The last ones are normed.

        Raises:
            Unsupported: a sequence is longer than the position table.
        """
        if packing.longest > self.config.max_position_embeddings:
            raise Unsupported(
                f"a sequence has {packing.longest} tokens, this BERT has {self.config.max_position_embeddings} "
                "positions; cut sequences"
            )
        x = self.embeddings(ids, positions(packing), segments)
        attend = self._attention(x, packing)
        states = [x]
        for layer in self.encoder.layer:
            x = layer(x, attend, asked if layer is self.encoder.layer[-1] else None)
            states = [*states, x] if every else [x]
        if self.encoder.last_layer_ln is not None:
            states[-1] = self.encoder.last_layer_ln(states[-1])
        return states

    def pooled(self, states: Tensor) -> Tensor | None:
        """See `networks.packed_models.PackedModel`."""
        return None if self.pooler is None else self.pooler(states)

    def _attention(self, x: Tensor, packing: Packing) -> Attention:
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        needs = Needs(packing, x.device, product_dtype(x), dropout=dropout)
        return make_attention(self.config.attention_backend, needs)


class PrenormBertForMaskedLM(PrenormBertPreTrainedModel, PackedForMaskedLM):
    """The encoder with its tied head: a `networks.packing.PackedLanguageModel`."""

    decoder_at = "cls.predictions.decoder"
    _tied_weights_keys = {"cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__(config)
        self.bert = PrenormBertModel(config, add_pooling_layer=False)
        self.cls = MaskedLMHead(config)
        self.post_init()

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.cls.predictions(states)
        return logits


class PrenormBertForSequenceClassification(PrenormBertPreTrainedModel, PackedForSequenceClassification):
    """The encoder with pooler, dropout and a linear layer."""

    reads_first_token = True

    def __init__(self, config: PrenormBertConfig) -> None:
        super().__init__(config)
        self.bert = PrenormBertModel(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()

    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """See `networks.packed_models.PackedForSequenceClassification`."""
        logits: Tensor = self.classifier(self.dropout(encoded.pooler_output))
        return logits
