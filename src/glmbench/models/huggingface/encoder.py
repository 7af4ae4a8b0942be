"""Any encoder or decoder that transformers loads, frozen: `hf:PATH-or-hub-id[@revision][?key=value&…]`.

| option       | values                   | meaning                                                           |
|--------------|--------------------------|-------------------------------------------------------------------|
| `layer`      | integer, -1              | index into the hidden states: 0 the embeddings, -1 the last layer |
| `pool`       | `mean`, cls, max         | over tokens that stand for bases: no padding, no special tokens   |
| `overflow`   | `refuse`, window, truncate | what becomes of sequences beyond the context                    |
| `max_tokens` | integer                  | the context, special tokens included, where the checkpoint errs   |
| `precision`  | `fp32`, bf16             | bf16 is automatic mixed precision, refused where it is emulated   |
| `kmer`       | integer                  | the tokenizer wants overlapping k-mers joined by blanks (DNABERT) |

Several windows of a sequence are averaged, weighted by their tokens (`max`: their maximum).
`cls` is the first token of an encoder (there must be a special one) and the last token of a causal model, the only one
that has seen the whole sequence. Unknown tokens stand for bases and count. Sequences are upper-cased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models.huggingface.checkpoint import locate
from glmbench.models.huggingface.checkpoint_card import describe
from glmbench.models.huggingface.reader import Overflow, Piece, Reader, batches
from glmbench.models.huggingface.weights import implementation, load_weights, read_config, read_tokenizer
from glmbench.models.model import ModelCard, Pool
from glmbench.models.reference import ModelReference, Options
from glmbench.progress import progress
from glmbench.storage.hashing import sha256_json

if TYPE_CHECKING:
    import torch
    from torch import nn

EMBEDDING_VERSION = 1
"""Part of every fingerprint; raised when the same files and options give other numbers."""

CPU_BATCH_TOKENS = 2_048
"""More leaves the processor's cache and is slower."""
GPU_BATCH_TOKENS = 65_536


@dataclass(frozen=True)
class Settings:
    """The options of a reference."""

    layer: int = -1
    pool: Pool = "mean"
    overflow: Overflow = "refuse"
    max_tokens: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    kmer: int | None = None

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
        )


class HuggingFaceModel:
    """A frozen network with its tokenizer; see the module for pooling and options."""

    def __init__(self, network: nn.Module, tokenizer: Any, config: Any, settings: Settings, card: ModelCard) -> None:
        from glmbench.training.device import preferred_device
        from glmbench.training.precision import resolve

        limit = _position_limit(network)
        context = settings.max_tokens or _stated_context(tokenizer, config, limit)
        if limit is not None and context is not None and context > limit:
            raise UsageError(f"{card.reference}: max_tokens is {context}, the network has {limit} positions")
        self._settings = settings
        self._device = preferred_device()
        self._precision = resolve(settings.precision, self._device)
        self._network = network.to(self._device)
        stated = getattr(tokenizer, "init_kwargs", {}).get("kmer")  # our own folders say it themselves
        self._reader = Reader(tokenizer, context, overflow=settings.overflow, kmer=settings.kmer or stated)
        self._pad = _pad_id(tokenizer, config)
        _check_vocabulary(network, tokenizer, card.reference)
        accepted = signature(network.forward).parameters
        self._masks = "attention_mask" in accepted
        # A decoder would keep keys and values of every layer for a next token that never comes.
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}
        parameters = sum(parameter.numel() for parameter in network.parameters())
        known = {"tokenizer": type(tokenizer).__name__, "context": context, "parameters": parameters}
        self._card = card.model_copy(update=known)
        _check_layer(settings.layer, config, card.reference)
        self._cls_position = self._find_cls() if settings.pool == "cls" else None

    @property
    def card(self) -> ModelCard:
        """The card; its fingerprint covers the files of the checkpoint."""
        return self._card

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
        lengths = [len(piece.ids) for piece in pieces]
        budget = CPU_BATCH_TOKENS if self._device.type == "cpu" else GPU_BATCH_TOKENS
        features: NDArray[np.float32] | None = None
        windows_left = np.bincount([piece.sequence for piece in pieces], minlength=len(sequences))
        for batch in batches(lengths, budget, equal_only=not self._masks):
            rows = self._pool([pieces[index] for index in batch])
            if features is None:
                features = np.empty((len(pieces), rows.shape[1]), dtype=np.float32)
            features[batch] = rows
            owners = np.array([pieces[index].sequence for index in batch])
            np.subtract.at(windows_left, owners, 1)
            advance(int((windows_left[np.unique(owners)] == 0).sum()))
        if features is None:
            raise DataError("there are no sequences to embed; wanted at least one")
        if not np.isfinite(features).all():
            raise DataError(f"{self._card.reference} gives states that are NaN or infinite; try ?precision=fp32")
        return features if len(pieces) == len(sequences) else self._join(features, pieces, len(sequences))

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

    def _states(self, ids: list[list[int]], layer: int) -> torch.Tensor:
        """Hidden states (batch, longest, dim) of a layer; padding is on the right and masked."""
        import torch

        longest = max(map(len, ids))
        padded = [row + [self._pad] * (longest - len(row)) for row in ids]
        arguments: dict[str, Any] = {"input_ids": torch.tensor(padded, device=self._device), **self._fixed}
        if self._masks:
            real = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
            arguments["attention_mask"] = torch.tensor(real, device=self._device)
        if layer != -1:
            arguments["output_hidden_states"] = True
        with torch.inference_mode(), self._precision.matmuls(), self._precision.forward(self._device):
            output = self._network(**arguments)
        if layer == -1:
            return cast("torch.Tensor", output[0] if isinstance(output, tuple) else output.last_hidden_state)
        states = None if isinstance(output, tuple) else output.hidden_states
        if states is None:
            raise Unsupported(f"{self._card.reference}: the network shows its last layer only; leave out ?layer")
        return cast("torch.Tensor", states[layer])

    def _pool(self, pieces: list[Piece]) -> NDArray[np.float32]:
        """Pooled states (batch, dim) of pieces."""
        import torch

        states = self._states([piece.ids for piece in pieces], self._settings.layer).float()
        if self._cls_position is not None:
            at = [0 if self._cls_position == 0 else len(piece.ids) - 1 for piece in pieces]
            pooled = states[torch.arange(len(pieces), device=states.device), torch.tensor(at, device=states.device)]
            return pooled.cpu().numpy()
        start = len(self._reader.prefix)
        counts = torch.tensor([piece.tokens for piece in pieces], device=states.device)[:, None]
        position = torch.arange(states.shape[1], device=states.device)[None, :] - start
        of_bases = ((position >= 0) & (position < counts))[:, :, None]  # (batch, longest, 1)
        if self._settings.pool == "max":
            return states.masked_fill(~of_bases, -torch.inf).amax(dim=1).cpu().numpy()
        return (states.masked_fill(~of_bases, 0).sum(dim=1) / counts).cpu().numpy()

    def _join(self, features: NDArray[np.float32], pieces: list[Piece], count: int) -> NDArray[np.float32]:
        """One row a sequence from one row a window: the maximum, or the mean weighted by tokens."""
        owners = np.array([piece.sequence for piece in pieces])
        if self._settings.pool == "max":
            highest = np.full((count, features.shape[1]), -np.inf, dtype=np.float32)
            np.maximum.at(highest, owners, features)
            return highest
        weights = np.array([piece.tokens for piece in pieces], dtype=np.float32)
        total = np.zeros((count, features.shape[1]), dtype=np.float32)
        np.add.at(total, owners, features * weights[:, None])
        return total / np.bincount(owners, weights=weights, minlength=count).astype(np.float32)[:, None]

    def _find_cls(self) -> int:
        """0, or -1 for a causal network: one whose first token does not see the last, even after all layers."""
        import torch

        tokens = self._reader.probe[:6]
        other = next((token for token in self._reader.probe if token != tokens[-1]), None)
        if other is None:
            raise DataError(f"{self._card.reference}: the tokenizer has one token for all of DNA")
        rows = [self._reader.prefix + tokens[:-1] + [last] for last in (tokens[-1], other)]
        states = self._states(rows, -1)[:, 0]
        if torch.equal(states[0], states[1]):
            return -1
        if not self._reader.prefix:
            raise Unsupported(f"{self._card.reference}: its tokenizer puts no special token first; use ?pool=mean")
        return 0


