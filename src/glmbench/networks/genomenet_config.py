"""Sizes of the GenomeNet networks, and the five presets of the GenomeNet benchmark.

The draft of the benchmark names five architectures and describes none. The presets take their numbers from models that
the same group published: deepG's language-model tutorial (CNN+LSTM), its classifiers (CNN) and response viewer (LSTM).
The sizes of the network with skip connections are ours, in deepG's layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from transformers import PretrainedConfig

from glmbench.errors import UsageError

Position = Literal["end", "middle"]
"""Where the predicted base stands: after its context, or between two flanks."""
Architecture = Literal["lstm", "stateful-lstm", "cnn", "cnn-lstm", "skip"]
Readout = Literal["last", "flatten", "mean"]

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
_CHARACTER_IDS = (5, 6, 7, 8)
"""Ids of A, C, G, T in the character tokenizer."""
_LSTM: dict[str, Any] = {"units": (128, 128), "dropout": 0.3, "readout": "last"}
_PRESETS: dict[Architecture, dict[str, Any]] = {
    "lstm": _LSTM,
    "stateful-lstm": {**_LSTM, "stateful": True},
    "cnn": {"filters": (32, 64, 128), "kernel": 12, "pools": (3, 3, 3), "readout": "flatten"},
    "cnn-lstm": {
        "filters": (32, 64, 64),
        "kernel": 12,
        "pools": (3, 3, 3),
        "units": (32,),
        "readout": "last",
        "momentum": 0.8,
    },
    "skip": {"filters": (64, 64, 128, 128), "kernel": 8, "pools": (1, 2, 1, 2), "residual": True, "readout": "mean"},
}


class GenomeNetConfig(PretrainedConfig):
    """Sizes of a GenomeNet network: convolution blocks, then LSTM layers, either of which may be absent.

    Args:
        position: of the predicted base.
        context: bases that a prediction sees: to its left (`end`), or half of them on either side (`middle`).
        base_ids: token ids of A, C, G, T; every other id is an all-zero row, as deepG reads N.
        vocab_size: ids of the tokenizer.
        filters: of each convolution block.
        kernel: width of every convolution, in positions of its input.
        pools: width and stride of each block's max pooling.
        residual: add each block's input to its output, from the second block on.
        units: of each LSTM layer.
        dropout: share of units dropped after each LSTM layer; one mask a sequence.
        stateful: the LSTM of the left side reads contiguous text of any length; see `GenomeNetModel.lane_states`.
        readout: what the head sees of a side: its last state, all states, or their mean.
        momentum: of batch norm's running statistics, as Keras counts it: the share that is kept.
        **kwargs: what every configuration of transformers has.

    Raises:
        UsageError: the sizes make no network.
    """

    model_type = "glmbench-genomenet"

    def __init__(
        self,
        position: Position = "end",
        context: int = 150,
        base_ids: Sequence[int] = _CHARACTER_IDS,
        vocab_size: int = 9,
        filters: Sequence[int] = (),
        kernel: int = 12,
        pools: Sequence[int] = (),
        residual: bool = False,
        units: Sequence[int] = (),
        dropout: float = 0.0,
        stateful: bool = False,
        readout: Readout = "mean",
        momentum: float = 0.99,
        **kwargs: Any,
    ) -> None:
        self.position = position
        self.context = context
        self.base_ids = list(base_ids)
        self.vocab_size = vocab_size
        self.filters = list(filters)
        self.kernel = kernel
        self.pools = list(pools)
        self.residual = residual
        self.units = list(units)
        self.dropout = dropout
        self.stateful = stateful
        self.readout = readout
        self.momentum = momentum
        self._check()
        super().__init__(**kwargs)

    @property
    def sides(self) -> int:
        """Branches of the network: 1 for `end`, 2 for `middle`."""
        return 2 if self.position == "middle" else 1

    @property
    def flank(self) -> int:
        """Bases that each branch sees of a window."""
        return self.context // self.sides

    @property
    def lookahead(self) -> int:
        """Bases after its last target that a chunk of a lane holds; see `GenomeNetModel.lane_states`."""
        return self.flank if self.position == "middle" else 0

    @property
    def stride(self) -> int:
        """Bases that one state of the last layer stands for."""
        product = 1
        for pool in self.pools:
            product *= pool
        return product

    @property
    def hidden_size(self) -> int:
        """Width of `last_hidden_state`."""
        return int((self.units or self.filters)[-1]) * self.sides

    @property
    def num_hidden_layers(self) -> int:
        """Convolution blocks and LSTM layers."""
        return len(self.filters) + len(self.units)

    @property
    def features(self) -> int:
        """Width of what the head sees."""
        return self.hidden_size * (self.flank // self.stride if self.readout == "flatten" else 1)

    def _check(self) -> None:
        """Refuse sizes that make no network."""
        if self.position not in get_args(Position) or self.readout not in get_args(Readout):
            raise UsageError(
                f"position is {self.position!r}, wanted end or middle; readout is {self.readout!r}, wanted "
                f"{', '.join(get_args(Readout))}"
            )
        if len(self.filters) != len(self.pools) or not (self.filters or self.units):
            raise UsageError(
                f"filters {self.filters}, pools {self.pools}, units {self.units}: want one pool a block of filters, "
                "and at least one layer"
            )
        if min([self.kernel, *self.filters, *self.pools, *self.units]) < 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"sizes must be positive and dropout within [0, 1): {self.filters} filters of width "
                f"{self.kernel}, pools {self.pools}, units {self.units}, dropout {self.dropout}"
            )
        if len(set(self.base_ids)) != 4:
            raise UsageError(f"base_ids {self.base_ids}: want four different ids, of A, C, G, T")
        if self.context < 2 or self.context % 2 or self.flank < self.stride:
            raise UsageError(
                f"context is {self.context} bases: want an even number, and a flank of at least {self.stride} bases, "
                "which is what all pooling together reduces to one state"
            )
        if self.stateful and (self.filters or len(set(self.units)) != 1):
            raise UsageError(
                f"a stateful network has LSTM layers of one width only, got filters {self.filters}, units {self.units}"
            )


def preset(
    architecture: Architecture, position: Position = "end", *, context: int | None = None, **changes: Any
) -> GenomeNetConfig:
    """The configuration of one of the five architectures.

    Args:
        architecture: one of `ARCHITECTURES`.
        position: of the predicted base.
        context: see `GenomeNetConfig`; None: 500 for `cnn-lstm`, as published, 150 for the others.
        **changes: any other size, for instance of a smaller network.

    Raises:
        UsageError: there is no such architecture, or the sizes make no network.
    """
    if architecture not in _PRESETS:
        raise UsageError(f"no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    chosen = context or (500 if architecture == "cnn-lstm" else 150)
    return GenomeNetConfig(**{**_PRESETS[architecture], "position": position, "context": chosen, **changes})
