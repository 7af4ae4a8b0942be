"""GPN: a masked language model of dilated convolutions over one-hot bases (Benegas et al., PNAS 2023).

Parameter names are those of the released checkpoint, whose own package this replaces. Beyond the ends of a sequence a
convolution sees zeros, so sequences are taken one length at a time and nothing is computed for padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from glmbench.networks.gpn_config import GPNConfig
from glmbench.networks.packed_models import PackedForMaskedLM, PackedModel
from glmbench.networks.packing import Packing


class OneHot(nn.Module):
    """Tokens to one-hot rows, which is all the embedding that there is."""

    def __init__(self, config: GPNConfig) -> None:
        super().__init__()
        self.features = config.hidden_size

    def forward(self, ids: Tensor) -> Tensor:
        """Rows (tokens, dim), float32, of ids (tokens,)."""
        return functional.one_hot(ids, self.features).float()


class Layer(nn.Module):
    """A dilated convolution and a linear layer, each followed by GELU and norm, and added to the residual stream."""

    def __init__(self, config: GPNConfig, layer: int) -> None:
        super().__init__()
        dim = config.hidden_size
        convolution = nn.Conv1d(dim, dim, config.kernel_size, padding="same", dilation=config.dilation(layer))
        # numbered as in the released sequences, which turn axes and activate at the numbers in between
        self.conv = nn.ModuleDict({"1": convolution, "4": nn.LayerNorm(dim)})
        self.ffn = nn.ModuleDict({"0": nn.Linear(dim, dim), "2": nn.LayerNorm(dim)})

    def forward(self, x: Tensor, packing: Packing, asked: Tensor | None = None) -> Tensor:
        """(tokens, dim) to (tokens, dim), or to (n, dim) for the tokens asked about."""
        runs = packing.runs
        pieces = torch.split(x, [sequences * length for sequences, length in runs])
        convolved = torch.cat([self._convolve(piece, *run) for piece, run in zip(pieces, runs, strict=True)])
        if asked is not None:
            convolved, x = convolved[asked], x[asked]
        x = x + self.conv["4"](functional.gelu(convolved))
        out: Tensor = x + self.ffn["2"](functional.gelu(self.ffn["0"](x)))
        return out

    def _convolve(self, x: Tensor, sequences: int, length: int) -> Tensor:
        """Sequences of one length, (sequences x length, dim), same shape."""
        channels = x.view(sequences, length, -1).transpose(1, 2)
        convolved: Tensor = self.conv["1"](channels).transpose(1, 2).flatten(0, 1)
        return convolved


class GPNPreTrainedModel(PreTrainedModel):
    """What these networks share."""

    config_class = GPNConfig
    config: GPNConfig
    base_model_prefix = "model"


class GPNModel(GPNPreTrainedModel, PackedModel):
    """The encoder."""

    embeddings_at = "embedding"

    def __init__(self, config: GPNConfig) -> None:
        super().__init__(config)
        self.embedding = OneHot(config)
        self.encoder = nn.ModuleList(Layer(config, layer) for layer in range(config.num_hidden_layers))
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
        """States (tokens, dim) of packed ids: of the last layer, or with `every` of the one-hot rows and each layer.

        With `asked` those of the last layer are of these tokens only, (n, dim).
        """
        x = self.embedding(ids)
        states = [x]
        for layer in self.encoder:
            x = layer(x, packing, asked if layer is self.encoder[-1] else None)
            states = [*states, x] if every else [x]
        return states


class MaskedLMHead(nn.Module):
    """States to logits."""

    def __init__(self, config: GPNConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        layers: list[nn.Module] = [nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim), nn.Linear(dim, config.vocab_size)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, states: Tensor) -> Tensor:
        """Float32 logits (n, vocabulary) of states (n, dim)."""
        logits: Tensor = self.decoder(states)
        return logits.float()


class GPNForMaskedLM(GPNPreTrainedModel, PackedForMaskedLM):
    """The encoder with its head: a `networks.packing.PackedLanguageModel`."""

    decoder_at = "cls.decoder.3"

    def __init__(self, config: GPNConfig) -> None:
        super().__init__(config)
        self.model = GPNModel(config)
        self.cls = MaskedLMHead(config)
        self.post_init()

    def head(self, states: Tensor) -> Tensor:
        """See `networks.packing.PackedLanguageModel`."""
        logits: Tensor = self.cls(states)
        return logits
