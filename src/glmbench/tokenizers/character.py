"""One token a base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glmbench.sequences.alphabet import BASES, EncodedBatch
from glmbench.sequences.typing import Codes
from glmbench.tokenizers.tokenizer import Kind, SpecialTokens, Tokens, flat_sequences

SPECIAL_NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Of ids 0 to 4, as in BERT and DNABERT."""
SPECIAL = SpecialTokens(pad=0, unknown=1, cls=2, sep=3, mask=4)


@dataclass(frozen=True)
class CharacterTokenizer:
    """Bases A, C, G, T with the ids 5 to 8 after five special tokens; N is unknown."""

    @property
    def name(self) -> str:
        """`character`."""
        return "character"

    @property
    def kind(self) -> Kind:
        """`character`."""
        return "character"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """[PAD], [UNK], [CLS], [SEP], [MASK], A, C, G, T."""
        return (*SPECIAL_NAMES, *BASES)

    @property
    def special(self) -> SpecialTokens:
        """Ids 0 to 4."""
        return SPECIAL

    @property
    def overlap(self) -> int:
        """None."""
        return 0

    def encode(self, sequences: EncodedBatch | Codes) -> Tokens:
        """One token a base; see `Tokenizer.encode`."""
        from glmbench.tokenizers.kmer_kernels import overlapping_ids

        codes, offsets = flat_sequences(sequences)
        ids, starts = np.empty((2, len(codes)), dtype=np.int32)
        digits = np.array([0, 1, 2, 3, 0], dtype=np.int32)
        overlapping_ids(codes, offsets, 1, len(SPECIAL_NAMES), SPECIAL.unknown, digits, ids, starts)
        return Tokens(ids, offsets, starts, starts + np.int32(1))

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`; see `Tokenizer.save`."""
        from glmbench.tokenizers.saving import save_characters

        save_characters(self, folder)

    def content_hash(self) -> str:
        """SHA-256 over kind and vocabulary."""
        from glmbench.storage.hashing import sha256_json

        return sha256_json({"kind": self.kind, "vocabulary": self.vocabulary})
