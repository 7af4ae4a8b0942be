"""Which layers a network has and how they are joined, read from Keras' JSON; the JSON is not trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glmbench.errors import DataError
from glmbench.networks.keras.settings import Settings, Shape

MODELS = ("Functional", "Model", "Sequential")
"""Class names of networks, which may also stand within networks."""
DEEPEST = 16
"""Networks within networks."""
MOST_LAYERS = 10_000

Call = tuple[str, int]
"""A layer by its name, and which of its calls: a shared layer is called several times."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer.

    Attributes:
        settings: name, class name and configuration.
        calls: of each call of the layer, the calls whose outputs it reads.
        network: of a layer that is a network itself.
    """

    settings: Settings
    calls: tuple[tuple[Call, ...], ...]
    network: NetworkSpec | None = None

    @property
    def name(self) -> str:
        """The name, unique within its network."""
        return self.settings.name


@dataclass(frozen=True)
class NetworkSpec:
    """A network.

    Attributes:
        layers: by name, in the file's order.
        inputs: names of the inputs.
        outputs: calls whose outputs are the network's.
        order: all calls but those of inputs, every one after those it reads.
        input_shapes: as the file has them, without the batch axis; None where it does not say.
    """

    layers: Mapping[str, LayerSpec]
    inputs: tuple[str, ...]
    outputs: tuple[Call, ...]
    order: tuple[Call, ...]
    input_shapes: tuple[Shape | None, ...]


def parse_network(config: Mapping[str, Any], depth: int = 0) -> NetworkSpec:
    """Read `model_config`.

    Raises:
        DataError: it is no network of Keras 2, or layers are joined in a way that cannot be run.
    """
    kind = config.get("class_name")
    body = config.get("config")
    if kind not in MODELS:
        raise DataError(f"has a network of class {kind!r}, wanted one of {', '.join(MODELS)}")
    if depth > DEEPEST:
        raise DataError(f"has networks within networks, more than {DEEPEST} deep")
    entries = body.get("layers") if isinstance(body, dict) else body
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError("has an architecture without a list of layers")
    if len(entries) > MOST_LAYERS:
        raise DataError(f"has {len(entries):,} layers, wanted at most {MOST_LAYERS:,}")
    if kind == "Sequential" or not isinstance(body, dict):
        return _sequential(entries, depth)
    return _functional(entries, body, depth)


def _settings(entry: Mapping[str, Any]) -> Settings:
    values = entry.get("config")
    kind = entry.get("class_name")
    if not isinstance(kind, str) or not isinstance(values, dict | list):
        raise DataError("has a layer without class_name or config")
    name = entry.get("name") or (values.get("name") if isinstance(values, dict) else None)
    if not isinstance(name, str) or not name:
        raise DataError(f"has a {kind} layer without a name")
    # Custom layers may be registered as Package>name.
    return Settings(name, kind.rpartition(">")[2], values if isinstance(values, dict) else {})


def _nested(entry: Mapping[str, Any], depth: int) -> NetworkSpec | None:
    return parse_network(entry, depth + 1) if entry.get("class_name") in MODELS else None


def _sequential(entries: Sequence[Mapping[str, Any]], depth: int) -> NetworkSpec:
    first = _settings(entries[0])
    layers: dict[str, LayerSpec] = {}
    source: Call = ("input of the first layer", 0)
    if first.kind == "InputLayer":
        source, entries = (first.name, 0), entries[1:]
    if not entries:
        raise DataError("has no layers behind its input")
    inputs = (source[0],)
    order: list[Call] = []
    for entry in entries:
        settings = _settings(entry)
        if settings.name in layers or settings.name in inputs or settings.kind == "InputLayer":
            raise DataError(f"has two layers named {settings.name!r}, or an input between layers")
        layers[settings.name] = LayerSpec(settings, ((source,),), _nested(entry, depth))
        source = (settings.name, 0)
        order.append(source)
    return NetworkSpec(layers, inputs, (source,), tuple(order), (_input_shape(first),))


def _functional(entries: Sequence[Mapping[str, Any]], body: Mapping[str, Any], depth: int) -> NetworkSpec:
    specs: dict[str, LayerSpec] = {}
    shapes: dict[str, Shape | None] = {}
    for entry in entries:
        settings = _settings(entry)
        if settings.name in specs or settings.name in shapes:
            raise DataError(f"has two layers named {settings.name!r}")
        if settings.kind == "InputLayer":
            shapes[settings.name] = _input_shape(settings)
        else:
            calls = tuple(_sources(settings, node) for node in _list(entry.get("inbound_nodes"), settings.name))
            specs[settings.name] = LayerSpec(settings, calls, _nested(entry, depth))
    inputs = tuple(name for name, _ in _ends(body.get("input_layers"), "input_layers"))
    if len(set(inputs)) != len(inputs) or any(name not in shapes for name in inputs):
        raise DataError(f"has inputs {', '.join(inputs)}, which are not its input layers")
    outputs = _ends(body.get("output_layers"), "output_layers")
    specs, outputs = _renumbered(specs, outputs)
    return NetworkSpec(specs, inputs, outputs, _ordered(specs, inputs, outputs), tuple(shapes[name] for name in inputs))


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"has no list of connections at {where!r}")
    return value


def _sources(settings: Settings, node: Any) -> tuple[Call, ...]:
    """What one call reads: `[[layer, call, output, arguments], …]`; a single source may lack the outer list."""
    entries = _list(node, settings.name)
    if entries and isinstance(entries[0], str):
        entries = [entries]
    found = []
    for entry in entries:
        call = _call(entry, settings.name)
        arguments = entry[3] if len(entry) > 3 else {}
        if not isinstance(arguments, dict) or any(v is not None and k != "training" for k, v in arguments.items()):
            raise settings.error("is called with further arguments, which this loader does not run")
        found.append(call)
    if not found:
        raise settings.error("reads nothing")
    return tuple(found)


def _ends(value: Any, where: str) -> tuple[Call, ...]:
    entries = _list(value, where)
    if entries and isinstance(entries[0], str):
        entries = [entries]
    if not entries:
        raise DataError(f"has no {where}")
    return tuple(_call(entry, where) for entry in entries)


def _call(entry: Any, where: str) -> Call:
    if not isinstance(entry, list) or len(entry) < 3 or not isinstance(entry[0], str):
        raise DataError(f"has a connection at {where!r} that is not [layer, call, output]")
    if not all(isinstance(number, int) and number >= 0 for number in entry[1:3]):
        raise DataError(f"has a connection at {where!r} whose numbers are {entry[1]!r} and {entry[2]!r}")
    if entry[2] != 0:
        raise DataError(
            f"has a connection at {where!r} to output {entry[2]} of {entry[0]!r}, wanted its only output, 0"
        )
    return entry[0], entry[1]


def _renumbered(
    specs: dict[str, LayerSpec], outputs: tuple[Call, ...]
) -> tuple[dict[str, LayerSpec], tuple[Call, ...]]:
    """Calls counted from 0 in each layer: for Keras, building a nested network was its call 0, which the file lacks."""
    asked: dict[str, set[int]] = {}
    sources = [source for spec in specs.values() for call in spec.calls for source in call]
    for name, number in [*sources, *outputs]:
        asked.setdefault(name, set()).add(number)
    new: dict[Call, Call] = {}
    for name, numbers in asked.items():
        there = len(specs[name].calls) if name in specs else 1
        plain = max(numbers) < there
        for place, number in enumerate(sorted(numbers)):
            new[name, number] = (name, number if plain else place)
        if len(numbers) > there:
            raise DataError(f"has {len(numbers)} calls of layer {name!r} that are read, and {there} that are made")
    renumbered = {
        name: LayerSpec(spec.settings, tuple(tuple(new[s] for s in call) for call in spec.calls), spec.network)
        for name, spec in specs.items()
    }
    return renumbered, tuple(new[output] for output in outputs)


def _ordered(specs: Mapping[str, LayerSpec], inputs: tuple[str, ...], outputs: tuple[Call, ...]) -> tuple[Call, ...]:
    """Calls that can be run one after another, in the file's order as far as possible."""
    ready = {(name, 0) for name in inputs}
    waiting = [((spec.name, number), call) for spec in specs.values() for number, call in enumerate(spec.calls)]
    order: list[Call] = []
    while waiting:
        later = []
        for call, sources in waiting:
            if all(source in ready for source in sources):
                ready.add(call)
                order.append(call)
            else:
                later.append((call, sources))
        if len(later) == len(waiting):
            raise DataError(f"joins layers in a circle or to layers it lacks, at {later[0][0][0]!r}")
        waiting = later
    if missing := [name for name, number in outputs if (name, number) not in ready or name in inputs]:
        raise DataError(f"gives the output of {missing[0]!r}, which is none of its layers")
    return tuple(order)


def _input_shape(settings: Settings) -> Shape | None:
    """`batch_input_shape` without the batch axis."""
    if not settings.has("batch_input_shape"):
        return None
    return settings.shape("batch_input_shape")[1:]
