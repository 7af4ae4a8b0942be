"""A network that Keras 2 or deepG wrote: `h5:PATH[?key=value&…]`.

| option         | values                     | meaning                                                              |
|----------------|----------------------------|----------------------------------------------------------------------|
| `position`     | end, middle, none          | where the predicted base stands; none: outputs are classes           |
| `vocabulary`   | letters, as acgt           | order of the one-hot columns or tokens                               |
| `architecture` | a JSON file                | of a file of weights alone: what Keras' `model.to_json()` gives      |
| `trained_on`   | text                       | what the network was trained on, for the card                        |
| `layer`        | a layer's name or number   | whose states are embeddings; by default what the last layer reads    |
| `pool`         | `mean`, max, last          | over the places of that layer                                        |
| `overflow`     | refuse, window             | longer sequences; language models read windows, classifiers refuse   |
| `short`        | `refuse`, pad              | shorter sequences of classifiers; language models fill up with zeros |
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glmbench.errors import DataError, UsageError
from glmbench.models.keras.choices import Choices, FileCard, read_card
from glmbench.models.keras.vocabulary import DEFAULTS, Vocabulary
from glmbench.models.model import ModelCard
from glmbench.models.reference import ModelReference, Options, refuse_revision
from glmbench.storage.hashing import sha256_file, sha256_json

if TYPE_CHECKING:
    from glmbench.models.keras.keras_model import KerasModel, Reading
    from glmbench.models.keras.kind import Kind
    from glmbench.models.keras.runner import Runner
    from glmbench.networks.keras.graph import KerasNetwork

ADAPTER_VERSION = 1
"""Part of every fingerprint; raised when the same file and options give other numbers."""


def load_keras(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> KerasModel:
    """The model of an `h5:` reference: a language model, a classifier, or states alone.

    What is neither in the reference nor in a card beside the file is guessed, and said on standard error.

    Raises:
        UsageError: an option is unknown, or does not fit the network.
        MissingData: there is no such file.
        DataError: the file is broken, hostile, or has a layer that is not run here.
        Unsupported: the network's inputs are nothing that a sequence can be made into.
    """
    from glmbench.models.keras.kind import tell
    from glmbench.models.keras.runner import Runner
    from glmbench.networks.keras.loading import LOADER_VERSION, load_network

    refuse_revision(reference)
    choices = Choices.take(Options(reference))
    path = Path(reference.locator).expanduser()
    loaded = load_network(path, choices.architecture)
    card = read_card(path)
    kind = tell(loaded.network, choices.position or card.position)
    vocabulary, guessed = _vocabulary(kind, choices, card, path)
    guessed = (*kind.guessed, *guessed)
    one_hot = kind.letters is not None
    rows = vocabulary.one_hot(kind.letters or 0) if one_hot else vocabulary.tokens(loaded.network.token_rows)
    runner = Runner(loaded.network, kind, rows)
    reading = _reading(loaded.network, kind, choices)
    if guessed:
        print(f"glmbench: {path}: guessed {' and '.join(guessed)}", file=sys.stderr)
    contents = [sha256_file(path), sha256_file(choices.architecture) if choices.architecture else None]
    said = [kind.purpose, vocabulary.letters, reading.layer, reading.pool, reading.overflow, reading.pad]
    limit = None if reading.overflow == "window" else _columns(kind)
    made = ModelCard(
        reference=str(reference),
        name=card.name or path.stem,
        fingerprint=sha256_json(["h5", contents, said, LOADER_VERSION, ADAPTER_VERSION]),
        description=_description(kind, guessed, card, loaded.keras_version),
        tokenizer=f"bases, vocabulary {vocabulary.letters}",
        context=limit,
        input_length=None if reading.pad else _columns(kind),
        parameters=loaded.parameters,
        strands="both" if kind.both_strands and _alike_on_both_strands(runner, kind) else "forward",
        pretraining=_training(choices.trained_on or card.trained_on),
        licence=card.licence,
        outputs=card.classes,
    )
    return _model(loaded.network, kind, runner, reading, made, vocabulary)


def _alike_on_both_strands(runner: Runner, kind: Kind) -> bool:
    """Whether what it says of some windows does not change when they are turned: it may join its strands unevenly."""
    windows = np.random.default_rng(0).integers(0, 4, (4, kind.length or 64), dtype=np.uint8)
    alike = np.allclose(runner.outputs(windows), runner.outputs(3 - windows[:, ::-1]), atol=1e-4)
    runner.passes = 0
    return alike


def _model(
    network: KerasNetwork, kind: Kind, runner: Runner, reading: Reading, card: ModelCard, vocabulary: Vocabulary
) -> KerasModel:
    from glmbench.models.keras.classifier import KerasClassifier
    from glmbench.models.keras.keras_model import KerasModel
    from glmbench.models.keras.kind import is_flat, require_probabilities
    from glmbench.models.keras.language_models import WindowLanguageModel
    from glmbench.models.keras.place_language_models import PlaceLanguageModel

    if kind.purpose == "states":
        return KerasModel(network, kind, runner, reading, card)
    if kind.purpose == "classes":
        classifier = KerasClassifier(network, kind, runner, reading, card)
        if card.outputs and len(card.outputs) != classifier.classes:
            raise DataError(
                f"{card.reference}: its card names {len(card.outputs)} classes, the network has {classifier.classes}"
            )
        return classifier
    require_probabilities(network, kind, card.reference)
    by_token = network.output_shapes[0][-1] == len(vocabulary.letters) + 2  # padding, letters, mask
    columns = [0, 1, 2, 3] if is_flat(network) else [column + by_token for column in vocabulary.columns]
    make = WindowLanguageModel if kind.purpose in ("end", "joined", "flanks") else PlaceLanguageModel
    return make(network, kind, runner, reading, card, columns=columns)


def _columns(kind: Kind) -> int | None:
    """Bases of a window, one that is left out among them."""
    return None if kind.length is None else kind.length + (kind.purpose in ("joined", "flanks"))


def _vocabulary(kind: Kind, choices: Choices, card: FileCard, path: Path) -> tuple[Vocabulary, tuple[str, ...]]:
    said = choices.vocabulary or card.vocabulary
    if said is None:
        guess = DEFAULTS[4] if kind.letters is None else DEFAULTS.get(kind.letters)
        if guess is None:
            raise UsageError(
                f"{path}: the network reads {kind.letters} letters, and no file says which; say it with "
                "?vocabulary=LETTERS in the order of the columns"
            )
        return Vocabulary(guess), (f"vocabulary={guess} (deepG's default)",)
    vocabulary = Vocabulary(said.lower())
    fits = (len(vocabulary.letters), len(vocabulary.letters) + (kind.purpose == "masked"))
    if kind.letters is not None and kind.letters not in fits:
        raise UsageError(
            f"{path}: vocabulary {said!r} has {len(said)} letters, the network reads {kind.letters}; give one a column"
        )
    return vocabulary, ()


def _reading(network: KerasNetwork, kind: Kind, choices: Choices) -> Reading:
    from glmbench.models.keras.keras_model import Reading

    overflow = choices.overflow or ("window" if kind.is_language_model else "refuse")
    pad = kind.is_language_model or choices.short == "pad" or kind.length is None
    layer = _last_states(network) if choices.layer is None else _layer_named(network, kind, choices.layer)
    return Reading(layer, choices.pool, overflow, pad)


def _layer_named(network: KerasNetwork, kind: Kind, layer: str) -> str:
    """A layer's name, where a number was given that counts the layers as Python does."""
    from glmbench.models.keras.keras_model import layer_names

    names = layer_names(network, kind)
    if layer in names or not re.fullmatch("-?[0-9]{1,9}", layer):
        return layer
    return names[int(layer)] if -len(names) <= int(layer) < len(names) else layer


