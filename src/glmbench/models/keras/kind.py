"""What a Keras network is for, told from the shapes of its inputs and outputs, and from what people say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models.keras.choices import Position
from glmbench.networks.keras.graph import KerasNetwork
from glmbench.networks.keras.settings import Shape

Purpose = Literal["end", "joined", "flanks", "next", "masked", "classes", "states"]
"""`end`: the base after the input. `joined`: the base between the halves of the input, which is left out. `flanks`: the
base between two inputs, the right one reversed. `next`: at every place the next base. `masked`: at every place its
base. `classes`: no base. `states`: outputs nobody can name, so only inner states count."""


@dataclass(frozen=True)
class Kind:
    """What is known of a network.

    Attributes:
        purpose: see `Purpose`.
        length: bases of one input (of both inputs together for `flanks`); None for any.
        flank: bases left of the base that is asked for; 0 where that says nothing.
        both_strands: the second input is the reverse complement of the first.
        letters: columns of a one-hot input; None for whole-number tokens.
        guessed: what was guessed, for people; empty if nothing was.
    """

    purpose: Purpose
    length: int | None
    flank: int = 0
    both_strands: bool = False
    letters: int | None = 4
    guessed: tuple[str, ...] = ()

    @property
    def is_language_model(self) -> bool:
        """Whether it predicts bases."""
        return self.purpose not in ("classes", "states")


def tell(network: KerasNetwork, position: Position | None) -> Kind:
    """What a network is.

    Raises:
        Unsupported: its inputs are nothing that a sequence can be made into.
        UsageError: the position does not fit its outputs.
    """
    inputs, outputs = network.input_shapes, network.output_shapes
    if len(inputs) > 2 or len(outputs) != 1 or any(len(shape) not in (1, 2) for shape in inputs):
        raise Unsupported(
            f"the network has inputs {', '.join(map(str, inputs))} and outputs {', '.join(map(str, outputs))}; wanted "
            "one or two inputs of (length, letters) or (length,), and one output"
        )
    if len(inputs) == 2:
        return _of_two(network, position)
    length, letters = inputs[0][0], _letters(inputs[0])
    kind = _of_one(network, length, letters, outputs[0], position)
    if kind.purpose in ("end", "joined") and length is None:
        raise Unsupported("the network predicts a base from an input of any length, and how long is not in the file")
    return kind


def is_flat(network: KerasNetwork) -> bool:
    """Whether four columns of every place stand in one long row (GenomeNet's imputation models)."""
    (output, *_), length = network.output_shapes[0], network.input_shapes[0][0]
    return len(network.output_shapes[0]) == 1 and length is not None and output == 4 * length


def require_probabilities(network: KerasNetwork, kind: Kind, reference: str) -> None:
    """Refuse a language model whose outputs are no distributions.

    Raises:
        DataError: for an input of zeros they are negative or do not sum to 1.
    """
    inputs = [torch.zeros(1, *(length or 1 for length in shape)) for shape in network.input_shapes]
    device = next(network.buffers(), torch.empty(0)).device
    with torch.inference_mode():
        values = network([x.to(device) for x in inputs])[0][0]
    totals = (values.unflatten(-1, (-1, 4)) if kind.purpose == "masked" and is_flat(network) else values).sum(-1)
    if float(values.min()) < 0 or float((totals - 1).abs().max()) > 1e-3:
        raise DataError(
            f"{reference}: the network's outputs are no probabilities of bases (they sum to "
            f"{float(totals.flatten()[0]):.3g}, the least is {float(values.min()):.3g}); say ?position=none if they "
            "are something else"
        )


def _letters(shape: Shape) -> int | None:
    return shape[1] if len(shape) == 2 else None


def _of_two(network: KerasNetwork, position: Position | None) -> Kind:
    first, second = network.input_shapes
    letters, (left, right) = _letters(first), (first[0], second[0])
    if letters != _letters(second) or left is None or right is None:
        raise Unsupported(f"the network has inputs {first} and {second}; wanted two of one kind and fixed lengths")
    shared = any(len(layer.calls) > 1 or layer.network is not None for layer in network.spec.layers.values())
    gives_base = network.output_shapes[0] == (letters,) and position != "none"
    if not shared and gives_base:
        if position == "end":
            raise UsageError("position is 'end', and the network has two inputs; wanted middle, or leave it out")
        return Kind("flanks", left + right, left, letters=letters)
    if shared and left == right:
        return Kind("classes", left, both_strands=True, letters=letters)
    raise Unsupported(
        f"the network has inputs {first} and {second} and output {network.output_shapes[0]}, neither the flanks of a "
        "base nor two strands through the same layers"
    )


def _of_one(
    network: KerasNetwork, length: int | None, letters: int | None, output: Shape, position: Position | None
) -> Kind:
    if position == "none":
        return Kind("classes" if len(output) == 1 else "states", length, letters=letters)
    purpose: Purpose
    if len(output) == 1:
        if position is None and is_flat(network) and letters in (None, 4, 5):
            return Kind("masked", length, letters=letters)
        if position is None and output[0] != letters:
            return Kind("classes", length, letters=letters)
        _check_width(output[0], letters, position)
        guess = () if position else ("position=end (the base after the input; or middle, or none for classes)",)
        purpose = "joined" if position == "middle" else "end"
        return Kind(purpose, length, (length or 0) // 2 if position == "middle" else length or 0, False, letters, guess)
    if position is not None:
        raise UsageError(f"position is {position!r}, and the network gives an output at every place; leave it out")
    if len(output) != 2 or output[0] != length or length is None:
        return Kind("states", length, letters=letters)
    if letters is not None and letters == output[1] and _reads_left_alone(network):
        return Kind("next", length, letters=letters)
    masked = letters in (output[1], (output[1] or 0) + 1) if letters is not None else output[1] in (4, 6)
    return Kind("masked" if masked else "states", length, letters=letters)


def _check_width(width: int | None, letters: int | None, position: Position | None) -> None:
    wanted = (letters,) if letters is not None else (4, 6)
    if width not in wanted:
        raise UsageError(
            f"position is {position!r}, and the network has {width} outputs; wanted one a letter, "
            f"{' or '.join(map(str, wanted))}: leave position out, or say position=none"
        )


def _reads_left_alone(network: KerasNetwork) -> bool:
    """Whether no output changes with a later input: tried at the middle of a random input."""
    generator = torch.Generator().manual_seed(0)
    shape = [length or 16 for length in network.input_shapes[0]]
    x = torch.rand(1, *shape, generator=generator)
    other = x.clone()
    middle = shape[0] // 2
    other[:, middle + 1 :] = torch.rand(1, shape[0] - middle - 1, *shape[1:], generator=generator)
    with torch.inference_mode():
        one, two = (network([inputs])[0][0][:, : middle + 1] for inputs in (x, other))
    return torch.allclose(one, two, rtol=0, atol=1e-6)
