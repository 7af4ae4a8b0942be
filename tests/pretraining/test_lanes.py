"""Lanes: what a row continues, that both strands are read once, and that an epoch can be entered anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.genomes.codes import Genome, genome_from_codes
from glmbench.pretraining.lanes import Chunks, LaneBatches, Lanes
from glmbench.sequences.typing import Codes


def codes(text: str) -> Codes:
    return np.array(["ACGTN".index(letter) for letter in text], dtype=np.uint8)


def random_genome(lengths: list[int], seed: int = 0, n_at: int | None = None) -> Genome:
    rng = np.random.default_rng(seed)
    contigs = {f"c{i}": rng.integers(0, 4, length).astype(np.uint8) for i, length in enumerate(lengths)}
    if n_at is not None:
        contigs["c0"][n_at : n_at + 3] = 4
    return genome_from_codes(contigs)


def text(row: Codes) -> str:
    return "".join("ACGTN"[code] for code in row)


def test_one_lane_by_hand() -> None:
    """13 bases are 4 chunks of 3 targets and nothing left over, so that only the first chunk of the epoch is random."""
    lanes = Lanes(genome_from_codes({"c": codes("ACGTTGCAACCGT")}), lanes=1, length=3, both_strands=False)
    found = [(text(step.codes[0]), bool(step.fresh[0])) for step in lanes.epoch(0)]
    written = ["ACGT", "TTGC", "CAAC", "CCGT"]
    first = written.index(found[0][0])
    expected = written[first:] + written[:first]
    assert [row for row, _ in found] == expected
    assert [fresh for _, fresh in found] == [i == 0 or row == "ACGT" for i, row in enumerate(expected)]


def test_lookahead_follows_the_targets_and_the_other_strand_is_the_reverse_complement() -> None:
    genome = genome_from_codes({"c": codes("AACCGGTTAC")})  # 1 + 2 * 3 + 3: two chunks in each direction
    rows = {text(step.codes[0]) for step in Lanes(genome, lanes=1, length=3, lookahead=3).epoch(0)}
    assert rows == {"AACCGGT", "CGGTTAC", "GTAACCG", "ACCGGTT"}


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    lanes=st.integers(1, 4),
    length=st.integers(1, 9),
    lookahead=st.integers(0, 6),
    epoch=st.integers(0, 3),
)
def test_rows_continue_each_other_and_no_target_comes_twice(
    lengths: list[int], lanes: int, length: int, lookahead: int, epoch: int
) -> None:
    genome = genome_from_codes({f"c{i}": np.zeros(n, dtype=np.uint8) for i, n in enumerate(lengths)})
    # Numbers that tell where a base is from: 10 and more, neighbours differ by 1; 3 - x on the other strand.
    places = np.concatenate([10 * (i + 1) + sum(lengths[:i]) + np.arange(n) for i, n in enumerate(lengths)])
    marked = Genome(places, genome.contigs, genome.n_runs)
    chunks = [max(n - 1 - lookahead, 0) // length for n in lengths]
    if 2 * sum(chunks) < lanes:
        with pytest.raises(DataError, match="fewer lanes"):
            Lanes(marked, lanes=lanes, length=length, lookahead=lookahead)
        return
    source = Lanes(marked, lanes=lanes, length=length, lookahead=lookahead)
    steps = list(source.epoch(epoch))
    assert len(steps) == len(source) == 2 * sum(chunks) // lanes
    seen: list[tuple[int, ...]] = []
    for before, step in zip([None, *steps[:-1]], steps, strict=True):
        for row in range(lanes):
            at = step.codes[row]
            assert set(np.diff(at).tolist()) == {1}
            if before is None:
                assert step.fresh[row]
            elif not step.fresh[row]:
                assert at[0] == before.codes[row][length]
            seen.append(tuple(at[1 : 1 + length]))
    assert len({target for targets in seen for target in targets}) == sum(map(len, seen))


def test_no_chunk_holds_an_n_or_crosses_contigs_and_nearly_all_is_read() -> None:
    genome = random_genome([500, 40, 300], n_at=200)
    lanes = Lanes(genome, lanes=3, length=16, lookahead=4)
    rows = [text(row) for step in lanes.epoch(0) for row in step.codes]
    contigs = [text(genome.fetch(f"c{i}")) for i in range(3)]
    strands = [*contigs, *(c[::-1].translate(str.maketrans("ACGT", "TGCA")) for c in contigs)]
    assert all(any(row in strand for strand in strands) for row in rows)
    assert "N" not in "".join(rows)
    chunks = 2 * (195 // 16 + 292 // 16 + 35 // 16 + 295 // 16)
    assert chunks - 3 < len(rows) <= chunks


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_an_epoch_can_be_entered_anywhere(epoch: int) -> None:
    source = Lanes(random_genome([700, 90]), lanes=4, length=8, lookahead=2, seed=5)
    whole = list(source.epoch(epoch))
    for start in (1, 3, len(source) - 1):
        rest = list(source.epoch(epoch, start=start))
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))


def same(a: Chunks, b: Chunks) -> bool:
    return np.array_equal(a.codes, b.codes) and np.array_equal(a.fresh, b.fresh)


def test_epochs_and_seeds_differ_and_the_same_are_the_same() -> None:
    genome = random_genome([2000])
    first, again, other = (Lanes(genome, lanes=2, length=30, seed=seed) for seed in (1, 1, 2))
    start = next(first.epoch(0))
    assert same(start, next(again.epoch(0)))
    assert not same(start, next(first.epoch(1)))
    assert not same(start, next(other.epoch(0)))
    assert first.content_hash() == again.content_hash() != other.content_hash()
    assert Lanes(random_genome([2000], seed=1), lanes=2, length=30, seed=1).content_hash() != first.content_hash()


def test_batches_hold_ids_and_the_bases_to_predict() -> None:
    lanes = Lanes(random_genome([400]), lanes=2, length=10, lookahead=3)
    batches = LaneBatches(lanes, (5, 6, 7, 8))
    assert len(batches) == len(lanes)
    for batch, step in zip(batches.epoch(2, start=1), lanes.epoch(2, start=1), strict=True):
        ids, fresh = batch.inputs
        assert ids is not None
        assert np.array_equal(ids.numpy(), step.codes + 5)
        assert np.array_equal(fresh.numpy(), step.fresh)
        assert np.array_equal(batch.targets.numpy(), step.codes[:, 1:11].ravel())
        assert (batch.weight, batch.size, batch.bases) == (20, 20, 20)


def test_processes_cannot_share_lanes() -> None:
    batches = LaneBatches(Lanes(random_genome([400]), lanes=2, length=10), (5, 6, 7, 8))
    with pytest.raises(Unsupported, match="one process"):
        next(batches.epoch(0, start=1, every=2))


@pytest.mark.parametrize("numbers", [{"lanes": 0}, {"lanes": 1, "length": 0}, {"lanes": 1, "lookahead": -1}])
def test_impossible_numbers_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Lanes(random_genome([400]), **numbers)
