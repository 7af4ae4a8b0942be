"""The objectives by name, as `--objective` takes them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.errors import Unsupported, UsageError
from glmbench.pretraining.objectives.contiguous import ContiguousMasking, contiguous_probability
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.curricula import CMGems, CMStep
from glmbench.pretraining.objectives.genemask import GeneMask, RandomSpans, genemask_probability
from glmbench.pretraining.objectives.global_pmi import GlobalPMI, global_probability
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.ranks import Ranks, check_one_per_token
from glmbench.pretraining.objectives.released import PROTOCOLS, ReleasedGeneMask
from glmbench.pretraining.objectives.span_corruption import SpanCorruption
from glmbench.pretraining.objectives.uniform import UniformMasking
from glmbench.pretraining.rankings import frequency_ranking, inverse_ranking, permuted_ranking, ranks_for_tokens
from glmbench.tokenizers.tokenizer import Tokenizer

Objective: TypeAlias = MaskingObjective | SpanCorruption

RELEASED = {f"genemask-{protocol}": protocol for protocol in PROTOCOLS}
CONTROLS = {f"genemask-{kind}": kind for kind in ("permuted", "inverse", "frequency")}
RANKED = ("genemask", *RELEASED, *CONTROLS, "global-pmi", "cm-gems", "cm-step")
MASKING = ("uniform", "contiguous", "random-spans", *RANKED)
OTHER = ("span-corruption", "span-corruption-bases", "next-base", "middle-base")
NAMES = (*MASKING, *OTHER)

MEAN_SPAN_BASES = 12.0
"""Default of `span-corruption-bases`: three tokens of four bases, as a BPE of 4,096 tokens has them roughly."""


def ranks_for(name: str, tokenizer: Tokenizer, ranking: pl.DataFrame, *, seed: int = 0) -> NDArray[np.int32]:
    """The ranks that a name in `RANKED` wants, int32 (vocabulary,): NPMI's, or those of the control it names.

    Args:
        name: of the objective.
        tokenizer: of overlapping k-mers.
        ranking: rows of `npmi.SCHEMA`, as `rankings.read_ranking` gives them.
        seed: deals the ranks of `genemask-permuted`.

    Raises:
        DataError: the ranking is of another k.
    """
    control = CONTROLS.get(name)
    if control == "permuted":
        ranking = permuted_ranking(ranking, seed)
    elif control == "inverse":
        ranking = inverse_ranking(ranking)
    elif control == "frequency":
        ranking = frequency_ranking(ranking)
    return ranks_for_tokens(ranking, tokenizer.vocabulary)


def make_objective(
    name: str, tokenizer: Tokenizer, *, ranks: NDArray[np.int32] | None = None, rate: float | None = None
) -> Objective:
    """An objective with its published settings.

    Args:
        name: one of `NAMES` but `next-base` and `middle-base`, which hide nothing.
        tokenizer: of the tokens it will get.
        ranks: (vocabulary,), 1 for the best, for the names in `RANKED`; `ranks_for` makes those that the name says.
        rate: the probability that a token is hidden (uniform) or is a centre (the k-mer objectives), or the fraction of
            hidden tokens (span corruption); None: the published one. `calibration.calibrated` finds the rate at
            which a wanted fraction is really hidden.

    Raises:
        UsageError: an unknown name, or one that hides nothing; ranks that are missing or of another vocabulary; a
            rate that is no probability, or given to an objective that has none.
        Unsupported: the objective cannot work with this tokenizer.
    """
    if name in MASKING:
        return make_masking(name, tokenizer, ranks=ranks, rate=rate)
    if name not in OTHER:
        raise UsageError(f"There is no objective {name!r}. Choose one of: {', '.join(NAMES)}.")
    if name in ("next-base", "middle-base"):
        raise UsageError(f"{name} hides and draws nothing: `batches.BaseWindows` says which base is asked about.")
    return _span_corruption(name, tokenizer, rate)


def make_masking(
    name: str, tokenizer: Tokenizer, *, ranks: NDArray[np.int32] | None = None, rate: float | None = None
) -> MaskingObjective:
    """The same for the names in `MASKING`, which all give the same kind of objective; see `make_objective`."""
    if name not in MASKING:
        raise UsageError(f"There is no masking objective {name!r}. Choose one of: {', '.join(MASKING)}.")
    if rate is not None and not 0 < rate <= 1:
        raise UsageError(f"{name} got a rate of {rate}; give a probability above 0 and up to 1.")
    corruption = Corruption.of(tokenizer)
    if name == "uniform":
        return UniformMasking(corruption) if rate is None else UniformMasking(corruption, rate)
    k = _overlapping_k(name, tokenizer)
    if name == "contiguous":
        return ContiguousMasking(corruption, k, rate or contiguous_probability(k))
    if name == "random-spans":
        return RandomSpans(corruption, k, rate or genemask_probability(k))
    table = _checked_ranks(name, ranks, corruption.vocabulary)
    if name in ("cm-gems", "cm-step"):
        return _curriculum(name, corruption, k, table, rate)
    if name == "global-pmi":
        return GlobalPMI(corruption, k, table, rate or global_probability(k))
    probability = rate or genemask_probability(k)
    if name not in RELEASED:
        return GeneMask(corruption, k, table, probability)
    if k != 6:
        raise Unsupported(f"{name} repeats code that was released for 6-mers only; the tokenizer has {k}-mers.")
    published = Corruption(corruption.special, corruption.vocabulary, replacements="all")
    return ReleasedGeneMask(published, k, table, RELEASED[name], probability)


def _curriculum(name: str, corruption: Corruption, k: int, table: Ranks, rate: float | None) -> MaskingObjective:
    if rate is not None:
        raise UsageError(
            f"{name} has two objectives with a rate each, so it takes none; got {rate}. Calibrate it instead."
        )
    hard = GlobalPMI(corruption, k, table, global_probability(k))
    if name == "cm-gems":
        return CMGems(GeneMask(corruption, k, table, genemask_probability(k)), hard)
    return CMStep(ContiguousMasking(corruption, k, contiguous_probability(k)), hard)


def _span_corruption(name: str, tokenizer: Tokenizer, rate: float | None) -> SpanCorruption:
    if tokenizer.overlap:
        raise Unsupported(
            f"{name} needs tokens that share no bases; those of {tokenizer.name} spell out the ends of each span. "
            "Use a tokenizer without overlap, or `contiguous` or `genemask`."
        )
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"{name} got a rate of {rate}; give a fraction between 0 and 1.")
    fraction, vocabulary = rate or 0.15, len(tokenizer.vocabulary)
    if name == "span-corruption":
        return SpanCorruption(tokenizer.special, vocabulary, fraction)
    return SpanCorruption(tokenizer.special, vocabulary, fraction, mean_tokens=None, mean_bases=MEAN_SPAN_BASES)


def _overlapping_k(name: str, tokenizer: Tokenizer) -> int:
    if not tokenizer.overlap:
        raise Unsupported(
            f"{name} hides runs of overlapping k-mers; tokens of {tokenizer.name} do not overlap. "
            "Use an overlapping k-mer tokenizer, or the objective `uniform`."
        )
    return tokenizer.overlap + 1


def _checked_ranks(name: str, ranks: NDArray[np.int32] | None, vocabulary: int) -> Ranks:
    if ranks is None:
        raise UsageError(f"{name} needs the ranks of the tokens, one for each of the vocabulary, and got none.")
    check_one_per_token(ranks, vocabulary)
    return Ranks(CONTROLS.get(name, "npmi"), np.ascontiguousarray(ranks, dtype=np.int32))
