"""The tokens of a tokenizer of transformers by our own kernels, where the two agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from glmbench.errors import DataError
from glmbench.models.huggingface.spans import Tokenized
from glmbench.sequences.alphabet import encode_batch
from glmbench.sequences.typing import Integers
from glmbench.tokenizers.tokenizer import Tokenizer

Ask = Callable[[Sequence[str]], list[Tokenized]]
"""What a tokenizer of transformers makes of texts."""


class OwnCut:
    """One of our tokenizers in another's ids, many times as fast; see `own_cut`.

    Args:
        ours: cuts the text.
        ids: int64 (our vocabulary,), the other's id of each of our tokens.
        shortest: texts with fewer bases it must not be given.
    """

    def __init__(self, ours: Tokenizer, ids: Integers, shortest: int = 1) -> None:
        self._ours, self._ids, self._shortest = ours, ids, shortest

    def takes(self, text: str) -> bool:
        """Whether it may cut this text: A, C, G, T and N only."""
        return len(text) >= self._shortest and not text.strip("ACGTN")

    def tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        """Tokens and spans of texts that it takes."""
        tokens = self._ours.encode(encode_batch(texts))
        ids, bounds = self._ids[tokens.ids], tokens.offsets.tolist()
        starts, ends = tokens.starts.astype(np.int64), tokens.ends.astype(np.int64)
        return [
            Tokenized(ids[start:end].tolist(), starts[start:end], ends[start:end]) for start, end in pairwise(bounds)
        ]


def own_cut(tokenizer: Any, letters: Sequence[str], kind: str, kmer: int | None, ask: Ask) -> OwnCut | None:
    """Ours for a tokenizer of transformers; None where there is none that agrees on texts that both are tried on.

    Args:
        tokenizer: of transformers.
        letters: what every id spells, see `token_bases.spelled`.
        kind: how it cuts, see `reader.Cut`.
        kmer: k of overlapping k-mers.
        ask: gives the tokens of that tokenizer.
    """
    ours = _alike(tokenizer, letters, kind, kmer)
    if ours is None:
        return None
    shortest = kmer or 1
    unknown = {tuple(tokens.ids) for tokens in ask(["N" * shortest])}
    known = {text: index for index, text in reversed(list(enumerate(letters)))}
    special = set(ours.special.ids)
    ids = [-1 if index in special else known.get(text, -2) for index, text in enumerate(ours.vocabulary)]
    one_unknown = next(iter(unknown))
    if -2 in ids or len(one_unknown) != 1:
        return None
    ids[ours.special.unknown] = one_unknown[0]
    cut = OwnCut(ours, np.array(ids, dtype=np.int64), shortest)
    tries = _tries()
    return cut if all(map(_same, ask(tries), cut.tokenize(tries))) else None


def _alike(tokenizer: Any, letters: Sequence[str], kind: str, kmer: int | None) -> Tokenizer | None:
    from glmbench.tokenizers.blocks import BlocksTokenizer
    from glmbench.tokenizers.character import CharacterTokenizer
    from glmbench.tokenizers.kmer import LARGEST_K, KmerTokenizer

    if kind == "characters":
        return CharacterTokenizer()
    if kind == "kmers":
        return KmerTokenizer(kmer) if kmer is not None and kmer <= LARGEST_K else None
    if kind == "blocks":
        k = max(len(text) for text in letters if set(text) <= set("ACGT"))
        return BlocksTokenizer(k) if k <= LARGEST_K else None
    return _learned(tokenizer)


def _learned(tokenizer: Any) -> Tokenizer | None:
    """BPE or unigram from the tokenizer's own description; None where ours cannot read it."""
    from glmbench.tokenizers.saving import FILE, load_tokenizer

    library = getattr(tokenizer, "backend_tokenizer", None)
    if library is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        file.write_text(library.to_str(), encoding="utf-8")
        try:
            return load_tokenizer(file)
        except DataError:
            return None


def _tries() -> list[str]:
    """Texts of many lengths, with and without N; the same ones every time."""
    rng = np.random.default_rng(0)
    drawn = ["".join(rng.choice(list("ACGT"), size=size)) for size in (8, 9, 13, 64, 65, 300, 1_000)]
    repeats = ["A" * 50, "AC" * 40, "TTAGGG" * 20]
    return [*drawn, *repeats, *(f"{text[:5]}N{text[5:30]}NNN{text[30:]}N" for text in drawn)]


def _same(theirs: Tokenized, ours: Tokenized) -> bool:
    same_spans = np.array_equal(theirs.starts, ours.starts) and np.array_equal(theirs.ends, ours.ends)
    return theirs.ids == ours.ids and same_spans
