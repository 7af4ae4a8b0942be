"""Variant effects: a score for every allele, or the reason why it has none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from glmbench.genomes.reference_genome import ReferenceGenome
from glmbench.genomes.variants import Change, read_change
from glmbench.methods.variant_effect.definitions import (
    DIFFERENCE,
    SCORES,
    Mode,
    Placing,
    Settings,
    Strands,
    settings_for,
)
from glmbench.methods.variant_effect.placing import Placed, place
from glmbench.methods.variant_effect.reference_check import check_against, mismatch
from glmbench.methods.variant_effect.scorers import Scorer, scorer
from glmbench.models.model import CountsPasses, Model
from glmbench.sequences.alphabet import BASES

OnMismatch = Literal["error", "skip"]

CHUNK = 1_024
"""Alleles that a model is asked about in one call."""

SCORED = "scored"
REASONS: dict[str, str] = {
    SCORED: "has a score",
    "missing": "no alternative allele is given",
    "symbolic": "a symbolic allele, as <DEL>: its bases are not in the file",
    "spanning_deletion": "*: the bases are missing because of a deletion further up",
    "breakend": "a breakend joins distant places; there is no window around it",
    "ambiguous_bases": "letters other than A, C, G, T",
    "same_as_ref": "the allele is the reference",
    "no_such_contig": "the genome has no contig of this name",
    "ref_mismatch": "REF is not what the genome has there",
    "too_long": "an allele is longer than half the window",
    "same_in_window": "the window is the same with the allele, as in a repeat that is longer",
    "indel": "the mode scores single bases, and an indel changes their number",
}
"""What `status` may be."""

_FRAME = {
    "status": pl.String,
    "mode": pl.String,
    "window_start": pl.Int64,
    "window_end": pl.Int64,
    "window_n": pl.Int64,
}


@dataclass(frozen=True)
class Scored:
    """Scores and what they cost.

    Attributes:
        alleles: the variants asked for, in their order, with columns `status` (`scored`, or a reason of `REASONS`),
            `mode`, `window_start`, `window_end` (0-based half-open), `window_n` (unknown bases in the reference
            window) and the scores, Float64, null where there is none.
        forwards: inputs that went through the network; None where the model does not count them.
    """

    alleles: pl.DataFrame
    forwards: int | None


def score_variants(
    model: Model,
    variants: pl.DataFrame,
    genome: ReferenceGenome,
    *,
    mode: Mode | Literal["auto"] = "auto",
    scores: Sequence[str] | None = None,
    width: int | None = None,
    strands: Strands = "forward",
    placing: Placing | None = None,
    on_mismatch: OnMismatch = "error",
) -> Scored:
    """Score alleles by what a model makes of them in the place of the reference.

    Args:
        model: anything with a capability of `definitions.MODES`.
        variants: one row an allele: `contig`, `start` (0-based; POS of a VCF less 1), `ref`, `alt`; other columns stay.
        genome: where the windows are cut.
        mode: see `definitions.settings_for`.
        scores: names of `definitions.SCORES`; None: all that the mode gives.
        width: of the windows in bp; None: 512, or fewer where the model cannot read as many.
        strands: `both` asks for the reverse complement too and averages.
        placing: None: by the mode; see `placing.window_start`.
        on_mismatch: what becomes of alleles whose REF is not in the genome: refuse all, or give these a
            reason instead of a score.

    Raises:
        Unsupported: the model cannot answer in the mode, or not for windows of this width.
        UsageError: a score that the mode does not give.
        DataError: a REF that is not what the genome has, or a contig that it lacks, with `on_mismatch="error"`.
    """
    settings = settings_for(model, mode=mode, scores=scores, width=width, strands=strands, placing=placing)
    if on_mismatch == "error":
        check_against(variants, genome)
    scoring = Scoring(model, genome, settings)
    parts = [scoring.score(part) for part in variants.iter_slices(CHUNK)]
    alleles = pl.concat(parts, how="diagonal") if parts else scoring.score(variants)
    return Scored(alleles, scoring.forwards)


class Scoring:
    """A model that scores chunk after chunk.

    How alleles are cut into chunks changes no score, and in a sorted file no number of forwards: questions of the chunk
    before are not asked again.

    Args:
        model: can answer in the modes of `settings`.
        genome: where the windows are cut.
        settings: see `definitions.settings_for`.
    """

    def __init__(self, model: Model, genome: ReferenceGenome, settings: Settings) -> None:
        self._model, self._genome, self.settings = model, genome, settings
        self._scorers: dict[Mode, Scorer] = {mode: scorer(mode, model, settings.strands) for mode in settings.modes}
        self._passes_before = passes(model)

    @property
    def forwards(self) -> int | None:
        """Inputs that went through the network so far; None where the model does not count them."""
        now = passes(self._model)
        return None if now is None or self._passes_before is None else now - self._passes_before

    def score(self, alleles: pl.DataFrame) -> pl.DataFrame:
        """The rows of `alleles` with the columns of `Scored.alleles`; a REF that mismatches is left out."""
        found = [self._look_up(*row) for row in alleles.select("contig", "start", "ref", "alt").iter_rows()]
        placed = {row: each for row, each in enumerate(found) if isinstance(each, Placed)}
        by_mode: dict[Mode, list[int]] = defaultdict(list)
        for row, each in placed.items():
            by_mode[self._mode_of(each.change)].append(row)
        values: dict[str, NDArray[np.float64]] = {}
        for mode, rows in by_mode.items():
            asked = self._scorers[mode]
            scored = asked.score([placed[row] for row in rows])
            for name, column in zip(asked.names, scored.T, strict=True):
                values.setdefault(name, np.full(len(found), np.nan))[rows] = column
        none = np.full(len(found), np.nan)
        columns = [pl.Series(name, values.get(name, none)).fill_nan(None) for name in self.columns]
        about = pl.DataFrame([self._about(each) for each in found], schema=_FRAME, orient="row")
        return alleles.hstack(about).hstack(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the scores that are kept. Outputs of a predictor without names are known once it was asked."""
        names = dict.fromkeys(name for mode in self.settings.modes for name in self._scorers[mode].names)
        wanted = self.settings.scores
        return tuple(name for name in names if wanted is None or name in wanted)

    def _mode_of(self, change: Change) -> Mode:
        mode = self.settings.substitutions if change.is_substitution else self.settings.indels
        assert mode is not None  # indels without a mode are not placed
        return mode

    def _look_up(self, contig: str, start: int, ref: str, alt: str | None) -> Placed | str:
        """The change in its window, or the reason why it has none."""
        change = read_change(start, ref, alt)
        if isinstance(change, str):
            return change
        if (why := mismatch(contig, start, ref, self._genome)) is not None:
            return why
        if not change.is_substitution and self.settings.indels is None:
            return "indel"
        return place(change, contig, self._genome, self.settings.width, self.settings.placing)

    def _about(self, found: Placed | str) -> tuple[str, str | None, int | None, int | None, int | None]:
        if isinstance(found, str):
            return found, None, None, None, None
        end = found.start + len(found.reference)
        unknown = len(found.reference) - sum(map(found.reference.count, BASES))
        return SCORED, self._mode_of(found.change), found.start, end, unknown


def passes(model: Model) -> int | None:
    """Inputs that went through the network of a model so far; None where it does not count them."""
    return model.passes if isinstance(model, CountsPasses) else None


def describe_score(name: str) -> str:
    """One line about a column of scores."""
    if name.startswith(DIFFERENCE):
        return f"Prediction of the alternative less that of the reference: {name.removeprefix(DIFFERENCE)}"
    return SCORES[name]
