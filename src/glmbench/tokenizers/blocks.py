"""k-mers side by side, what is left over base by base: the Nucleotide Transformer's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glmbench.sequences.alphabet import EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.kmer import DIGITS, check_k, code_digits, kmers
from glmbench.tokenizers.tokenizer import Kind, SpecialTokens, Tokens, flat_sequences

SPECIAL_NAMES = ("<unk>", "<pad>", "<mask>", "<cls>")
"""Of ids 0 to 3."""


@dataclass(frozen=True)
class BlocksTokenizer:
    """k-mers from the left of every stretch without N; what fills no k-mer is single bases; every N is one token.

    The 4,105 ids for k = 6 are those of the Nucleotide Transformer (v1): four special tokens, 4,096 6-mers, A, T, C,
    G, N. There <unk> stands for letters that are no base; sequences read here hold none (they are read as N), so N is
    the unknown token and <unk> is never given. Nothing ends a sequence.

    Args:
        k: 2 to 8.

    Raises:
        UsageError: k is out of range.
    """

    k: int

    def __post_init__(self) -> None:
        check_k(self.k, 2, "k-mers side by side")

    @property
    def name(self) -> str:
        """`blocks-6`."""
        return f"blocks-{self.k}"

    @property
    def kind(self) -> Kind:
        """`blocks`."""
        return "blocks"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """<unk>, <pad>, <mask>, <cls>, the k-mers in base-4 order with digits A, T, C, G, then A, T, C, G, N."""
        return (*SPECIAL_NAMES, *kmers(self.k), *DIGITS, "N")

    @property
    def special(self) -> SpecialTokens:
        """Ids 0 to 3, and that of N as the unknown one."""
        last = len(SPECIAL_NAMES) + 4**self.k + len(DIGITS)
        return SpecialTokens(unknown=last, cls=3, sep=None, pad=1, mask=2, reserved=(0,))

    @property
    def overlap(self) -> int:
        """None."""
        return 0

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """k-mers side by side; see `Tokenizer.encode`."""
        from glmbench.tokenizers.kmer_kernels import block_ids, count_blocks

        codes, bases = flat_sequences(sequences)
        counts = np.empty(len(bases) - 1, dtype=np.int64)
        count_blocks(codes, bases, self.k, counts)
        offsets = np.zeros(len(bases), dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        ids, starts, ends = np.empty((3, offsets[-1]), dtype=np.int32)
        first = len(SPECIAL_NAMES)
        unknown = self.special.unknown
        block_ids(codes, bases, self.k, first, first + 4**self.k, unknown, code_digits(), ids, starts, ends)
        return Tokens(ids, offsets, starts, ends)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`; see `Tokenizer.save`."""
        from glmbench.tokenizers.saving import save_blocks

        save_blocks(self, folder)

    def content_hash(self) -> str:
        """SHA-256 over kind, k and vocabulary."""
        from glmbench.storage.hashing import sha256_json

        return sha256_json({"kind": self.kind, "k": self.k, "vocabulary": self.vocabulary})
