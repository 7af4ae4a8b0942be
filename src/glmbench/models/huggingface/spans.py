"""Which bases every token of a sequence covers, for tokenizers that do not say so themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.sequences.typing import Codes, Integers

Spans = tuple[Integers, Integers]
"""int64 starts and ends of the tokens of one sequence."""

_UNKNOWN_RUN = re.compile("[^ACGT]+")


@dataclass(frozen=True)
class Tokenized:
    """A whole sequence in tokens, without special ones.

    Attributes:
        ids: of the tokens.
        starts: int64 (tokens,), the first base of each, 0-based.
        ends: int64 (tokens,), the base after its last: spans are half-open.
    """

    ids: list[int]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class SpanFinder:
    """Base spans of tokens that lie side by side.

    A token is as long as what it spells, an unknown one a letter long. Where this does not add up to the sequence, the
    offsets of a fast tokenizer are asked, and then whether unknown tokens stand for whole runs of letters other than
    A, C, G, T. Whatever is found must cover the sequence exactly and begin and end with the letters that it spells.

    Args:
        tokenizer: of transformers.
        letters: what every id spells, see `token_bases.spelled`.
    """

    def __init__(self, tokenizer: Any, letters: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._widths = np.array([len(text) for text in letters], dtype=np.int64)
        self.first_letters = _letters_at(letters, 0)
        """uint8 (vocabulary,): the first letter that every id spells, 0 where it spells none."""
        self._last_letters = _letters_at(letters, -1)
        self._unknown: int | None = tokenizer.unk_token_id
        for special in tokenizer.all_special_ids:
            token = tokenizer.convert_ids_to_tokens(special)
            self._widths[special] = len(token) if token in ("A", "C", "G", "T", "N") else 0
        if self._unknown is not None:
            self._widths[self._unknown] = 1

    def spans(self, texts: Sequence[str], rows: Sequence[list[int]]) -> list[Spans]:
        """Spans of the tokens of each text; `texts` are what the tokenizer was given, `rows` the ids it gave.

        Raises:
            DataError: the tokens do not cover the letters.
        """
        counts = np.fromiter(map(len, rows), np.int64, len(rows))
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ids = np.fromiter(chain.from_iterable(rows), np.int64, int(counts.sum()))
        widths = self._widths[ids]
        last = np.cumsum(counts)
        covered = np.concatenate(([0], np.cumsum(widths)))
        before = covered[last - counts]
        ends = covered[1:] - np.repeat(before, counts)
        starts = ends - widths
        agree = covered[last] - before == lengths
        if agree.any():
            agree &= self._spell(ids, starts, ends, texts, counts, lengths, agree)
        out = [(starts[end - count : end], ends[end - count : end]) for end, count in zip(last, counts, strict=True)]
        for index in np.flatnonzero(~agree).tolist():
            out[index] = self._asked(texts[index], rows[index], index)
        return out

    def _spell(
        self,
        ids: Integers,
        starts: Integers,
        ends: Integers,
        texts: Sequence[str],
        counts: Integers,
        lengths: Integers,
        covering: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Whether the tokens of each text, of those that cover it, begin and end with the letters that they spell."""
        read = _bytes(texts)
        owner = np.repeat(np.arange(len(counts)), counts)
        at = (np.cumsum(lengths) - lengths)[owner]
        told = covering[owner] & (self.first_letters[ids] != 0)
        at, spelling = at[told], ids[told]
        first = read[at + starts[told]] != self.first_letters[spelling]
        last = read[at + ends[told] - 1] != self._last_letters[spelling]
        good = np.ones(len(counts), dtype=np.bool_)
        good[owner[told][first | last]] = False
        return good

    def _asked(self, text: str, row: list[int], index: int) -> Spans:
        """Spans of one text that the widths of its tokens do not add up to."""
        for found in (self._offsets(text, row), self._runs(text, row)):
            if found is not None and self._valid(text, row, *found):
                return found
        reached = int(self._widths[row].sum())
        unknown = row.count(self._unknown) if self._unknown is not None else 0
        others = "".join(sorted(set(text) - set("ACGT"))) or "none"
        raise DataError(
            f"sequence {index} has {len(text)} letters, its {len(row)} tokens ({unknown} of them unknown) spell "
            f"{reached}: the tokenizer ({type(self._tokenizer).__name__}) drops letters or joins unknown ones, so "
            f"bases and tokens cannot be matched; letters other than A, C, G, T: {others}; cut the sequence there"
        )

    def _offsets(self, text: str, row: list[int]) -> Spans | None:
        if not getattr(self._tokenizer, "is_fast", False):
            return None
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if list(encoded["input_ids"]) != row:
            return None
        offsets = np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        return offsets[:, 0].copy(), offsets[:, 1].copy()

    def _runs(self, text: str, row: list[int]) -> Spans | None:
        """Each unknown token one run of letters other than A, C, G, T."""
        ids = np.array(row, dtype=np.int64)
        runs = [end - start for start, end in (match.span() for match in _UNKNOWN_RUN.finditer(text))]
        unknown = np.flatnonzero(ids == (-1 if self._unknown is None else self._unknown))
        if len(runs) != len(unknown):
            return None
        widths = self._widths[ids]
        widths[unknown] = runs
        ends = np.cumsum(widths)
        return ends - widths, ends

    def _valid(self, text: str, row: list[int], starts: Integers, ends: Integers) -> bool:
        joined = bool((starts[1:] == ends[:-1]).all() and (starts <= ends).all())
        if not joined or starts[0] != 0 or ends[-1] != len(text):
            return False
        one = np.ones(1, dtype=np.int64)
        told = self._spell(
            np.array(row), starts, ends, [text], len(row) * one, len(text) * one, np.ones(1, dtype=np.bool_)
        )
        return bool(told[0])


def kmer_spans(texts: Sequence[str], rows: Sequence[list[int]], k: int, first_letters: Codes) -> list[Spans]:
    """Spans of overlapping k-mers: token i covers bases i to before i + k, or all of a sequence shorter than k.

    Args:
        texts: what was joined to k-mers.
        rows: ids of the k-mers.
        k: bases of a k-mer.
        first_letters: uint8 (vocabulary,), see `SpanFinder.first_letters`.

    Raises:
        DataError: there is not one token a k-mer, or a token does not begin with the letter at its place.
    """
    out = []
    for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
        wanted = max(len(text) - k + 1, 1)
        if len(row) != wanted:
            raise DataError(
                f"sequence {index} has {len(text)} letters, {wanted} overlapping {k}-mers, and {len(row)} tokens; is "
                f"{k} the tokenizer's k? Bases and tokens cannot be matched"
            )
        begins = first_letters[row]
        if ((begins != 0) & (begins != _bytes([text[:wanted]]))).any():
            raise DataError(f"sequence {index}: its tokens do not spell its overlapping {k}-mers; is {k} the k?")
        starts = np.arange(wanted, dtype=np.int64)
        out.append((starts, np.minimum(starts + k, len(text))))
    return out


def _letters_at(letters: Sequence[str], place: int) -> Codes:
    """The letter of every id at a place, as ASCII; 0 of ids that spell anything but A, C, G, T, N, or nothing."""
    known = set("ACGTN")
    return np.array([ord(text[place]) if text and set(text) <= known else 0 for text in letters], dtype=np.uint8)


def _bytes(texts: Sequence[str]) -> Codes:
    """All letters, end to end; "?" for those outside ASCII, so that a letter is a byte."""
    return np.frombuffer("".join(texts).encode("ascii", errors="replace"), dtype=np.uint8)
