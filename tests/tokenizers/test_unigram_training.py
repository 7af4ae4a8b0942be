import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import decode, encode
from glmbench.tokenizers.character import SPECIAL_NAMES
from glmbench.tokenizers.unigram_training import _candidates, _Pieces, _pieces, train_unigram
from glmbench.tokenizers.unigram_training_kernels import build_trie, expected_counts


def repeats(seed, number=1_000):
    """A corpus that repeats 40 words of 9 bases, uint8 (9 x number,)."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 4, (40, 9), dtype=np.uint8)
    return words[rng.integers(0, 40, number)].reshape(-1)


def one_piece(codes):
    return _Pieces(codes, np.array([0, codes.size]))


def test_candidates_by_hand():
    """In AACAAC, AAC and C then the end: repeated are A, C, AA, AC, AAC; only AC and AAC branch (A, or the end)."""
    tokens = _candidates(one_piece(encode("AACAAC")))
    # Of equal weight none; AAC 2 x 3, AC 2 x 2, and no AA, which C always follows.
    assert tokens.texts() == ["A", "C", "G", "T", "AAC", "AC"]
    weights = np.array([4, 2, 1, 1, 6, 4])  # a base that does not occur weighs 1
    assert np.allclose(tokens.scores, np.log(weights / weights.sum()))


def test_expected_counts_by_hand():
    """AC is A C (0.5 x 0.2) or AC (0.1): each half of the time."""
    packed, lengths = np.array([0, 1, 1], dtype=np.uint32), np.array([1, 1, 2], dtype=np.int32)  # A, C, AC
    counts = np.zeros(3)
    expected_counts(encode("AC"), np.array([0, 2]), *build_trie(packed, lengths), np.array([0.5, 0.2, 0.1]), counts)
    assert counts.tolist() == pytest.approx([0.5, 0.5, 0.5])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 1.0]))
def test_expected_tokens_cover_every_base(seed, scale):
    """Whatever the probabilities, however far sums would leave the range of a float: 3,000 bases at 1e-30 each."""
    tokens = _candidates(one_piece(repeats(seed)))
    counts = np.zeros(len(tokens))
    trie = build_trie(tokens.packed, tokens.lengths)
    piece = one_piece(repeats(seed)[:3_000])
    expected_counts(piece.codes, piece.bounds, *trie, np.exp(tokens.scores) * scale, counts)
    assert (counts * tokens.lengths).sum() == pytest.approx(3_000)


@pytest.mark.parametrize(("size", "bases"), [(60, 9_000), (300, 9_000), (2_000, 20_000)])
def test_the_vocabulary_equals_the_librarys(size, bases):
    from tokenizers import Tokenizer, models, trainers

    rng = np.random.default_rng(size)
    codes = np.concatenate([repeats(size), rng.choice(4, bases, p=[0.35, 0.15, 0.2, 0.3]).astype(np.uint8)])
    ours = train_unigram(codes, size, piece=100)
    library = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(SPECIAL_NAMES), unk_token="[UNK]", show_progress=False
    )
    library.train_from_iterator([decode(codes[i : i + 100]) for i in range(0, len(codes) - 99, 100)], trainer)
    theirs = dict(json.loads(library.to_str())["model"]["vocab"])
    assert set(ours.vocabulary) == set(theirs)
    assert list(ours.scores) == pytest.approx([theirs[token] for token in ours.vocabulary], abs=1e-8)


def test_training_finds_what_the_corpus_repeats():
    tokenizer = train_unigram(repeats(7), 120, piece=100)
    assert len(tokenizer.vocabulary) == 120
    assert tokenizer.vocabulary[:5] == SPECIAL_NAMES
    assert sum(len(token) == 9 for token in tokenizer.vocabulary) >= 20
    assert list(tokenizer.scores[5:]) == sorted(tokenizer.scores[5:], reverse=True)


def test_training_is_deterministic_and_reads_no_more_than_told():
    codes = repeats(1)
    assert train_unigram(codes, 60) == train_unigram(codes.copy(), 60)
    # Of 9 pieces of 1,000 bases two are read, the fifth and the last.
    two = np.concatenate([codes[4_000:5_000], codes[8_000:9_000]])
    assert train_unigram(codes, 60, piece=1_000, most_bases=2_000) == train_unigram(two, 60, piece=1_000)


def test_short_contigs_are_pieces_of_their_own():
    """A draft assembly of contigs shorter than a piece: none is lost, and none is joined to the next."""
    from tokenizers import Tokenizer, models, trainers

    corpus, rng = repeats(3), np.random.default_rng(3)
    places = rng.permutation(9_000 // 30)[:150] * 30
    contigs = [corpus[place : place + rng.integers(12, 30)] for place in places]  # no two alike: the library joins them
    codes = np.concatenate([part for contig in contigs for part in (contig, encode("N"))])
    library = Tokenizer(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=40, special_tokens=list(SPECIAL_NAMES), unk_token="[UNK]", show_progress=False
    )
    library.train_from_iterator([decode(contig) for contig in contigs], trainer)
    theirs = dict(json.loads(library.to_str())["model"]["vocab"])
    ours = train_unigram(codes, 40, piece=100)
    assert dict(zip(ours.vocabulary[5:], ours.scores[5:], strict=True)) == pytest.approx(
        {token: score for token, score in theirs.items() if token not in SPECIAL_NAMES}, abs=1e-8
    )


def test_an_n_never_decides_which_bases_are_read():
    codes = repeats(5)
    later = np.concatenate([encode("NNN"), codes[:700], encode("N"), codes[700:]])
    apart = np.concatenate([codes[:700], encode("NN"), codes[700:]])
    assert train_unigram(later, 60) == train_unigram(apart, 60)


def test_a_corpus_without_neighbours_is_refused():
    with pytest.raises(DataError, match="a corpus of 5 bases has no two known ones side by side"):
        train_unigram(encode("ANCNG"), 20)


def test_many_short_pieces_stay_under_the_most_bases():
    contigs = [repeats(seed, 2)[:length] for seed, length in enumerate([3, 17] * 200)]
    codes = np.concatenate([part for contig in contigs for part in (contig, encode("N"))])
    assert _pieces(codes, 512, 1_000).codes.size in range(900, 1_001)
    assert _pieces(codes, 512, 10**6).codes.size == 4_000


def test_every_base_has_a_token_even_where_it_never_occurs():
    assert set("ACGT") <= set(train_unigram(encode("AC" * 600), 12).vocabulary)


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(UsageError, match="want more than 9"):
        train_unigram(np.zeros(1_000, dtype=np.uint8), 9)
