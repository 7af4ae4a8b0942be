from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_samples import FIRST, SPECIAL, corruption, flags, kmer_tokens, ragged, ranks

from glmbench.pretraining.objectives import span_kernels
from glmbench.pretraining.objectives.centres import Batch, draw_centres, window
from glmbench.pretraining.objectives.contiguous import ContiguousMasking
from glmbench.pretraining.objectives.fractions import realised
from glmbench.pretraining.objectives.genemask import GeneMask, RandomSpans, genemask_probability, wide
from glmbench.pretraining.objectives.global_pmi import GlobalPMI, global_probability
from glmbench.pretraining.objectives.objective import MaskingObjective
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.tokenizers.tokenizer import Tokens

WINDOWS = {3: [-1, 0, 1], 4: [-1, 0, 1, 2], 5: [-2, -1, 0, 1, 2], 6: [-2, -1, 0, 1, 2, 3]}


def slow_genemask(ids: list[int], centres: list[int], rank: dict[int, int], special: set[int], k: int) -> set[int]:
    """Section 1.2 of the specification in plain Python: positions of one row with [CLS] at 0; which are hidden."""
    allowed = {i for i, token in enumerate(ids) if token not in special}
    found = []
    for centre in centres:
        candidates = [centre] + [centre + w for w in WINDOWS[k] if w != 0 and centre + w in allowed]
        best = min(candidates, key=lambda i: rank[ids[i]])
        found.append((rank[ids[best]], best, centre))
    found.sort(key=lambda entry: entry[0])
    high = math.ceil(len(found) / 2)
    hidden = set()
    for number, (_, best, centre) in enumerate(found):
        if number < high:
            hidden |= set(range(best - (k - 1), best + k))
        else:
            hidden |= {centre + w for w in WINDOWS[k]}
    return hidden & allowed


