"""Any encoder or decoder that transformers loads, frozen: `hf:PATH-or-hub-id[@revision][?key=value&…]`.

| option       | values                   | meaning                                                           |
|--------------|--------------------------|-------------------------------------------------------------------|
| `layer`      | integer, -1              | index into the hidden states: 0 the embeddings, -1 the last layer |
| `pool`       | `mean`, cls, max         | over tokens that stand for bases: no padding, no special tokens   |
| `overflow`   | `refuse`, window, truncate | what becomes of sequences beyond the context                    |
| `max_tokens` | integer                  | the context, special tokens included, where the checkpoint errs   |
| `precision`  | `fp32`, bf16             | bf16 is automatic mixed precision, refused where it is emulated   |
| `kmer`       | integer                  | the tokenizer wants overlapping k-mers joined by blanks (DNABERT) |
| `code`       | `native`, own            | of families with a network of ours: that, or the checkpoint's     |
| `hide`       | `token`, base            | masked models: what is hidden with a base that is asked for       |

Several windows of a sequence are averaged, weighted by their tokens (`max`: their maximum).
`cls` is the first token of an encoder (there must be a special one) and the last token of a causal model, the only one
that has seen the whole sequence. Unknown tokens stand for bases and count. Sequences are upper-cased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models.huggingface.limits import (
    check_layer,
    check_vocabulary,
    count_layers,
    count_parameters,
    find_context,
    pad_id,
)
from glmbench.models.huggingface.pooling import pool_rows, pool_windows
from glmbench.models.huggingface.reader import Overflow, Piece, Reader
from glmbench.models.model import ModelCard, Pool, States
from glmbench.models.reference import Options
from glmbench.progress import progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from glmbench.models.huggingface.network import LoadedNetwork
    from glmbench.networks.packing import Packing
    from glmbench.training.batches import Collate

EMBEDDING_VERSION = 2
"""Part of every fingerprint; raised when the same files and options give other numbers."""


@dataclass(frozen=True)
class Settings:
    """The options of a reference."""

    layer: int = -1
    pool: Pool = "mean"
    overflow: Overflow = "refuse"
    max_tokens: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    kmer: int | None = None
    code: Literal["native", "own"] = "native"
    hide: Literal["token", "base"] = "token"

    @classmethod
    def take(cls, options: Options) -> Settings:
        """Read the options; the caller finishes them.

        Raises:
            UsageError: a value is not allowed.
        """
        return cls(
            layer=cast(int, options.integer("layer", -1)),
            pool=cast(Pool, options.choice("pool", "mean", ("mean", "cls", "max"))),
            overflow=cast(Overflow, options.choice("overflow", "refuse", ("refuse", "window", "truncate"))),
            max_tokens=options.integer("max_tokens", None, least=8),
            precision=cast(Literal["fp32", "bf16"], options.choice("precision", "fp32", ("fp32", "bf16"))),
            kmer=options.integer("kmer", None, least=1),
            code=cast(Literal["native", "own"], options.choice("code", "native", ("native", "own"))),
            hide=cast(Literal["token", "base"], options.choice("hide", "token", ("token", "base"))),
        )


class HuggingFaceModel:
    """A frozen network with its tokenizer: `Embeds` and `Inspectable`; see the module for pooling and options.

    Layers are named by their number: "0" the embeddings, then one a layer; "-1" alone where the network does not show
    its layers.
    """

    def __init__(
        self, network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
    ) -> None:
        from glmbench.models.huggingface.runner import Runner
        from glmbench.training.device import preferred_device
        from glmbench.training.precision import resolve

        body = network.body
        context = find_context(body, tokenizer, config, settings.max_tokens, card.reference)
        self._settings = settings
        self._network = network
        self._config = config
        self._device = preferred_device()
        self._precision = resolve(settings.precision, self._device)
        stated = getattr(tokenizer, "init_kwargs", {}).get("kmer")  # our own folders say it themselves
        self._reader = Reader(tokenizer, context, overflow=settings.overflow, kmer=settings.kmer or stated)
        check_vocabulary(body, self._reader.reach, card.reference)
        check_layer(settings.layer, config, card.reference)
        self._pad = pad_id(tokenizer, config)
        self._runner = Runner(network, pad=self._pad, device=self._device, precision=self._precision)
        parameters = count_parameters(network)
        known = {"tokenizer": type(tokenizer).__name__, "context": context, "parameters": parameters}
        self._card = card.model_copy(update=known)
        self._modules: dict[int, nn.Module] = {}
        self._cls_position = self._find_cls() if settings.pool == "cls" else None

    @property
    def card(self) -> ModelCard:
        """The card; its fingerprint covers the files of the checkpoint."""
        return self._card

    @property
    def passes(self) -> int:
        """Token rows that went through the network since it was loaded."""
        return self._runner.passes

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        """Pooled hidden states, float32 (batch, dim), in the order of `sequences`, independent of how they are batched.

        Raises:
            Unsupported: a sequence is longer than the context (and no overflow was chosen).
            DataError: a sequence has no token, or a state is not finite.
        """
        with progress(f"embedding by {self._card.name}", total=len(sequences)) as bar:
            return self.embed_reporting(sequences, bar.advance)

    def embed_reporting(self, sequences: Sequence[str], advance: Callable[[int], None]) -> NDArray[np.float32]:
        """As `embed`, reporting finished sequences."""
        pieces = self._reader.read(sequences).pieces
        features: NDArray[np.float32] | None = None
        windows_left = np.bincount([piece.sequence for piece in pieces], minlength=len(sequences))
        rows = [piece.ids for piece in pieces]
        for batch, states, packing in self._runner.states(rows, self._settings.layer):
            pooled = self._pool(states, packing, [pieces[index] for index in batch])
            if features is None:
                features = np.empty((len(pieces), pooled.shape[1]), dtype=np.float32)
            features[batch] = pooled.cpu().numpy()
            owners = np.array([pieces[index].sequence for index in batch])
            np.subtract.at(windows_left, owners, 1)
            advance(int((windows_left[np.unique(owners)] == 0).sum()))
        if features is None:
            raise DataError("there are no sequences to embed; wanted at least one")
        self._check_finite(features)
        if len(pieces) == len(sequences):
            return features
        owners = np.array([piece.sequence for piece in pieces])
        weights = np.array([piece.tokens for piece in pieces], dtype=np.float32)
        return pool_windows(features, owners, weights, len(sequences), self._settings.pool)

    def notes(self, sequences: Sequence[str]) -> dict[str, int | float]:
        """Tokens, unknown tokens, and what the context cut of `sequences`."""
        reading = self._reader.read(sequences)
        return {
            "sequences": len(sequences),
            "tokens": reading.tokens,
            "unknown_tokens": reading.unknown,
            "unknown_rate": reading.unknown / max(reading.tokens, 1),
            "beyond_context": reading.too_long,
            "windows": len(reading.pieces),
            "cut_tokens": reading.cut,
        }

    def layers(self) -> tuple[str, ...]:
        """Names of the layers, see the class."""
        count = count_layers(self._config)
        return ("-1",) if count is None else tuple(map(str, range(count + 1)))

    def states(self, sequences: Sequence[str], layer: str) -> list[States]:
        """What a layer makes of each sequence, special tokens included; of a long one window after window.

        Raises:
            UsageError: there is no such layer.
            Unsupported: the network does not show it; or a sequence is longer than the context.
            DataError: a sequence has no token, or a state is not finite.
        """
        number = self._layer(layer)
        pieces = self._reader.read(sequences).pieces
        values: dict[int, NDArray[np.float32]] = {}
        for batch, states, packing in self._runner.states([piece.ids for piece in pieces], number):
            parts = states.cpu().numpy()
            self._check_finite(parts)
            values |= dict(zip(batch, np.split(parts, np.cumsum(packing.lengths)[:-1]), strict=True))
        owned: list[list[int]] = [[] for _ in sequences]
        for index, piece in enumerate(pieces):
            owned[piece.sequence].append(index)
        spans = [self._spans(piece) for piece in pieces]
        return [
            States(
                np.concatenate([values[index] for index in of_one]),
                np.concatenate([spans[index][0] for index in of_one]),
                np.concatenate([spans[index][1] for index in of_one]),
            )
            for of_one in owned
        ]

    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        """Within the context, a unit of a layer has this value at every place, and what follows comes of it.

        Raises:
            UsageError: there is no such layer or unit.
            Unsupported: no one module of the network gives the states of this layer.
        """
        from glmbench.models.huggingface.clamping import find_module, held

        number = self._layer(layer)
        probe = self._reader.prefix + self._reader.probe[:8] + self._reader.suffix

        def read() -> Tensor:
            return next(self._runner.states([probe], number))[1]

        units = read().shape[1]
        if not 0 <= unit < units:
            raise UsageError(f"{self._card.reference}: layer {layer} has units 0 to {units - 1}, got {unit}")
        if number not in self._modules:
            module = find_module(self._network.body, read)
            if module is None:
                raise Unsupported(
                    f"{self._card.reference}: no one part of the network gives the states of layer {layer}"
                )
            self._modules[number] = module
        with held(self._modules[number], unit, value):
            yield

    def trainable(self, outputs: int, *, seed: int, per_base: bool = False) -> tuple[nn.Module, Collate]:
        """A copy of the pre-trained network under a fresh head of `outputs` outputs, drawn from `seed`; its collate.

        The options `layer` and `pool` make no difference: the head is the architecture's own, and of single bases a
        small one on the states of the tokens that cover them. What becomes of sequences beyond the context is as
        `overflow` says, but that with labels by base none is cut.
        """
        overflow = self._settings.overflow
        if per_base:
            from glmbench.models.huggingface.per_base import BaseCollate, make_per_base

            own = BaseCollate(self._reader, self._pad, "window" if overflow == "window" else "refuse")
            return make_per_base(self._network, outputs, seed), own
        from glmbench.models.huggingface.token_collate import TokenCollate
        from glmbench.models.huggingface.trainable import make_trainable

        return make_trainable(self._network, outputs, seed), TokenCollate(self._reader, self._pad, overflow)

    def _layer(self, name: str) -> int:
        """The number of a layer, -1 for the last one, however it is called."""
        names = self.layers()
        if name not in (*names, "-1"):
            raise UsageError(f"{self._card.reference}: there is no layer {name!r}; wanted one of {', '.join(names)}")
        return -1 if name == names[-1] else int(name)

    def _spans(self, piece: Piece) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First bases of all tokens of a piece and the bases after their last, -1 for special ones."""
        around = len(self._reader.prefix), len(piece.ids) - len(self._reader.prefix) - piece.tokens
        starts, ends = (np.pad(bound, around, constant_values=-1) for bound in (piece.starts, piece.ends))
        return starts, ends

    def _pool(self, states: Tensor, packing: Packing, pieces: list[Piece]) -> Tensor:
        """Pooled states (rows, dim) of pieces end to end."""
        if self._cls_position is None:
            counts = [piece.tokens for piece in pieces]
            return pool_rows(states, packing, len(self._reader.prefix), counts, self._settings.pool)
        return states[packing.offsets[:-1] if self._cls_position == 0 else packing.offsets[1:] - 1]

    def _check_finite(self, states: NDArray[np.float32]) -> None:
        if not np.isfinite(states).all():
            raise DataError(f"{self._card.reference} gives states that are NaN or infinite; try ?precision=fp32")

    def _find_cls(self) -> int:
        """0, or -1 for a causal network: one whose first token does not see the last, even after all layers."""
        import torch

        tokens = self._reader.probe[:6]
        other = next((token for token in self._reader.probe if token != tokens[-1]), None)
        if other is None:
            raise DataError(f"{self._card.reference}: the tokenizer has one token for all of DNA")
        rows = [self._reader.prefix + tokens[:-1] + [last] for last in (tokens[-1], other)]
        first, second = (next(self._runner.states([row]))[1][0] for row in rows)
        if torch.equal(first, second):
            return -1
        if not self._reader.prefix:
            raise Unsupported(f"{self._card.reference}: its tokenizer puts no special token first; use ?pool=mean")
        return 0
