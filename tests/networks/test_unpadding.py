from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.networks.unpadding import find_rows, positions, sequence_of, uniform_packing


def test_padding_is_taken_out_on_either_side() -> None:
    ids = torch.tensor([[7, 8, 0], [0, 0, 9], [0, 0, 0], [4, 5, 6]])
    rows = find_rows(ids, torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]]))
    assert rows.packing.lengths == (2, 1, 3)
    assert rows.packing.offsets.tolist() == [0, 2, 3, 6]
    assert rows.packing.offsets.dtype == torch.int32
    assert rows.pack(ids).tolist() == [7, 8, 9, 4, 5, 6]
    assert positions(rows.packing).tolist() == [0, 1, 0, 0, 1, 2]
    assert sequence_of(rows.packing).tolist() == [0, 0, 1, 2, 2, 2]


def test_nothing_is_gathered_without_padding() -> None:
    ids = torch.arange(6).view(2, 3)
    for mask in (None, torch.ones(2, 3)):
        rows = find_rows(ids, mask)
        assert rows.index is None
        assert rows.packing.uniform
        assert rows.packing.offsets.tolist() == [0, 3, 6]
        assert rows.pad(rows.pack(ids)).tolist() == ids.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.booleans())
def test_padding_comes_back_as_zeros(lengths: list[int], left: bool) -> None:
    mask = torch.zeros(len(lengths), 5, dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, 5 - length if left else 0 : 5 if left else length] = 1
    x = torch.rand(len(lengths), 5, 2) + 1
    rows = find_rows(mask, mask)
    assert torch.equal(rows.pad(rows.pack(x)), x * mask[:, :, None])
    assert rows.packing.tokens == sum(lengths)


def test_a_uniform_packing_has_equal_steps() -> None:
    assert uniform_packing(3, 4, torch.device("cpu")).offsets.tolist() == [0, 4, 8, 12]
