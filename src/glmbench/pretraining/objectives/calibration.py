"""Calibration: the probability with which an objective really hides what it is wanted to hide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.contiguous import ContiguousMasking
from glmbench.pretraining.objectives.curricula import CMGems, CMStep
from glmbench.pretraining.objectives.fractions import realised
from glmbench.pretraining.objectives.genemask import GeneMask, RandomSpans
from glmbench.pretraining.objectives.global_pmi import GlobalPMI
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.released import ReleasedGeneMask
from glmbench.pretraining.objectives.uniform import UniformMasking
from glmbench.tokenizers.tokenizer import Tokens

WithProbability: TypeAlias = UniformMasking | ContiguousMasking | GeneMask | RandomSpans | ReleasedGeneMask | GlobalPMI
Counted = Literal["tokens", "nucleotides"]

TOLERANCE = 0.001
_HALVINGS = 24


def calibrated(
    objective: MaskingObjective, tokens: Tokens, target: float, *, of: Counted = "tokens", seed: int = 0
) -> MaskingObjective:
    """The objective with the probability at which it hides the wanted fraction of a sample.

    Bisection under common random numbers: every probability is tried with the same draws, so more is hidden with each.
    Both parts of a curriculum are calibrated.

    Args:
        objective: what is to be calibrated.
        tokens: a sample with its [CLS] and [SEP], of the lengths that training will see; 100,000 tokens are plenty.
        target: the wanted fraction, within 0.001 on the sample.
        of: what is counted: `tokens`, or `nucleotides` that no shown token covers (see `fractions.Realised`).
        seed: of the draws.

    Raises:
        UsageError: no probability comes within 0.001 of the target.
    """
    if isinstance(objective, CMGems | CMStep):
        easy, hard = (calibrated(part, tokens, target, of=of, seed=seed) for part in (objective.easy, objective.hard))
        return replace(objective, easy=easy, hard=hard)
    if not isinstance(objective, WithProbability):
        raise UsageError(f"{objective.name} has no probability to calibrate; give its own settings instead.")
    if not 0 < target < 1:
        raise UsageError(f"Got {target} as the fraction of {of} to hide; give a number between 0 and 1.")
    return _bisected(objective, tokens, target, of, seed)


def _bisected(objective: WithProbability, tokens: Tokens, target: float, of: Counted, seed: int) -> MaskingObjective:
    low, high = 0.0, 1.0
    if (most := _hidden(objective, 1.0, tokens, of, seed)) < target - TOLERANCE:
        raise UsageError(
            f"{objective.name} cannot hide {target:.1%} of the {of} of this sample: all it may hide is {most:.1%}. "
            "Ask for less, or give a sample with fewer unknown tokens."
        )
    closest, error = 1.0, abs(most - target)
    for _ in range(_HALVINGS):
        if error < TOLERANCE / 10:
            break
        middle = (low + high) / 2
        hidden = _hidden(objective, middle, tokens, of, seed)
        if abs(hidden - target) < error:
            closest, error = middle, abs(hidden - target)
        low, high = (middle, high) if hidden < target else (low, middle)
    if error > TOLERANCE:
        raise UsageError(
            f"{objective.name} comes no closer than {error:.4f} to hiding {target:.1%} of the {of} of a sample of "
            f"{len(tokens.ids)} tokens; {TOLERANCE} is wanted. Give a larger sample."
        )
    return _with(objective, closest)


def _hidden(objective: WithProbability, probability: float, tokens: Tokens, of: Counted, seed: int) -> float:
    masked = _with(objective, probability).mask(tokens, np.random.default_rng(seed))
    fractions = realised(tokens, masked.positions)
    return fractions.tokens if of == "tokens" else fractions.nucleotides


def _with(objective: WithProbability, probability: float) -> WithProbability:
    changes: dict[str, Any] = {"probability": probability}
    return replace(objective, **changes)
