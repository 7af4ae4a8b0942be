"""Whether an adapter keeps what its capabilities promise: tried on a few sequences, without any data.

Each check is one sentence of a protocol in `models.model`. `glmbench doctor -m MODEL` prints the findings; a model of
one's own passes when all are ok.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import GlmbenchError, Unsupported
from glmbench.models.model import (
    Embeds,
    Inspectable,
    Model,
    Predicts,
    PredictsBases,
    ScoresSequences,
    States,
    Trainable,
)

CAPABILITIES: tuple[type, ...] = (Embeds, PredictsBases, ScoresSequences, Predicts, Inspectable, Trainable)

_TOLERANCE = 1e-3
"""Between a sequence alone and in a batch, relative to the largest number: kernels for other shapes round otherwise."""
_LENGTHS = (66, 14, 36, 49)
_LONGEST_TRIED = 20_000
"""Bases; contexts beyond are not tried, as they take too long."""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        what: the capability and the promise.
        found: what came out, for people.
        ok: whether the promise was kept.
    """

    what: str
    found: str
    ok: bool


def capabilities(model: Model) -> tuple[str, ...]:
    """Names of the capabilities that a model has."""
    return tuple(kind.__name__ for kind in CAPABILITIES if isinstance(model, kind))


def check(model: Model) -> Iterator[Finding]:
    """Try every capability of a model; an error inside one is a finding, and the others are still tried."""
    able = capabilities(model)
    yield Finding("capabilities", ", ".join(able) or "none: this model can be asked nothing", bool(able))
    sequences = probe_sequences(model)
    if isinstance(model, Embeds):
        yield from _guarded("embed", lambda: _embeds(model, sequences))
    if isinstance(model, PredictsBases):
        yield from _guarded("fill", lambda: _fills(model, sequences))
        yield from _guarded("scan", lambda: _scans(model, sequences), optional=True)
    if isinstance(model, ScoresSequences):
        yield from _guarded("log_likelihood", lambda: _scores(model, sequences))
    if isinstance(model, Predicts):
        yield from _guarded("predict", lambda: _predicts(model, sequences))
    if isinstance(model, Inspectable):
        yield from _guarded("states", lambda: _inspects(model, sequences))
    if isinstance(model, Trainable):
        yield from _guarded("trainable", lambda: _trains(model, sequences))
    yield from _guarded("longest input", lambda: _long_input(model))


def probe_sequences(model: Model) -> list[str]:
    """Random sequences of a few lengths, one with unknown bases; of one length where the model reads only that."""
    only = model.card.input_length
    lengths = _LENGTHS if only is None else (only,) * len(_LENGTHS)
    drawn = [_random_sequence(length, seed) for seed, length in enumerate(lengths)]
    middle = len(drawn[2]) // 2
    return [*drawn[:2], drawn[2][: middle - 2] + "NNNN" + drawn[2][middle + 2 :], drawn[3]]


def _guarded(what: str, run: Callable[[], Iterator[Finding]], *, optional: bool = False) -> Iterator[Finding]:
    try:
        yield from run()
    except Unsupported as refusal:
        yield Finding(what, f"refused: {refusal}", optional)
    except GlmbenchError as error:
        yield Finding(what, str(error), False)
    except Exception as error:  # an adapter of someone's own may raise anything: that is the finding
        yield Finding(what, f"raised {type(error).__name__}: {error}", False)


def _embeds(model: Embeds, sequences: list[str]) -> Iterator[Finding]:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return _dense(model, texts)

    together = embed(sequences)
    yield _shape("embed", together, (len(sequences), together.shape[-1]))
    yield _finite("embed", together)
    yield from _same_however_asked("embed", embed, sequences, together)
    if model.card.strands == "both":
        yield _close("embed: both strands give the same", together, embed(_turned(sequences)))


