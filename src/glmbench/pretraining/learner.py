"""A learner: a network with the batches, the loss and the evaluation that its objective calls for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl
from torch import nn

from glmbench.errors import UsageError
from glmbench.networks.packing import PackedLanguageModel
from glmbench.pretraining.batches import BaseWindows, CorruptedCrops, MaskedCrops
from glmbench.pretraining.bits_per_base import BasePredictor
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.crops import SHORTEST, BaseCrops, Crops
from glmbench.pretraining.losses import MaskedModel, SpanModel, base_loss, token_loss
from glmbench.pretraining.objectives.calibration import calibrated
from glmbench.pretraining.objectives.choices import MASKING, NAMES, RANKED, make_masking, make_objective, ranks_for
from glmbench.pretraining.objectives.curricula import CMGems, CMStep
from glmbench.pretraining.objectives.fractions import Realised
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.span_corruption import SpanCorruption
from glmbench.pretraining.recipe import ObjectivePart, Recipe
from glmbench.tokenizers.tokenizer import Tokenizer, Tokens
from glmbench.training.distributed import processes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from glmbench.pretraining.base_predictors import ReadsWindows
    from glmbench.training.batches import Batches
    from glmbench.training.loop import Loss

_SPANS = ("span-corruption", "span-corruption-bases")
_BASES = ("next-base", "middle-base")
_SAMPLE = 256
"""Crops by which tokens are counted."""
_CALIBRATED_ON = 500_000
"""Bases by which a rate is calibrated: spans are few, and a small sample has the share of its own."""


@dataclass(frozen=True)
class Learner:
    """All that a training needs beside its plan."""

    network: PreTrainedModel
    """What is saved."""
    module: nn.Module
    """What is trained: the network, wrapped for its objective."""
    batches: Batches
    loss: Loss
    objective: dict[str, Any]
    """Settings, with the rate that was calibrated."""
    hidden: Mapping[str, Realised]
    """Shares that each objective in turn hides, by its name: one, or the easy and the hard one of a curriculum."""
    predictor: Callable[[PreTrainedModel], BasePredictor] | None
    """The network as a predictor of hidden bases; None: the frozen evaluation cannot ask it."""
    observe: Callable[[Sequence[float]], None] | None = None
    """Wants to know the perplexities so far; see `perplexity`."""
    perplexity: Callable[[nn.Module], float] | None = None
    """Of held-out tokens under one fixed mask, for curricula that switch by it."""

    @property
    def becomes_harder(self) -> bool:
        """Whether the objective does not stay the same: the loss then may rise."""
        return len(self.hidden) > 1


def make_learner(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, network: PreTrainedModel) -> Learner:
    """The learner of a recipe with nothing left to derive.

    Raises:
        UsageError: network and objective do not go together, or the batch cannot be shared out.
    """
    from glmbench.networks.genomenet import GenomeNetForBasePrediction

    name = recipe.objective.name
    _require_fit(name, recipe.network.name, network)
    _require_heeded(recipe.objective)
    if isinstance(network, GenomeNetForBasePrediction):
        return _base_learner(recipe, corpus, network)
    crops = Crops(_base_crops(recipe, corpus), tokenizer, max_tokens=recipe.data.max_tokens)
    if recipe.training.compile:
        _require_one_length(recipe, corpus, tokenizer)
    if name in MASKING:
        return _masked_learner(recipe, corpus, tokenizer, network, crops)
    objective = make_objective(name, tokenizer, rate=recipe.objective.hide or recipe.objective.rate)
    assert isinstance(objective, SpanCorruption)  # the only other kind that fits such a network
    spans = CorruptedCrops(crops, objective, seed=recipe.training.seed)
    hidden = {objective.name: spans.hidden()}
    return Learner(network, SpanModel(network), spans, token_loss, objective.settings(), hidden, None)


def _require_fit(objective: str, name: str, network: PreTrainedModel) -> None:
    """Raise where an objective asks what a network cannot say."""
    from glmbench.networks.genomenet import GenomeNetForBasePrediction

    if objective not in NAMES:
        raise UsageError(f"there is no objective {objective!r}; there are {', '.join(NAMES)}")
    if isinstance(network, GenomeNetForBasePrediction):
        fitting: tuple[str, ...] = _BASES
    else:
        fitting = _SPANS if network.config.is_encoder_decoder else MASKING
    if objective not in fitting:
        other = "dnabert2" if objective in MASKING else "t5-small" if objective in _SPANS else "genomenet-lstm"
        raise UsageError(
            f"objective {objective} does not go with network {name}, which learns by {', '.join(fitting)}: "
            f"choose one of these, or a network such as {other}"
        )


def _require_heeded(part: ObjectivePart) -> None:
    """Raise where the objective would ignore something that it was given."""
    if part.rate is not None and part.hide is not None:
        raise UsageError(f"the objective has a rate ({part.rate}) and a share to hide ({part.hide}); give one of them")
    if part.ranks is not None and part.name not in RANKED:
        raise UsageError(f"objective {part.name} has no ranks; leave them out, or choose one of {', '.join(RANKED)}")
    if part.name in _BASES and (part.rate is not None or part.hide is not None):
        raise UsageError(f"objective {part.name} hides nothing: leave rate and share to hide out")
    if part.of == "nucleotides" and part.name in _SPANS:
        raise UsageError(
            f"objective {part.name} hides a share of tokens, not of nucleotides; leave out what is counted"
        )
    if part.of == "nucleotides" and part.hide is None:
        raise UsageError(
            "what is counted (nucleotides) belongs to a share to hide, and there is none; give one (--hide)"
        )


def sample_tokens(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, crops: int = _SAMPLE) -> Tokens:
    """Tokens of so many crops as the training will see them, with [CLS] and [SEP]."""
    drawn = BaseCrops(corpus, crop=recipe.data.crop, batch=crops, seed=0, both_strands=recipe.data.both_strands)
    return Crops(drawn, tokenizer, max_tokens=recipe.data.max_tokens).batch(0, 0).tokens


def _require_one_length(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """Raise where rows are of many lengths: a compiled step would be compiled anew for nearly every batch."""
    stretches = corpus.training["end"] - corpus.training["start"]
    short = int(((stretches >= SHORTEST) & (stretches < recipe.data.crop)).sum())
    lengths = sample_tokens(recipe, corpus, tokenizer).lengths
    if short or lengths.min() < lengths.max():
        why = f"{short} stretches shorter than a crop make" if short else f"{tokenizer.name} makes of crops"
        raise UsageError(
            f"{why} rows of many lengths, and a compiled step is compiled anew for each: leave out training.compile, "
            "or train on rows of one length (character or k-mer tokens and crops that fit into every stretch)"
        )


def _micro_batch(recipe: Recipe) -> int:
    """Crops that a process computes at once."""
    parts = recipe.training.accumulate * processes()
    if recipe.data.batch % parts:
        raise UsageError(
            f"a batch of {recipe.data.batch} crops cannot be cut into {recipe.training.accumulate} micro-batches "
            f"for each of {processes()} processes; choose a multiple of {parts}"
        )
    return recipe.data.batch // parts


def _base_crops(recipe: Recipe, corpus: Corpus, crop: int | None = None, **more: Any) -> BaseCrops:
    return BaseCrops(
        corpus,
        crop=crop or recipe.data.crop,
        batch=_micro_batch(recipe),
        seed=recipe.training.seed,
        both_strands=recipe.data.both_strands,
        **more,
    )


def _masked_learner(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, network: Any, crops: Crops) -> Learner:
    from glmbench.pretraining.base_predictors import MaskedTokens

    objective = _masking(recipe, corpus, tokenizer)
    steps = recipe.training.steps or 1
    per_step = recipe.training.accumulate * processes()
    batches = MaskedCrops(crops, objective, seed=recipe.training.seed, steps=steps, per_step=per_step)
    parts = (objective.easy, objective.hard) if isinstance(objective, CMGems | CMStep) else (objective,)
    switches = isinstance(objective, CMGems)
    return Learner(
        network,
        MaskedModel(network),
        batches,
        token_loss,
        objective.settings(),
        {part.name: batches.hidden(part) for part in parts},
        lambda trained: MaskedTokens(cast(PackedLanguageModel, trained), tokenizer),
        batches.observe if switches else None,
        _perplexity(recipe, corpus, tokenizer, objective.easy) if isinstance(objective, CMGems) else None,
    )


def _masking(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer) -> MaskingObjective:
    part = recipe.objective
    ranks = None
    if part.name in RANKED and tokenizer.overlap:
        ranks = ranks_for(part.name, tokenizer, _ranking(recipe, corpus, tokenizer), seed=recipe.training.seed)
    objective = make_masking(part.name, tokenizer, ranks=ranks, rate=part.rate)
    if part.hide is None:
        return objective
    sample = sample_tokens(recipe, corpus, tokenizer, max(_SAMPLE, _CALIBRATED_ON // recipe.data.crop))
    return calibrated(objective, sample, part.hide, of=part.of)


def _ranking(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer) -> pl.DataFrame:
    """NPMI of the tokenizer's k-mers: the recipe's table, or counted on what may be trained on."""
    from glmbench.pretraining.npmi import score_ngrams
    from glmbench.pretraining.rankings import read_ranking
    from glmbench.sequences.ngrams import count_ngrams

    if recipe.objective.ranks is not None:
        return read_ranking(recipe.objective.ranks)
    k = tokenizer.overlap + 1
    return score_ngrams(count_ngrams(corpus.codes(corpus.training), k), k)


def _perplexity(
    recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, objective: MaskingObjective
) -> Callable[[nn.Module], float]:
    """Perplexity of hidden tokens in a few hundred held-out crops, always the same under always the same mask."""
    crops = BaseCrops(corpus, crop=recipe.data.crop, batch=32, seed=0, part="held_out")
    fixed = MaskedCrops(Crops(crops, tokenizer, max_tokens=recipe.data.max_tokens), objective, seed=0)

    def perplexity(module: nn.Module) -> float:
        device = next(module.parameters()).device
        batches = [batch.to(device) for batch, _ in zip(fixed.epoch(0), range(8), strict=False)]
        total = sum(token_loss(module, batch).item() * batch.weight for batch in batches)
        return math.exp(total / sum(batch.weight for batch in batches))

    return perplexity


def _base_learner(recipe: Recipe, corpus: Corpus, network: Any) -> Learner:
    from glmbench.pretraining.base_predictors import Flanks

    config = network.config
    middle = config.position == "middle"
    if middle != (recipe.objective.name == "middle-base"):
        raise UsageError(
            f"objective {recipe.objective.name} wants a network for the other position than {config.position}"
        )
    ids = (*config.base_ids, 0)  # every other id is an all-zero row
    left, right = (config.flank, config.flank) if middle else (config.context, 0)
    module, batches = (
        _lanes(recipe, corpus, network)
        if config.stateful
        else (
            network,
            BaseWindows(
                _base_crops(recipe, corpus, config.context + 1, shortest=config.context + 1),
                config.base_ids,
                middle=middle,
            ),
        )
    )
    return Learner(
        network,
        module,
        batches,
        base_loss,
        {"name": recipe.objective.name, "context": config.context},
        {},
        lambda trained: Flanks(cast("ReadsWindows", trained), ids, left, right),
    )


def _lanes(recipe: Recipe, corpus: Corpus, network: Any) -> tuple[nn.Module, Batches]:
    from glmbench.genomes.codes import genome_from_codes
    from glmbench.networks.genomenet_lanes import LaneReader
    from glmbench.pretraining.lanes import LaneBatches, Lanes

    if processes() > 1 or recipe.training.accumulate > 1:
        raise UsageError(
            "a stateful network carries its state from step to step: train it in one process, unaccumulated"
        )
    # a copy in memory, a byte a base of the training stretches: lanes read from anywhere at every step
    stretches = genome_from_codes({str(i): codes for i, codes in enumerate(corpus.codes(corpus.training))})
    lanes = Lanes(
        stretches,
        lanes=recipe.data.batch,
        lookahead=network.config.lookahead,
        seed=recipe.training.seed,
        both_strands=recipe.data.both_strands,
    )
    return LaneReader(network, recipe.data.batch), LaneBatches(lanes, network.config.base_ids)
