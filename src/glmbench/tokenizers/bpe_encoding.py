"""What the exact BPE encoder looks up, made once for a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.sequences.alphabet import BASES, EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.tokenizer import Tokens, flat_sequences

if TYPE_CHECKING:
    from glmbench.tokenizers.bpe_table_kernels import Merges, Tables

Split = tuple[str, str]
"""The two tokens that a merge puts together, in bases."""


def build_tables(merges: Sequence[Split], ids: Mapping[str, int]) -> Tables:
    """Tables of the merges that can happen; `ids` has the id of every token.

    A merge can be in the list and never happen, because an earlier one always takes its bases: a second way to make
    a token, or a token that no text gives. Such merges are left out, which changes no encoding.

    Raises:
        DataError: a merge uses a token that only a later merge makes; trained vocabularies have none.
    """
    from glmbench.tokenizers import bpe_table_kernels as kernels

    table = _empty_merges(len(merges))
    numbers = {base: number for number, base in enumerate(BASES)}
    early: dict[str, Split] = {}
    for left, right in merges:
        token = left + right
        if left not in numbers or right not in numbers:
            early[right if left in numbers else left] = (left, right)
            continue
        a, b = numbers[left], numbers[right]
        if token not in numbers and kernels.stand_together(table, a, b):
            _refuse_early(token, early)
            kernels.enter_merge(table, a, b, len(numbers))
            numbers[token] = len(numbers)
    return _complete(table, numbers, [ids[token] for token in numbers])


def _empty_merges(merges: int) -> Merges:
    """Room for so many merges at few collisions: a quarter of the slots, a sixteenth of the filter's bits."""
    from glmbench.tokenizers import bpe_table_kernels as kernels

    tokens = len(BASES) + merges
    filter_bits = (16 * tokens - 1).bit_length()
    slots = 1 << (4 * tokens - 1).bit_length()
    return kernels.Merges(
        keys=np.full(slots, -1, dtype=np.int64),
        tokens=np.zeros(slots, dtype=np.int32),
        filter=np.zeros((1 << filter_bits) // 8, dtype=np.uint8),
        filter_shift=np.array([64 - filter_bits], dtype=np.uint64),
        splits=np.repeat(np.arange(tokens, dtype=np.int32)[:, None], 2, axis=1),
    )


def _complete(merges: Merges, numbers: Mapping[str, int], ids: Sequence[int]) -> Tables:
    """What follows from the merges that can happen and their tokens."""
    from glmbench.tokenizers import bpe_table_kernels as kernels

    merges = merges._replace(splits=merges.splits[: len(numbers)].copy())
    lengths = np.fromiter(map(len, numbers), dtype=np.int32, count=len(numbers))
    trie = np.empty((int(lengths.sum(dtype=np.int64)) + 1, 5), dtype=np.int32)
    trie = trie[: kernels.build_trie(merges.splits, lengths, trie)].copy()
    shorter = np.full(len(numbers), -1, dtype=np.int32)
    kernels.find_shorter(trie, shorter)
    jumps = np.empty((4**kernels.JUMP, 2), dtype=np.int32)
    kernels.find_jumps(trie, jumps)
    followed = np.zeros(len(numbers), dtype=np.uint16)
    kernels.find_followed(merges, followed)
    return kernels.Tables(merges, trie, jumps, shorter, lengths, followed, np.array(ids, dtype=np.int32))


def _refuse_early(token: str, early: Mapping[str, Split]) -> None:
    if token in early:
        left, right = early[token]
        raise DataError(
            f"the merge of {left} and {right} stands before the one that makes {token}; want merges in the order in "
            "which they were trained, each of tokens that exist by then"
        )


def encode_exactly(
    sequences: EncodedBatch | Codes, tables: Tables, unknown: int, token_lengths: NDArray[np.int32]
) -> Tokens:
    """The tokens that BPE gives, an unknown one for every N; `token_lengths` has the bases of every id.

    Raises:
        DataError: a sequence has 2**31 bases or more.
    """
    from glmbench.tokenizers import bpe_encoding_kernels as kernels

    codes, bounds = flat_sequences(sequences)
    room = np.empty(codes.size, dtype=np.int32)
    offsets = np.zeros(len(bounds), dtype=np.int64)
    kernels.encode_sequences(tables, codes, bounds, unknown, room, offsets)
    ids = room[: offsets[-1]].copy()  # else a few tokens would keep room for as many as there are bases
    del room
    starts, ends = np.empty((2, ids.size), dtype=np.int32)
    kernels.fill_spans(ids, offsets, token_lengths, starts, ends)
    return Tokens(ids, offsets, starts, ends)