def _fills(model: PredictsBases, sequences: list[str]) -> Iterator[Finding]:
    texts = [text for text in sequences for _ in range(4)]
    positions = [at for text in sequences for at in (0, len(text) // 3, len(text) // 2, len(text) - 1)]
    log_p = model.fill(texts, positions)
    yield _shape("fill", log_p, (len(texts), 4))
    yield _normalised("fill", log_p)
    other = [text[:at] + _another(text[at]) + text[at + 1 :] for text, at in zip(texts, positions, strict=True)]
    yield _close("fill: the base at the position makes no difference", log_p, model.fill(other, positions))
    alone = np.concatenate([model.fill([text], [at]) for text, at in zip(texts, positions, strict=True)])
    yield _close("fill: the same alone and in a batch", log_p, alone)
    if model.card.strands == "both":
        mirrored = [len(text) - 1 - at for text, at in zip(texts, positions, strict=True)]
        other_strand = model.fill(_turned(texts), mirrored)[:, ::-1]  # A, C, G, T of the other strand are T, G, C, A
        yield _close("fill: both strands give the same", log_p, other_strand)
    if model.reach == "left":
        cut = [
            text[: at + 1] + _random_sequence(len(text) - at - 1, 9) for text, at in zip(texts, positions, strict=True)
        ]
        yield _close("fill: what stands to the right makes no difference", log_p, model.fill(cut, positions))


def _scans(model: PredictsBases, sequences: list[str]) -> Iterator[Finding]:
    tracks = model.scan(sequences)
    lengths = [len(track) for track in tracks]
    yield Finding("scan: one row a base", str(lengths), lengths == [len(text) for text in sequences])
    yield _normalised("scan", np.concatenate(tracks))
    yield _close("scan: the same alone and in a batch", tracks[0], model.scan(sequences[:1])[0])
    if model.reach == "left":
        text = sequences[0]
        places = list(range(0, len(text), max(1, len(text) // 8)))
        yield _close("scan equals fill", tracks[0][places], model.fill([text] * len(places), places))


def _scores(model: ScoresSequences, sequences: list[str]) -> Iterator[Finding]:
    together = model.log_likelihood(sequences)
    yield _shape("log_likelihood", together, (len(sequences),))
    yield _finite("log_likelihood", together)
    highest = float(together.max())
    yield Finding("log_likelihood: no probability above 1", f"highest {highest:.3g} nats", highest <= 1e-6)
    yield from _same_however_asked("log_likelihood", model.log_likelihood, sequences, together)


def _predicts(model: Predicts, sequences: list[str]) -> Iterator[Finding]:
    together = model.predict(sequences)
    names = model.card.outputs
    yield _shape("predict", together, (len(sequences), len(names) or together.shape[-1]))
    yield _finite("predict", together)
    yield from _same_however_asked("predict", model.predict, sequences, together)
    if model.card.strands == "both":
        yield _close("predict: both strands give the same", together, model.predict(_turned(sequences)))


def _inspects(model: Inspectable, sequences: list[str]) -> Iterator[Finding]:
    names = model.layers()
    yield Finding("layers", f"{len(names)}: {', '.join(names[:6])}{', …' if names[6:] else ''}", bool(names))
    for name in dict.fromkeys((names[0], names[len(names) // 2], names[-1])):
        states = model.states(sequences, name)
        whole = sum(covers(one, len(text)) for one, text in zip(states, sequences, strict=True))
        found = f"{whole} of {len(sequences)} do"
        yield Finding(f"states of {name}: spans cover the sequence", found, whole == len(sequences))
        yield _finite(f"states of {name}", np.concatenate([one.values.ravel() for one in states]))
        alone = model.states(sequences[1:2], name)[0].values
        yield _close(f"states of {name}: the same alone and in a batch", states[1].values, alone)
    with model.clamped(names[0], 0, 2.5):
        held = np.concatenate([one.values[..., 0].ravel() for one in model.states(sequences, names[0])])
    yield _close("clamped: the unit has the value", held, np.full_like(held, 2.5))
    free = np.concatenate([one.values[..., 0].ravel() for one in model.states(sequences, names[0])])
    yield Finding("clamped: over after the context", f"{free.std():.2g} spread", not np.allclose(free, 2.5))


def _trains(model: Trainable, sequences: list[str]) -> Iterator[Finding]:
    module, collate = model.trainable(2, seed=0)
    module.train()
    encoded = collate.encode(sequences)
    outputs = module(*collate.batch(encoded, np.arange(len(sequences))))
    yield _shape("trainable", outputs.detach().numpy(), (len(sequences), 2))
    outputs.square().sum().backward()
    reached = sum(parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad)
    yield Finding("trainable: gradients reach the weights", f"{reached} tensors", reached > 0)


def _long_input(model: Model) -> Iterator[Finding]:
    """Beyond the context a model refuses, or reads all of it: a change at the end must tell."""
    context = model.card.context
    if context is None or model.card.input_length is not None or context * 8 > _LONGEST_TRIED:
        return
    if not isinstance(model, Embeds) or "truncate" in model.card.reference:
        return
    text = _random_sequence(context * 8, 11)
    try:
        features = [_dense(model, [text[:-40] + end]) for end in ("A" * 40, "C" * 40)]
    except Unsupported as refusal:
        yield Finding(f"longest input: {len(text):,} bp", f"refused: {str(refusal)[:90]}", True)
        return
    apart = float(np.abs(features[0] - features[1]).max())
    yield Finding(f"longest input: {len(text):,} bp", f"read to its end (it counts {apart:.1e})", apart > 0)


def _dense(model: Embeds, sequences: Sequence[str]) -> NDArray[np.float32]:
    features = model.embed(sequences)
    return features if isinstance(features, np.ndarray) else features.toarray()


def covers(states: States, length: int) -> bool:
    """Whether the spans of a sequence's states cover its bases in order, without a gap."""
    known = states.starts >= 0
    starts, ends = states.starts[known], states.ends[known]
    if not len(starts):
        return False
    in_order = bool((np.diff(starts) >= 0).all() and (starts[1:] <= ends[:-1]).all() and (ends > starts).all())
    return in_order and int(starts[0]) == 0 and int(ends.max()) == length


def _turned(sequences: list[str]) -> list[str]:
    from glmbench.sequences.encoding import reverse_complement

    return [reverse_complement(sequence) for sequence in sequences]


def _same_however_asked(
    what: str,
    ask: Callable[[Sequence[str]], NDArray[np.floating]],
    sequences: list[str],
    together: NDArray[np.floating],
) -> Iterator[Finding]:
    alone = np.concatenate([ask([sequence]) for sequence in sequences])
    yield _close(f"{what}: the same alone and in a batch", together, alone)
    again = ask(sequences)
    yield Finding(f"{what}: deterministic", "", bool(np.array_equal(together, again)))
    yield _close(f"{what}: the same in lower case", together, ask([sequence.lower() for sequence in sequences]))


def _shape(what: str, array: NDArray[np.floating], wanted: tuple[int, ...]) -> Finding:
    return Finding(f"{what}: shape", f"{array.shape}, wanted {wanted}", array.shape == wanted)


def _finite(what: str, array: NDArray[np.floating]) -> Finding:
    bad = int((~np.isfinite(array)).sum())
    return Finding(f"{what}: finite", f"{bad} numbers are not" if bad else "", bad == 0)


def _normalised(what: str, log_p: NDArray[np.floating]) -> Finding:
    off = float(np.abs(np.exp(log_p.astype(np.float64)).sum(axis=1) - 1).max())
    return Finding(f"{what}: probabilities sum to 1", f"off by {off:.1e}", off < _TOLERANCE)


def _close(what: str, one: NDArray[np.floating], other: NDArray[np.floating]) -> Finding:
    if one.shape != other.shape:
        return Finding(what, f"shapes {one.shape} and {other.shape}", False)
    apart = float(np.abs(one - other).max(initial=0))
    scale = max(float(np.abs(one).max(initial=0)), 1.0)
    return Finding(what, f"largest difference {apart:.1e}", apart <= _TOLERANCE * scale)


def _random_sequence(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=length))


def _another(base: str) -> str:
    return "C" if base != "C" else "G"
