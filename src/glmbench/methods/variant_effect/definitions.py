"""Modes of scoring, the scores that each gives, and which mode a model is asked in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from glmbench.errors import Unsupported, UsageError
from glmbench.methods.window_width import default_width
from glmbench.models.model import Embeds, Model, Predicts, PredictsBases, ScoresSequences

Mode = Literal["masked", "single-pass", "likelihood", "embedding", "prediction"]
Strands = Literal["forward", "both"]
Placing = Literal["centred", "shared"]

MODES: dict[Mode, type] = {
    "masked": PredictsBases,
    "single-pass": PredictsBases,
    "likelihood": ScoresSequences,
    "embedding": Embeds,
    "prediction": Predicts,
}
"""What each mode asks of a model."""

ENTROPY_FLOOR = 1e-3
"""Nats; `llr_per_entropy` of a model that is certain of a base would else be divided by nothing."""

SCORES: dict[str, str] = {
    "llr": "ln p(alt) - ln p(ref) in nats; negative where the model finds the allele less likely than the reference",
    "abs_llr": "Absolute value of the log-likelihood ratio",
    "llr_per_entropy": "Log-likelihood ratio divided by the entropy of the model's distribution at the position",
    "entropy": "Entropy in nats of the model's distribution over A, C, G, T at the position, 0 to 1.386",
    "cosine": "Cosine distance of the embeddings of alternative and reference window, 1 - cos",
    "l1": "Sum of absolute differences of the embeddings",
    "l2": "Euclidean distance of the embeddings",
    "dot": "Inner product of the embeddings",
}
"""All scores but the differences of a predictor, which have the names of its outputs."""

DIFFERENCE = "difference_"
"""Before the name of an output: its value of the alternative window less that of the reference window."""

OF_MODE: dict[Mode, tuple[str, ...]] = {
    "masked": ("llr", "abs_llr", "llr_per_entropy", "entropy"),
    "single-pass": ("llr", "abs_llr", "llr_per_entropy", "entropy"),
    "likelihood": ("llr", "abs_llr"),
    "embedding": ("cosine", "l1", "l2", "dot"),
    "prediction": (),
}


@dataclass(frozen=True)
class Settings:
    """How variants are scored, all of it decided.

    Attributes:
        substitutions: mode for alleles as long as what they replace.
        indels: mode for all others; None: they are not scored.
        width: bases of a window.
        strands: the forward strand, or the mean over both.
        placing: of the windows of substitutions in `masked` and `single-pass` mode, and of all others.
        scores: names of `SCORES` that are kept; None: all that the modes give.
    """

    substitutions: Mode
    indels: Mode | None
    width: int
    strands: Strands
    placing: Placing
    scores: tuple[str, ...] | None = None

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Both modes, each once."""
        return tuple(dict.fromkeys(mode for mode in (self.substitutions, self.indels) if mode is not None))


def settings_for(
    model: Model,
    *,
    mode: Mode | Literal["auto"] = "auto",
    scores: Sequence[str] | None = None,
    width: int | None = None,
    strands: Strands = "forward",
    placing: Placing | None = None,
) -> Settings:
    """Decide what was left open by what the model can do.

    `auto` asks predictors of bases with both sides in `masked` mode, and left-to-right ones for likelihoods; then
    predictors for predictions and all others for embeddings. In the two modes of single bases indels are scored by
    likelihood in `auto`, and left out where one of these modes was named. Windows are shared between near variants in
    `single-pass` and `likelihood` mode, where that saves passes, and centred else.

    Raises:
        Unsupported: the model cannot answer in the mode.
        UsageError: a score that the mode does not give, or a width below 4.
    """
    chosen = _auto(model) if mode == "auto" else mode
    if not isinstance(model, MODES[chosen]):
        able = ", ".join(name for name, needs in MODES.items() if isinstance(model, needs)) or "none"
        raise Unsupported(
            f"{model.card.reference} cannot be asked in mode {chosen}, it is no {MODES[chosen].__name__}; "
            f"modes it can be asked in: {able}"
        )
    if width is not None and width < 4:
        raise UsageError(f"a window of {width} bases: want 4 or more")
    of_bases = chosen in ("masked", "single-pass")
    by_likelihood = mode == "auto" and isinstance(model, ScoresSequences)
    indels: Mode | None = chosen if not of_bases else ("likelihood" if by_likelihood else None)
    settings = Settings(
        substitutions=chosen,
        indels=indels,
        width=default_width(model.card) if width is None else width,
        strands=strands,
        placing=placing or ("shared" if chosen in ("single-pass", "likelihood") else "centred"),
        scores=None if scores is None else tuple(dict.fromkeys(scores)),
    )
    _check_scores(settings, model.card.outputs)
    return settings


def _auto(model: Model) -> Mode:
    if isinstance(model, PredictsBases):
        left = model.reach == "left"
        return "likelihood" if left and isinstance(model, ScoresSequences) else "masked"
    for mode, needs in MODES.items():
        if mode != "embedding" and isinstance(model, needs):
            return mode
    if isinstance(model, Embeds):
        return "embedding"
    raise Unsupported(
        f"{model.card.reference} can be asked for nothing that scores a variant: bases, likelihoods, predictions or "
        "embeddings"
    )


def _check_scores(settings: Settings, outputs: tuple[str, ...]) -> None:
    known = [score for mode in settings.modes for score in OF_MODE[mode]] + [DIFFERENCE + name for name in outputs]
    unnamed = "prediction" in settings.modes and not outputs
    for score in settings.scores or ():
        if score not in known and not (unnamed and score.startswith(DIFFERENCE)):
            raise UsageError(
                f"score {score!r}: mode {' and '.join(settings.modes)} gives "
                f"{', '.join(dict.fromkeys(known)) or DIFFERENCE + '0, …'}; choose among these, or another mode"
            )
