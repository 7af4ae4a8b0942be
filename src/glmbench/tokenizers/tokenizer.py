"""The noun Tokenizer: bases in, tokens out, and every token knows the bases it covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.sequences.alphabet import EncodedBatch, flatten
from glmbench.sequences.typing import Codes, Integers

Kind = Literal["character", "kmer", "blocks", "bpe", "unigram"]
"""`kmer`: overlapping, one a base (DNABERT). `blocks`: side by side, leftovers as bases (Nucleotide Transformer)."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the tokens that stand for no known bases."""

    unknown: int
    """Stands for bases that have no token: every N, or a k-mer that holds one. The only one with a base span."""
    cls: int
    sep: int | None
    """None: the format ends a sequence with nothing (Nucleotide Transformer)."""
    pad: int
    mask: int
    reserved: tuple[int, ...] = ()
    """Further ids that stand for no bases and that `encode` never gives (Nucleotide Transformer: <unk> beside N)."""

    @property
    def ids(self) -> tuple[int, ...]:
        """All of them, ascending."""
        known = {self.unknown, self.cls, self.pad, self.mask, *self.reserved}
        return tuple(sorted(known if self.sep is None else known | {self.sep}))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of several sequences, end to end; sequences may differ in length.

    Attributes:
        ids: int32 (tokens,).
        offsets: int64 (sequences + 1,); sequence i has the tokens `offsets[i]` to before `offsets[i + 1]`.
        starts: int32 (tokens,), the first base of each token, 0-based within its own sequence.
        ends: int32 (tokens,), the base after its last: spans are half-open. [CLS] and [SEP] have empty spans.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (sequences,), in tokens."""
        return np.diff(self.offsets)


class Tokenizer(Protocol):
    """Turns base codes (0 A, 1 C, 2 G, 3 T, 4 N) into tokens. Same bases, same tokens: nothing here is random."""

    @property
    def name(self) -> str:
        """Short, for tables: `character`, `kmer-6`, `blocks-6`, `bpe-4096`, `unigram-4096`."""

    @property
    def kind(self) -> Kind:
        """Its family."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The token of every id, in upper-case bases, or in brackets for special ones."""

    @property
    def special(self) -> SpecialTokens:
        """Ids of the special tokens."""

    @property
    def overlap(self) -> int:
        """Bases that a token shares with the next one: k - 1 for overlapping k-mers, 0 for all others."""

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """Tokens of a batch, of codes (n, length), or of one sequence (length,), without [CLS] and [SEP].

        Spans cover every base in order; none is dropped. An N is one unknown token over one base (overlapping k-mers:
        every k-mer that holds an N is one unknown token). A sequence shorter than k has no overlapping k-mer.

        Raises:
            DataError: a sequence has 2**31 bases or more.
        """

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder: `transformers.AutoTokenizer` and `saving.load_tokenizer` read it there.

        Where the format cannot cut sequences itself (overlapping k-mers) transformers wants k-mers joined by blanks,
        and `tokenizer_config.json` says `"kmer": k`.
        """

    def content_hash(self) -> str:
        """SHA-256 over all that decides its tokens."""


def named_specials(vocabulary: Sequence[str], unknown: int, marked: Iterable[int]) -> SpecialTokens:
    """[CLS], [SEP], [PAD] and [MASK] by their names; further ids of `marked` are reserved.

    Raises:
        DataError: one of the four is missing.
    """
    names = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
    ids = {token: index for index, token in enumerate(vocabulary)}
    missing = [name for name in names.values() if name not in ids]
    if missing:
        raise DataError(f"no token {', '.join(missing)}; want the special tokens {', '.join(names.values())}")
    named = {role: ids[name] for role, name in names.items()}
    return SpecialTokens(unknown=unknown, reserved=tuple(sorted({*marked} - {*named.values(), unknown})), **named)


def flat_sequences(sequences: EncodedBatch | Codes) -> tuple[Codes, Integers]:
    """The flat codes and the offsets of what `Tokenizer.encode` takes; see `alphabet.flatten`.

    Raises:
        DataError: a sequence has 2**31 bases or more.
    """
    codes, offsets = flatten(sequences)
    longest = int(np.diff(offsets).max(initial=0))
    if longest > np.iinfo(np.int32).max:
        raise DataError(f"a sequence of {longest:,} bases; spans are 32 bits wide: cut it at runs of N or elsewhere")
    return codes, offsets


def special_mask(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """A bool (vocabulary,): which ids are special, the unknown token among them."""
    mask = np.zeros(len(tokenizer.vocabulary), dtype=np.bool_)
    mask[list(tokenizer.special.ids)] = True
    return mask


def with_ends(tokens: Tokens, special: SpecialTokens) -> Tokens:
    """The same with [CLS] before and [SEP] (where the format has one) after every sequence, both with empty spans."""
    extra = 1 if special.sep is None else 2
    lengths = tokens.lengths
    offsets = tokens.offsets + extra * np.arange(len(tokens.offsets), dtype=np.int64)
    total = int(offsets[-1])
    at = np.arange(len(tokens.ids), dtype=np.int64) + 1 + extra * np.repeat(np.arange(len(lengths)), lengths)
    ids = np.full(total, special.cls, dtype=np.int32)
    starts, ends = np.zeros(total, dtype=np.int32), np.zeros(total, dtype=np.int32)
    ids[at], starts[at], ends[at] = tokens.ids, tokens.starts, tokens.ends
    if special.sep is not None:
        last = offsets[1:] - 1
        ids[last] = special.sep
        full = lengths > 0
        starts[last[full]] = ends[last[full]] = tokens.ends[tokens.offsets[1:][full] - 1]
    return Tokens(ids, offsets, starts, ends)


def token_bases(tokenizer: Tokenizer) -> NDArray[np.int8]:
    """The int8 (vocabulary, longest token) base codes of every token, -1 after its end; special tokens have none."""
    codes = {"A": 0, "C": 1, "G": 2, "T": 3}
    special = special_mask(tokenizer)
    rows = [[] if special[i] else [codes[base] for base in token] for i, token in enumerate(tokenizer.vocabulary)]
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int8)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def describe_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """What a manifest keeps of a tokenizer."""
    return {
        "name": tokenizer.name,
        "kind": tokenizer.kind,
        "vocabulary": len(tokenizer.vocabulary),
        "sha256": tokenizer.content_hash(),
    }
