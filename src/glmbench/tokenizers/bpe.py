"""Byte-pair encoding (BPE): a vocabulary of merges, applied in the order in which they were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import BASES, LETTERS, EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.bpe_encoding import Split, build_tables, encode_exactly
from glmbench.tokenizers.tokenizer import Kind, SpecialTokens, Tokens, named_specials

if TYPE_CHECKING:
    from glmbench.tokenizers.bpe_table_kernels import Tables

DNABERT2_SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
"""In the order of their ids, from 0, as DNABERT-2 was trained."""
_WANTED = "want BPE over the letters A, C, G, T as the tokenizers library trains it, and as DNABERT-2's file is"


@dataclass(frozen=True)
class BPETokenizer:
    """Tokens made by merging neighbours; N is unknown.

    Identical to the tokenizers library on the same file, in time linear in the bases.

    Args:
        vocabulary: the token of every id.
        merges: the two tokens of each merge, in order.
        special: ids of the special tokens.
        original_text: text of the `tokenizer.json` it was read from, saved back as it is; None for one trained here.
    """

    vocabulary: tuple[str, ...]
    merges: tuple[Split, ...]
    special: SpecialTokens
    original_text: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_file(cls, file: Path) -> BPETokenizer:
        """Read any `tokenizer.json` whose model is plain BPE over A, C, G, T.

        Raises:
            DataError: it is none: byte-level, with dropout, prefixes or suffixes, other letters, fused unknown
                tokens, ids that are not 0, 1, 2, …, or merges out of order.
        """
        from glmbench.tokenizers.saving import read_json

        saved = read_json(file)
        try:
            tokenizer = _read(saved, file.read_text(encoding="utf-8"))
            if not tokenizer._tables.ids.size:
                raise DataError("no tokens")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{file}: broken at {error!r}; {_WANTED}") from error
        except DataError as error:
            raise DataError(f"{file}: {error}") from error
        return tokenizer

    @property
    def name(self) -> str:
        """`bpe-4096`."""
        return f"bpe-{len(self.vocabulary)}"

    @property
    def kind(self) -> Kind:
        """`bpe`."""
        return "bpe"

    @property
    def overlap(self) -> int:
        """None."""
        return 0

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """The tokens that merging in order gives, exactly; see `Tokenizer.encode`."""
        return encode_exactly(sequences, self._tables, self.special.unknown, self._lengths)

    @cached_property
    def _tables(self) -> Tables:
        return build_tables(self.merges, {token: index for index, token in enumerate(self.vocabulary)})

    @cached_property
    def _lengths(self) -> NDArray[np.int32]:
        """Bases of every id; the unknown token has one, other special ones none."""
        lengths = np.fromiter(map(len, self.vocabulary), dtype=np.int32, count=len(self.vocabulary))
        lengths[list(self.special.ids)] = 0
        lengths[self.special.unknown] = 1
        return lengths

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`; see `Tokenizer.save`.

        A file that was read is written back unchanged. If it has no normalizer, as DNABERT-2's, then text for
        transformers must be upper case: there a lower-case base is an unknown token.
        """
        from glmbench.tokenizers.saving import write_files

        content = self._library_json() if self.original_text is None else self.original_text
        write_files(folder, content, self.vocabulary, self.special)

    def _library_json(self) -> str:
        from tokenizers import Tokenizer as LibraryTokenizer
        from tokenizers import models, pre_tokenizers

        from glmbench.tokenizers.saving import post_processor, upper_case

        ids = {token: index for index, token in enumerate(self.vocabulary)}
        unknown = self.vocabulary[self.special.unknown]
        library = LibraryTokenizer(models.BPE(ids, list(self.merges), unk_token=unknown, fuse_unk=False))
        library.normalizer = upper_case()
        library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        library.post_processor = post_processor(self.vocabulary, self.special)
        library.add_special_tokens([self.vocabulary[index] for index in self.special.ids])
        content: str = library.to_str(pretty=True)
        return content

    def content_hash(self) -> str:
        """SHA-256 over kind, vocabulary, merges and special ids."""
        from glmbench.storage.hashing import sha256_json

        merges = [list(merge) for merge in self.merges]
        content = {"vocabulary": list(self.vocabulary), "merges": merges, "special": list(self.special.ids)}
        return sha256_json({"kind": self.kind, "unknown": self.special.unknown, **content})


