"""What a tokenizer puts before, between and after two sequences that belong together."""

from __future__ import annotations

from dataclasses import dataclass

from glmbench.errors import Unsupported


@dataclass(frozen=True)
class PairTemplate:
    """Ids around the tokens of a pair: `[CLS] A [SEP] B [SEP]`. The second sequence's token type begins with B."""

    before: list[int]
    between: list[int]
    after: list[int]

    @property
    def special(self) -> int:
        """How many ids it adds."""
        return len(self.before) + len(self.between) + len(self.after)


def pair_template(
    together: list[int], first: list[int], second: list[int], prefix: list[int], suffix: list[int]
) -> PairTemplate:
    """The template by which a tokenizer joined two sequences.

    A tokenizer that puts nothing between them, as fast ones do that were given a template for single sequences alone,
    is taken to mean BERT's form: what follows a single sequence follows each of the two.

    Args:
        together: ids that the tokenizer gave for both.
        first: those of the first alone, without special tokens; `second` likewise.
        second: must differ from `first`.
        prefix: what stands before a single sequence.
        suffix: what stands after a single sequence.

    Raises:
        Unsupported: nothing parts the two.
    """
    places = [at for at in range(len(together)) if together[at : at + len(first)] == first]
    for at in places:
        end = at + len(first)
        for start in range(end, len(together) - len(second) + 1):
            if together[start : start + len(second)] == second and start > end:
                return PairTemplate(together[:at], together[end:start], together[start + len(second) :])
    if suffix:
        return PairTemplate(prefix, suffix, suffix)
    raise Unsupported(
        "the tokenizer has nothing to part two sequences with; set pairs = 'concatenate' in the recipe to give them as "
        "one"
    )
