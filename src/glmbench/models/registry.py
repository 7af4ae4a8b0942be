"""From a reference to a model. Schemes are listed without importing what runs them; plugins add their own.

A plugin is an entry point in the group `glmbench.models`: its name is the scheme, its value a loader
`(reference: ModelReference, *, trust_remote_code: bool, offline: bool) -> Model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from glmbench.errors import UsageError
from glmbench.models.reference import EXAMPLES, ModelReference, close_matches, parse_reference

if TYPE_CHECKING:
    from glmbench.models.model import Model

PLUGIN_GROUP = "glmbench.models"


class Loader(Protocol):
    """What a scheme is."""

    def __call__(self, reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> Model:
        """Load the model or raise `UsageError`, `MissingData`, `DataError` or `Unsupported`."""


@dataclass(frozen=True)
class Scheme:
    """One line of `glmbench ls models`."""

    name: str
    usage: str
    help: str
    loader: str
    """`module:function`, imported when a reference of this scheme is loaded."""


SCHEMES = (
    Scheme(
        "kmer",
        "kmer:5, kmer:1-4, kmer:pos3",
        "k-mer counts, or one-hot k-mers by position",
        "glmbench.models.kmer:load_kmer",
    ),
    Scheme(
        "onehot-cnn",
        "onehot-cnn",
        "a convolutional network on one-hot bases, trained from scratch",
        "glmbench.models.onehot_cnn:load_onehot_cnn",
    ),
    Scheme(
        "hf",
        "hf:PATH-or-hub-id[@revision][?layer=-1&pool=mean|cls|max&overflow=refuse|window|truncate&kmer=6&…]",
        "any encoder or decoder that transformers loads, frozen",
        "glmbench.models.huggingface.loading:load_huggingface",
    ),
    Scheme(
        "random",
        "random:PATH-or-hub-id[@revision][?seed=0&…]",
        "the same architecture and tokenizer as hf:, fresh weights: the control of a pre-trained model",
        "glmbench.models.huggingface.random_weights:load_random_weights",
    ),
    Scheme(
        "worker",
        "worker:CARD.toml[?batch=64&timeout=3600&silence=120&…]",
        "a model in a process of its own, whose packages may conflict with ours; its card names them",
        "glmbench.models.workers.loading:load_worker",
    ),
    Scheme(
        "h5",
        "h5:PATH[?position=end|middle|none&vocabulary=acgt&trained_on=…&layer=…&pool=mean|max|last&…]",
        "a network that Keras 2 or deepG wrote to .h5 or .hdf5, frozen; needs no Keras",
        "glmbench.models.keras.loading:load_keras",
    ),
    Scheme(
        "fitted",
        "fitted:STORE/ADDRESS or a folder[?model=REFERENCE&precision=fp32|bf16]",
        "what `glmbench run` fitted and kept: a linear model, adapters with a head, or a network",
        "glmbench.models.fitted.loading:load_fitted",
    ),
    Scheme(
        "zoo",
        "zoo:NAME[@revision][?…], options as hf:",
        "a published model by name, with what is known of it; listed below",
        "glmbench.models.zoo.loading:load_zoo",
    ),
)


def known_schemes() -> tuple[Scheme, ...]:
    """Built-in schemes and those of installed plugins; imports neither."""
    from importlib.metadata import entry_points

    plugins = (
        Scheme(
            point.name,
            f"{point.name}:…",
            f"from the package {point.dist.name if point.dist else point.module}",
            point.value,
        )
        for point in entry_points(group=PLUGIN_GROUP)
    )
    return SCHEMES + tuple(plugins)


def load(reference: str, *, trust_remote_code: bool = False, offline: bool = False) -> Model:
    """Load the model of a reference.

    Args:
        reference: `SCHEME:LOCATOR[@REVISION][?key=value&…]`, see `reference.parse_reference`.
        trust_remote_code: let a checkpoint run the Python code it ships; a hub id then needs a pinned revision.
        offline: take what is here and open no socket.

    Raises:
        UsageError: malformed reference, unknown scheme or option, or remote code that may not run.
        MissingData: the files are not here and may not be fetched.
        DataError: the files are not what they should be: truncated, of another architecture, pickled code.
    """
    parsed = parse_reference(reference)
    if parsed.scheme == "callable":
        raise UsageError(
            f"{reference!r}: a callable has no loader; make the model with "
            "glmbench.models.callable.from_callable(function, name=…, version=…) and pass it to run"
        )
    schemes = {scheme.name: scheme for scheme in reversed(known_schemes())}
    if parsed.scheme not in schemes:
        near = close_matches(parsed.scheme, list(schemes))
        raise UsageError(
            f"model reference {reference!r}: unknown scheme {parsed.scheme!r}{near}; "
            f"known: {', '.join(sorted(schemes))}; for example {EXAMPLES}"
        )
    module, _, function = schemes[parsed.scheme].loader.partition(":")
    loader = cast(Loader, getattr(import_module(module), function))
    return loader(parsed, trust_remote_code=trust_remote_code, offline=offline)