def from_merges(merges: Sequence[Split], specials: Sequence[str] = DNABERT2_SPECIALS) -> BPETokenizer:
    """A tokenizer with the special tokens first, then A, C, G, T, then what each merge makes.

    Raises:
        UsageError: `specials` are not the five of `DNABERT2_SPECIALS`, in any order.
    """
    if sorted(specials) != sorted(DNABERT2_SPECIALS):
        raise UsageError(f"special tokens {', '.join(specials)}; want {', '.join(DNABERT2_SPECIALS)} in any order")
    made = (left + right for left, right in merges)
    vocabulary = (*specials, *BASES, *made)
    return BPETokenizer(
        vocabulary, tuple(merges), named_specials(vocabulary, specials.index("[UNK]"), range(len(specials)))
    )


def _read(saved: Mapping[str, Any], text: str) -> BPETokenizer:
    """The tokenizer in the object of a `tokenizer.json`."""
    model, unknown = saved["model"], saved["model"].get("unk_token")
    _refuse_other_kinds(saved, model)
    added = {str(token["content"]): int(token["id"]) for token in saved.get("added_tokens") or ()}
    ids: dict[str, int] = {**model["vocab"], **added}
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"its {len(ids)} ids are not 0, 1, 2, … each once; {_WANTED}")
    vocabulary = tuple(sorted(ids, key=lambda token: ids[token]))
    if unknown not in ids:
        raise DataError(f"its unknown token is {unknown!r}: without one, N would vanish; {_WANTED}")
    special = named_specials(vocabulary, ids[unknown], added.values())
    strange = [token for i, token in enumerate(vocabulary) if i not in special.ids and set(token) - set(BASES)]
    strange += [token for token in added if set(token) <= set(LETTERS)]  # the library would cut sequences at it
    missing = [base for base in BASES if base not in ids]
    if strange or missing or "" in ids:
        problem = f"no token {', '.join(missing)}" if missing else f"a token {(strange or [''])[0]!r}"
        raise DataError(f"its vocabulary of {len(ids)} has {problem}; {_WANTED}")
    merges = tuple(_split(merge) for merge in model["merges"])
    unmade = [merge for merge in merges if not {*merge, "".join(merge)} <= set(ids)]
    if unmade or len(set(merges)) < len(merges):
        problem = f"merges {unmade[0]} without a token for it" if unmade else "has one merge twice"
        raise DataError(f"it {problem}; {_WANTED}")
    return BPETokenizer(vocabulary, merges, special, text)


def _split(merge: str | list[str]) -> Split:
    """A merge as it stands in a file: `"A C"`, or since tokenizers 0.20 `["A", "C"]`."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _refuse_other_kinds(saved: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Refuse settings under which the library would give other tokens than plain BPE on A, C, G, T."""
    kind = model.get("type", "BPE")
    settings = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    for name in (*settings, "ignore_merges"):
        if model.get(name):
            raise DataError(f"its model sets {name} to {model[name]!r}; {_WANTED}")
    cutter = (saved.get("pre_tokenizer") or {}).get("type")
    if kind != "BPE" or cutter not in (None, "Whitespace", "WhitespaceSplit"):
        raise DataError(f"its model is {kind}, its pre-tokenizer {cutter}; {_WANTED}")
    if not _keeps_bases(saved.get("normalizer")):
        raise DataError(f"its normalizer is {saved['normalizer']}, which may change bases; {_WANTED}")


def _keeps_bases(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether A, C, G, T and N come out as they went in: replacing other single letters is all that is known to."""
    if normalizer is None:
        return True
    if normalizer["type"] == "Sequence":
        return all(_keeps_bases(each) for each in normalizer["normalizers"])
    pattern = normalizer.get("pattern", {}).get("String", "")
    return normalizer["type"] == "Replace" and len(pattern) == 1 and pattern not in BASES + "N"