def hidden_positions(tokens: Tokens, objective: MaskingObjective, seed: int) -> list[list[int]]:
    hidden = flags(tokens, objective.mask(tokens, np.random.default_rng(seed)))
    return [np.flatnonzero(hidden[a:b]).tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_windows_are_those_of_dnabert(k: int) -> None:
    before, after = window(k)
    assert list(range(-before, after + 1)) == WINDOWS[k]
    assert len(WINDOWS[k]) == k


def test_by_hand() -> None:
    """One row of 40 tokens, [CLS] at 0. Centres at 8, 20 and 33.

    Ranks: 100 everywhere but token 10 (rank 3), 20 (rank 50), 21 (rank 50), 31 (rank 7).
    Centre 8 sees 6..11 and takes 10; centre 20 sees 18..23, 20 and 21 tie and the centre wins; centre 33 takes 31.
    Sorted 10 (3), 31 (7), 20 (50): the better two are widened, 5..15 and 26..36; 20 hides 18..23.
    """
    ids = np.full(42, FIRST, dtype=np.int32)
    ids[0], ids[-1] = SPECIAL.cls, SPECIAL.sep
    ids[[10, 20, 21, 31]] = FIRST + np.array([1, 2, 2, 3])
    values = np.zeros(FIRST + 4, dtype=np.int32)
    values[FIRST:] = [100, 3, 50, 7]
    offsets, bounds = np.array([0, 42]), np.array([0, 3])
    centres = np.array([8, 20, 33])
    eligible = np.arange(FIRST + 4) >= FIRST
    best, scores = span_kernels.best_in_windows(ids, offsets, eligible, ids, values, centres, bounds, *window(6))
    assert best.tolist() == [10, 20, 31]
    assert scores.tolist() == [3, 50, 7]
    high = span_kernels.lower_half(scores, bounds)
    assert high.tolist() == [True, False, True]
    hidden = np.zeros(42, dtype=np.bool_)
    span_kernels.hide_around(ids, offsets, eligible, centres, bounds, ~high, *window(6), hidden)
    span_kernels.hide_around(ids, offsets, eligible, best, bounds, high, *wide(6), hidden)
    assert np.flatnonzero(hidden).tolist() == [*range(5, 16), *range(18, 24), *range(26, 37)]


rows_of_kmers = st.lists(
    st.lists(st.sampled_from([SPECIAL.unknown, *range(FIRST, FIRST + 12)]), max_size=45), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(
    rows=rows_of_kmers, k=st.sampled_from([3, 4, 5, 6]), seed=st.integers(0, 1000), p=st.sampled_from([0.03, 0.2, 1])
)
def test_equals_the_specification_in_plain_python(rows: list[list[int]], k: int, seed: int, p: float) -> None:
    tokens, how = ragged(rows, k=k), corruption(k)
    objective = GeneMask(how, k, ranks(k, seed=seed), p)  # 12 kinds of token: ties within windows are common
    centres = draw_centres(Batch(tokens, how.ordinary), p, np.random.default_rng(seed))
    rank = {i: int(r) for i, r in enumerate(objective.ranks.values)}
    got = hidden_positions(tokens, objective, seed)
    for row, (begin, end) in enumerate(zip(tokens.offsets, tokens.offsets[1:], strict=False)):
        mine = (centres.at[centres.bounds[row] : centres.bounds[row + 1]] - begin).tolist()
        wanted = slow_genemask(tokens.ids[begin:end].tolist(), mine, rank, set(SPECIAL.ids), k)
        assert got[row] == sorted(wanted)


@settings(max_examples=30, deadline=None)
@given(rows=rows_of_kmers, seed=st.integers(0, 1000), p=st.sampled_from([0.03, 0.2, 1]))
def test_contiguous_and_global_equal_plain_python(rows: list[list[int]], seed: int, p: float) -> None:
    tokens, how, table = ragged(rows), corruption(), ranks(seed=seed)
    centres = draw_centres(Batch(tokens, how.ordinary), p, np.random.default_rng(seed))
    contiguous = hidden_positions(tokens, ContiguousMasking(how, 6, p), seed)
    everywhere = hidden_positions(tokens, GlobalPMI(how, 6, table, p), seed)
    for row, (begin, end) in enumerate(zip(tokens.offsets, tokens.offsets[1:], strict=False)):
        ids = tokens.ids[begin:end].tolist()
        mine = (centres.at[centres.bounds[row] : centres.bounds[row + 1]] - begin).tolist()
        allowed = {i for i, token in enumerate(ids) if token not in SPECIAL.ids}
        assert contiguous[row] == sorted({c + w for c in mine for w in WINDOWS[6]} & allowed)
        best = sorted(allowed, key=lambda i: (table.values[ids[i]], i))[: len(mine)]
        assert everywhere[row] == sorted({c + w for c in best for w in range(-5, 6)} & allowed)


def objectives() -> list[MaskingObjective]:
    how, table = corruption(), ranks()
    return [
        ContiguousMasking(how, 6, 0.025),
        GeneMask(how, 6, table, 0.0176),
        GeneMask(how, 6, table, 0.0188),
        RandomSpans(how, 6, 0.0176),
        GlobalPMI(how, 6, table, 0.0136),
    ]


def test_realised_fractions_are_those_of_the_specification() -> None:
    tokens = kmer_tokens(4000, 510)
    contiguous, published, fifteen, spans, _ = (
        realised(tokens, objective.mask(tokens, np.random.default_rng(0)).positions) for objective in objectives()
    )
    assert (published.tokens, published.nucleotides) == pytest.approx((0.141, 0.066), abs=0.002)
    assert fifteen.tokens == pytest.approx(0.150, abs=0.002)
    assert (spans.tokens, spans.nucleotides) == pytest.approx((published.tokens, published.nucleotides), abs=0.002)
    exact = 1 - 0.975**6  # away from the ends; the specification's .144 and .036 are one sample's
    assert (contiguous.tokens, contiguous.nucleotides) == pytest.approx((exact, 0.0345), abs=0.002)


@pytest.mark.parametrize("objective", objectives(), ids=lambda objective: objective.name)
def test_every_one_is_deterministic_and_leaves_special_tokens(objective: MaskingObjective) -> None:
    tokens = kmer_tokens(30, 200)
    tokens.ids[50:60] = SPECIAL.unknown
    first, second = (objective.mask(tokens, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.positions, second.positions)
    assert np.array_equal(first.ids, second.ids)
    assert len(first.positions) > 0
    assert not np.isin(first.targets, SPECIAL.ids).any()
    assert np.array_equal(first.targets, tokens.ids[first.positions])
    empty = objective.mask(ragged([[], []]), np.random.default_rng(0))
    assert empty.positions.shape == (0,)


def test_random_spans_take_any_token_of_the_window_alike() -> None:
    ids = np.tile(np.array([SPECIAL.cls, *[FIRST] * 8, SPECIAL.unknown, *[FIRST] * 8], dtype=np.int32), 3000)
    offsets = np.arange(3001) * 18
    centres, bounds = offsets[:-1] + 8, np.arange(3001)
    eligible = np.arange(FIRST + 4) >= FIRST
    chosen = span_kernels.any_in_windows(ids, offsets, eligible, centres, bounds, 2, 3, np.uint64(1)) - offsets[:-1]
    counts = np.bincount(chosen, minlength=18)
    assert np.flatnonzero(counts).tolist() == [6, 7, 8, 10, 11]  # 9 is unknown
    assert counts[counts > 0] == pytest.approx(600, abs=90)


def test_published_probabilities() -> None:
    assert (genemask_probability(6), global_probability(6)) == (0.0176, 0.0136)


def test_the_ranks_name_the_objective() -> None:
    names = [GeneMask(corruption(), 6, Ranks(name, ranks().values), 0.1).name for name in ("npmi", "inverse")]
    assert names == ["genemask", "genemask-inverse"]
    assert ranks(seed=1).settings() != ranks(seed=2).settings()


def test_the_best_of_long_rows_equal_a_stable_sort() -> None:
    """Rows with more centres than are inserted one by one, and one with fewer; every third id may not be chosen."""
    from glmbench.pretraining.objectives.span_kernels import best_of_rows

    rng = np.random.default_rng(0)
    ids = rng.integers(0, 60, 1_200, dtype=np.int32)
    eligible, ranks = np.arange(60) % 3 > 0, rng.integers(0, 9, 60, dtype=np.int32)
    offsets, bounds = np.array([0, 500, 600, 1_200]), np.array([0, 200, 210, 400])
    chosen = best_of_rows(ids, offsets, eligible, ranks, bounds)
    for row in range(3):
        own = [i for i in range(offsets[row], offsets[row + 1]) if eligible[ids[i]]]
        best = sorted(own, key=lambda i: ranks[ids[i]])[: bounds[row + 1] - bounds[row]]
        assert chosen[bounds[row] : bounds[row + 1]].tolist() == best
