"""Labelled classification sets by name of their generator, with settings that a task card holds.

Each settings model says what it makes; `labelled_distribution` builds the joint distribution of class and sequence,
from which rows are drawn and under which their Bayes-optimal scores are exact. A change that alters any row of any set
must raise `GENERATOR_VERSION`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from glmbench.errors import DataError
from glmbench.simulation.chains import chain_from_words, dinucleotide_chain, matched_chain, random_chain
from glmbench.simulation.distributions import ChainSequences, LabelledDistribution, SequenceDistribution
from glmbench.simulation.genes import CodingWindows, codon_usage, frame_averaged_words
from glmbench.simulation.promoters import (
    SYNTAXES,
    mixture_of_syntaxes,
    scrambled_syntaxes,
    syntax_on_background,
)
from glmbench.simulation.splicing import splice_site_classes

GENERATOR_VERSION = 1
"""Grows with every change of what any generator draws from the same settings and seed."""

SyntaxName = Literal["sigma70", "core-promoter"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    length: PositiveInt
    """Length of every sequence, in bp."""


class PromoterSettings(_Settings):
    """0: background; 1: the same background with one instance of a promoter syntax at a random place."""

    name: Literal["promoter"]
    syntax: SyntaxName
    sharpness: float = 1.0
    """Power that the weight matrices are raised to; above 1 nearer to the consensus."""
    gc: float
    cpg: float = 1.0

    def classes(self) -> tuple[SequenceDistribution, ...]:
        """Distributions of the classes, in the order of the labels."""
        background = dinucleotide_chain(self.gc, self.cpg)
        syntax = SYNTAXES[self.syntax].sharpened(self.sharpness)
        return ChainSequences(background, self.length), syntax_on_background(syntax, background, self.length)


class GrammarSettings(_Settings):
    """0: a syntax's motifs in the wrong order or with wrong spacers; 1: the syntax; both on one background."""

    name: Literal["grammar"]
    syntax: SyntaxName
    sharpness: float = 1.0
    wrong_spacers: tuple[int, ...]
    gc: float
    cpg: float = 1.0

    def classes(self) -> tuple[SequenceDistribution, ...]:
        """Distributions of the classes, in the order of the labels."""
        background = dinucleotide_chain(self.gc, self.cpg)
        syntax = SYNTAXES[self.syntax].sharpened(self.sharpness)
        decoys = mixture_of_syntaxes(scrambled_syntaxes(syntax, self.wrong_spacers), background, self.length)
        return decoys, syntax_on_background(syntax, background, self.length)


class SpliceSettings(_Settings):
    """0: donor, 1: acceptor, 2: neither; the cut near the middle."""

    name: Literal["splice"]
    jitter: int
    exon_gc: float
    intron_gc: float
    cpg: float = 1.0

    def classes(self) -> tuple[SequenceDistribution, ...]:
        """Distributions of the classes, in the order of the labels."""
        exon, intron = dinucleotide_chain(self.exon_gc, self.cpg), dinucleotide_chain(self.intron_gc, self.cpg)
        return splice_site_classes(exon, intron, self.length, self.jitter)


class CodingSettings(_Settings):
    """0: a Markov chain with the words of coding sequence; 1: coding sequence in an unknown frame."""

    name: Literal["coding"]
    gc_bias: float = 0.0
    matched_order: int = Field(ge=0, le=4)
    """The chain has the (order + 1)-mer composition of the coding class, so counts of such words tell nothing."""

    def classes(self) -> tuple[SequenceDistribution, ...]:
        """Distributions of the classes, in the order of the labels."""
        usage = codon_usage(self.gc_bias)
        chain = chain_from_words(frame_averaged_words(usage, self.matched_order + 1))
        return ChainSequences(chain, self.length), CodingWindows(usage, self.length)


class MarkovSettings(_Settings):
    """0: a chain with the same short words; 1: a random Markov chain."""

    name: Literal["markov"]
    order: int = Field(ge=0, le=6)
    matched_order: int = Field(ge=0)
    strength: float
    chain_seed: int

    def classes(self) -> tuple[SequenceDistribution, ...]:
        """Distributions of the classes, in the order of the labels."""
        chain = random_chain(self.order, self.strength, self.chain_seed)
        return ChainSequences(matched_chain(chain, self.matched_order), self.length), ChainSequences(chain, self.length)


GeneratorSettings = Annotated[
    PromoterSettings | GrammarSettings | SpliceSettings | CodingSettings | MarkovSettings, Field(discriminator="name")
]


class SimulationParameters(BaseModel):
    """The parameters of a simulated task: what is drawn, how many rows of each split, from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0)
    rows: dict[str, PositiveInt]
    generator: GeneratorSettings


def parse_parameters(parameters: dict[str, Any]) -> SimulationParameters:
    """Read the `parameters` of a task card.

    Raises:
        DataError: a generator or a setting is unknown, absent or out of range.
    """
    try:
        return TypeAdapter(SimulationParameters).validate_python(parameters)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise DataError(f"parameters of the simulated task: {found}") from error


def labelled_distribution(parameters: SimulationParameters) -> LabelledDistribution:
    """The joint distribution of class and sequence, classes equally likely.

    Raises:
        DataError: the settings contradict each other, as motifs that do not fit into the length.
    """
    try:
        classes = parameters.generator.classes()
    except ValueError as error:
        raise DataError(f"generator {parameters.generator.name!r}: {error}") from error
    return LabelledDistribution(classes, np.full(len(classes), 1 / len(classes)))


def split_generator(parameters: SimulationParameters, split: str) -> np.random.Generator:
    """The random stream of a split: depends on the seed and the split's name only, so that sizes can change apart."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([parameters.seed, *split.encode()])))
