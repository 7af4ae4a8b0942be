"""From a recipe and genomes to what a training starts from: corpus, tokenizer, network, learner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from glmbench.errors import UsageError
from glmbench.pretraining.bits_per_base import HiddenBases, hide_bases
from glmbench.pretraining.corpus import Corpus, Source, build_corpus, describe_request
from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.learner import Learner, make_learner, sample_tokens
from glmbench.pretraining.objectives.span_corruption import SENTINELS
from glmbench.pretraining.recipe import Recipe, sized
from glmbench.sequences.alphabet import BASES, N
from glmbench.sequences.typing import Codes
from glmbench.storage.atomic import atomic_folder
from glmbench.storage.cache import cache_folder
from glmbench.storage.hashing import sha256_json
from glmbench.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TRAINED_ON = 200_000_000
"""Bases of a corpus that a tokenizer is trained on at most."""
_PIECE = 10_000
_TOKENIZER_VERSION = 1
"""Of how tokenizers are trained and saved: another number forgets what the cache keeps."""


@dataclass(frozen=True)
class Prepared:
    """All that a training starts from."""

    recipe: Recipe
    """With nothing left to derive."""
    corpus: Corpus
    tokenizer: Tokenizer
    network: PreTrainedModel
    """With fresh weights, on its device."""
    learner: Learner
    hidden: HiddenBases | None
    """What the frozen evaluation hides; None where it cannot ask the network."""
    tokens_per_crop: float
    """Mean, special tokens included."""
    longest_crop: int
    """The most tokens that a crop has among those looked at, special ones included."""
    longest_window: int
    """The same of the windows of the frozen evaluation; 0 where it cannot ask the network."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        assert self.recipe.training.steps is not None  # `sized` has set it
        return self.recipe.training.steps

    @property
    def parameters(self) -> int:
        """Weights, those of the head included."""
        return sum(p.numel() for p in self.network.parameters())

    def first_step(self) -> tuple[int, int]:
        """Units of work (tokens) and bases of the first optimiser step, as the cost record counts them."""
        from glmbench.training.distributed import processes

        parts = self.recipe.training.accumulate * processes()
        batches = list(islice(self.learner.batches.epoch(0), parts))
        share = parts / len(batches)  # a small corpus may have fewer in an epoch
        return round(share * sum(b.size for b in batches)), round(share * sum(b.bases for b in batches))

    @property
    def flops_per_step(self) -> float | None:
        """Operations of an optimiser step, counted from the sizes; None for networks without such a count.

        For curricula with the mean of the shares that their two objectives ask about.
        """
        from glmbench.networks.sizes import sizes_of, training_flops_per_token

        try:
            sizes = sizes_of(self.network.config.to_dict())
        except UsageError:
            return None
        shares = [share.tokens for share in self.learner.hidden.values()]
        asked = sum(shares) / len(shares) if shares else 1.0
        per_token = training_flops_per_token(sizes, round(self.tokens_per_crop), predicted=asked)
        return per_token * self.tokens_per_crop * self.recipe.data.batch


def prepare(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer) -> Prepared:
    """Make network and learner, and look whether all goes together before any step is taken.

    Raises:
        UsageError: the recipe does not fit together.
        DataError: the corpus has nothing to crop or to evaluate on.
        Unsupported: the objective cannot work with this tokenizer.
    """
    from glmbench.training.device import preferred_device

    network = fresh_network(recipe, tokenizer)
    tokens = sample_tokens(recipe, corpus, tokenizer)
    recipe = _within_positions(recipe, tokenizer, network, int(tokens.lengths.max()))
    tokens_per_crop = len(tokens.ids) / len(tokens)
    complete = sized(
        recipe,
        width=int(getattr(network.config, "hidden_size", 768)),
        parameters=sum(p.numel() for p in network.parameters()),
        tokens_per_crop=tokens_per_crop,
    )
    cast(Any, network).to(preferred_device())
    learner = make_learner(complete, corpus, tokenizer, network)
    hidden = None if learner.predictor is None else hide_bases(corpus)
    window = 0 if hidden is None else _require_room(hidden, tokenizer, network)
    longest = min(int(tokens.lengths.max()), complete.data.max_tokens or len(tokens.ids))
    _state_context(network, longest)
    return Prepared(complete, corpus, tokenizer, network, learner, hidden, tokens_per_crop, longest, window)


def open_sources(sources: Sequence[Path | Source], held_out: HeldOut, corpus_folder: Path | None) -> Corpus:
    """The corpus of these sources: in its own folder, or in the cache under a hash of what it is made from."""
    if corpus_folder is None:
        request = describe_request(sources, held_out=held_out)
        corpus_folder = cache_folder() / "corpora" / sha256_json(request)[:16]
    return build_corpus(sources, corpus_folder, held_out=held_out)


