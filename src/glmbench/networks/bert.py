"""BERT over packed tokens: DNABERT and GeneMask's LOGO. Saved as plain BERT, which any transformers loads."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import BertForMaskedLM as TransformersBert

from glmbench.errors import Unsupported
from glmbench.networks.attention import Attention, Needs, make_attention, product_dtype
from glmbench.networks.attention_choice import Choice
from glmbench.networks.packing import Packing
from glmbench.networks.unpadding import positions


class BertForMaskedLM(TransformersBert):
    """transformers' BERT with its masked language model head: a `networks.packing.PackedLanguageModel` besides.

    It has the same modules, weights and `forward`; the name is the same so that `config.json` names the class that
    everybody has.
    """

    attention_backend: Choice = "auto"
    """See `networks.attention`; no part of the configuration, which is plain BERT's."""

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """See `networks.packing.PackedLanguageModel`.

        Raises:
            Unsupported: a sequence is longer than the position table.
        """
        if packing.longest > self.config.max_position_embeddings:
            raise Unsupported(
                f"a sequence has {packing.longest} tokens, this BERT has {self.config.max_position_embeddings} "
                "positions; cut sequences, or configure more positions before training"
            )
        x = self.bert.embeddings(input_ids=ids[None], position_ids=positions(packing)[None])[0]
        attend = self._attention(x, packing)
        layers: Any = self.bert.encoder.layer
        for layer in layers:
            projections = layer.attention.self
            q, k, v = (
                project(x).view(len(x), self.config.num_attention_heads, -1)
                for project in (projections.query, projections.key, projections.value)
            )
            mixed = attend(q, k, v).flatten(1)
            if asked is not None and layer is layers[-1]:
                mixed, x = mixed[asked], x[asked]
            x = layer.attention.output(mixed, x)
            x = layer.output(layer.intermediate(x), x)
        states: Tensor = x
        return states

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.cls(states)
        return logits.float()

    def _attention(self, x: Tensor, packing: Packing) -> Attention:
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        needs = Needs(packing, x.device, product_dtype(x), dropout=dropout)
        return make_attention(self.attention_backend, needs)
