"""HyenaDNA: a decoder of gated long convolutions whose filters a small network makes (Nguyen et al., 2023).

Parameter names are those of the released checkpoints (the `-hf` ones), whose own code this replaces. A layer is of
order 2: its input makes two gates and a value; the value times the first gate is convolved with a filter as long as the
sequence, in the Fourier domain, and gated by the second. A filter's value at a distance does not depend on the length,
so one filter serves sequences of all lengths in a batch, and nothing is computed for padding.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutput

from glmbench.errors import Unsupported
from glmbench.networks.hyenadna_config import HyenaDNAConfig
from glmbench.networks.outputs import IGNORED, as_asked, refuse_unsupported
from glmbench.networks.packed_models import PackedForSequenceClassification, PackedModel
from glmbench.networks.packing import Packing

_FAST_DECAY, _SLOW_DECAY, _TARGET, _SHIFT = 0.3, 1.5, 1e-2, 0.05
"""The window over a filter: its features decay to 1 % within 0.3 to 1.5 of the longest input, and never below 5 %."""


class Sine(nn.Module):
    """The activation of the network that makes filters, with a frequency for each feature."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.freq = nn.Parameter(torch.full((1, config.filter_order), float(config.activation_freq)))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return torch.sin(self.freq * x)


class PositionFeatures(nn.Module):
    """What describes each position: time from 0 to 1, cosines and sines of a few frequencies; trained with the rest."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        length, bands = config.max_position_embeddings, (config.emb_dim - 1) // 2
        # transformers builds networks without memory, and makes linspace an exception
        place = torch.arange(length)[:, None]
        frequencies = 1e-4 + torch.arange(bands) * (bands - 1 - 1e-4) / max(bands - 1, 1)
        angles = 2 * math.pi * place / length * frequencies
        features = torch.cat((place / max(length - 1, 1), angles.cos(), -angles.sin()), dim=1)
        self.z = nn.Parameter(features[None])  # (1, positions, features)


class LongFilter(nn.Module):
    """The filter of a layer, made from positions."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.features, self.positions = config.hidden_size, config.max_position_embeddings
        self.bias = nn.Parameter(torch.randn(config.hidden_size))
        self.pos_emb = PositionFeatures(config)
        width = config.filter_order
        # numbered as in the released sequence of linear layers and activations, which share one set of frequencies
        inner = {str(2 * i): nn.Linear(width, width) for i in range(1, config.num_inner_mlps + 1)}
        last = {str(2 * config.num_inner_mlps + 2): nn.Linear(width, config.hidden_size, bias=False)}
        first: dict[str, nn.Module] = {"0": nn.Linear(config.emb_dim, width), "1": Sine(config)}
        self.implicit_filter = nn.ModuleDict({**first, **inner, **last})

    def forward(self, length: int) -> Tensor:
        """Weights at distances 0 to before `length`, float32 (dim, length).

        Always in float32: the sines turn fast, and it is done once for all sequences of a batch.
        """
        with torch.autocast(self.bias.device.type, enabled=False):
            x = self._network(self.pos_emb.z[0, :length])
            slow, fast = -math.log(_TARGET) / _SLOW_DECAY, -math.log(_TARGET) / _FAST_DECAY
            rates = torch.linspace(slow, fast, self.features, device=x.device)
            time = torch.linspace(0, 1, self.positions, device=x.device)[:length, None]
            weights: Tensor = x * (torch.exp(-time * rates) + _SHIFT)
        return weights.T

    def _network(self, x: Tensor) -> Tensor:
        """(length, dim) of what describes the positions, (length, emb_dim)."""
        sine = self.implicit_filter["1"]
        *inner, last = (layer for name, layer in self.implicit_filter.items() if name != "1")
        for layer in inner:
            x = sine(layer(x))
        weights: Tensor = last(x)
        return weights


def long_convolution(x: Tensor, weights: Tensor) -> Tensor:
    """Causal convolution of x, (n, dim, length), with weights (dim, length), in float32 in the Fourier domain."""
    length = x.shape[-1]
    size = 2 * length  # so that the end does not wrap round into the beginning
    product = torch.fft.rfft(x.float(), n=size) * torch.fft.rfft(weights.float(), n=size)
    convolved: Tensor = torch.fft.irfft(product, n=size)
    return convolved[..., :length]