def load_huggingface(
    reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False
) -> HuggingFaceModel:
    """The model of an `hf:` reference.

    Raises:
        UsageError: unknown option, no such folder, or code that may not run.
        MissingData: the hub has no such model, or is out of reach and the model is not cached.
        DataError: the files are broken or of different models.
        Unsupported: the device has no such precision.
    """
    options = Options(reference)
    settings = Settings.take(options)
    options.finish()
    text = str(reference)
    checkpoint = locate(reference, trust_remote_code=trust_remote_code, offline=offline)
    config = read_config(checkpoint, text)
    tokenizer = read_tokenizer(checkpoint, text)
    network = load_weights(checkpoint, config, text)
    code = implementation(network, tokenizer, config)
    fingerprint = sha256_json(["hf", checkpoint.content_hash(), code, EMBEDDING_VERSION])
    return HuggingFaceModel(network, tokenizer, config, settings, describe(checkpoint, reference, fingerprint))


def _position_limit(network: nn.Module) -> int | None:
    """Number of learned absolute positions; None for a network without (rotary, ALiBi, relative, none)."""
    from torch import nn

    limits = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding)
        and name.rpartition(".")[2] in ("position_embeddings", "wpe", "embed_positions")
    ]
    return min(limits, default=None)


def _stated_context(tokenizer: Any, config: Any, limit: int | None) -> int | None:
    """The least of what tokenizer, configuration and position table allow; a huge number means unknown."""
    stated = (getattr(tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None), limit)
    return min((int(value) for value in stated if value and 0 < value < 10**9), default=None)


def _pad_id(tokenizer: Any, config: Any) -> int:
    """Any token will do, as padding is masked; ESM and RoBERTa number positions by the configured one."""
    for candidate in (getattr(config, "pad_token_id", None), tokenizer.pad_token_id):
        if isinstance(candidate, int) and 0 <= candidate < getattr(config, "vocab_size", candidate + 1):
            return candidate
    return 0


def _check_vocabulary(network: nn.Module, tokenizer: Any, reference: str) -> None:
    """Refuse a tokenizer whose ids reach beyond the embedding table: it is of another checkpoint."""
    rows = None
    with suppress(AttributeError, NotImplementedError):  # a network may have no one table of token embeddings
        rows = getattr(cast(Any, network).get_input_embeddings(), "num_embeddings", None)
    if rows is not None and len(tokenizer) > rows:
        raise DataError(
            f"{reference}: the tokenizer has {len(tokenizer):,} tokens, the network {rows:,}; they are of different "
            "checkpoints: put the tokenizer's files of this checkpoint beside its weights"
        )


def _check_layer(layer: int, config: Any, reference: str) -> None:
    layers = getattr(config, "num_hidden_layers", None)
    if isinstance(layers, int) and not -layers - 1 <= layer <= layers:
        raise UsageError(
            f"{reference}: layer is {layer}, the network has {layers} layers; "
            f"wanted 0 (embeddings) to {layers}, or -1 (last)"
        )
