"""A Keras network as one torch module: layers joined as the file says, with all their outputs within reach."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glmbench.errors import DataError
from glmbench.networks.keras.architecture import Call, LayerSpec, NetworkSpec
from glmbench.networks.keras.dense import Activation, Dense
from glmbench.networks.keras.embedding import Embedding, Positions
from glmbench.networks.keras.kinds import arrays, build_layer
from glmbench.networks.keras.layer import LARGEST_OUTPUT, Bounds, Layer, Weights
from glmbench.networks.keras.settings import Settings, Shape

Arrays = Sequence[NDArray[np.float32]]


class KerasNetwork(nn.Module):
    """A network built from its specification and weights; shapes of everything are known before anything runs.

    Args:
        spec: the architecture.
        weights: arrays of each layer that has any.
        input_shapes: of a nested network, what it is called with; else the file says.

    Raises:
        DataError: layers, weights and shapes do not fit together.
    """

    def __init__(
        self, spec: NetworkSpec, weights: Mapping[str, Arrays], input_shapes: Sequence[Shape] | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.input_shapes = tuple(input_shapes or _stated(spec))
        if len(self.input_shapes) != len(spec.inputs):
            raise DataError(f"has a nested network of {len(spec.inputs)} inputs that gets {len(self.input_shapes)}")
        self._index = {name: str(number) for number, name in enumerate(spec.layers)}
        self._layers = nn.ModuleDict()
        self._shapes: dict[Call, Shape] = {(n, 0): s for n, s in zip(spec.inputs, self.input_shapes, strict=True)}
        self._masked: set[Call] = set()
        for call in spec.order:
            self._add(call, weights)
        if spec.outputs and any(output in self._masked for output in spec.outputs) and input_shapes is not None:
            raise DataError("has a nested network whose output is masked, which this loader does not run")

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Without the batch axis."""
        return tuple(self._shapes[output] for output in self.spec.outputs)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Shapes of all outputs of layers, first to last; `outer/inner` of nested networks, `name:1` of later calls."""
        found: dict[str, Shape] = {}
        for call in self.spec.order:
            layer = self.layer(call[0])
            if isinstance(layer, Nested):
                found |= {f"{_label(call)}/{name}": shape for name, shape in layer.network.shapes.items()}
            found[_label(call)] = self._shapes[call]
        return found

    @property
    def largest(self) -> int:
        """Numbers in the largest output for one input, any length counted as 1."""
        return max(math.prod(length or 1 for length in shape) for shape in self.shapes.values())

    @property
    def token_rows(self) -> int | None:
        """Tokens that the embedding tables know, 0 among them; None where there is no table."""
        tables = [m.table for m in self.modules() if isinstance(m, Embedding)]
        tables += [m.tokens for m in self.modules() if isinstance(m, Positions) and m.tokens is not None]
        return min((len(table) for table in tables), default=None)

    def sources(self, name: str) -> tuple[str, ...]:
        """Labels of what a layer's first call reads."""
        return tuple(_label(source) for source in self.spec.layers[name].calls[0])

    def layer(self, name: str) -> Layer:
        """A layer by its name, `outer/inner` in nested networks; the number of a call counts for nothing."""
        if name in self._index:  # names may have any letters
            found = self._layers[self._index[name]]
        else:
            first, _, rest = name.partition("/")
            found = self._layers[self._index[first if first in self._index else first.rpartition(":")[0]]]
            if rest and isinstance(found, Nested):
                return found.network.layer(rest)
        if not isinstance(found, Layer):
            raise TypeError(f"{name} is a {type(found).__name__}")
        return found

    def gives_logits(self) -> bool:
        """Whether the only output is a softmax, which `forward` can leave out."""
        (name, _), *others = self.spec.outputs
        layer = self.layer(name)
        ends = isinstance(layer, Dense | Activation) and layer.function == "softmax" and not layer.held
        read = {source for spec in self.spec.layers.values() for call in spec.calls for source in call}
        return ends and not others and self.spec.outputs[0] not in read

    def forward(
        self, inputs: Sequence[Tensor], wanted: Collection[str] = (), *, logits: bool = False
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs, and the outputs of wanted layers by their labels (see `shapes`).

        Args:
            inputs: float32 (batch, *input shape), one for each input.
            wanted: labels.
            logits: leave out the softmax of the output; see `gives_logits`.
        """
        values: dict[Call, Tensor] = {(n, 0): x for n, x in zip(self.spec.inputs, inputs, strict=True)}
        masks: dict[Call, Tensor] = {}
        found: dict[str, Tensor] = {}
        last = self.spec.outputs[0] if logits else None
        for call in self.spec.order:
            name, number = call
            sources = self.spec.layers[name].calls[number]
            layer, read = self.layer(name), [values[source] for source in sources]
            mask = _common([masks[source] for source in sources if source in masks])
            if isinstance(layer, Nested):
                label = _label(call)
                y, inner = layer.reading(read, {w[len(label) + 1 :] for w in wanted if w.startswith(f"{label}/")})
                found |= {f"{label}/{inside}": tensor for inside, tensor in inner.items()}
            elif call == last and isinstance(layer, Dense | Activation):
                y = layer.scores(read)
            else:
                y = layer(read, mask)
            values[call] = y
            made = layer.mask(read) if layer.makes_mask else mask
            if made is not None and call in self._masked:
                masks[call] = made
            if _label(call) in wanted:
                found[_label(call)] = y
        return [values[output] for output in self.spec.outputs], found

    def bounds(self, inputs: Sequence[Bounds]) -> dict[str, Bounds | None]:
        """Where the places of every layer's output lie, for inputs whose places lie so; None where none are left."""
        known: dict[Call, Bounds | None] = {(n, 0): b for n, b in zip(self.spec.inputs, inputs, strict=True)}
        found: dict[str, Bounds | None] = {}
        for call in self.spec.order:
            name, number = call
            layer = self.layer(name)
            read = [known[source] for source in self.spec.layers[name].calls[number]]
            there = [bounds for bounds in read if bounds is not None]
            if len(there) < len(read):
                known[call] = None
            elif isinstance(layer, Nested):
                inner = layer.network.bounds(there)
                found |= {f"{_label(call)}/{inside}": bounds for inside, bounds in inner.items()}
                known[call] = inner[_label(layer.network.spec.outputs[0])]
            else:
                known[call] = layer.bounds(*there)
            found[_label(call)] = known[call]
        return found

    def _add(self, call: Call, weights: Mapping[str, Arrays]) -> None:
        """Build the layer of a call, at its first, and find what its output is."""
        name, number = call
        spec = self.spec.layers[name]
        sources = spec.calls[number]
        shapes = [self._shapes[source] for source in sources]
        if self._index[name] not in self._layers:
            self._layers[self._index[name]] = _build(spec, shapes, weights.get(name, []))
        layer = self.layer(name)
        shape = layer.output_shape(*shapes)
        if math.prod(length or 1 for length in shape) > LARGEST_OUTPUT:
            raise spec.settings.error(f"makes an output of shape {shape}, more than {LARGEST_OUTPUT:,} numbers")
        self._shapes[call] = shape
        masked = any(source in self._masked for source in sources)
        if masked and not (layer.passes_mask or layer.ends_mask):
            raise spec.settings.error("takes no mask, and gets one from a layer before it")
        if layer.makes_mask or (masked and layer.passes_mask):
            self._masked.add(call)


class Nested(Layer):
    """A network as a layer of another."""

    def __init__(self, network: KerasNetwork) -> None:
        super().__init__()
        self.network = network

    def output_shape(self, *inputs: Shape) -> Shape:
        """That of the network, which wants one kind of input at all its calls."""
        if inputs != self.network.input_shapes:
            raise DataError(f"calls a nested network with inputs {inputs}, and with {self.network.input_shapes}")
        return self.network.output_shapes[0]

    def reading(self, inputs: Sequence[Tensor], wanted: Collection[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and those of wanted layers inside."""
        outputs, found = self.network(inputs, wanted)
        y: Tensor = outputs[0]
        for unit, value in self.held.items():
            y = y.clone()
            y[..., unit] = value
        return y, found


def split_flat(spec: NetworkSpec, flat: Arrays, where: Settings) -> dict[str, list[NDArray[np.float32]]]:
    """The arrays of a nested network by layer: the file lists those of all layers, first the trained ones, then others.

    Raises:
        DataError: there are more or fewer than its layers have.
    """
    counts = {name: _count(layer) for name, layer in spec.layers.items()}
    if sum(map(sum, counts.values())) != len(flat):
        raise where.error(
            f"has {len(flat)} weight arrays in the file, its layers have {sum(map(sum, counts.values()))}"
        )
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in counts}
    at = 0
    for part in (0, 1):
        for name, count in counts.items():
            found[name] += flat[at : at + count[part]]
            at += count[part]
    return found


def weights_by_layer(spec: NetworkSpec, weights: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """The arrays of a file for an architecture: by name, or in order where no name fits, as Keras loads weights.

    Raises:
        DataError: the file has more or fewer layers with weights than the architecture.
    """
    there = {name: listed for name, listed in weights.items() if listed}
    wanted = [name for name, layer in spec.layers.items() if sum(_count(layer))]
    if set(there) == set(wanted):
        return there
    if len(there) != len(wanted) or not set(there).isdisjoint(wanted):
        missing = [name for name in wanted if name not in there] or [name for name in there if name not in wanted]
        raise DataError(
            f"has weights of {len(there)} layers, the architecture {len(wanted)} layers with weights (they differ at "
            f"{missing[0]!r}): they are of different networks"
        )
    return dict(zip(wanted, there.values(), strict=True))


def _count(layer: LayerSpec) -> tuple[int, int]:
    if layer.network is None:
        return arrays(layer.settings)
    counts = [_count(inner) for inner in layer.network.layers.values()]
    return sum(trained for trained, _ in counts), sum(other for _, other in counts)


def _build(spec: LayerSpec, shapes: Sequence[Shape], listed: Arrays) -> Layer:
    if spec.network is not None:
        if len(spec.network.outputs) != 1:
            raise spec.settings.error(f"is a network of {len(spec.network.outputs)} outputs, wanted one")
        return Nested(KerasNetwork(spec.network, split_flat(spec.network, listed, spec.settings), shapes))
    weights = Weights(spec.settings, listed)
    layer = build_layer(spec.settings, shapes, weights)
    weights.finish()
    return layer


def _stated(spec: NetworkSpec) -> list[Shape]:
    shapes = [shape for shape in spec.input_shapes if shape is not None]
    if len(shapes) < len(spec.input_shapes):
        raise DataError("does not say what shape its input has (batch_input_shape of the first layer)")
    for shape in shapes:
        if math.prod(length or 1 for length in shape) > LARGEST_OUTPUT:
            raise DataError(f"has an input of shape {shape}, more than {LARGEST_OUTPUT:,} numbers")
    return shapes


def _label(call: Call) -> str:
    name, number = call
    return f"{name}:{number}" if number else name


def _common(masks: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(masks)).all(0) if masks else None
