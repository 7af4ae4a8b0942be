import numpy as np
import pytest

from glmbench.errors import DataError
from glmbench.pretraining.corpus import build_corpus
from glmbench.pretraining.crops import BaseCrops, Crops, first_tokens
from glmbench.pretraining.held_out import HeldOut
from glmbench.sequences.alphabet import decode
from glmbench.sequences.encoding import reverse_complement
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer


def dna(bases, seed):
    return decode(np.random.default_rng(seed).integers(0, 4, bases).astype(np.uint8))


SEQUENCES = {"long": dna(3_000, 0), "held": dna(500, 1), "short": dna(120, 2), "tiny": dna(20, 3)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    (folder / "one.fa").write_text(f">long\n{SEQUENCES['long']}\n>held\n{SEQUENCES['held']}\n")
    (folder / "two.fa").write_text(f">short\n{SEQUENCES['short']}NN{SEQUENCES['tiny']}\n")
    sources = [folder / "one.fa", folder / "two.fa"]
    return build_corpus(sources, folder / "corpus", held_out=HeldOut(contigs=("held",)))


def drawn(crops, batches):
    return [decode(batch[i]) for n in range(batches) for batch in [crops.batch(0, n)] for i in range(len(batch))]


def test_crops_are_from_the_training_stretches_on_either_strand(corpus):
    crops = drawn(BaseCrops(corpus, crop=200, batch=50, seed=1), 40)
    forward = [c for c in crops if c in SEQUENCES["long"] or c == SEQUENCES["short"]]
    backward = [c for c in crops if reverse_complement(c) in SEQUENCES["long"] or c not in forward]
    assert len(forward) + len(backward) == len(crops)
    assert all(reverse_complement(c) in SEQUENCES["long"] + "-" + SEQUENCES["short"] for c in backward)
    assert abs(len(forward) / len(crops) - 0.5) < 4 * 0.5 / len(crops) ** 0.5
    short = sum(len(crop) == 120 for crop in crops)
    assert abs(short - 2_000 * 120 / 3_120) < 4 * (2_000 * 120 / 3_120) ** 0.5


def test_every_start_is_equally_likely(corpus):
    crops = BaseCrops(corpus, crop=2_991, batch=1_000, seed=3, both_strands=False, shortest=2_991)
    starts = [SEQUENCES["long"].index(crop) for crop in drawn(crops, 2)]
    counts = np.bincount(starts, minlength=10)
    assert counts.size == 10
    assert np.abs(counts - 200).max() < 4 * 200**0.5


def test_a_batch_is_a_function_of_seed_epoch_and_number(corpus):
    crops = BaseCrops(corpus, crop=100, batch=8, seed=1)
    again = BaseCrops(corpus, crop=100, batch=8, seed=1)
    crops.batch(0, 0)
    assert np.array_equal(crops.batch(2, 5).codes, again.batch(2, 5).codes)
    others = (crops.batch(2, 6), crops.batch(1, 5), BaseCrops(corpus, crop=100, batch=8, seed=2).batch(2, 5))
    assert all(not np.array_equal(crops.batch(2, 5).codes, other.codes) for other in others)


def test_parts_of_a_batch_are_the_batch(corpus):
    crops = BaseCrops(corpus, crop=100, batch=7, seed=1)
    parts = [crops.batch(0, 3, slice(rank, None, 2)) for rank in range(2)]
    whole = crops.batch(0, 3)
    assert [decode(whole[i]) for i in range(7)] == [decode(parts[i % 2][i // 2]) for i in range(7)]


def test_epoch_length_and_windows(corpus):
    crops = BaseCrops(corpus, crop=150, batch=5, seed=1, shortest=150)
    assert len(crops) == 3_000 // 750
    assert crops.windows(0, 1).shape == (5, 150)
    with pytest.raises(ValueError, match="construct with shortest=150"):
        BaseCrops(corpus, crop=150, batch=5, seed=1).windows(0, 0)


def test_held_out_crops(corpus):
    crops = drawn(BaseCrops(corpus, crop=60, batch=20, seed=1, part="held_out", both_strands=False), 2)
    assert all(crop in SEQUENCES["held"] for crop in crops)


def test_no_stretch_is_long_enough(corpus):
    with pytest.raises(DataError, match="no crop of 4000 bases: the longest training stretch without N has 3000"):
        BaseCrops(corpus, crop=4_000, batch=1, seed=0, shortest=4_000)


def test_tokens_have_ends_and_are_cut(corpus):
    bases = BaseCrops(corpus, crop=200, batch=16, seed=1)
    tokenizer = KmerTokenizer(6)
    batch = Crops(bases, tokenizer).batch(0, 0)
    codes = bases.batch(0, 0)
    assert batch.bases == len(codes.codes)
    assert batch.tokens.lengths.tolist() == (codes.lengths - 5 + 2).tolist()
    assert (batch.tokens.ids[batch.tokens.offsets[:-1]] == tokenizer.special.cls).all()
    cut = Crops(bases, tokenizer, max_tokens=102).batch(0, 0)
    assert cut.tokens.lengths.max() == 102
    assert cut.bases == np.minimum(codes.lengths, 105).sum()
    assert (cut.tokens.ids[cut.tokens.offsets[1:] - 1] == tokenizer.special.sep).all()
    with pytest.raises(ValueError, match="leave no room"):
        Crops(bases, tokenizer, max_tokens=2)


def test_first_tokens_by_hand():
    tokens = CharacterTokenizer().encode(np.array([[0, 1, 2], [3, 2, 1]], dtype=np.uint8))
    cut = first_tokens(tokens, 2)
    assert cut.offsets.tolist() == [0, 2, 4]
    assert cut.starts.tolist() == [0, 1, 0, 1]
    assert cut.ids.tolist() == tokens.ids[[0, 1, 3, 4]].tolist()


def test_the_hash_covers_everything_that_decides_a_batch(corpus):
    def hashed(tokenizer=None, max_tokens=None, **changes):
        settings = {"crop": 100, "batch": 8, "seed": 1, **changes}
        return Crops(
            BaseCrops(corpus, **settings), tokenizer or CharacterTokenizer(), max_tokens=max_tokens
        ).content_hash()

    changed = [hashed(crop=101), hashed(batch=9), hashed(seed=2), hashed(both_strands=False), hashed(part="held_out")]
    changed += [hashed(shortest=60), hashed(max_tokens=50), hashed(tokenizer=KmerTokenizer(3))]
    assert hashed() == hashed()
    assert len({hashed(), *changed}) == 9
