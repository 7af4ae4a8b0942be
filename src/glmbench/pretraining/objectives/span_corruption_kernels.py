"""Numba kernels of T5's span corruption; imported only where they are called."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _cut(rng: np.random.Generator, total: int, parts: int, out: NDArray[np.int64]) -> None:
    """Lengths of `parts` pieces of at least one, all ways to cut `total` equally likely.

    The cuts are a uniform choice of `parts - 1` of the `total - 1` gaps, drawn in one pass (Knuth, TAOCP 2, 3.4.2 S).
    """
    part, begin, wanted = 0, 0, parts - 1
    for gap in range(1, total):
        if wanted > 0 and rng.random() * (total - gap) < wanted:
            out[part] = gap - begin
            part, begin, wanted = part + 1, gap, wanted - 1
    out[part] = total - begin


@njit(cache=True, nogil=True)
def draw_spans(
    rng: np.random.Generator, lengths: NDArray[np.int64], noise: NDArray[np.int64], spans: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths of kept and of hidden pieces of each row, in turns, kept first: int64 (all spans,) each."""
    total = spans.sum()
    kept, hidden = np.empty(total, np.int64), np.empty(total, np.int64)
    at = 0
    for row in range(lengths.size):
        if spans[row] == 0:
            continue
        until = at + spans[row]
        _cut(rng, noise[row], spans[row], hidden[at:until])
        _cut(rng, lengths[row] - noise[row], spans[row], kept[at:until])
        at = until
    return kept, hidden


@njit(cache=True, nogil=True)
def split(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    covers: NDArray[np.bool_],
    spans: NDArray[np.int64],
    kept: NDArray[np.int64],
    hidden: NDArray[np.int64],
    first_sentinel: int,
    end: int,
    encoder: NDArray[np.int32],
    encoder_offsets: NDArray[np.int64],
    decoder: NDArray[np.int32],
    decoder_offsets: NDArray[np.int64],
) -> None:
    """Write what encoder and decoder get; tokens that cover no base go to the encoder and count for nothing."""
    e = d = at = 0
    for row in range(offsets.size - 1):
        last = at + spans[row]
        first = at
        to_keep = kept[at] if spans[row] else offsets[row + 1]
        to_hide = 0
        for i in range(offsets[row], offsets[row + 1]):
            if not covers[i]:
                encoder[e] = ids[i]
                e += 1
                continue
            if to_keep == 0 and to_hide == 0:
                to_keep = kept[at]
            if to_keep > 0:
                encoder[e] = ids[i]
                e += 1
                to_keep -= 1
                if to_keep == 0:
                    to_hide = -hidden[at]  # negative: its sentinel is not written yet
                continue
            if to_hide < 0:
                encoder[e] = decoder[d] = first_sentinel + at - first
                e, d, to_hide = e + 1, d + 1, -to_hide
            decoder[d] = ids[i]
            d += 1
            to_hide -= 1
            if to_hide == 0:
                at += 1
        at = last
        if spans[row]:
            decoder[d] = end
            d += 1
        encoder_offsets[row + 1], decoder_offsets[row + 1] = e, d
