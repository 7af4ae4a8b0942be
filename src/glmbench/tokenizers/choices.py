"""The reference by which a tokenizer is named on the command line: KIND, KIND:NUMBER, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glmbench.errors import UsageError

if TYPE_CHECKING:
    from glmbench.sequences.typing import Codes
    from glmbench.tokenizers.tokenizer import Tokenizer

FORMS = (
    "character, kmer:6 (overlapping k-mers), blocks:6 (non-overlapping k-mers), bpe:4096, unigram:4096, or the path of "
    "a saved one"
)

LARGEST_VOCABULARY = 65_000
"""Ids are 16 bits while BPE is trained, and a few values are taken."""


@dataclass(frozen=True, slots=True)
class ToTrain:
    """A tokenizer that is not there before it has seen a corpus.

    Attributes:
        kind: `bpe` or `unigram`.
        size: ids wanted, special tokens among them; 10 to `LARGEST_VOCABULARY`.

    Raises:
        UsageError: the size has no room for more than special tokens and bases, or is larger than can be trained.
    """

    kind: Literal["bpe", "unigram"]
    size: int

    def __post_init__(self) -> None:
        if self.size < 10:
            raise UsageError(
                f"a {self.kind} vocabulary of {self.size}: five special tokens and four bases are nine; want 10 or more"
            )
        if self.size > LARGEST_VOCABULARY:
            raise UsageError(f"a {self.kind} vocabulary of {self.size}; want {LARGEST_VOCABULARY:,} or fewer")

    @property
    def name(self) -> str:
        """As the trained one will be called: `bpe-4096`."""
        return f"{self.kind}-{self.size}"


def parse_tokenizer(text: str) -> Tokenizer | ToTrain:
    """Open the tokenizer that a reference names; one that must first be trained comes as `ToTrain`.

    A folder called `character` has to be written as a path, `./character`.

    Raises:
        UsageError: the reference is none of the forms known, or its number is out of range.
        DataError: the file at the path is no tokenizer (see `saving.load_tokenizer`).
    """
    kind, colon, number = text.partition(":")
    if kind in ("kmer", "blocks", "bpe", "unigram") and colon:
        return _numbered(text, kind, number)
    if kind == "character":
        if colon:
            raise UsageError(f"tokenizer {text!r}: characters take no number; want `character`")
        from glmbench.tokenizers.character import CharacterTokenizer

        return CharacterTokenizer()
    path = Path(text).expanduser()
    if text and path.exists():
        from glmbench.tokenizers.saving import load_tokenizer

        return load_tokenizer(path)
    if kind in ("kmer", "blocks", "bpe", "unigram"):
        example = f"{kind}:6" if kind in ("kmer", "blocks") else f"{kind}:4096"
        raise UsageError(f"tokenizer {text!r} wants a number ({example}), and there is no folder of that name")
    raise UsageError(f"tokenizer {text!r} is neither a path that exists nor a kind; want {FORMS}")


def train_tokenizer(choice: ToTrain, codes: Codes) -> Tokenizer:
    """Train what was chosen on base codes, uint8 (bases,), with N between sequences that do not belong together.

    Raises:
        UsageError: the size leaves no room for a vocabulary.
        DataError: the corpus has no known base, or too few.
    """
    if choice.kind == "bpe":
        from glmbench.tokenizers.bpe_training import train_bpe

        return train_bpe(codes, choice.size)
    from glmbench.tokenizers.unigram_training import train_unigram

    return train_unigram(codes, choice.size)


def _numbered(text: str, kind: str, number: str) -> Tokenizer | ToTrain:
    if not (number.isascii() and number.isdigit()):
        raise UsageError(f"tokenizer {text!r}: {number!r} is no number; want {FORMS}")
    if kind == "kmer":
        from glmbench.tokenizers.kmer import KmerTokenizer

        return KmerTokenizer(int(number))
    if kind == "blocks":
        from glmbench.tokenizers.blocks import BlocksTokenizer

        return BlocksTokenizer(int(number))
    return ToTrain("bpe" if kind == "bpe" else "unigram", int(number))
