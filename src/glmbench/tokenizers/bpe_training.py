"""Exact byte-pair encoding on bases: the merges that the tokenizers library finds, from text that is not cut up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.progress import progress
from glmbench.sequences.alphabet import BASES, EncodedBatch, flatten
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.bpe import DNABERT2_SPECIALS, BPETokenizer, from_merges
from glmbench.tokenizers.bpe_encoding import Split
from glmbench.tokenizers.choices import LARGEST_VOCABULARY

if TYPE_CHECKING:
    from glmbench.tokenizers.bpe_training_kernels import Trainer

_STEP = 32
_WIDE_TEXT = 1 << 30
"""Symbols above which positions are 64 bits wide."""


def train_bpe(
    sequences: EncodedBatch | Codes,
    size: int = 4_096,
    *,
    min_frequency: int = 2,
    max_bases: int | None = None,
    specials: tuple[str, ...] = DNABERT2_SPECIALS,
) -> BPETokenizer:
    """Merge the most frequent pair of neighbouring tokens until the vocabulary has `size` tokens.

    No pair crosses an N or the end of a sequence. Between pairs of one frequency, that of the older left token wins,
    then that of the older right token; overlapping occurrences count (AAA has two AA) and are merged from the left:
    all as the tokenizers library does when the sequences are its words. Linear in the bases, whatever the lengths
    of the sequences; about 8 bytes a base beside the codes.

    A corpus with too few frequent pairs gives fewer tokens than `size`: look at `len(tokenizer.vocabulary)`.

    Args:
        sequences: a batch, codes (n, length), or one sequence (length,).
        size: tokens wanted, special ones and the four bases among them.
        min_frequency: a rarer pair is not merged.
        max_bases: the longest token; None for no limit.
        specials: in order of their ids, from 0; the five of `DNABERT2_SPECIALS` in any order.

    Raises:
        UsageError: a setting is out of range, or `specials` are others.
        DataError: there is no A, C, G or T at all.
    """
    base_tokens = len(specials) + len(BASES)
    if not base_tokens <= size <= LARGEST_VOCABULARY:
        raise UsageError(f"a vocabulary of {size} tokens was asked for; want {base_tokens} to {LARGEST_VOCABULARY}")
    if min_frequency < 1 or (max_bases is not None and max_bases < 2):
        raise UsageError(f"min_frequency {min_frequency} (want 1 or more), max_bases {max_bases} (want 2 or more)")
    from_merges((), specials)  # refuses other special tokens before the work rather than after it
    pairs = _merges(sequences, size - len(specials), min_frequency, max_bases)
    tokens = list(BASES)
    merges: list[Split] = []
    for a, b in pairs.tolist():
        merges.append((tokens[a], tokens[b]))
        tokens.append(tokens[a] + tokens[b])
    return from_merges(merges, specials)


def _merges(sequences: EncodedBatch | Codes, size: int, min_frequency: int, max_bases: int | None) -> NDArray[np.int64]:
    """Pairs (merges, 2) of token numbers, A, C, G, T = 0..3 and merge i = 4 + i."""
    from glmbench.tokenizers import bpe_training_kernels as kernels

    codes, offsets = flatten(sequences)
    state = _begin(codes, offsets, size)
    if not (state.symbols < 4).any():
        raise DataError(f"{len(offsets) - 1} sequences hold no A, C, G or T; want bases to train a BPE vocabulary on")
    base_counts = np.zeros(16, dtype=np.int64)
    kernels.count_base_pairs(state.symbols, base_counts)
    for pair, count in enumerate(base_counts.tolist()):
        if count >= min_frequency:
            kernels.add_pair(state, pair // 4, pair % 4, count, kernels.SCANNED, 0)
    longest = np.iinfo(np.int64).max if max_bases is None else max_bases
    with progress("BPE merges", size - 4) as bar:
        done, status = 4, kernels.REACHED
        while done < size and status != kernels.EXHAUSTED:
            status = kernels.merge_until(state, min(done + _STEP, size), min_frequency, longest)
            if status == kernels.FULL:
                state = _tidy(state, min_frequency)
            now = int(state.counters[kernels.TOKENS])
            bar.advance(now - done)
            done = now
    return state.pairs[4:done].copy()


def _begin(codes: Codes, offsets: NDArray[np.int64], size: int) -> Trainer:
    """The text as symbols, four tokens, and no pair yet."""
    from glmbench.tokenizers import bpe_training_kernels as kernels

    symbols = np.empty(codes.size + len(offsets), dtype=np.uint16)
    kernels.fill_symbols(codes, offsets, symbols)
    position = np.int64 if symbols.size > _WIDE_TEXT else np.int32
    lengths = np.ones(size, dtype=np.int64)
    scratch = [np.zeros(size + 1, dtype=np.int64) for _ in range(4)]
    counters = np.zeros(5, dtype=np.int64)
    counters[kernels.TOKENS] = 4
    capacity = 4 * size + 64
    return kernels.Trainer(
        symbols=symbols,
        lengths=lengths,
        pairs=np.zeros((size, 2), dtype=np.int64),
        slots=_empty_slots(capacity),
        keys=np.empty(capacity, dtype=np.uint32),
        counts=np.empty(capacity, dtype=position),
        begins=np.empty(capacity, dtype=position),
        sizes=np.empty(capacity, dtype=position),
        arena=np.empty(symbols.size, dtype=position),
        queue_counts=np.empty(capacity, dtype=position),
        queue_keys=np.empty(capacity, dtype=np.uint32),
        left=scratch[0],
        right=scratch[1],
        left_seen=scratch[2],
        right_seen=scratch[3],
        counters=counters,
    )


def _empty_slots(records: int) -> NDArray[np.int32]:
    """A hash table that so many records fill to half at most."""
    return np.full(1 << (2 * records - 1).bit_length(), -1, dtype=np.int32)


def _tidy(state: Trainer, min_frequency: int) -> Trainer:
    """Drop pairs that are no longer frequent and positions gone stale; more room where that freed too little."""
    from glmbench.tokenizers import bpe_training_kernels as kernels

    records = int(state.counters[kernels.RECORDS])
    kept = np.flatnonzero(state.counts[:records] >= min_frequency)
    listed = kept[state.begins[kept] != kernels.SCANNED]
    kernels.compact(state, listed[np.argsort(state.begins[listed])])
    used, needed = int(state.counters[kernels.USED]), int(state.counters[kernels.NEEDED])
    arena = state.arena
    if arena.size - used < max(needed, arena.size // 4):
        arena = np.empty(used + max(needed, arena.size // 2), dtype=arena.dtype)
        arena[:used] = state.arena[:used]
    capacity = 2 * kept.size + 2 * len(state.lengths) + 64

    def regrown(array: NDArray[Any]) -> NDArray[Any]:
        grown = np.empty(capacity, dtype=array.dtype)
        grown[: kept.size] = array[kept]
        return grown

    tidied = state._replace(
        slots=_empty_slots(capacity),
        keys=regrown(state.keys),
        counts=regrown(state.counts),
        begins=regrown(state.begins),
        sizes=regrown(state.sizes),
        arena=arena,
        queue_counts=np.empty(capacity, dtype=state.queue_counts.dtype),
        queue_keys=np.empty(capacity, dtype=state.queue_keys.dtype),
    )
    tidied.counters[kernels.RECORDS] = kept.size
    tidied.counters[kernels.QUEUED] = 0
    kernels.place_all(tidied)
    return tidied
