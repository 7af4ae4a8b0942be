"""Networks by name, as `--network` takes them: fresh weights, ready to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedModel, T5ForConditionalGeneration

from glmbench.errors import UsageError
from glmbench.networks.attention_choice import Choice
from glmbench.networks.fields import check_fields
from glmbench.networks.genomenet import GenomeNetForBasePrediction
from glmbench.networks.genomenet_config import ARCHITECTURES, Architecture, GenomeNetConfig
from glmbench.networks.genomenet_config import preset as genomenet_preset
from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm
from glmbench.networks.sizes import PRESETS, Kind, encoder_sizes, preset
from glmbench.networks.t5 import T5_PRESETS, t5_config

_GENOMENET = "genomenet-"
NAMES = (*PRESETS, *T5_PRESETS, *(f"{_GENOMENET}{architecture}" for architecture in ARCHITECTURES))


@dataclass(frozen=True)
class Vocabulary:
    """What a network must know of a tokenizer."""

    size: int
    pad: int
    end: int
    """The token after which nothing comes: [SEP], or [CLS] where the format has none."""
    bases: tuple[int, int, int, int] | None
    """Ids of A, C, G, T; None where a base is no token."""


def make_network(
    name: str,
    vocabulary: Vocabulary,
    *,
    depth: int | None = None,
    sizes: Mapping[str, Any] | None = None,
    attention: Choice = "auto",
    middle: bool = False,
    sentinels: int = 0,
    seed: int = 0,
) -> PreTrainedModel:
    """A network with fresh float32 weights drawn from `seed`.

    Args:
        name: one of `NAMES`.
        vocabulary: of the tokenizer that it will read.
        depth: the dial of `sizes.encoder_sizes`, for encoders; None: the published sizes.
        sizes: fields of the network's configuration over these.
        attention: how attention is computed; see `networks.attention`.
        middle: of the GenomeNet networks: predict the base between two flanks, not the one after them.
        sentinels: of T5: ids after the vocabulary that stand for hidden spans.
        seed: of the weights.

    Raises:
        UsageError: no such network or size, or it needs another kind of tokenizer.
    """
    if name not in NAMES:
        raise UsageError(f"no network {name!r}; there are {', '.join(NAMES)}")
    changes = dict(sizes or {})
    try:
        if name in PRESETS:
            return _encoder(name, vocabulary, depth, changes, attention, seed)
        if depth is not None:
            raise UsageError(f"network {name} has no depth to choose; leave it out, or set network.sizes")
        if name in T5_PRESETS:
            config = t5_config(name, vocabulary.size + sentinels, pad=vocabulary.pad, end=vocabulary.end, **changes)
            return cast(PreTrainedModel, _seeded(seed, lambda: T5ForConditionalGeneration(config)))
        return _genomenet(name, vocabulary, middle, changes, seed)
    except TypeError as error:  # a field that the configuration does not have
        raise UsageError(f"network {name} with sizes {changes}: {error}") from None


def _encoder(
    name: str, vocabulary: Vocabulary, depth: int | None, changes: dict[str, Any], attention: Choice, seed: int
) -> PreTrainedModel:
    kind: Kind = PRESETS[name].kind
    sizes = preset(name, vocabulary.size) if depth is None else encoder_sizes(kind, depth, vocabulary.size)
    return new_masked_lm(masked_lm_config(sizes, pad=vocabulary.pad, **changes), seed=seed, attention_backend=attention)


def _genomenet(name: str, vocabulary: Vocabulary, middle: bool, changes: dict[str, Any], seed: int) -> PreTrainedModel:
    if vocabulary.bases is None:
        raise UsageError(f"network {name} reads single bases: use --tokenizer character")
    check_fields(GenomeNetConfig(units=(1,)), changes)
    config = genomenet_preset(
        cast(Architecture, name.removeprefix(_GENOMENET)),
        "middle" if middle else "end",
        base_ids=vocabulary.bases,
        vocab_size=vocabulary.size,
        **changes,
    )
    return cast(PreTrainedModel, _seeded(seed, lambda: GenomeNetForBasePrediction(config)))


def _seeded(seed: int, make: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()