def make_tokenizer(recipe: Recipe, corpus: Corpus, keep: Path | None) -> Tokenizer:
    """The recipe's tokenizer, trained on the training stretches if it must be; kept in the cache and in `keep`."""
    from glmbench.tokenizers.choices import ToTrain, parse_tokenizer, train_tokenizer
    from glmbench.tokenizers.saving import load_tokenizer

    if keep is not None and keep.is_dir():
        return load_tokenizer(keep)
    chosen = parse_tokenizer(recipe.tokenizer)
    if isinstance(chosen, ToTrain):
        key = sha256_json([_TOKENIZER_VERSION, corpus.content_hash(), chosen.name, TRAINED_ON])
        cached = cache_folder() / "tokenizers" / key[:16]
        if not cached.is_dir():
            trained = train_tokenizer(chosen, sample_bases(corpus, TRAINED_ON))
            with atomic_folder(cached) as temporary:
                trained.save(temporary)
        chosen = load_tokenizer(cached)
    if keep is not None:
        with atomic_folder(keep) as temporary:
            chosen.save(temporary)
    return chosen


def sample_bases(corpus: Corpus, most: int) -> Codes:
    """Training stretches with an N between them, uint8: all of them, or of a larger corpus a part.

    The part is whole pieces of 10 kb (shorter ones where stretches end), as evenly spaced as it goes, with at most so
    many bases in all; at least one piece.
    """
    stretches = corpus.codes(corpus.training)
    if corpus.training_bases > most:
        stretches = _spaced(stretches, most / corpus.training_bases)
    between = np.array([N], dtype=np.uint8)
    return np.concatenate([part for codes in stretches for part in (np.asarray(codes), between)])


def _spaced(stretches: Iterator[Codes], share: float) -> Iterator[Codes]:
    """Pieces of stretches, so that of all bases up to any place no more than this share is taken, but for the first."""
    seen = taken = 0
    for codes in stretches:
        for start in range(0, len(codes), _PIECE):
            piece = codes[start : start + _PIECE]
            seen += len(piece)
            if taken + len(piece) <= share * seen or not taken:
                taken += len(piece)
                yield piece


def fresh_network(recipe: Recipe, tokenizer: Tokenizer) -> PreTrainedModel:
    """The recipe's network before any training: always the same weights for one seed."""
    from glmbench.networks.choices import Vocabulary, make_network

    special, names = tokenizer.special, tokenizer.vocabulary
    bases = tuple(names.index(base) for base in BASES) if tokenizer.kind == "character" else None
    vocabulary = Vocabulary(
        len(names), special.pad, special.cls if special.sep is None else special.sep, cast(Any, bases)
    )
    return make_network(
        recipe.network.name,
        vocabulary,
        depth=recipe.network.depth,
        sizes=recipe.network.sizes,
        attention=recipe.network.attention,
        middle=recipe.objective.name == "middle-base",
        sentinels=SENTINELS,
        seed=recipe.training.seed,
    )


def _within_positions(recipe: Recipe, tokenizer: Tokenizer, network: PreTrainedModel, longest: int) -> Recipe:
    """The recipe with crops cut to the network's positions, which no usual crop reaches."""
    positions: int | None = getattr(network.config, "max_position_embeddings", None)
    if positions is None:
        return recipe
    if longest > positions:
        crop = recipe.data.crop * (positions - 2) // (longest - 2)
        raise UsageError(
            f"crops of {recipe.data.crop} bases make up to {longest} tokens by {tokenizer.name}, [CLS] and [SEP] "
            f"included, and network {recipe.network.name} has {positions} positions: crop at most {crop} bases "
            f"(--crop {crop}), cut crops to so many tokens (--set data.max_tokens={positions}), or give it more "
            f"positions (--set network.sizes.max_position_embeddings={longest})"
        )
    most = min(recipe.data.max_tokens or positions, positions)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_tokens": most})})


def _state_context(network: PreTrainedModel, longest: int) -> None:
    """Write into a rotary network's configuration how many tokens it should be given, where nothing else is stated.

    Rotary positions have no end, but those beyond the longest crop were never trained on: 512 is what every network of
    the field reads, more wants longer crops. The network itself does not look at the number: whoever opens the folder
    does.
    """
    config = network.config
    rotary = config.model_type == "glmbench-modern" and config.positions == "rope"
    if rotary and config.max_position_embeddings is None:
        config.max_position_embeddings = max(longest, 512)


def _require_room(hidden: HiddenBases, tokenizer: Tokenizer, network: PreTrainedModel) -> int:
    """The most tokens of a window of the frozen evaluation; raises where the network cannot read so many."""
    longest = int(tokenizer.encode(hidden.windows).lengths.max()) + 2
    positions: int | None = getattr(network.config, "max_position_embeddings", None)
    if positions is not None and longest > positions:
        raise UsageError(
            f"the frozen evaluation reads windows of up to {int(hidden.windows.lengths.max())} bases, {longest} tokens "
            f"by {tokenizer.name}, and the network has {positions} positions; give it at least {longest}: "
            f"--set network.sizes.max_position_embeddings={longest}"
        )
    return longest
