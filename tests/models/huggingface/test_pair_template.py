"""What stands around two sequences: told from what a tokenizer joined, and where it joined nothing, BERT's form."""

from __future__ import annotations

import pytest

from glmbench.errors import Unsupported
from glmbench.models.huggingface.pair_template import PairTemplate, pair_template

CLS, SEP, END = 2, 3, 4
A, B = [10, 11, 12, 13], [10, 11]
"""The second begins as the first does, as the reader asks."""


@pytest.mark.parametrize(
    ("before", "between", "after"),
    [
        ([CLS], [SEP], [SEP]),
        ([CLS], [END, END], [END]),
        ([CLS], [SEP], []),
        ([], [SEP], []),
        ([], [SEP, SEP], [END]),
        ([CLS, END], [SEP], [SEP, END]),
    ],
    ids=["BERT", "RoBERTa", "no end", "bare", "T5", "two before"],
)
def test_it_is_what_the_tokenizer_put_around_them(before: list[int], between: list[int], after: list[int]) -> None:
    found = pair_template([*before, *A, *between, *B, *after], A, B, [CLS], [SEP])
    assert found == PairTemplate(before, between, after)
    assert found.special == len(before) + len(between) + len(after)


@pytest.mark.parametrize(
    ("together", "prefix", "suffix"),
    [
        ([*A, *B], [CLS], [SEP]),
        ([CLS, *A, *B], [CLS], [SEP]),
        ([CLS, *A, *B, SEP], [CLS], [SEP]),
        ([], [CLS], [SEP]),
        ([*A, *B], [], [END, SEP]),
    ],
)
def test_where_nothing_parts_them_what_ends_one_sequence_ends_each(
    together: list[int], prefix: list[int], suffix: list[int]
) -> None:
    assert pair_template(together, A, B, prefix, suffix) == PairTemplate(prefix, suffix, suffix)


@pytest.mark.parametrize("prefix", [[], [CLS]])
def test_without_anything_to_part_them_they_can_only_be_concatenated(prefix: list[int]) -> None:
    with pytest.raises(Unsupported, match=r"nothing to part two sequences with; set pairs = 'concatenate'"):
        pair_template([*prefix, *A, *B], A, B, prefix, [])


def test_a_first_sequence_that_repeats_itself_is_found_at_its_true_place() -> None:
    first, second = [7, 7, 7], [7, 7]
    found = pair_template([7, *first, SEP, *second, 7], first, second, [7], [7])
    joined = [*found.before, *first, *found.between, *second, *found.after]
    assert joined == [7, *first, SEP, *second, 7]
    assert SEP in found.between
