"""The frozen evaluation: one set of hidden bases for every tokenizer, objective and network, in bits per base.

Which bases are hidden depends on what a corpus holds out and on a seed that never changes, not on how anyone cuts
sequence into tokens. `docs/corpus.md` says what the numbers of different kinds of model can and cannot tell apart.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.pretraining.corpus import Corpus
from glmbench.sequences.alphabet import EncodedBatch, N
from glmbench.sequences.typing import Codes, Integers
from glmbench.storage.hashing import sha256_json

_RESAMPLES = 2_000
_BLOCK = 100_000
"""Bases of the resample unit: what lies close together in a genome is alike."""
_NORMALISED_WITHIN = 1e-3


@dataclass(frozen=True, slots=True)
class FrozenEvaluation:
    """Which bases are hidden.

    Attributes:
        version: raised whenever the same numbers below would give other bases.
        window: bases of a window. With [CLS] and [SEP] it fits 512 positions even as single bases.
        spacing: of every so many consecutive bases of a window one is hidden, in the middle half of them: hidden bases
            are at least half of this apart, so that no usual token covers two.
        windows: at most.
        shortest: shorter held-out stretches are left out; those shorter than a window are one window.
        seed: decides, with a window's own bases, whether it is taken and what of it is hidden.
    """

    version: int = 1
    window: int = 480
    spacing: int = 32
    windows: int = 512
    shortest: int = 64
    seed: int = 1


FROZEN = FrozenEvaluation()


@dataclass(frozen=True)
class HiddenBases:
    """Windows, and the bases of them that a model is asked about.

    Attributes:
        windows: codes of the windows, without N, the hidden bases included: hiding them is the predictor's part.
        places: one row a window: shard, species, contig, start, end, 0-based half-open.
        window: int64 (hidden,), index of the window, ascending.
        position: int64 (hidden,), 0-based within the window, ascending within each.
    """

    windows: EncodedBatch
    places: pl.DataFrame
    window: Integers
    position: Integers

    @property
    def truth(self) -> Codes:
        """uint8 (hidden,): the hidden bases."""
        truth: Codes = self.windows.codes[self.windows.offsets[self.window] + self.position]
        return truth

    def with_all(self, base: int) -> HiddenBases:
        """The same with one base at all hidden positions: what anyone may look at."""
        codes = self.windows.codes.copy()
        codes[self.windows.offsets[self.window] + self.position] = base
        return replace(self, windows=replace(self.windows, codes=codes))

    def around(self, left: int, right: int) -> Codes:
        """Hidden bases amid their neighbours, uint8 (hidden, left + 1 + right); N beyond their windows."""
        at = self.position[:, None] + np.arange(-left, right + 1)
        inside = (at >= 0) & (at < self.windows.lengths[self.window][:, None])
        flat = self.windows.offsets[self.window][:, None] + np.where(inside, at, 0)
        return np.where(inside, self.windows.codes[flat], np.uint8(N))

    def content_hash(self) -> str:
        """A hash of the windows' bases and of what is hidden: results can be paired where it is the same."""
        arrays = (self.windows.codes, self.windows.offsets, self.window, self.position)
        return sha256_json([sha256(np.ascontiguousarray(array).data).hexdigest() for array in arrays])


class BasePredictor(Protocol):
    """What can be asked for hidden bases: `base_predictors` wraps networks, `markov_baseline` Markov models."""

    def log_probabilities(self, hidden: HiddenBases) -> NDArray[np.float64]:
        """Log probabilities of A, C, G, T in nats, float64 (hidden, 4); every row sums to 1 as probabilities."""


