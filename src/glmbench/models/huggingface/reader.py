"""How a model reads sequences: tokens, special tokens around them, and what happens to those beyond its context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from glmbench.errors import DataError, Unsupported

Overflow = Literal["refuse", "window", "truncate"]

_PROBE = "ACGTTGCATTAGCCGATACGGATCTTCAAGGTCCATGAACTGTCGCTAAGTTTCGCGAATGCAC"


@dataclass(frozen=True)
class Piece:
    """One input of the network: a whole sequence, or a window of it."""

    sequence: int
    """Index of its sequence in the batch that was read."""
    ids: list[int]
    """With special tokens."""
    tokens: int
    """Tokens that stand for bases."""


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

    Args:
        tokenizer: of transformers, slow or fast.
        context: longest input in tokens, special ones included; None: any.
        overflow: what happens to longer sequences: an error, windows of about equal size side by side, or the end cut.
        kmer: give the tokenizer overlapping k-mers joined by blanks (DNABERT), not the plain sequence.

    Raises:
        DataError: the tokenizer does not know DNA in this form.
    """

    def __init__(
        self, tokenizer: Any, context: int | None, *, overflow: Overflow = "refuse", kmer: int | None = None
    ) -> None:
        self._tokenizer, self._context, self._overflow, self._kmer = tokenizer, context, overflow, kmer
        self.probe = self._encode([_PROBE])[0]
        self.prefix, self.suffix = self._special_tokens()
        unknown = self._count_unknown(self.probe)
        if 2 * unknown > len(self.probe) or not self.probe:
            raise DataError(
                f"the tokenizer ({type(tokenizer).__name__}) does not know DNA in this form: {unknown} of "
                f"{len(self.probe)} tokens of a {len(_PROBE)}-bp sequence are unknown; a k-mer tokenizer needs ?kmer=6 "
                "(its k), else this is no DNA model"
            )

    def read(self, sequences: Sequence[str]) -> Reading:
        """Tokens of upper-cased sequences.

        Raises:
            Unsupported: a sequence is longer than the context and `overflow` is `refuse`.
            DataError: a sequence has no token.
        """
        pieces: list[Piece] = []
        tokens = unknown = too_long = cut = 0
        room = None if self._context is None else self._context - len(self.prefix) - len(self.suffix)
        for index, ids in enumerate(self._encode(sequences)):
            if not ids:
                raise DataError(f"sequence {index} ({sequences[index][:20]!r}) has no token; remove it")
            tokens += len(ids)
            unknown += self._count_unknown(ids)
            windows = [ids]
            if room is not None and len(ids) > room:
                too_long += 1
                windows = self._fit(ids, room, index, len(sequences[index]))
                cut += len(ids) - sum(map(len, windows))
            pieces += [Piece(index, self.prefix + window + self.suffix, len(window)) for window in windows]
        return Reading(pieces, tokens, unknown, too_long, cut)

    def _encode(self, sequences: Sequence[str]) -> list[list[int]]:
        texts = [sequence.upper() for sequence in sequences]
        if self._kmer is not None:
            texts = [_joined_kmers(text, self._kmer) for text in texts]
        if not texts:
            return []
        encoded = self._tokenizer(
            texts,
            add_special_tokens=False,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return list(encoded["input_ids"])

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
        unknown = self._tokenizer.unk_token_id
        return 0 if unknown is None else ids.count(unknown)

    def _fit(self, ids: list[int], room: int, index: int, length: int) -> list[list[int]]:
        if self._overflow == "truncate":
            return [ids[:room]]
        if self._overflow == "window":
            return list(_windows(ids, room))
        raise Unsupported(
            f"sequence {index} has {length} bp, {len(ids)} tokens; the model reads {room} at most; "
            "add ?overflow=window (mean over windows) or ?overflow=truncate (cut the end, counted) to its reference, "
            "or ?max_tokens=… if it can read more than it says"
        )


def _windows(ids: list[int], room: int) -> Iterator[list[int]]:
    """The fewest windows of at most `room` tokens, of sizes that differ by one at most."""
    count = -(-len(ids) // room)
    for window in range(count):
        yield ids[window * len(ids) // count : (window + 1) * len(ids) // count]


def _joined_kmers(text: str, k: int) -> str:
    return " ".join(text[start : start + k] for start in range(max(len(text) - k + 1, 1)))


def batches(lengths: Sequence[int], budget: int, *, equal_only: bool = False) -> Iterator[list[int]]:
    """Indices grouped into batches of at most `budget` padded tokens (at least one index each), longest first.

    With `equal_only` a batch holds one length only, for networks that cannot mask padding.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * longest > budget or (equal_only and lengths[index] != longest)):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
