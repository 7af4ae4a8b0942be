"""BERT over packed tokens: DNABERT, GeneMask's LOGO and any other. Saved as plain BERT, which any transformers loads.

The classes have the names, modules and weights of transformers' own, so that `config.json` names the class that
everybody has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM as TransformersBert
from transformers import BertForSequenceClassification as TransformersBertClassifier
from transformers.modeling_outputs import SequenceClassifierOutput

from glmbench.errors import Unsupported
from glmbench.networks.attention import Attention, Needs, SdpaAttention, make_attention, product_dtype
from glmbench.networks.attention_choice import Choice
from glmbench.networks.packing import Packing
from glmbench.networks.unpadding import find_rows, positions


class BertForMaskedLM(TransformersBert):
    """transformers' BERT with its masked language model head: a `networks.packing.PackedLanguageModel` besides."""

    attention_backend: Choice = "auto"
    """See `networks.attention`; no part of the configuration, which is plain BERT's."""

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """See `networks.packing.PackedLanguageModel`.

        Raises:
            Unsupported: a sequence is longer than the position table.
        """
        return _packed_states(self, ids, packing, None, asked)

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.cls(states)
        return logits.float()


class BertForSequenceClassification(TransformersBertClassifier):
    """transformers' BERT with its classification head, computed without padding, and at last for the first token alone.

    Scores are those of transformers' class for rows that are padded on the right; of a call, it takes ids, mask and
    token types only.
    """

    attention_backend: Choice = "auto"

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Scores (batch, num_labels) of ids (batch, length); every row has at least its first token.

        Raises:
            Unsupported: a sequence is longer than the position table.
        """
        rows = find_rows(input_ids, attention_mask)
        kinds = None if token_type_ids is None else rows.pack(token_type_ids)
        states = _packed_states(self, rows.pack(input_ids), rows.packing, kinds, None, first=True)
        pooler: Any = self.bert.pooler
        pooled = pooler(states[:, None])
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(pooled)))


def _packed_states(
    network: BertForMaskedLM | BertForSequenceClassification,
    ids: Tensor,
    packing: Packing,
    kinds: Tensor | None,
    asked: Tensor | None,
    *,
    first: bool = False,
) -> Tensor:
    """Last hidden states (tokens, dim), or (n, dim) of the tokens asked about.

    Args:
        network: whose.
        ids: int64 (tokens,).
        packing: of them.
        kinds: token types, (tokens,); None: all 0.
        asked: places of tokens; None: all.
        first: the first token of each sequence is asked about; of the last attention, nothing else is computed.
    """
    config: Any = network.config
    if packing.longest > config.max_position_embeddings:
        raise Unsupported(
            f"a sequence has {packing.longest} tokens, this BERT has {config.max_position_embeddings} "
            "positions; cut sequences, or configure more positions before training"
        )
    kinds = torch.zeros_like(ids) if kinds is None else kinds
    x = network.bert.embeddings(input_ids=ids[None], position_ids=positions(packing)[None], token_type_ids=kinds[None])[
        0
    ]
    attend = _attention(network, x, packing)
    if first:
        asked = packing.offsets[:-1].long()
    layers: Any = network.bert.encoder.layer
    for layer in layers:
        last = asked is not None and layer is layers[-1]
        query, key, value = (getattr(layer.attention.self, name) for name in ("query", "key", "value"))
        plain = type(key) is type(value) is nn.Linear  # adapters make keys and values of their own
        if last and first and plain and isinstance(attend, SdpaAttention):
            seen = x[asked]
            mixed, x = attend.of_first(_by_head(query(seen), config), x, key, value).flatten(1), seen
        else:
            q, k, v = (_by_head(project(x), config) for project in (query, key, value))
            mixed = attend(q, k, v).flatten(1)
            if last:
                mixed, x = mixed[asked], x[asked]
        x = layer.attention.output(mixed, x)
        x = layer.output(layer.intermediate(x), x)
    states: Tensor = x
    return states


def _by_head(x: Tensor, config: Any) -> Tensor:
    return x.view(len(x), config.num_attention_heads, -1)


def _attention(network: BertForMaskedLM | BertForSequenceClassification, x: Tensor, packing: Packing) -> Attention:
    dropout = network.config.attention_probs_dropout_prob if network.training else 0.0
    needs = Needs(packing, x.device, product_dtype(x), dropout=dropout)
    return make_attention(network.attention_backend, needs)
