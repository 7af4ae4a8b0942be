"""ALiBi: attention that fades linearly with distance, in place of position embeddings (Press et al., ICLR 2022)."""

from __future__ import annotations


def alibi_slopes(heads: int) -> tuple[float, ...]:
    """The slope of each head: its scores are lowered by slope x |i - j|.

    For a power of two n, slope k of 1 … n is 2^(-8k/n). Other numbers of heads take the slopes of the next lower power
    of two p, then every second slope of 2p; the order matters, checkpoints depend on it.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * k / power) for k in range(1, power + 1)]
    between = [2.0 ** (-4 * k / power) for k in range(1, 2 * power + 1, 2)]
    return (*slopes, *between[: heads - power])