@dataclass(frozen=True)
class BitsPerBase:
    """How well hidden bases were predicted.

    Attributes:
        positions: one row a hidden base: shard, species, contig, position (0-based on the contig), window, base (code),
            predicted (code of the most probable base), log_p (natural log of the probability of the true base).
        hidden: `HiddenBases.content_hash` of what was asked.
    """

    positions: pl.DataFrame
    hidden: str

    @cached_property
    def value(self) -> float:
        """Mean bits per base; 2 for a model that knows nothing."""
        return float(self.bits.mean())

    @property
    def bits(self) -> NDArray[np.float64]:
        """Minus log2 p of the true base, float64 (hidden,)."""
        bits: NDArray[np.float64] = self.positions["log_p"].to_numpy() / -math.log(2)
        return bits

    @cached_property
    def accuracy(self) -> float:
        """Share of hidden bases whose most probable base is the true one."""
        return float((self.positions["base"] == self.positions["predicted"]).to_numpy().mean())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of `value` over 100-kb blocks; NaN where there are fewer than two blocks."""
        return _interval(self.bits, self.blocks)

    @property
    def blocks(self) -> Integers:
        """The 100-kb block of every hidden base, int64 (hidden,), counted from 0: the resample unit."""
        block = pl.struct("shard", "contig", pl.col("position") // _BLOCK)
        return self.positions.select(block.rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()

    def by_species(self) -> pl.DataFrame:
        """One row a species: species, hidden (bases), bits_per_base, accuracy."""
        return (
            self.positions.group_by("species", maintain_order=True)
            .agg(
                hidden=pl.len(),
                bits_per_base=pl.col("log_p").mean() / -math.log(2),
                accuracy=(pl.col("base") == pl.col("predicted")).mean(),
            )
            .sort("species")
        )


def hide_bases(corpus: Corpus, evaluation: FrozenEvaluation = FROZEN) -> HiddenBases:
    """Choose windows of the held-out stretches of a corpus, and bases in them.

    Held-out stretches are cut into windows from their starts; what is left at their ends is not used. Which windows are
    taken and which of their bases are hidden follows from a hash of the window's bases and the seed: the same window
    hides the same bases in any corpus, and fewer windows are a part of more.

    Raises:
        DataError: the corpus holds out nothing, or no stretch is long enough.
    """
    places = _tiles(corpus.held_out, evaluation)
    if places.is_empty():
        raise DataError(
            f"{corpus.folder} holds out no stretch of {evaluation.shortest} known bases, so there is nothing to "
            "evaluate on; build the corpus with more held out"
        )
    keys = _keys(corpus, places, evaluation)
    chosen = np.sort(np.argsort(keys, kind="stable")[: evaluation.windows])
    places, keys = places.select(pl.all().gather(chosen)), keys[chosen]
    lengths = (places["end"] - places["start"]).to_numpy()
    codes = np.concatenate(list(corpus.codes(places)))
    number = lengths // evaluation.spacing
    window = np.repeat(np.arange(len(lengths)), number)
    within = np.arange(len(window)) - np.repeat(np.cumsum(number) - number, number)
    half = evaluation.spacing // 2
    drawn = (evaluation.spacing - half) // 2 + (_mixed(keys[window] + within.astype(np.uint64)) % half).astype(np.int64)
    species = pl.Series("species", corpus.species).gather(places["shard"])
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return HiddenBases(
        EncodedBatch(codes, offsets), places.with_columns(species), window, within * evaluation.spacing + drawn
    )


def measure(predictor: BasePredictor, hidden: HiddenBases) -> BitsPerBase:
    """Ask a predictor for the hidden bases.

    Raises:
        DataError: what it says are no probabilities of four bases.
    """
    log_p = predictor.log_probabilities(hidden)
    wanted = (len(hidden.window), 4)
    total = np.exp(log_p).sum(axis=1) if log_p.shape == wanted else np.empty(0)
    if log_p.shape != wanted or not (np.abs(total - 1) < _NORMALISED_WITHIN).all():
        worst = f", the sums of probabilities are {total.min():.4g} to {total.max():.4g}" if total.size else ""
        raise DataError(
            f"{type(predictor).__name__} gave log probabilities {log_p.shape}{worst}; want {wanted} whose rows sum to "
            "1; has the training diverged?"
        )
    truth = hidden.truth
    at = hidden.places.select(pl.all().gather(hidden.window))
    positions = at.select("shard", "species", "contig", position=pl.col("start") + pl.Series(hidden.position))
    columns = {
        "window": hidden.window,
        "base": truth,
        "predicted": log_p.argmax(axis=1).astype(np.uint8),
        "log_p": log_p[np.arange(len(truth)), truth],
    }
    return BitsPerBase(positions.with_columns(pl.DataFrame(columns)), hidden.content_hash())


def difference(a: BitsPerBase, b: BitsPerBase) -> tuple[float, tuple[float, float]]:
    """Bits per base of `a` minus those of `b` on the same hidden bases, and its 95 % interval over 100-kb blocks.

    Below 0 where `a` is better. Models were fitted once each: what other seeds would give is not in the interval.

    Raises:
        DataError: they were asked about different bases.
    """
    if a.hidden != b.hidden:
        raise DataError("bits per base on different hidden bases cannot be paired; measure both on one corpus")
    bits = a.bits - b.bits
    return float(bits.mean()), _interval(bits, a.blocks)


def describe(evaluation: FrozenEvaluation, hidden: HiddenBases) -> dict[str, int | str]:
    """What a report keeps of an evaluation."""
    asked = {"asked_windows": len(hidden.windows), "asked_bases": len(hidden.window), "hidden": hidden.content_hash()}
    return {**asdict(evaluation), **asked}


def _tiles(stretches: pl.DataFrame, evaluation: FrozenEvaluation) -> pl.DataFrame:
    """The stretches cut into windows: shard, contig, start, end."""
    length = stretches["end"] - stretches["start"]
    usable = stretches.filter(length >= evaluation.shortest)
    lengths = (usable["end"] - usable["start"]).to_numpy()
    number = np.maximum(lengths // evaluation.window, 1)
    row = np.repeat(np.arange(len(lengths)), number)
    within = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    starts = usable["start"].to_numpy()[row] + within * evaluation.window
    ends = starts + np.minimum(lengths[row], evaluation.window)
    names = usable.select("shard", "contig").select(pl.all().gather(row))
    return names.with_columns(pl.Series("start", starts, pl.Int64), pl.Series("end", ends, pl.Int64))


def _keys(corpus: Corpus, places: pl.DataFrame, evaluation: FrozenEvaluation) -> NDArray[np.uint64]:
    """A random number for each window, from its bases: no generator whose stream a library may change."""
    start = f"{evaluation.version}:{evaluation.seed}:".encode()
    digests = (sha256(start + codes.tobytes()).digest()[:8] for codes in corpus.codes(places))
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, places.height)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Random numbers from consecutive ones (the output function of splitmix64: Steele et al., 2014, OOPSLA)."""
    z = keys * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _interval(values: NDArray[np.float64], blocks: Integers) -> tuple[float, float]:
    """95 % percentile interval of the mean when blocks are drawn with replacement."""
    number = np.bincount(blocks)
    if len(number) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    sums = np.bincount(blocks, weights=values)
    draws = np.random.default_rng(0).multinomial(len(number), np.full(len(number), 1 / len(number)), _RESAMPLES)
    low, high = np.quantile((draws @ sums) / (draws @ number), (0.025, 0.975))
    return float(low), float(high)
