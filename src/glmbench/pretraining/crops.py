"""Random crops of a corpus: every batch is a pure function of seed, epoch and number, so training resumes anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.pretraining.corpus import Corpus
from glmbench.sequences.alphabet import EncodedBatch
from glmbench.sequences.encoding import reverse_complement_codes
from glmbench.sequences.typing import Codes, Integers
from glmbench.storage.hashing import sha256_json
from glmbench.tokenizers.tokenizer import Tokenizer, Tokens, with_ends

SHORTEST = 50
"""Bases: stretches shorter than a crop are taken whole, shorter ones than this not at all."""

Part = Literal["training", "held_out"]


class BaseCrops:
    """Crops as base codes.

    A crop comes from a stretch with a probability in proportion to the stretch's length, and begins at any base from
    which it fits, all equally likely; every base of long stretches is seen equally often, but for a crop's length at
    both ends.

    Args:
        corpus: where to draw.
        crop: bases of a crop.
        batch: crops in a batch.
        seed: decides every batch.
        both_strands: read each crop from either strand, by a fair coin.
        shortest: stretches of at least this many bases, but shorter than a crop, are taken whole; `crop` for crops that
            all have one length.
        part: the stretches to draw from.

    Raises:
        DataError: no stretch is long enough.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        crop: int,
        batch: int,
        seed: int,
        both_strands: bool = True,
        shortest: int = SHORTEST,
        part: Part = "training",
    ) -> None:
        if crop < 1 or batch < 1:
            raise ValueError(f"crop is {crop} bases, batch is {batch} crops; both must be at least 1")
        self.corpus, self.crop, self.batch_size, self.seed, self.both_strands = corpus, crop, batch, seed, both_strands
        self.shortest, self.part = min(shortest, crop), part
        every = corpus.training if part == "training" else corpus.held_out
        stretches = every.filter(every["end"] - every["start"] >= self.shortest)
        if stretches.is_empty():
            longest = int((every["end"] - every["start"]).to_numpy().max(initial=0))
            raise DataError(
                f"no crop of {self.shortest} bases: the longest {part.replace('_', '-')} stretch without N has "
                f"{longest} bases; choose shorter crops or give more sequence"
            )
        self._shard = stretches["shard"].to_numpy()
        self._start = _starts_in_shard(corpus, stretches["shard"].to_list(), stretches["contig"].to_list())
        self._start += stretches["start"].to_numpy()
        self._length = (stretches["end"] - stretches["start"]).to_numpy()
        self._until = np.cumsum(self._length)

    def __len__(self) -> int:
        """Batches that together have about as many bases as the stretches: an epoch."""
        return max(int(self._until[-1]) // (self.crop * self.batch_size), 1)

    def batch(self, epoch: int, number: int, rows: slice = slice(None)) -> EncodedBatch:
        """The codes of a batch, or of some of its crops only (a process's or a micro-batch's share)."""
        rng = np.random.default_rng([self.seed, epoch, number])
        drawn = rng.integers(0, self._until[-1], self.batch_size)
        reverse = rng.integers(0, 2, self.batch_size, dtype=np.int8) if self.both_strands else np.zeros(len(drawn))
        drawn, reverse = drawn[rows], reverse[rows]
        stretch = np.searchsorted(self._until, drawn, side="right")
        within = drawn - (self._until[stretch] - self._length[stretch])
        lengths = np.minimum(self._length[stretch], self.crop)
        possible = self._length[stretch] - lengths + 1
        starts = self._start[stretch] + within * possible // self._length[stretch]
        return self._cut(self._shard[stretch], starts, lengths, reverse.astype(bool))

    def _cut(self, shards: Integers, starts: Integers, lengths: Integers, reverse: NDArray[np.bool_]) -> EncodedBatch:
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        codes = np.empty(int(offsets[-1]), dtype=np.uint8)
        rows = zip(shards.tolist(), starts.tolist(), lengths.tolist(), reverse.tolist(), offsets.tolist(), strict=False)
        for shard, start, length, other_strand, to in rows:
            crop = self.corpus.shards[shard].codes[start : start + length]
            codes[to : to + length] = reverse_complement_codes(crop) if other_strand else crop
        return EncodedBatch(codes, offsets)

    def windows(self, epoch: int, number: int, rows: slice = slice(None)) -> Codes:
        """A batch as uint8 (crops, crop), for networks that read bases of one length.

        Raises:
            ValueError: crops may differ in length; construct with `shortest=crop`.
        """
        if self.shortest < self.crop:
            raise ValueError(f"crops have {self.shortest} to {self.crop} bases; construct with shortest={self.crop}")
        return self.batch(epoch, number, rows).matrix(self.crop)

    def content_hash(self) -> str:
        """A hash of all that decides the batches."""
        settings = [self.crop, self.batch_size, self.seed, self.both_strands, self.shortest, self.part]
        return sha256_json([self.corpus.content_hash(), settings])


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Crops as tokens.

    Attributes:
        tokens: with [CLS] and [SEP]; spans count from the crop's first base, on the strand it is read from.
        bases: that the tokens cover, fewer than were cropped where tokens were cut off.
    """

    tokens: Tokens
    bases: int


class Crops:
    """Crops as tokens.

    Args:
        bases: draws the crops.
        tokenizer: cuts them into tokens, each time anew: the tokens' phase is as random as the crop's start.
        max_tokens: of a crop, [CLS] and [SEP] included; what is over at its end is cut off. None: never.

    Raises:
        ValueError: `max_tokens` leaves no room for a token.
    """

    def __init__(self, bases: BaseCrops, tokenizer: Tokenizer, *, max_tokens: int | None = None) -> None:
        self.bases, self.tokenizer, self.max_tokens = bases, tokenizer, max_tokens
        self._ends = 1 if tokenizer.special.sep is None else 2
        if max_tokens is not None and max_tokens <= self._ends:
            raise ValueError(f"max_tokens is {max_tokens}, [CLS] and [SEP] leave no room for a token")

    def __len__(self) -> int:
        return len(self.bases)

    def batch(self, epoch: int, number: int, rows: slice = slice(None)) -> CropBatch:
        """The tokens of a batch, or of some of its crops only."""
        tokens = self.tokenizer.encode(self.bases.batch(epoch, number, rows))
        if self.max_tokens is not None:
            tokens = first_tokens(tokens, self.max_tokens - self._ends)
        last = tokens.offsets[1:][tokens.lengths > 0] - 1
        return CropBatch(with_ends(tokens, self.tokenizer.special), int(tokens.ends[last].sum()))

    def content_hash(self) -> str:
        """A hash of all that decides the batches."""
        return sha256_json([self.bases.content_hash(), self.tokenizer.content_hash(), self.max_tokens])


def first_tokens(tokens: Tokens, limit: int) -> Tokens:
    """The first `limit` tokens of each sequence."""
    lengths = tokens.lengths
    if lengths.max(initial=0) <= limit:
        return tokens
    within = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], lengths)
    kept = within < limit
    offsets = np.concatenate(([0], np.cumsum(np.minimum(lengths, limit))))
    return Tokens(tokens.ids[kept], offsets, tokens.starts[kept], tokens.ends[kept])


def _starts_in_shard(corpus: Corpus, shards: list[int], contigs: list[str]) -> Integers:
    """Where in its shard's codes the contig of each stretch begins."""
    offsets = [dict(genome.contigs.select("name", "offset").iter_rows()) for genome in corpus.shards]
    return np.array([offsets[shard][contig] for shard, contig in zip(shards, contigs, strict=True)], dtype=np.int64)
