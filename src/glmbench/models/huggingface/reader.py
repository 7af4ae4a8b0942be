"""How a model reads sequences: tokens, the bases of each, special tokens, and what happens beyond its context."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.own_cut import OwnCut, own_cut
from glmbench.models.huggingface.pair_template import PairTemplate, pair_template
from glmbench.models.huggingface.spans import SpanFinder, Tokenized, kmer_spans
from glmbench.models.huggingface.token_bases import bases_of, mask_id, spelled

Overflow = Literal["refuse", "window", "truncate"]
Cut = Literal["characters", "kmers", "blocks", "learned"]
"""How text becomes tokens. `kmers`: overlapping. `blocks`: k bases side by side. `learned`: depends on the bases."""

_PROBE = "ACGTTGCATTAGCCGATACGGATCTTCAAGGTCCATGAACTGTCGCTAAGTTTCGCGAATGCAC"
_MANY = 20_000
"""Letters from which on it pays to try our own kernels."""
_AMBIGUOUS = str.maketrans(dict.fromkeys("RYSWKMBDHV", "N"))


@dataclass(frozen=True)
class Piece:
    """One input of the network: a whole sequence, or a window of it.

    Attributes:
        sequence: index of its sequence in the batch that was read.
        ids: with special tokens.
        tokens: how many of them stand for bases: those between prefix and suffix.
        starts: int64 (tokens,), the first base of each of these, 0-based within the whole sequence.
        ends: int64 (tokens,), the base after its last. Spans cover the piece's bases exactly, in order; overlapping
            k-mers share k - 1 bases with the next.
    """

    sequence: int
    ids: list[int]
    tokens: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """What `Reader.read` made of sequences."""

    pieces: list[Piece]
    tokens: int
    """Tokens that stand for bases, before anything was cut."""
    unknown: int
    """Of these, how many the vocabulary does not have."""
    too_long: int
    """Sequences longer than the context."""
    cut: int
    """Tokens that were cut off."""


class Reader:
    """Sequences to pieces that fit a context.

    Sequences are upper-cased and ambiguity codes read as N. Spans come from what the tokens spell, or, where that does
    not add up (a token for a run of unknown letters), from the tokenizer's own offsets; either way they are checked
    against the sequence.

    Args:
        tokenizer: of transformers, slow or fast.
        context: longest input in tokens, special ones included; None: any.
        overflow: what happens to longer sequences: an error, windows of about equal size side by side, or the end cut.
        kmer: give the tokenizer overlapping k-mers joined by blanks (DNABERT), not the plain sequence.

    Raises:
        DataError: the tokenizer does not know DNA in this form, or its tokens do not tell their bases.
    """

    def __init__(
        self, tokenizer: Any, context: int | None, *, overflow: Overflow = "refuse", kmer: int | None = None
    ) -> None:
        self._tokenizer, self._context, self._overflow, self._kmer = tokenizer, context, overflow, kmer
        self._unknown: int | None = tokenizer.unk_token_id
        self.letters = spelled(tokenizer)
        """What every id spells, see `token_bases.spelled`."""
        self._finder = SpanFinder(tokenizer, self.letters)
        self.probe = self._encode([_PROBE])[0]
        self.prefix, self.suffix = self._special_tokens()
        unknown = self._count_unknown(self.probe)
        if 2 * unknown > len(self.probe) or not self.probe:
            raise DataError(
                f"the tokenizer ({type(tokenizer).__name__}) does not know DNA in this form: {unknown} of "
                f"{len(self.probe)} tokens of a {len(_PROBE)}-bp sequence are unknown; a k-mer tokenizer needs ?kmer=6 "
                "(its k), else this is no DNA model"
            )
        self._spans([_PROBE], [self.probe])

    def limited(self, context: int | None, overflow: Overflow) -> Reader:
        """The same for another context and another way with longer sequences."""
        other = copy.copy(self)
        other._context, other._overflow = context, overflow
        return other

    def shortened(self, length: int | None) -> Reader:
        """The same for at most so many tokens, special ones included; None: for what the model reads.

        Raises:
            Unsupported: the model reads fewer, or only special tokens would be left.
        """
        context, special = self._context, len(self.prefix) + len(self.suffix)
        if length is not None and context is not None and length > context:
            raise Unsupported(f"max_length is {length} tokens, the model reads {context}")
        if length is not None and length <= special:
            raise Unsupported(f"max_length is {length} tokens, of which {special} are special ones")
        return self.limited(context if length is None else length, self._overflow)

    def pairs(self) -> PairTemplate:
        """What stands around the tokens of two sequences that belong together.

        Raises:
            Unsupported: the tokenizer has nothing to part them with.
        """
        first, second = _PROBE, _PROBE[:21]
        texts = [text if self._kmer is None else _joined_kmers(text, self._kmer) for text in (first, second)]
        together = list(self._tokenizer(texts[0], texts[1], verbose=False)["input_ids"])
        alone = [self._encode([text])[0] for text in (first, second)]
        return pair_template(together, alone[0], alone[1], self.prefix, self.suffix)

    @property
    def overflow(self) -> Overflow:
        """What happens to sequences beyond the context."""
        return self._overflow

    @property
    def context(self) -> int | None:
        """Longest input in tokens, special ones included; None: any."""
        return self._context

    @property
    def room(self) -> int | None:
        """Tokens that stand for bases that fit into one input; None: any number."""
        return None if self._context is None else self._context - len(self.prefix) - len(self.suffix)

    @property
    def mask(self) -> int | None:
        """Id of the token that hides others; None: the tokenizer has none."""
        return mask_id(self._tokenizer)

    @property
    def reach(self) -> int:
        """The largest id that DNA and the special tokens in use give; a vocabulary may have more."""
        special = [token for token in (self.mask, self._unknown) if token is not None]
        return max(len(self.bases) - 1, *self.prefix, *self.suffix, *self.probe, *special)

    @cached_property
    def bases(self) -> NDArray[np.int8]:
        """Base codes of every id up to the last that has any, int8 (ids, longest token); see `token_bases.bases_of`."""
        last = max((index for index, text in enumerate(self.letters) if text and set(text) <= set("ACGTN")), default=-1)
        return bases_of(self.letters[: last + 1])

    @cached_property
    def cut(self) -> Cut:
        """How text becomes tokens; told by the vocabulary and, for blocks, tried."""
        if self._kmer is not None:
            return "kmers"
        sizes = np.unique([len(text) for text in self.letters if text and set(text) <= set("ACGT")])
        if sizes.tolist() == [1]:
            return "characters"
        k = int(sizes.max())
        tries = [_PROBE, _PROBE[::-1], _PROBE.translate(str.maketrans("ACGT", "CGTA")), "A" * len(_PROBE)]
        blocks = [(start, start + k) for start in range(0, len(_PROBE) - k + 1, k)]
        for tokens in self._asked(tries):
            if list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))[: len(blocks)] != blocks:
                return "learned"
        return "blocks" if set(sizes.tolist()) <= {1, k} else "learned"

    def normalised(self, sequence: str) -> str:
        """What the tokenizer is given: upper case, ambiguity codes as N."""
        return sequence.upper().translate(_AMBIGUOUS)

    def tokenize(self, sequences: Sequence[str]) -> list[Tokenized]:
        """Tokens of whole sequences, whatever the context.

        Raises:
            DataError: a sequence has no token, or the tokens do not cover its letters.
        """
        texts = [self.normalised(sequence) for sequence in sequences]
        own = self._own_cut if sum(map(len, texts)) >= _MANY else None
        quick = [] if own is None else [index for index, text in enumerate(texts) if own.takes(text)]
        if own is None or not quick:
            return self._asked(texts)
        of_index = dict(zip(quick, own.tokenize([texts[index] for index in quick]), strict=True))
        slow = [index for index in range(len(texts)) if index not in of_index]
        of_index |= zip(slow, self._asked([texts[index] for index in slow]), strict=True)
        return [of_index[index] for index in range(len(texts))]

    @cached_property
    def _own_cut(self) -> OwnCut | None:
        return own_cut(self._tokenizer, self.letters, self.cut, self._kmer, self._asked)

    def _asked(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokens as the tokenizer itself gives them."""
        rows = self._encode(texts)
        for index, ids in enumerate(rows):
            if not ids:
                raise DataError(f"sequence {index} ({texts[index][:20]!r}) has no token; remove it")
        return [Tokenized(ids, *spans) for ids, spans in zip(rows, self._spans(texts, rows), strict=True)]

    def read(self, sequences: Sequence[str]) -> Reading:
        """Tokens of sequences, cut to the context.

        Raises:
            Unsupported: a sequence is longer than the context and `overflow` is `refuse`.
            DataError: a sequence has no token, or the tokens do not cover its letters.
        """
        pieces: list[Piece] = []
        tokens = unknown = too_long = cut = 0
        for index, whole in enumerate(self.tokenize(sequences)):
            count = len(whole.ids)
            tokens += count
            unknown += self._count_unknown(whole.ids)
            windows = [(0, count)]
            if self.room is not None and count > self.room:
                too_long += 1
                windows = self._fit(count, self.room, index, len(sequences[index]))
                cut += count - sum(end - start for start, end in windows)
            for start, end in windows:
                ids = self.prefix + whole.ids[start:end] + self.suffix
                pieces.append(Piece(index, ids, end - start, whole.starts[start:end], whole.ends[start:end]))
        return Reading(pieces, tokens, unknown, too_long, cut)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if self._kmer is not None:
            texts = [_joined_kmers(text, self._kmer) for text in texts]
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return list(encoded["input_ids"])

    def _spans(
        self, texts: Sequence[str], rows: Sequence[list[int]]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        if self._kmer is not None:
            return kmer_spans(texts, rows, self._kmer, self._finder.first_letters)
        return self._finder.spans(texts, rows)

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a sequence, found by encoding one with and without."""
        text = _PROBE if self._kmer is None else _joined_kmers(_PROBE, self._kmer)
        whole, plain = list(self._tokenizer(text, verbose=False)["input_ids"]), self.probe
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        raise DataError(
            f"the tokenizer ({type(self._tokenizer).__name__}) gives other tokens with special tokens than without; "
            "bases and tokens cannot be matched"
        )

    def _count_unknown(self, ids: list[int]) -> int:
        return 0 if self._unknown is None else ids.count(self._unknown)

    def _fit(self, count: int, room: int, index: int, length: int) -> list[tuple[int, int]]:
        """First token and token after the last of what is read of a sequence that is too long."""
        if self._overflow == "truncate":
            return [(0, room)]
        if self._overflow == "window":
            return list(_windows(count, room))
        raise Unsupported(
            f"sequence {index} has {length} bp, {count} tokens; the model reads {room} at most; "
            "add ?overflow=window (mean over windows) or ?overflow=truncate (cut the end, counted) to its reference, "
            "or ?max_tokens=… if it can read more than it says"
        )


def _windows(tokens: int, room: int) -> Iterator[tuple[int, int]]:
    """The fewest windows of at most `room` tokens, of sizes that differ by one at most."""
    count = -(-tokens // room)
    for window in range(count):
        yield window * tokens // count, (window + 1) * tokens // count


def _joined_kmers(text: str, k: int) -> str:
    return " ".join(text[start : start + k] for start in range(max(len(text) - k + 1, 1)))
