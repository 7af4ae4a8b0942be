from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_samples import FIRST, SPECIAL

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.span_corruption import Corrupted, SpanCorruption
from glmbench.pretraining.objectives.span_corruption_kernels import draw_spans
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokens, with_ends

SENTINEL = 1000


def tokens_of(lengths: list[int], *, width: int = 4, special: SpecialTokens = SPECIAL) -> Tokens:
    """Tokens of `width` bases each, ids counting up over the batch."""
    total = sum(lengths)
    starts = np.concatenate([np.arange(n) * width for n in lengths]).astype(np.int32)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    ids = (FIRST + np.arange(total) % 900).astype(np.int32)
    return with_ends(Tokens(ids, offsets, starts, starts + width), special)


def row(ids: np.ndarray, offsets: np.ndarray, number: int) -> list[int]:
    return ids[offsets[number] : offsets[number + 1]].tolist()


def put_together(corrupted: Corrupted, number: int, end: int) -> list[int]:
    """The row that encoder and decoder came from, by putting spans back where their sentinels are."""
    decoder = row(corrupted.decoder_ids, corrupted.decoder_offsets, number)
    if decoder:
        assert decoder.pop() == end
    spans: dict[int, list[int]] = {}
    for token in decoder:
        if token >= SENTINEL:
            spans[token] = current = []
        else:
            current.append(token)
    assert list(spans) == list(range(SENTINEL, SENTINEL + len(spans)))
    assert all(spans.values())
    whole: list[int] = []
    for token in row(corrupted.encoder_ids, corrupted.encoder_offsets, number):
        whole += spans.pop(token) if token >= SENTINEL else [token]
    assert not spans
    return whole


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 80), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    fraction=st.sampled_from([0.05, 0.15, 0.5, 0.9]),
    mean=st.sampled_from([1.0, 3.0, 8.0]),
    sep=st.booleans(),
)
def test_encoder_and_decoder_hold_the_whole_row(
    lengths: list[int], seed: int, fraction: float, mean: float, sep: bool
) -> None:
    special = SPECIAL if sep else SpecialTokens(unknown=1, cls=2, sep=None, pad=0, mask=4)
    tokens = tokens_of(lengths, special=special)
    corrupted = SpanCorruption(special, SENTINEL, fraction, mean).corrupt(tokens, np.random.default_rng(seed))
    for number, length in enumerate(lengths):
        assert put_together(corrupted, number, 3 if sep else 2) == row(tokens.ids, tokens.offsets, number)
        inside = corrupted.hidden[
            (corrupted.hidden >= tokens.offsets[number]) & (corrupted.hidden < tokens.offsets[number + 1])
        ]
        assert len(inside) == (0 if length < 2 else min(max(round(fraction * length), 1), length - 1))
        decoder = row(corrupted.decoder_ids, corrupted.decoder_offsets, number)
        assert tokens.ids[inside].tolist() == [token for token in decoder[:-1] if token < SENTINEL]


def test_sizes_of_512_tokens_are_t5s() -> None:
    corrupted = SpanCorruption(SPECIAL, SENTINEL).corrupt(tokens_of([512] * 20), np.random.default_rng(0))
    assert np.diff(corrupted.encoder_offsets).tolist() == [512 - 77 + 26 + 2] * 20  # 77 hidden in 26 spans
    assert np.diff(corrupted.decoder_offsets).tolist() == [77 + 26 + 1] * 20


def test_all_ways_to_cut_are_equally_likely() -> None:
    rng, rows = np.random.default_rng(0), 6000
    lengths, noise, spans = (np.full(rows, n, dtype=np.int64) for n in (10, 4, 3))
    kept, hidden = draw_spans(rng, lengths, noise, spans)
    for pieces, total in ((hidden, 4), (kept, 6)):
        ways, counts = np.unique(pieces.reshape(rows, 3), axis=0, return_counts=True)
        wanted = sorted((a, b - a, total - b) for a, b in combinations(range(1, total), 2))
        assert sorted(map(tuple, ways.tolist())) == wanted
        assert counts == pytest.approx(rows / len(wanted), rel=0.15)


@pytest.mark.parametrize("width", [1, 2, 4, 6])
def test_base_matched_spans_hide_as_many_bases_whatever_the_token(width: int) -> None:
    objective = SpanCorruption(SPECIAL, SENTINEL, mean_tokens=None, mean_bases=12.0)
    tokens = tokens_of([1800 // width] * 5, width=width)
    corrupted = objective.corrupt(tokens, np.random.default_rng(0))
    spans = np.count_nonzero(corrupted.decoder_ids >= SENTINEL) / 5
    bases = len(corrupted.hidden) * width / 5
    assert bases == pytest.approx(270, abs=width)
    assert bases / spans == pytest.approx(12, abs=0.6)


def test_deterministic_and_refusals() -> None:
    tokens = tokens_of([200, 30])
    objective = SpanCorruption(SPECIAL, SENTINEL)
    first, second = (objective.corrupt(tokens, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first.encoder_ids, second.encoder_ids)
    assert np.array_equal(first.decoder_ids, second.decoder_ids)
    with pytest.raises(UsageError, match=r"10 spans in a row of 200 tokens and has 5 sentinels"):
        SpanCorruption(SPECIAL, SENTINEL, sentinels=5).corrupt(tokens, np.random.default_rng(1))
    with pytest.raises(UsageError, match="None for the other"):
        SpanCorruption(SPECIAL, SENTINEL, mean_bases=12)
    with pytest.raises(UsageError, match="between 0 and 1"):
        SpanCorruption(SPECIAL, SENTINEL, fraction=15)
