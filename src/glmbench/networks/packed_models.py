"""What networks over packed tokens share as transformers sees them: forward over padded batches, losses, embeddings.

A network says what its layers do to packed tokens (`layer_states`), what its head makes of states (`head`), or what its
classifier makes of them (`scores`). Padded and packed are then two views of one function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from glmbench.networks.outputs import as_asked, classifier_output, masked_lm_output, refuse_unsupported, wants_states
from glmbench.networks.packing import Packing
from glmbench.networks.unpadding import find_rows


class PackedModel(PreTrainedModel, ABC):
    """Layers over packed tokens."""

    embeddings_at: ClassVar[str] = "embeddings.word_embeddings"
    """Where its token embeddings are."""

    @abstractmethod
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

        With `asked` those of the last layer are of these tokens only, (n, dim). Those of the last layer are as the head
        wants them; where layers add to a residual stream that is normed at the end, the others are the stream. A
        network without segments ignores them.
        """

    def pooled(self, states: Tensor) -> Tensor | None:
        """The pooled sequence (batch, dim) of last states (batch, length, dim), 0 at padding; None: no pooler."""
        return None

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        return self.layer_states(ids, packing, asked=asked)[-1]

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.get_submodule(self.embeddings_at)

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        _replace(self, self.embeddings_at, value)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Any:
        """States (batch, length, dim) of ids (batch, length), 0 at padding, and the pooled sequence if there is one."""
        refuse_unsupported(inputs_embeds, output_attentions)
        rows = find_rows(input_ids, attention_mask)
        segments = None if token_type_ids is None else rows.pack(token_type_ids)
        every = wants_states(output_hidden_states, self.config)
        states = [rows.pad(x) for x in self.layer_states(rows.pack(input_ids), rows.packing, segments, every=every)]
        output = BaseModelOutputWithPooling(
            last_hidden_state=states[-1],
            pooler_output=self.pooled(states[-1]),
            hidden_states=tuple(states) if every else None,
        )
        return as_asked(output, return_dict, self.config)


class PackedForMaskedLM(PreTrainedModel, ABC):
    """A `PackedModel` with a head: a `networks.packing.PackedLanguageModel`."""

    decoder_at: ClassVar[str]
    """Where the last linear layer of the head is."""

    @abstractmethod
    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        return cast(PackedModel, self.base_model).packed_states(ids, packing, asked)

    def get_output_embeddings(self) -> nn.Module:
        """The last linear layer of the head."""
        return self.get_submodule(self.decoder_at)

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the last linear layer of the head."""
        _replace(self, self.decoder_at, value)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Any:
        """Logits (batch, length, vocabulary) of ids (batch, length), and the loss of labels that are not -100."""
        refuse_unsupported(inputs_embeds, output_attentions)
        rows = find_rows(input_ids, attention_mask)
        segments = None if token_type_ids is None else rows.pack(token_type_ids)
        every = wants_states(output_hidden_states, self.config)
        body = cast(PackedModel, self.base_model)
        states = body.layer_states(rows.pack(input_ids), rows.packing, segments, every=every)
        shown = tuple(rows.pad(x) for x in states) if every else None
        return as_asked(masked_lm_output(self.head(states[-1]), labels, rows, shown), return_dict, self.config)


class PackedForSequenceClassification(PreTrainedModel, ABC):
    """A `PackedModel` with a classification head."""

    reads_first_token: ClassVar[bool] = False
    """Whether the head reads the first token alone: then the last layer, after its attention, is computed for no other.
    """

    @abstractmethod
    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """Scores (batch, num_labels) of what `PackedModel.forward` gives.

        Of a head that reads the first token alone, states may be of that token only, (batch, 1, dim).
        """

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Any:
        """Scores (batch, num_labels), and the loss of labels; see `networks.outputs.classifier_output`."""
        refuse_unsupported(inputs_embeds, output_attentions)
        encoded = None
        if self.reads_first_token and not wants_states(output_hidden_states, self.config):
            encoded = self._first_tokens(input_ids, attention_mask, token_type_ids)
        if encoded is None:
            encoded = self.base_model(
                input_ids, attention_mask, token_type_ids, output_hidden_states=output_hidden_states, return_dict=True
            )
        logits = self.scores(encoded, attention_mask)
        return as_asked(classifier_output(logits, labels, encoded.hidden_states), return_dict, self.config)

    def _first_tokens(
        self, ids: Tensor, mask: Tensor | None, kinds: Tensor | None
    ) -> BaseModelOutputWithPooling | None:
        """What is made of the first token of each row; None where a row has no token, or begins with padding."""
        rows = find_rows(ids, mask)
        if len(rows.packing.lengths) < len(ids) or (mask is not None and not bool((mask[:, 0] != 0).all())):
            return None
        segments = None if kinds is None else rows.pack(kinds)
        body = cast(PackedModel, self.base_model)
        first = rows.packing.offsets[:-1].long()
        states = body.layer_states(rows.pack(ids), rows.packing, segments, asked=first)[-1][:, None]
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=body.pooled(states))


def _replace(network: nn.Module, path: str, value: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, value)
