"""The GenomeNet networks: LSTM, stateful LSTM, CNN, CNN+LSTM and skip connections, for a base at the end or between.

They read one token a base. After deepG's `create_model_lstm_cnn` and `create_model_lstm_cnn_target_middle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import ModelOutput

from glmbench.errors import UsageError
from glmbench.networks.genomenet_config import GenomeNetConfig
from glmbench.networks.genomenet_layers import LSTM, Branch


@dataclass
class BasePredictionOutput(ModelOutput):
    """What a network says of a base: logits (batch, 4) of A, C, G, T."""

    logits: Tensor | None = None


class GenomeNetPreTrainedModel(PreTrainedModel):
    """What both classes share: configuration, names of weights, and Keras' way to start."""

    config_class = GenomeNetConfig
    base_model_prefix = "genomenet"
    main_input_name = "input_ids"

    def _init_weights(self, module: nn.Module) -> None:
        """Start one layer as Keras does: Glorot-uniform kernels, zero biases; see `LSTM` for the recurrent ones."""
        if isinstance(module, LSTM):
            module.reset_parameters()
        elif isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(cast(Tensor, module.bias))
        elif isinstance(module, nn.BatchNorm1d):
            module.reset_parameters()


class GenomeNetModel(GenomeNetPreTrainedModel):
    """The layers below the head: one branch (`end`), or two that share no weights (`middle`)."""

    def __init__(self, config: GenomeNetConfig) -> None:
        super().__init__(config)
        self.left = Branch(config)
        self.right = Branch(config) if config.sides == 2 else None
        self.post_init()

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> BaseModelOutput:
        """States of every token of sequences of one length, (batch, length, hidden_size).

        A state after pooling stands for `config.stride` bases and is repeated for each of them; zero rows fill up
        what is missing to a whole number of them at the end of the reading. `middle` networks join two states:
        of the left branch, which has read the bases up to and including the token's, and of the right branch, which
        has read from the sequence's end down to and including it.

        There is no attention mask: rows of different lengths would have to be padded, and no layer but an LSTM that
        reads from the left can be kept from seeing the padding. Give sequences of one length.

        Args:
            input_ids: int64 (batch, length), of any length.
            output_hidden_states: also give `hidden_states`: the one-hot bases and every layer.
        """
        x = self.one_hot(input_ids)
        sides = [_aligned(self.left, x)]
        if self.right is not None:
            sides.append([states.flip(1) for states in _aligned(self.right, x.flip(1))])
        layers = [torch.cat(states, dim=2) for states in zip(*sides, strict=True)]
        return BaseModelOutput(
            last_hidden_state=layers[-1], hidden_states=(x, *layers) if output_hidden_states else None
        )

    def one_hot(self, ids: Tensor) -> Tensor:
        """Float (batch, length, 4); an all-zero row for every token that is not A, C, G or T."""
        bases = torch.tensor(self.config.base_ids, device=ids.device)
        return (ids[..., None] == bases).float()

    def target_features(self, input_ids: Tensor) -> Tensor:
        """What the head sees of windows: (batch, config.features). See `GenomeNetForBasePrediction.forward`.

        Raises:
            UsageError: a window of a `middle` network has no middle.
        """
        x = self.one_hot(input_ids)
        if self.right is None:
            return self._read_left(x)
        length = x.shape[1]
        if length % 2 == 0:
            raise UsageError(
                f"windows have {length} tokens; want an odd number: two flanks of one length and the asked base between"
            )
        left, right = x[:, : length // 2], x[:, length // 2 + 1 :].flip(1)
        flank = self.config.flank
        right = right[:, -flank:] if self.config.stateful else _fit(right, flank)
        return torch.cat((self._read_left(left), self.right(right)), dim=1)

    def lane_states(self, ids: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """States before (and after) each of T targets in chunks of contiguous text, and the state to go on with.

        A chunk has 1 + T + `config.lookahead` tokens; tokens 1 to T are its targets. The left branch goes on from
        `carried`, so it has seen everything since the lane began. The right branch of a `middle` network reads from the
        end of the chunk to each target, at least `lookahead` bases; it cannot go on from anything, since what lies to
        the right of a chunk is read after it. (Speech recognition does the same: latency-controlled bidirectional
        LSTM, Zhang et al. 2016, arXiv 1510.08983.)

        Args:
            ids: int64 (lanes, 1 + T + lookahead).
            carried: (2, layers, lanes, units), from the chunk before or `no_lanes_yet`.

        Returns:
            States (lanes, T, hidden_size) and the state after token T - 1, of the shape of `carried`.

        Raises:
            UsageError: the network is not stateful.
        """
        if not self.config.stateful:
            raise UsageError("only a stateful network goes on from a state; build it with stateful=True")
        lookahead = self.config.lookahead
        targets = ids.shape[1] - 1 - lookahead
        x = self.one_hot(ids)
        left, after = self.left.continued(x[:, :targets], carried)
        if self.right is None:
            return left, after
        right = self.right.layers(x[:, 2:].flip(1))[-1][:, lookahead - 1 :].flip(1)
        return torch.cat((left, right), dim=2), after

    def no_lanes_yet(self, lanes: int) -> Tensor:
        """The state before any base: zeros (2, layers, lanes, units)."""
        units = self.config.units
        return torch.zeros(2, len(units), lanes, units[0], device=self.device)

    def _read_left(self, x: Tensor) -> Tensor:
        features: Tensor = self.left(x if self.config.stateful else _fit(x, self.config.flank))
        return features


class GenomeNetForBasePrediction(GenomeNetPreTrainedModel):
    """The whole network: a base from its context."""

    def __init__(self, config: GenomeNetConfig) -> None:
        super().__init__(config)
        self.genomenet = GenomeNetModel(config)
        self.head = nn.Linear(config.features, 4)
        self.post_init()

    def forward(self, input_ids: Tensor) -> BasePredictionOutput:
        """Logits (batch, 4) of A, C, G, T for one base of each window.

        Args:
            input_ids: int64 (batch, length). `end`: the bases to the left of the asked one. `middle`: an odd number, of
                which the one in the middle is asked and not looked at. Of longer contexts the `config.context` nearest
                bases count (a stateful network reads all that is on the left); shorter ones are filled up with zero
                rows at their far ends.

        Raises:
            UsageError: a window of a `middle` network has no middle.
        """
        return BasePredictionOutput(logits=self.head(self.genomenet.target_features(input_ids)))

    def base_log_probabilities(self, input_ids: Tensor) -> Tensor:
        """Log probabilities (batch, 4) of A, C, G, T in nats, float32, of the base that `forward` is asked about.

        What the frozen bits-per-base evaluation calls; arguments and errors are those of `forward`.
        """
        return functional.log_softmax(self(input_ids).logits.float(), dim=-1)

    def lane_logits(self, ids: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (lanes, T, 4) of the T targets of each chunk and the state to go on with; see `lane_states`."""
        states, after = self.genomenet.lane_states(ids, carried)
        return self.head(states), after


def _aligned(branch: Branch, x: Tensor) -> list[Tensor]:
    """Every layer's states, repeated so that each has one a base."""
    length = x.shape[1]
    filled = functional.pad(x, (0, 0, 0, -length % branch.stride))
    return [
        states.repeat_interleave(filled.shape[1] // states.shape[1], dim=1)[:, :length]
        for states in branch.layers(filled)
    ]


def _fit(x: Tensor, length: int) -> Tensor:
    """The last `length` rows (B, length, 4); zero rows before what is shorter."""
    return functional.pad(x[:, -length:], (0, 0, max(0, length - x.shape[1]), 0))
