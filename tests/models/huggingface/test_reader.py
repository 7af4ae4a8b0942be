from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.models.huggingface.reader import Reader, batches

LENGTHS = st.lists(st.integers(1, 40), max_size=30)


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, budget=st.integers(1, 100), equal_only=st.booleans())
def test_batches_hold_every_index_once_within_the_budget(lengths: list[int], budget: int, equal_only: bool) -> None:
    made = list(batches(lengths, budget, equal_only=equal_only))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert not equal_only or {lengths[index] for index in batch} == {longest}


def test_batches_by_hand() -> None:
    assert list(batches([3, 9, 4, 9], 12)) == [[1], [3], [2, 0]]


@pytest.mark.real_data
def test_pieces_equal_what_the_tokenizer_itself_would_make(shared_data: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), unk_token="[UNK]")
    sequences = ["ACGTTGCATTAGC", "A", "TTTTTTTTTTTTACGNACG"]
    reading = Reader(tokenizer, None).read(sequences)
    assert [piece.ids for piece in reading.pieces] == tokenizer(sequences)["input_ids"]
    assert reading.tokens == sum(len(piece.ids) - 2 for piece in reading.pieces)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 300), context=st.integers(8, 50))
def test_windows_cover_a_sequence_in_order_and_are_of_about_one_size(length: int, context: int) -> None:
    reader = Reader(_Letters(), context, overflow="window")
    sequence = ("ACGT" * length)[:length]
    pieces = reader.read([sequence]).pieces
    assert [token for piece in pieces for token in piece.ids[1:-1]] == [ord(base) for base in sequence]
    assert max(len(piece.ids) for piece in pieces) <= context
    assert max(piece.tokens for piece in pieces) - min(piece.tokens for piece in pieces) <= 1


class _Letters:
    """One token a letter, 0 before and 1 after."""

    unk_token_id = None

    def __call__(self, texts: str | list[str], *, add_special_tokens: bool = True, **_: object) -> dict[str, object]:
        if isinstance(texts, str):
            return {"input_ids": self._one(texts, add_special_tokens)}
        return {"input_ids": [self._one(text, add_special_tokens) for text in texts]}

    @staticmethod
    def _one(text: str, special: bool) -> list[int]:
        letters = [ord(letter) for letter in text]
        return [0, *letters, 1] if special else letters
