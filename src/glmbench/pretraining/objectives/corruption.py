"""What the network sees where a token is hidden: mostly [MASK], sometimes another token or the token itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.objective import Masked
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokenizer, Tokens


@dataclass(frozen=True)
class Corruption:
    """The 80/10/10 rule of BERT (Devlin et al., 2019, NAACL, section 3.1), drawn for each hidden token on its own.

    Attributes:
        special: the special ids of the vocabulary.
        vocabulary: number of ids.
        masked: fraction of hidden tokens shown as [MASK].
        random: fraction shown as a token drawn at random; the rest is shown as it is.
        replacements: what a random token is drawn from, uniformly: ordinary tokens, or every id with [MASK], [CLS] and
            the other special ones among them, as transformers' collator and the released GeneMask do.

    Raises:
        UsageError: fractions that are negative or add up to more than 1.
    """

    special: SpecialTokens
    vocabulary: int
    masked: float = 0.8
    random: float = 0.1
    replacements: Literal["ordinary", "all"] = "ordinary"

    def __post_init__(self) -> None:
        if min(self.masked, self.random) < 0 or self.masked + self.random > 1:
            raise UsageError(
                f"Corruption got masked={self.masked} and random={self.random}; "
                "give two fractions of at least 0 that add up to at most 1."
            )

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Corruption:
        """The usual one for a tokenizer."""
        return cls(tokenizer.special, len(tokenizer.vocabulary))

    @cached_property
    def ordinary(self) -> NDArray[np.bool_]:
        """Which ids stand for known bases, bool (vocabulary,): what may be hidden."""
        mask = np.ones(self.vocabulary, dtype=np.bool_)
        mask[list(self.special.ids)] = False
        return mask

    @cached_property
    def drawn_from(self) -> NDArray[np.int32]:
        """The ids a random token is drawn from."""
        every = np.arange(self.vocabulary, dtype=np.int32)
        return every if self.replacements == "all" else every[self.ordinary]

    def apply(self, tokens: Tokens, hidden: NDArray[np.bool_], rng: np.random.Generator) -> Masked:
        """Corrupt the tokens where `hidden`, bool (tokens,), is true; nothing hidden gives empty arrays."""
        from glmbench.pretraining.objectives.corruption_kernels import corrupt

        mask_id, choices = self.special.mask, self.drawn_from
        return Masked(*corrupt(tokens.ids, hidden, mask_id, choices, self.masked, self.random, draw_seed(rng)))

    def settings(self) -> dict[str, Any]:
        """As plain values."""
        return {"masked": self.masked, "random": self.random, "replacements": self.replacements}


def draw_seed(rng: np.random.Generator) -> np.uint64:
    """A seed for one kernel call."""
    return np.uint64(rng.integers(0, 2**64, dtype=np.uint64))
