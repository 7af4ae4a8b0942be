from __future__ import annotations

import csv
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from objective_samples import FIRST, SPECIAL, corruption, flags, kmer_tokens, ragged, ranks

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.centres import Batch, draw_centres
from glmbench.pretraining.objectives.fractions import realised
from glmbench.pretraining.objectives.ranks import Ranks
from glmbench.pretraining.objectives.released import PROTOCOLS, Protocol, ReleasedGeneMask

OFFSETS = (-2, -1, 1, 2, 3)


def released(protocol: Protocol, *, table: Ranks | None = None, p: float = 0.0176) -> ReleasedGeneMask:
    return ReleasedGeneMask(replace(corruption(), replacements="all"), 6, table or ranks(), protocol, p)


def slow_released(last: int, centres: list[int], rank_at: list[int], protocol: Protocol) -> set[int]:
    """Section 1.3 of the specification in plain Python: positions 1 to `last` of one row; which are hidden."""
    hidden, found, centre = set(centres), [], 0
    for centre in set(centres):
        best = centre
        for offset in OFFSETS:
            if 1 <= centre + offset <= last:
                hidden.add(centre + offset)
                if rank_at[centre + offset] < rank_at[best]:
                    best = centre + offset
        found.append((rank_at[best], best))
    half = math.ceil(len(found) / 2)
    if protocol == "released-2025-03" and half >= 5:
        found.sort(key=lambda entry: entry[0])
    for _, best in found if half < 5 else found[:half]:
        middle = centre if protocol == "released-2023-07" else best
        hidden |= {i for i in range(middle - 5, middle + 6) if 1 <= i <= last}
    return hidden


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("p", [0.01, 0.0176, 0.05])
def test_equals_the_described_code_in_plain_python(protocol: Protocol, p: float) -> None:
    rng = np.random.default_rng(5)
    lengths = [510, 300, 7, 1, 0, 480, 64, 510]
    tokens = ragged([rng.integers(FIRST, FIRST + 4096, n).tolist() for n in lengths])
    tokens.ids[20:30] = SPECIAL.unknown
    objective = released(protocol, p=p)
    rank_at = [0] * FIRST + objective.ranks.values[FIRST:].tolist()
    for seed in range(5):
        centres = draw_centres(Batch(tokens, objective.eligible), p, np.random.default_rng(seed))
        hidden = flags(tokens, objective.mask(tokens, np.random.default_rng(seed)))
        for row, length in enumerate(lengths):
            begin, end = tokens.offsets[row], tokens.offsets[row + 1]
            mine = (centres.at[centres.bounds[row] : centres.bounds[row + 1]] - begin).tolist()
            assert set(np.flatnonzero(hidden[begin:end]).tolist()) == slow_released(length, mine, rank_at, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_unrelated_batches_get_the_same_mask(protocol: Protocol) -> None:
    one, other = kmer_tokens(16, 510, seed=1), kmer_tokens(16, 510, seed=2)
    assert np.mean(one.ids == other.ids) < 0.01
    objective = released(protocol)
    masks = [objective.mask(tokens, np.random.default_rng(0)).positions for tokens in (one, other)]
    assert np.array_equal(*masks)


@pytest.mark.parametrize(
    ("protocol", "tokens", "nucleotides"),
    [("released-2023-07", 0.110, 0.032), ("released-2023-09", 0.151, 0.077), ("released-2025-03", 0.152, 0.078)],
)
def test_realised_fractions_are_those_of_the_specification(
    protocol: Protocol, tokens: float, nucleotides: float, shared_data: Path
) -> None:
    batch = kmer_tokens(4000, 510)
    masked = released(protocol, table=published_ranks(shared_data)).mask(batch, np.random.default_rng(0))
    hidden = realised(batch, masked.positions)
    assert (hidden.tokens, hidden.nucleotides) == pytest.approx((tokens, nucleotides), abs=0.0025)
    by_position = flags(batch, masked).reshape(4000, 512)[:, 1:-1].mean(axis=0)
    if protocol == "released-2025-03":  # fixed hot spots, whatever the sequences
        assert by_position.max() == pytest.approx(0.25, abs=0.03)
        assert {469, 470, 478, 479} <= set((np.argsort(-by_position)[:12] + 1).tolist())


def test_unknown_tokens_can_be_hidden_and_frames_cannot() -> None:
    batch = ragged([[SPECIAL.unknown] * 20] * 50)
    masked = released("released-2025-03", p=0.2).mask(batch, np.random.default_rng(0))
    assert set(masked.targets.tolist()) == {SPECIAL.unknown}


def test_a_sequence_longer_than_the_vocabulary_is_refused() -> None:
    small = ReleasedGeneMask(corruption(1), 1, Ranks("npmi", np.zeros(9, np.int32)), "released-2023-07", 0.1)
    with pytest.raises(UsageError, match=r"12 tokens.* 9 ids"):
        small.mask(kmer_tokens(1, 10, k=1), np.random.default_rng(0))


def published_ranks(shared_data: Path) -> Ranks:
    """The released ranking on DNABERT's ids."""
    with (shared_data / "genemask" / "Data-A_norm-pmi-score-ranking.csv").open() as file:
        rank = {row["ngram"]: int(float(row["norm_pmi_rank_rel"])) for row in csv.DictReader(file)}
    values = [0] * FIRST + [rank["".join(kmer)] for kmer in product("ATCG", repeat=6)]
    return Ranks("npmi", np.array(values, dtype=np.int32))
