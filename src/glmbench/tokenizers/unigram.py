"""Unigram tokens (SentencePiece): a vocabulary with probabilities; a sequence is cut in its most probable way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.sequences.alphabet import BASES, EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.character import SPECIAL
from glmbench.tokenizers.tokenizer import Kind, SpecialTokens, Tokens, flat_sequences, named_specials


@dataclass(frozen=True)
class UnigramTokenizer:
    """Tokens with log probabilities; encoding maximises their sum over every stretch without N (Viterbi).

    Identical to the tokenizers library on the same file, ties included.

    Args:
        vocabulary: the token of every id.
        scores: log probability (nats) of every id.
        special: ids of the special tokens.

    Raises:
        DataError: a token is neither special nor made of A, C, G, T, a single base has no token, or a score is
            not finite.
    """

    vocabulary: tuple[str, ...]
    scores: tuple[float, ...]
    special: SpecialTokens = SPECIAL

    def __post_init__(self) -> None:
        known = {token for i, token in enumerate(self.vocabulary) if i not in self.special.ids}
        strange = sorted(token for token in known if not token or set(token) - set(BASES))
        missing = sorted(set(BASES) - known)
        if strange or missing:
            problem = f"token {strange[0]!r}" if strange else f"no token for {', '.join(missing)}"
            raise DataError(f"a unigram vocabulary of {len(self.vocabulary)} with {problem}; want tokens of A, C, G, T")
        odd = [token for token, score in zip(self.vocabulary, self.scores, strict=True) if not math.isfinite(score)]
        if odd:
            raise DataError(f"the unigram score of {odd[0]!r} is no finite number; want log probabilities")

    @classmethod
    def from_file(cls, file: Path) -> UnigramTokenizer:
        """Read a `tokenizer.json` whose model is Unigram over upper-case bases and that cuts text at N.

        Raises:
            DataError: it is none.
        """
        from glmbench.tokenizers.saving import read_json

        saved = read_json(file)
        model = saved.get("model") or {}
        try:
            vocabulary = tuple(str(token) for token, _ in model["vocab"])
            scores = tuple(float(score) for _, score in model["vocab"])
            special = _special_of(saved, vocabulary, model["unk_id"])
            tokenizer = cls(vocabulary, scores, special)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{file}: not a unigram tokenizer of DNA ({error!r}); want one written here") from error
        except DataError as error:
            raise DataError(f"{file}: {error}") from error
        if not _splits_at_n(saved.get("pre_tokenizer")):
            raise DataError(
                f"{file}: its pre-tokenizer does not cut text at every N; want a unigram tokenizer written here"
            )
        return tokenizer

    @property
    def name(self) -> str:
        """`unigram-4096`."""
        return f"unigram-{len(self.vocabulary)}"

    @property
    def kind(self) -> Kind:
        """`unigram`."""
        return "unigram"

    @property
    def overlap(self) -> int:
        """None."""
        return 0

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """Tokens of the greatest sum of scores; see `Tokenizer.encode`."""
        from glmbench.tokenizers.unigram_kernels import unigram_ids

        codes, bases = flat_sequences(sequences)
        children, token_of = self._trie
        offsets = np.zeros(len(bases), dtype=np.int64)
        ids, starts, ends = np.empty((3, len(codes)), dtype=np.int32)
        unknown = self.special.unknown
        unigram_ids(codes, bases, children, token_of, np.array(self.scores), unknown, ids, starts, ends, offsets)
        # Copies, so that a few tokens do not keep room for as many as there are bases.
        filled = [array[: offsets[-1]].copy() for array in (ids, starts, ends)]
        return Tokens(filled[0], offsets, filled[1], filled[2])

    @cached_property
    def _trie(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Children int32 (nodes, 4) and the token that ends in each node, or -1, int32 (nodes,)."""
        children: list[list[int]] = [[0, 0, 0, 0]]
        token_of = [-1]
        for index, token in enumerate(self.vocabulary):
            if index in self.special.ids:
                continue
            node = 0
            for base in token:
                at = BASES.index(base)
                if not children[node][at]:
                    children[node][at] = len(children)
                    children.append([0, 0, 0, 0])
                    token_of.append(-1)
                node = children[node][at]
            token_of[node] = index
        return np.array(children, dtype=np.int32), np.array(token_of, dtype=np.int32)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`; see `Tokenizer.save`."""
        from glmbench.tokenizers.saving import write_files

        write_files(folder, self._library_json(), self.vocabulary, self.special)

    def _library_json(self) -> str:
        from tokenizers import Regex, models, pre_tokenizers
        from tokenizers import Tokenizer as LibraryTokenizer

        from glmbench.tokenizers.saving import post_processor, upper_case

        pieces = list(zip(self.vocabulary, self.scores, strict=True))
        library = LibraryTokenizer(models.Unigram(pieces, unk_id=self.special.unknown, byte_fallback=False))
        library.normalizer = upper_case()
        library.pre_tokenizer = pre_tokenizers.Split(Regex(_NO_BASE), "isolated")
        library.post_processor = post_processor(self.vocabulary, self.special)
        library.add_special_tokens([self.vocabulary[index] for index in self.special.ids])
        content: str = library.to_str(pretty=True)
        return content

    def content_hash(self) -> str:
        """SHA-256 over kind, vocabulary, scores to nine digits and special ids.

        Of a score the last digits differ between machines, and between JSON readers that round.
        """
        from glmbench.storage.hashing import sha256_json

        scored = [[token, f"{score:.9g}"] for token, score in zip(self.vocabulary, self.scores, strict=True)]
        return sha256_json({"kind": self.kind, "vocabulary": scored, "special": self.special.ids})


_NO_BASE = "[^ACGT]"
"""Cutting at every letter that is no base keeps unknown letters apart; the model would fuse neighbours into one."""


def _special_of(saved: dict[str, Any], vocabulary: Sequence[str], unknown: Any) -> SpecialTokens:
    """Special ids by name; others that the file calls special are reserved."""
    marked = [int(added["id"]) for added in saved.get("added_tokens") or () if added.get("special")]
    odd = [index for index in (unknown, *marked) if type(index) is not int or not 0 <= index < len(vocabulary)]
    if odd:
        raise ValueError(f"special id {odd[0]!r} is none of its {len(vocabulary)}")
    return named_specials(vocabulary, unknown, marked)


def _splits_at_n(cutter: object) -> bool:
    return isinstance(cutter, dict) and cutter.get("type") == "Split" and cutter.get("pattern") == {"Regex": _NO_BASE}
