"""Training a unigram vocabulary: many candidates, expectation maximisation, and the least useful dropped in rounds.

The steps and constants are those of SentencePiece (Kudo 2018, section 3.2) as the tokenizers library has them:
candidates are the substrings with two or more right neighbours, by frequency x length; two EM steps with digamma
instead of the logarithm (a sparse Bayesian prior) before each round drops a quarter of the tokens by their loss. The
library is the oracle: equal vocabularies, scores equal to about 1e-9. Its sums come in another order at every run;
ours in one, so that equal corpora give equal files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.genomes.codes import find_n_runs
from glmbench.progress import progress
from glmbench.sequences.alphabet import BASES
from glmbench.sequences.typing import Codes, Integers
from glmbench.tokenizers.character import SPECIAL_NAMES
from glmbench.tokenizers.unigram import UnigramTokenizer

PIECE = 512
"""Bases of a training piece, as in GUANinE's tokenizer study."""
SHORTEST = 2
"""Bases of the shortest stretch that is read: a single base has no neighbour."""
MOST_BASES = 4_000_000
"""What training reads at most, unless told otherwise."""
MOST_CANDIDATES = 1_000_000
_LONGEST = 16
_EM_STEPS = 2
_KEPT = 0.75
"""Share of the tokens that a round keeps."""
_SPARE = 11, 10
"""Rounds end at so many times the ids wanted; the last cut takes those whose loss costs most."""
_FEWEST = 0.5
"""A token that is expected less often is dropped at once."""
_SYMBOL = np.uint64(3)
"""Bits of a symbol in a key: 0 beyond the end of a piece, 1 to 4 for the bases."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Candidates.

    Attributes:
        packed: uint32 (tokens,), two bits a base.
        lengths: int32 (tokens,).
        scores: float64 (tokens,), log probabilities.
    """

    packed: NDArray[np.uint32]
    lengths: NDArray[np.int32]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return self.packed.size

    def take(self, kept: Integers | NDArray[np.bool_]) -> _Tokens:
        return _Tokens(self.packed[kept], self.lengths[kept], self.scores[kept])

    def texts(self) -> list[str]:
        return [
            "".join(BASES[(packed >> 2 * place) & 3] for place in range(length - 1, -1, -1))
            for packed, length in zip(self.packed.tolist(), self.lengths.tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What is trained on.

    Attributes:
        codes: uint8 (bases,), the pieces one after the other, without N.
        bounds: int64 (pieces + 1,), where they begin and end.
    """

    codes: Codes
    bounds: Integers


def train_unigram(
    codes: Codes, vocabulary_size: int, *, piece: int = PIECE, most_bases: int = MOST_BASES
) -> UnigramTokenizer:
    """Train on base codes; the same codes give the same tokenizer.

    Every stretch without N is cut into pieces of one length from its start, the last as long as it comes out; short
    stretches, as of a draft assembly, are pieces of their own. Where that is more than `most_bases`, evenly spaced
    pieces are taken.

    Args:
        codes: uint8 (bases,), with N between sequences that do not belong together.
        vocabulary_size: ids wanted, special tokens among them; a small corpus gives fewer.
        piece: bases of a piece.
        most_bases: what is read at most.

    Raises:
        UsageError: `vocabulary_size` has no room for anything but special tokens and bases.
        DataError: the corpus has no two known bases side by side.
    """
    fewest = len(SPECIAL_NAMES) + len(BASES)
    if vocabulary_size <= fewest:
        raise UsageError(
            f"a unigram vocabulary of {vocabulary_size}; want more than {fewest}, the special tokens and the bases"
        )
    pieces = _pieces(codes, piece, most_bases)
    enough = vocabulary_size * _SPARE[0] // _SPARE[1] - 1
    with progress("Training unigram: candidates") as bar:
        tokens = _candidates(pieces)
        while True:
            for _ in range(_EM_STEPS):
                tokens = _em_step(tokens, pieces)
            bar.describe(f"Training unigram: {len(tokens):,} tokens")
            bar.advance()
            if len(tokens) <= max(enough, len(BASES)):
                return _finished(tokens, vocabulary_size - len(SPECIAL_NAMES))
            # The library counts the unknown token, here and where rounds end.
            tokens = _pruned(tokens, pieces, max(enough, int((len(tokens) + 1) * _KEPT) - 1))


def _pieces(codes: Codes, piece: int, most_bases: int) -> _Pieces:
    """The pieces to train on, at most `most_bases` in all (but one piece at least), evenly spaced."""
    runs = find_n_runs(codes).reshape(-1)
    stretches = np.concatenate([[0], runs, [codes.size]]).reshape(-1, 2)
    stretches = stretches[np.diff(stretches)[:, 0] >= SHORTEST]
    if not len(stretches):
        raise DataError(f"a corpus of {codes.size:,} bases has no two known ones side by side; want a longer one")
    numbers = -(np.diff(stretches)[:, 0] // -piece)
    first = np.repeat(np.cumsum(numbers) - numbers, numbers)
    starts = np.repeat(stretches[:, 0], numbers) + piece * (np.arange(first.size) - first)
    lengths = np.minimum(starts + piece, np.repeat(stretches[:, 1], numbers)) - starts
    if lengths.sum() > most_bases:
        kept = _evenly_spaced(lengths, most_bases)
        starts, lengths = starts[kept], lengths[kept]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    return _Pieces(np.concatenate([codes[a : a + n] for a, n in zip(starts, lengths, strict=True)]), bounds)


def _evenly_spaced(lengths: Integers, most_bases: int) -> list[int]:
    """The pieces to take: of all bases up to any piece, the share that is wanted of the whole, as near as fits."""
    total, seen, taken = int(lengths.sum()), 0, 0
    kept = []
    for index, length in enumerate(lengths.tolist()):
        seen += length
        if (taken + length) * total <= most_bases * seen:
            taken += length
            kept.append(index)
    return kept or [0]


def _candidates(pieces: _Pieces) -> _Tokens:
    """Single bases, and substrings of 2 to 16 bases that are followed by two symbols or more, by count x length."""
    keys = _sorted_keys(pieces)
    packed, lengths, weights = [np.arange(4, dtype=np.uint32)], [np.ones(4, dtype=np.int32)], [_base_counts(pieces)]
    for length in range(2, _LONGEST + 1):
        prefixes = keys >> _SYMBOL * np.uint64(_LONGEST + 1 - length)
        starts = np.flatnonzero(np.diff(prefixes, prepend=~prefixes[:1]))
        ends = np.append(starts[1:], len(keys))
        following = (keys >> _SYMBOL * np.uint64(_LONGEST - length)) & np.uint64(7)
        inside = (prefixes[starts] & np.uint64(7)) != 0
        branching = inside & (following[starts] != following[ends - 1])  # keys are sorted: first and last differ
        packed.append(_packed(prefixes[starts[branching]], length))
        lengths.append(np.full(len(packed[-1]), length, dtype=np.int32))
        weights.append((ends - starts)[branching] * length)
    return _most_frequent(np.concatenate(packed), np.concatenate(lengths), np.concatenate(weights))


def _most_frequent(packed: NDArray[np.uint32], lengths: NDArray[np.int32], weights: Integers) -> _Tokens:
    """The bases, then the heaviest of the others; of equals first what is last in the alphabet, as in the library."""
    aligned = packed << (2 * (_LONGEST - lengths)).astype(np.uint32)
    order = np.lexsort((lengths[4:], aligned[4:], weights[4:]))[::-1][:MOST_CANDIDATES]
    kept = np.concatenate([np.arange(4), 4 + order])
    chosen = np.maximum(weights[kept], 1).astype(np.float64)
    return _Tokens(packed[kept], lengths[kept], np.log(chosen / chosen.sum()))


def _base_counts(pieces: _Pieces) -> Integers:
    return np.bincount(pieces.codes, minlength=4).astype(np.int64)


def _sorted_keys(pieces: _Pieces) -> NDArray[np.uint64]:
    """For every base the 17 symbols from it on, sorted: equal substrings lie together."""
    bases = pieces.codes.size
    symbols = np.zeros(bases + _LONGEST, dtype=np.uint8)
    symbols[:bases] = pieces.codes + 1
    left = np.repeat(pieces.bounds[1:], np.diff(pieces.bounds)) - np.arange(bases)
    room = np.minimum(left, _LONGEST + 1).astype(np.uint8)
    del left
    keys = np.zeros(bases, dtype=np.uint64)
    for place in range(_LONGEST + 1):
        keys <<= _SYMBOL
        keys |= np.where(room > place, symbols[place : place + bases], np.uint8(0))
    keys.sort()
    return keys


def _packed(prefixes: NDArray[np.uint64], length: int) -> NDArray[np.uint32]:
    """Two bits a base, from three bits a symbol."""
    packed = np.zeros(len(prefixes), dtype=np.uint32)
    for place in range(length - 1, -1, -1):
        symbol = (prefixes >> _SYMBOL * np.uint64(place)) & np.uint64(7)
        packed = (packed << np.uint32(2)) | (symbol.astype(np.uint32) - np.uint32(1))
    return packed


def _em_step(tokens: _Tokens, pieces: _Pieces) -> _Tokens:
    """Scores from expected counts; single bases stay, however rare."""
    from scipy.special import digamma

    from glmbench.tokenizers.unigram_training_kernels import build_trie, expected_counts

    children, token_of = build_trie(tokens.packed, tokens.lengths)
    counts = np.zeros(len(tokens))
    expected_counts(pieces.codes, pieces.bounds, children, token_of, np.exp(tokens.scores), counts)
    counts[: len(BASES)] = np.maximum(counts[: len(BASES)], _FEWEST)
    kept = counts >= _FEWEST
    counts = counts[kept]
    return _Tokens(tokens.packed[kept], tokens.lengths[kept], digamma(counts) - digamma(counts.sum()))


def _pruned(tokens: _Tokens, pieces: _Pieces, size: int) -> _Tokens:
    """Single bases, then those whose loss costs most likelihood of the best cuts, most first: `size` in all."""
    from glmbench.tokenizers.unigram_training_kernels import alternatives, best_cut_counts, build_trie

    children, token_of = build_trie(tokens.packed, tokens.lengths)
    instead = np.empty((len(tokens), _LONGEST), dtype=np.int32)
    better = np.empty(len(tokens), dtype=np.bool_)
    alternatives(tokens.packed, tokens.lengths, children, token_of, tokens.scores, instead, better)
    counts = np.zeros(len(tokens))
    best_cut_counts(pieces.codes, pieces.bounds, children, token_of, tokens.scores, counts)
    used = np.flatnonzero((counts > 0) & (tokens.lengths > 1))
    total = counts.sum()
    own, cut = counts[used], instead[used]
    real = cut >= 0
    with_it = np.log(own / total)
    # Without the token its occurrences fall to those of its best cut, which lengthens the whole. By how much is a slip
    # of SentencePiece (the number of all tokens stands where that of the cut should), kept for equal vocabularies.
    longer = total + own * len(tokens)
    parts = np.log(counts[cut] + own[:, None]) - np.log(longer)[:, None]
    loss = own * (with_it - np.where(real, parts, 0.0).sum(axis=1))
    order = used[np.lexsort((used, -loss))][: size - len(BASES)]
    return tokens.take(np.concatenate([np.arange(len(BASES)), order]))


def _finished(tokens: _Tokens, wanted: int) -> UnigramTokenizer:
    """The first of the tokens; ids by score, then by alphabet."""
    kept = zip(tokens.texts()[:wanted], tokens.scores[:wanted].tolist(), strict=True)
    ordered = sorted(kept, key=lambda pair: (-pair[1], pair[0]))
    vocabulary = SPECIAL_NAMES + tuple(text for text, _ in ordered)
    return UnigramTokenizer(vocabulary, (0.0,) * len(SPECIAL_NAMES) + tuple(score for _, score in ordered))