def _last_states(network: KerasNetwork) -> str:
    """What the last layer with weights reads; the output of the network where that is its input."""
    from glmbench.networks.keras.graph import Nested

    for name, _ in reversed(network.spec.order):
        layer = network.layer(name)
        if isinstance(layer, Nested) or not any(True for _ in layer.buffers()):
            continue
        source = network.sources(name)[0]
        if source in network.shapes:
            return source
    return next(reversed(network.shapes))


def _description(kind: Kind, guessed: tuple[str, ...], card: FileCard, version: str) -> str:
    length = "any number of" if kind.length is None else f"{kind.length:,}"
    right = (kind.length or 0) - kind.flank
    what = {
        "end": f"Predicts a base from the {length} before it",
        "joined": f"Predicts a base from the {kind.flank:,} before and {right:,} after it",
        "flanks": f"Predicts a base from the {kind.flank:,} before and {right:,} after it, two inputs",
        "next": f"Predicts the next base at each of {length} places",
        "masked": f"Predicts hidden bases of {length}",
        "classes": f"Classifies {length} bases" + (", both strands" if kind.both_strands else ""),
        "states": f"Reads {length} bases; nothing is known of its outputs",
    }[kind.purpose]
    parts = [card.description, f"{what}; written by Keras {version or '2'}"]
    if guessed:
        parts.append(f"Guessed, as neither the reference nor a card says it: {', '.join(guessed)}")
    return ". ".join(part for part in parts if part) + "."


def _training(trained_on: str | None) -> dict[str, str]:
    return {} if trained_on is None else {"trained_on": trained_on}
