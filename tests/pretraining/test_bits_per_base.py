import math
from hashlib import sha256

import numpy as np
import polars as pl
import pytest
from bases_factory import hidden_bases

from glmbench.errors import DataError
from glmbench.pretraining.bits_per_base import FROZEN, FrozenEvaluation, describe, difference, hide_bases, measure
from glmbench.pretraining.corpus import build_corpus
from glmbench.pretraining.held_out import HeldOut
from glmbench.sequences.alphabet import decode


class Says:
    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities, dtype=float)

    def log_probabilities(self, hidden):
        return np.log(np.broadcast_to(self.probabilities, (len(hidden.window), 4)).copy())


def fixed_dna(name, bases):
    """Bases that no version of a library changes."""
    blocks = (sha256(f"{name}{i}".encode()).digest() for i in range(bases // 32 + 1))
    return decode(np.frombuffer(b"".join(blocks), dtype=np.uint8)[:bases] % 4)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hide")
    contigs = {name: fixed_dna(name, bases) for name, bases in {"I": 5_000, "II": 9_000}.items()}
    contigs["III"] = contigs["I"][:100] + "N" + contigs["I"][:50]
    (folder / "one.fa").write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    return build_corpus([folder / "one.fa"], folder / "corpus", held_out=HeldOut(contigs=("II", "III")))


def test_windows_and_hidden_bases(corpus):
    hidden = hide_bases(corpus)
    # 18 windows of contig II, one of the first stretch of III, none of its second, which is shorter than 64 bases.
    assert hidden.places["contig"].to_list() == ["II"] * 18 + ["III"]
    assert hidden.places["start"].to_list() == [*range(0, 8_640, 480), 0]
    assert hidden.windows.lengths.tolist() == [480] * 18 + [100]
    assert np.bincount(hidden.window).tolist() == [15] * 18 + [3]
    assert set(np.unique(hidden.position % 32)) == set(range(8, 24))
    at = hidden.window * 1_000 + hidden.position
    assert np.diff(at).min() >= 17
    for window, position, base in zip(hidden.window, hidden.position, hidden.truth, strict=True):
        contig, start = hidden.places["contig"][int(window)], hidden.places["start"][int(window)]
        assert corpus.shards[0].fetch(contig, start + position, start + position + 1)[0] == base


def test_the_frozen_choice_never_changes(corpus):
    """What was published under version 1 stays comparable: a change of these numbers needs a new version."""
    hidden = hide_bases(corpus, FrozenEvaluation(windows=2))
    assert hidden.places.select("contig", "start").rows() == [("II", 2400), ("II", 4320)]
    assert hidden.position[:5].tolist() == [22, 49, 73, 112, 142]
    assert FrozenEvaluation(version=1, window=480, spacing=32, windows=512, shortest=64, seed=1) == FROZEN


def test_fewer_windows_are_a_choice_of_all(corpus):
    every, some = hide_bases(corpus), hide_bases(corpus, FrozenEvaluation(windows=5))
    assert some.places.height == 5
    kept = {place: index for index, place in enumerate(every.places.rows())}
    for window, place in enumerate(some.places.rows()):
        assert some.position[some.window == window].tolist() == every.position[every.window == kept[place]].tolist()
    assert describe(FROZEN, every)["asked_bases"] == 18 * 15 + 3


def test_nothing_held_out(corpus, tmp_path):
    source = corpus.folder.parent / "one.fa"
    nothing = build_corpus([source], tmp_path / "corpus", held_out=HeldOut(fraction=0))
    with pytest.raises(DataError, match="nothing to evaluate on"):
        hide_bases(nothing)


def test_neighbours_by_hand():
    hidden = hidden_bases(["ACGT", "TTA"], [(0, 3), (1,)])
    assert [decode(row) for row in hidden.around(2, 1)] == ["NNAC", "CGTN", "NTTA"]


def test_bits_and_accuracy_by_hand():
    hidden = hidden_bases(["AAAA", "CCCC"], [(0, 2), (1, 3)])
    result = measure(Says([0.5, 0.125, 0.25, 0.125]), hidden)
    assert result.bits.tolist() == [1, 1, 3, 3]
    assert result.value == 2
    assert result.accuracy == 0.5
    assert result.positions["position"].to_list() == [0, 2, 100_001, 100_003]
    assert result.blocks.tolist() == [0, 0, 1, 1]
    assert result.interval == (1, 3)
    assert result.by_species().rows() == [("toy", 4, 2.0, 0.5)]


def test_the_interval_resamples_blocks():
    rng = np.random.default_rng(1)
    hidden = hidden_bases(["A" * 100 if a else "C" * 100 for a in rng.integers(0, 2, 200)], [range(100)] * 200)
    result = measure(Says([0.6, 0.2, 0.1, 0.1]), hidden)
    by_block = result.bits.reshape(200, 100).mean(axis=1)
    low, high = result.interval
    standard_error = by_block.std(ddof=1) / math.sqrt(200)
    assert (high - low) / (2 * 1.96 * standard_error) == pytest.approx(1, abs=0.1)
    one = measure(Says([0.25] * 4), hidden_bases(["AC"], [(0,)]))
    assert one.value == 2
    assert all(map(math.isnan, one.interval))


def test_paired_differences():
    hidden = hidden_bases(["AAAA", "CCCC"], [(0, 2), (1, 3)])
    a, b = (measure(Says(p), hidden) for p in ([0.5, 0.125, 0.25, 0.125], [0.25] * 4))
    assert difference(a, b) == (0, (-1, 1))
    assert difference(a, a) == (0, (0, 0))
    with pytest.raises(DataError, match="different hidden bases"):
        difference(a, measure(Says([0.25] * 4), hidden_bases(["AAAA"], [(0, 2)])))


@pytest.mark.parametrize("wrong", [[0.5, 0.5, 0.5, 0.5], [float("nan")] * 4])
def test_predictions_that_are_no_probabilities(wrong):
    with pytest.raises(DataError, match="rows sum to 1"):
        measure(Says(wrong), hidden_bases(["ACGT"], [(0,)]))


def test_positions_are_a_plain_table(tmp_path):
    result = measure(Says([0.25] * 4), hidden_bases(["ACGT"], [(0, 2)]))
    result.positions.write_parquet(tmp_path / "positions.parquet")
    assert pl.read_parquet(tmp_path / "positions.parquet").equals(result.positions)
    names = ("shard", "species", "contig", "position", "window", "base", "predicted", "log_p")
    assert tuple(result.positions.columns) == names
