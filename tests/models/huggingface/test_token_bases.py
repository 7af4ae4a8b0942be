from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glmbench.models.huggingface.token_bases import bases_of, mask_id, one_base_changed, spelled, token_bases
from glmbench.tokenizers import tokenizer as ours
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.bpe import from_merges
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer

BPE = from_merges([("A", "C"), ("AC", "G"), ("T", "T")])


class _Named:
    """As much of a tokenizer as is asked here."""

    def __init__(self, tokens: dict[str, int], unknown: int | None = None, mask: int | None = None) -> None:
        self._tokens, self.unk_token_id, self.mask_token_id = tokens, unknown, mask
        self.all_special_ids = [index for token, index in tokens.items() if token.startswith(("[", "<"))]

    def get_vocab(self) -> dict[str, int]:
        return self._tokens


@pytest.mark.parametrize("tokenizer", [CharacterTokenizer(), KmerTokenizer(3), BlocksTokenizer(3), BPE])
def test_tokens_saved_by_us_spell_the_same_for_transformers(tmp_path: Path, tokenizer: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(tmp_path)
    np.testing.assert_array_equal(token_bases(AutoTokenizer.from_pretrained(tmp_path)), ours.token_bases(tokenizer))


def test_marks_of_words_are_no_letters() -> None:
    tokens = {"[UNK]": 0, "▁AC": 1, "ĠG": 2, "##tt": 3, "A</w>": 4, "C@@": 5, "<0x41>": 6, "the": 7, "ANT": 9}
    named = _Named(tokens, unknown=0)
    assert spelled(named) == ["", "AC", "G", "TT", "A", "C", "", "THE", "", "ANT"]
    codes = {1: [0, 1, -1], 2: [2, -1, -1], 3: [3, 3, -1], 4: [0, -1, -1], 5: [1, -1, -1], 9: [0, -1, 3]}
    table = token_bases(named)
    assert table.dtype == np.int8
    for index, row in enumerate(table):
        assert row.tolist() == codes.get(index, [-1, -1, -1])


def test_an_unknown_token_that_is_called_like_a_base_spells_none() -> None:
    assert spelled(_Named({"N": 0, "A": 1}, unknown=0)) == ["", "A"]


def test_one_base_changed_by_hand() -> None:
    letters = ["", "AC", "AG", "T", "TC", "C", "AN", "AC"]
    table = one_base_changed(letters)
    assert table.shape == (8, 2, 4)
    assert table[1].tolist() == [[1, -1, -1, 4], [-1, 1, 2, -1]]
    assert table[3].tolist() == [[-1, 5, -1, 3], [-1] * 4]
    assert (table[[0, 6]] == -1).all()
    assert table[7].tolist() == table[1].tolist()


def test_one_base_changed_differs_there_only() -> None:
    letters = list(BlocksTokenizer(3).vocabulary)[4:-1]
    table, bases = one_base_changed(letters), bases_of(letters)
    for index, place in ((0, 1), (17, 2), (40, 0)):
        for base, other in enumerate(table[index, place]):
            wanted = bases[index].copy()
            wanted[place] = base
            np.testing.assert_array_equal(bases[other], wanted)


def test_the_mask_is_found_by_name_where_it_is_not_stated() -> None:
    assert mask_id(_Named({"[MASK]": 3}, mask=7)) == 7
    assert mask_id(_Named({"<mask>": 3, "A": 4})) == 3
    assert mask_id(_Named({"A": 4})) is None
