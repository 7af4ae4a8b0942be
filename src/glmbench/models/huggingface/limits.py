"""What tokenizer, configuration and network say of their limits, and whether they belong together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from glmbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from glmbench.models.huggingface.network import LoadedNetwork

_POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions")


def find_context(network: nn.Module, tokenizer: Any, config: Any, wanted: int | None, reference: str) -> int | None:
    """Longest input in tokens, special ones included: as wanted, else the least of what is stated; None: any.

    Raises:
        UsageError: more is wanted than the network has learned positions.
    """
    limit = _position_limit(network)
    context = wanted or _stated_context(tokenizer, config, limit)
    if limit is not None and context is not None and context > limit:
        raise UsageError(f"{reference}: max_tokens is {context}, the network has {limit} positions")
    return context


def pad_id(tokenizer: Any, config: Any) -> int:
    """Any token will do, as padding is masked; ESM and RoBERTa number positions by the configured one."""
    for candidate in (getattr(config, "pad_token_id", None), tokenizer.pad_token_id):
        if isinstance(candidate, int) and 0 <= candidate < getattr(config, "vocab_size", candidate + 1):
            return candidate
    return 0


def count_layers(config: Any) -> int | None:
    """Number of layers above the embeddings; None where the configuration does not say."""
    layers = getattr(config, "num_hidden_layers", None)
    return layers if isinstance(layers, int) else None


def count_parameters(network: LoadedNetwork) -> int:
    """Weights of the whole network, that of its head included; those that stand in several places (tied) once."""
    parts = (network.body, network.head, network.classifier, network.flanks)
    weights = {id(weight): weight for part in parts if part is not None for weight in part.parameters()}
    return sum(weight.numel() for weight in weights.values())


def check_layer(layer: int, config: Any, reference: str) -> None:
    """Refuse a layer that is not there.

    Raises:
        UsageError: it is not.
    """
    layers = count_layers(config)
    if layers is not None and not -layers - 1 <= layer <= layers:
        raise UsageError(
            f"{reference}: layer is {layer}, the network has {layers} layers; "
            f"wanted 0 (embeddings) to {layers}, or -1 (last)"
        )


def check_vocabulary(network: nn.Module, largest: int, reference: str) -> None:
    """Refuse a tokenizer whose ids of DNA reach beyond the embedding table: it is of another checkpoint.

    Args:
        network: the body.
        largest: see `reader.Reader.reach`; ids that DNA never gives (which transformers adds for chats) may be beyond.
        reference: for the message.

    Raises:
        DataError: they do.
    """
    rows = None
    with suppress(AttributeError, NotImplementedError):  # a network may have no one table of token embeddings
        rows = getattr(cast(Any, network).get_input_embeddings(), "num_embeddings", None)
    if rows is not None and largest >= rows:
        raise DataError(
            f"{reference}: the tokenizer has {largest + 1:,} tokens, the network {rows:,}; they are of different "
            "checkpoints: put the tokenizer's files of this checkpoint beside its weights"
        )


def _position_limit(network: nn.Module) -> int | None:
    """Number of learned absolute positions; None for a network without (rotary, ALiBi, relative, none)."""
    from torch import nn

    limits = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITION_TABLES
    ]
    return min(limits, default=None)


def _stated_context(tokenizer: Any, config: Any, limit: int | None) -> int | None:
    """The least of what tokenizer, configuration and position table allow; a huge number means unknown."""
    stated = (getattr(tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None), limit)
    return min((int(value) for value in stated if value and 0 < value < 10**9), default=None)
