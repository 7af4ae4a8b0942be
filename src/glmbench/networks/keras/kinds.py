"""Which classes of Keras layers can be run, and how many arrays each of them has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from glmbench.networks.keras.attention import ARRAYS, TransformerBlock
from glmbench.networks.keras.bidirectional import Bidirectional
from glmbench.networks.keras.convolution import Convolution
from glmbench.networks.keras.dense import Activation, Dense, Identity, LeakyReLU
from glmbench.networks.keras.embedding import Embedding, Positions
from glmbench.networks.keras.layer import Layer, Weights
from glmbench.networks.keras.merging import Concatenate, Elementwise
from glmbench.networks.keras.normalisation import BatchNormalisation, LayerNormalisation
from glmbench.networks.keras.pooling import GlobalPooling, WindowPooling
from glmbench.networks.keras.recurrent import GRU, LSTM
from glmbench.networks.keras.settings import Settings, Shape
from glmbench.networks.keras.shaping import Flatten, Masking, Reshape, TimeDistributed


class _Makes(Protocol):
    def __call__(self, settings: Settings, inputs: Sequence[Shape], weights: Weights) -> Layer: ...


@dataclass(frozen=True)
class Kind:
    """How to make a layer of a class, and its trained and untrained arrays (moving statistics)."""

    make: _Makes
    arrays: Callable[[Settings], tuple[int, int]] = lambda settings: (0, 0)


def build_layer(settings: Settings, inputs: Sequence[Shape], weights: Weights) -> Layer:
    """The layer of some settings, for inputs of these shapes.

    Raises:
        DataError: the class is not one that is run here, settings are out of bounds, or weights have other shapes.
    """
    return _kind(settings).make(settings, inputs, weights)


def arrays(settings: Settings) -> tuple[int, int]:
    """How many arrays a layer lists as trained and as not; a frozen layer lists all as not trained.

    Raises:
        DataError: the class is not one that is run here.
    """
    trained, moving = _kind(settings).arrays(settings)
    return (trained, moving) if settings.flag("trainable", True) else (0, trained + moving)


def _kind(settings: Settings) -> Kind:
    if settings.kind == "Lambda":
        raise settings.error(
            "holds Python code inside the file, which is never run here; wanted a layer of a known kind"
        )
    if settings.kind not in KINDS:
        raise settings.error(f"is of a class that is not run here; wanted one of {', '.join(sorted(KINDS))}")
    return KINDS[settings.kind]


def _with_bias(kernels: int) -> Callable[[Settings], tuple[int, int]]:
    return lambda settings: (kernels + settings.flag("use_bias", True), 0)


def _norm(moving: int) -> Callable[[Settings], tuple[int, int]]:
    return lambda settings: (settings.flag("scale", True) + settings.flag("center", True), moving)


def _bidirectional(settings: Settings) -> tuple[int, int]:
    inner = settings.inner()
    other = settings.inner("backward_layer") if settings.has("backward_layer") else inner
    return sum(sum(arrays(one)) for one in (inner, other)), 0


def _positions(tables: int) -> Callable[[Settings], tuple[int, int]]:
    return lambda settings: (tables + (settings.integer("embed_dim", 64, least=0) > 0), 0)


def _each_place(settings: Settings, inputs: Sequence[Shape], weights: Weights) -> Layer:
    return TimeDistributed(settings, inputs, weights, build_layer)


_BATCH_NORM = Kind(BatchNormalisation, _norm(2))
KINDS: dict[str, Kind] = {
    "Activation": Kind(Activation),
    "Add": Kind(Elementwise),
    "AlphaDropout": Kind(Identity),
    "Average": Kind(Elementwise),
    "AveragePooling1D": Kind(WindowPooling),
    "BatchNormalization": _BATCH_NORM,
    "BatchNormalizationV1": _BATCH_NORM,
    "BatchNormalizationV2": _BATCH_NORM,
    "Bidirectional": Kind(Bidirectional, _bidirectional),
    "Concatenate": Kind(Concatenate),
    "Conv1D": Kind(Convolution, _with_bias(1)),
    "CuDNNGRU": Kind(GRU, lambda settings: (3, 0)),
    "CuDNNLSTM": Kind(LSTM, lambda settings: (3, 0)),
    "Dense": Kind(Dense, _with_bias(1)),
    "Dropout": Kind(Identity),
    "ELU": Kind(Activation),
    "Embedding": Kind(Embedding, lambda settings: (1, 0)),
    "Flatten": Kind(Flatten),
    "GRU": Kind(GRU, _with_bias(2)),
    "GaussianDropout": Kind(Identity),
    "GaussianNoise": Kind(Identity),
    "GlobalAveragePooling1D": Kind(GlobalPooling),
    "GlobalMaxPooling1D": Kind(GlobalPooling),
    "LSTM": Kind(LSTM, _with_bias(2)),
    "LayerNormalization": Kind(LayerNormalisation, _norm(0)),
    "LeakyReLU": Kind(LeakyReLU),
    "Masking": Kind(Masking),
    "MaxPooling1D": Kind(WindowPooling),
    "Maximum": Kind(Elementwise),
    "Multiply": Kind(Elementwise),
    "ReLU": Kind(Activation),
    "Reshape": Kind(Reshape),
    "Softmax": Kind(Activation),
    "SpatialDropout1D": Kind(Identity),
    "Subtract": Kind(Elementwise),
    "TimeDistributed": Kind(_each_place, lambda settings: arrays(settings.inner())),
    "layer_pos_embedding": Kind(Positions, _positions(1)),
    "layer_pos_sinusoid": Kind(Positions, _positions(0)),
    "layer_transformer_block": Kind(TransformerBlock, lambda settings: (ARRAYS, 0)),
}
