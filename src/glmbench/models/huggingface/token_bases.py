"""What the tokens of any tokenizer of transformers spell: which bases stand at which place of which id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BASES = {"A": 0, "C": 1, "G": 2, "T": 3}
_BEFORE = ("▁", "Ġ", "##")
"""Marks of a word's begin (SentencePiece, byte-level BPE) or of its going on (WordPiece)."""
_AFTER = ("</w>", "@@")
"""Marks of a word's end or of its going on (both of BPE)."""


def spelled(tokenizer: Any) -> list[str]:
    """The letters of every id, upper case, without marks of words; "" of special and unknown tokens and of unused ids.

    Args:
        tokenizer: of transformers, slow or fast.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    letters = [""] * (max(vocabulary.values(), default=-1) + 1)
    special = {*tokenizer.all_special_ids, tokenizer.unk_token_id}
    for token, index in vocabulary.items():
        if index not in special:
            letters[index] = _without_marks(token).upper()
    return letters


def token_bases(tokenizer: Any) -> NDArray[np.int8]:
    """Base codes of every id of a tokenizer of transformers, int8 (vocabulary, longest token of bases).

    0 to 3 stand for A, C, G, T; -1 for no known base: after a token's end, at an N within it, and everywhere in special
    tokens, in unknown ones and in those with letters that are no nucleotides. As `tokenizers.tokenizer.token_bases`.
    """
    return bases_of(spelled(tokenizer))


def bases_of(letters: Sequence[str]) -> NDArray[np.int8]:
    """As `token_bases`, of the letters of every id."""
    rows = [text if set(text) <= {*_BASES, "N"} else "" for text in letters]
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int8)
    for index, text in enumerate(rows):
        if text:
            table[index, : len(text)] = [_BASES.get(letter, -1) for letter in text]
    return table


def one_base_changed(letters: Sequence[str]) -> NDArray[np.int64]:
    """The ids of the tokens that differ from a token in one base at most, int64 (vocabulary, longest token, 4).

    Entry [i, place, base] is the id that spells token i with this base at this place; -1 where there is none, and of
    tokens that hold anything but A, C, G, T. Where two ids spell the same the lower one stands.
    """
    known = {text: index for index, text in reversed(list(enumerate(letters))) if text and set(text) <= _BASES.keys()}
    table = np.full((len(letters), max(map(len, known), default=0), 4), -1, dtype=np.int64)
    for index, text in enumerate(letters):
        if text not in known:
            continue
        for place in range(len(text)):
            before, after = text[:place], text[place + 1 :]
            table[index, place] = [known.get(before + base + after, -1) for base in _BASES]
    return table


def mask_id(tokenizer: Any) -> int | None:
    """The id that hides others: as the tokenizer says or, where it does not, of a token of the usual name."""
    stated: int | None = tokenizer.mask_token_id
    if stated is not None:
        return stated
    vocabulary = tokenizer.get_vocab()
    return next((vocabulary[name] for name in ("[MASK]", "<mask>") if name in vocabulary), None)


def _without_marks(token: str) -> str:
    for mark in _BEFORE:
        token = token.removeprefix(mark)
    for mark in _AFTER:
        token = token.removesuffix(mark)
    return token