class Mixer(nn.Module):
    """The Hyena operator of order 2."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        dim, width = config.hidden_size, config.short_filter_order
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.short_filter = nn.Conv1d(3 * dim, 3 * dim, width, padding=width - 1, groups=3 * dim)
        self.filter_fn = LongFilter(config)

    def forward(self, x: Tensor, packing: Packing, asked: Tensor | None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        projected, weights = self.in_proj(x), self.filter_fn(packing.longest)
        runs = packing.runs
        pieces = torch.split(projected, [sequences * length for sequences, length in runs])
        mixed = torch.cat([self._mix(piece, *run, weights) for piece, run in zip(pieces, runs, strict=True)])
        out: Tensor = self.out_proj(mixed if asked is None else mixed[asked])
        return out

    def _mix(self, projected: Tensor, sequences: int, length: int, weights: Tensor) -> Tensor:
        """Sequences of one length, (sequences x length, 3 dim), mixed to (sequences x length, dim)."""
        channels = projected.view(sequences, length, -1).transpose(1, 2)
        last, first, value = self.short_filter(channels)[..., :length].chunk(3, dim=1)
        value = value * first
        convolved = long_convolution(value, weights[:, :length]).to(value.dtype)
        mixed: Tensor = (convolved + value * self.filter_fn.bias[:, None]) * last
        return mixed.transpose(1, 2).flatten(0, 1)


class FeedForward(nn.Module):
    """Two linear layers with the tanh form of GELU between them."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(tokens, dim) to (tokens, dim)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))
        return out


class Layer(nn.Module):
    """Mixing, then feed-forward, each on normed states and added to the residual stream."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.mixer = Mixer(config)
        self.norm1 = nn.LayerNorm(config.hidden_size)
        self.mlp = FeedForward(config)
        self.norm2 = nn.LayerNorm(config.hidden_size)

    def forward(self, x: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        mixed = self.mixer(self.norm1(x), packing, asked)
        x = mixed + (x if asked is None else x[asked])
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Embeddings(nn.Module):
    """Tokens to features."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.rows, config.hidden_size)


class Backbone(nn.Module):
    """Embeddings, layers and the last norm."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.dropout = nn.Dropout(config.embed_dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.ln_f = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_epsilon)


class HyenaDNAPreTrainedModel(PreTrainedModel):
    """What these networks share."""

    config_class = HyenaDNAConfig
    config: HyenaDNAConfig
    base_model_prefix = "hyena"


class HyenaDNAModel(HyenaDNAPreTrainedModel, PackedModel):
    """The stack of the decoder."""

    embeddings_at = "backbone.embeddings.word_embeddings"

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__(config)
        self.backbone = Backbone(config)
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
        if packing.longest > self.config.max_position_embeddings:
            raise Unsupported(
                f"a sequence has {packing.longest} tokens, the filters of this HyenaDNA reach over "
                f"{self.config.max_position_embeddings}; cut sequences, or take a model for longer ones"
            )
        x = self.backbone.dropout(self.backbone.embeddings.word_embeddings(ids))
        states = [x]
        for layer in self.backbone.layers:
            x = layer(x, packing, asked if layer is self.backbone.layers[-1] else None)
            states = [*states, x] if every else [x]
        states[-1] = self.backbone.ln_f(x)
        return states


class HyenaDNAForCausalLM(HyenaDNAPreTrainedModel):
    """The decoder with its head, which predicts the next token from the states of the last layer."""

    # ties only where the configuration says so
    _tied_weights_keys = {"lm_head.weight": "hyena.backbone.embeddings.word_embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__(config)
        self.hyena = HyenaDNAModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.rows, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """The head."""
        head: nn.Linear = self.lm_head
        return head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the head."""
        self.lm_head = value

    def packed_states(self, ids: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """See `HyenaDNAModel.packed_states`."""
        states: Tensor = self.hyena.packed_states(ids, packing, asked)
        return states

    def head(self, states: Tensor) -> Tensor:
        """Logits over the rounded-up vocabulary, float32 (n, rows), of any states (n, dim)."""
        logits: Tensor = self.lm_head(states)
        return logits.float()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Any:
        """Logits (batch, length, rows) of the token after each, and the loss of labels that are not -100."""
        refuse_unsupported(inputs_embeds, output_attentions)
        encoded = self.hyena(input_ids, attention_mask, output_hidden_states=output_hidden_states, return_dict=True)
        logits = self.head(encoded.last_hidden_state)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        output = CausalLMOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return as_asked(output, return_dict, self.config)


class HyenaDNAForSequenceClassification(HyenaDNAPreTrainedModel, PackedForSequenceClassification):
    """The decoder and a linear layer on its last token, which has seen the whole sequence."""

    def __init__(self, config: HyenaDNAConfig) -> None:
        super().__init__(config)
        self.hyena = HyenaDNAModel(config)
        self.score = nn.Linear(config.hidden_size, cast(int, config.num_labels), bias=False)
        self.post_init()

    def scores(self, encoded: BaseModelOutputWithPooling, attention_mask: Tensor | None) -> Tensor:
        """See `networks.packed_models.PackedForSequenceClassification`."""
        states = cast(Tensor, encoded.last_hidden_state)
        batch, length = states.shape[:2]
        real = states.new_ones(batch, length) if attention_mask is None else (attention_mask != 0).long()
        last = length - 1 - real.flip(1).argmax(1)
        logits: Tensor = self.score(states[torch.arange(batch, device=states.device), last])
        return logits
