"""Span corruption: T5's objective. The encoder sees sentinels for spans, the decoder writes what they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokens

SENTINELS = 100


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A batch for an encoder and a decoder, rows end to end; row i of both belongs together.

    Attributes:
        encoder_ids: int32 (encoder tokens,), one sentinel for each hidden span; [CLS] and [SEP] stay.
        encoder_offsets: int64 (rows + 1,).
        decoder_ids: int32 (decoder tokens,): what the decoder is to write: each sentinel, then the tokens of its span,
            and one end token after the last. Empty for a row of fewer than two tokens with bases, which hides nothing.
        decoder_offsets: int64 (rows + 1,).
        hidden: int64 (hidden,), ascending: the hidden tokens, indices into the tokens it was made from.
    """

    encoder_ids: NDArray[np.int32]
    encoder_offsets: NDArray[np.int64]
    decoder_ids: NDArray[np.int32]
    decoder_offsets: NDArray[np.int64]
    hidden: NDArray[np.int64]


@dataclass(frozen=True)
class SpanCorruption:
    """Hides a fixed fraction of each row in spans of random length (Raffel et al., 2020, JMLR 21:140, section 3.1.4).

    As T5's published procedure has it: the number of hidden tokens and of spans is the same for rows of one length;
    hidden and kept tokens are each cut at random into so many pieces of at least one token; they alternate, kept first.
    Unknown tokens can lie in a span. Sentinel j is id `first_sentinel + j`, counted in each row from 0.

    Attributes:
        special: the special ids; [SEP], or [CLS] where the format has none, ends what the decoder writes.
        first_sentinel: the sentinels are this id and the following: usually the size of the vocabulary.
        fraction: of a row's tokens that are hidden.
        mean_tokens: mean tokens of a span. Longer tokens then hide longer stretches of DNA.
        mean_bases: mean bases of a span instead, the same for every tokenizer; no span is shorter than a token.
        sentinels: how many there are.

    Raises:
        UsageError: both or none of the means are given, or one is not positive; the fraction is not inside 0 to 1.
    """

    special: SpecialTokens
    first_sentinel: int
    fraction: float = 0.15
    mean_tokens: float | None = 3.0
    mean_bases: float | None = None
    sentinels: int = SENTINELS

    def __post_init__(self) -> None:
        mean = self.mean_tokens if self.mean_bases is None else self.mean_bases
        if (self.mean_tokens is None) == (self.mean_bases is None) or mean is None or mean <= 0:
            raise UsageError(
                f"Span corruption got mean_tokens={self.mean_tokens} and mean_bases={self.mean_bases}; "
                "give one positive number, and None for the other."
            )
        if not 0 < self.fraction < 1:
            raise UsageError(f"Span corruption got fraction={self.fraction}; give a number between 0 and 1.")

    @property
    def name(self) -> str:
        """`span-corruption` or `span-corruption-bases`."""
        return "span-corruption" if self.mean_bases is None else "span-corruption-bases"

    def corrupt(self, tokens: Tokens, rng: np.random.Generator) -> Corrupted:
        """Split a batch that has its [CLS] and [SEP] between encoder and decoder.

        Raises:
            UsageError: a row needs more spans than there are sentinels.
        """
        from glmbench.pretraining.objectives.span_corruption_kernels import draw_spans, split

        covers = tokens.ends > tokens.starts
        lengths, noise, spans = self._sizes(tokens, covers)
        kept, hidden = draw_spans(rng, lengths, noise, spans)
        rows = len(tokens)
        encoder = np.empty(int(tokens.offsets[-1] - noise.sum() + spans.sum()), np.int32)
        decoder = np.empty(int(noise.sum() + spans.sum() + np.count_nonzero(spans)), np.int32)
        encoder_offsets, decoder_offsets = np.zeros(rows + 1, np.int64), np.zeros(rows + 1, np.int64)
        end = self.special.cls if self.special.sep is None else self.special.sep
        pieces = (covers, spans, kept, hidden, self.first_sentinel, end)
        split(tokens.ids, tokens.offsets, *pieces, encoder, encoder_offsets, decoder, decoder_offsets)
        return Corrupted(
            encoder, encoder_offsets, decoder, decoder_offsets, _hidden(covers, lengths, spans, kept, hidden)
        )

    def settings(self) -> dict[str, Any]:
        """All that decides its spans, as plain values."""
        return {
            "name": self.name,
            "fraction": self.fraction,
            "mean_tokens": self.mean_tokens,
            "mean_bases": self.mean_bases,
            "first_sentinel": self.first_sentinel,
            "sentinels": self.sentinels,
        }

    def _sizes(
        self, tokens: Tokens, covers: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Tokens with bases, hidden tokens, and spans of each row."""
        lengths = _row_sums(covers, tokens.offsets)
        noise = np.clip(np.rint(self.fraction * lengths).astype(np.int64), 1, np.maximum(lengths - 1, 1))
        noise[lengths < 2] = 0
        if self.mean_bases is None:
            wanted = noise / np.float64(self.mean_tokens)
        else:
            bases = _row_sums(tokens.ends - tokens.starts, tokens.offsets)
            wanted = noise * (bases / np.maximum(lengths, 1)) / self.mean_bases
        most = np.minimum(noise, lengths - noise)
        spans = np.minimum(np.maximum(np.rint(wanted).astype(np.int64), 1), most)
        if (largest := int(spans.max(initial=0))) > self.sentinels:
            raise UsageError(
                f"{self.name} wants {largest} spans in a row of {int(lengths[spans.argmax()])} tokens and has "
                f"{self.sentinels} sentinels. Use shorter rows, longer spans, or more sentinels."
            )
        return lengths, noise, spans


def _row_sums(values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return sums[offsets[1:]] - sums[offsets[:-1]]


def _hidden(
    covers: NDArray[np.bool_],
    lengths: NDArray[np.int64],
    spans: NDArray[np.int64],
    kept: NDArray[np.int64],
    hidden: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Indices of the hidden tokens: kept and hidden pieces fill each row's tokens with bases in turns."""
    flags = np.zeros(int(lengths.sum()), dtype=np.bool_)
    cut = spans > 0
    inside = np.repeat(cut, lengths)
    pieces = np.stack((kept, hidden), axis=1).reshape(-1)
    flags[inside] = np.repeat(np.tile([False, True], len(kept)), pieces)
    return np.flatnonzero(covers)[flags]
