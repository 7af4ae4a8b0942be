import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import encode, encode_batch
from glmbench.tokenizers.unigram import UnigramTokenizer
from glmbench.tokenizers.unigram_training import train_unigram

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Sums by hand: AAC = A+AC (-5) or AA+C (-6) or AAC (-5.5); ties: ACA+A (-6.5) and AC+AA (-6.5) of ACAA.
BY_HAND = UnigramTokenizer(
    (*SPECIALS, "A", "C", "G", "T", "AA", "AC", "AAC", "ACA"),
    (0.0,) * 5 + (-2.0, -3.0, -3.0, -3.0, -3.0, -3.0, -5.5, -4.5),
)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(7)
    motif = rng.integers(0, 4, (40, 9), dtype=np.uint8)
    return train_unigram(motif[rng.integers(0, 40, 1_500)].reshape(-1), 120, piece=100)


def cut(tokenizer, sequence):
    return [tokenizer.vocabulary[i] for i in tokenizer.encode(encode(sequence)).ids]


def test_the_greatest_sum_wins():
    assert cut(BY_HAND, "AAC") == ["A", "AC"]
    assert cut(BY_HAND, "AANNC") == ["AA", "[UNK]", "[UNK]", "C"]
    tokens = BY_HAND.encode(encode_batch(["", "AACN", "T"]))
    assert tokens.offsets.tolist() == [0, 0, 3, 4]
    assert tokens.starts.tolist() == [0, 1, 3, 0]
    assert tokens.ends.tolist() == [1, 3, 4, 1]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=4))
def test_spans_cover_and_spell(trained, batch):
    tokens = trained.encode(encode_batch(batch))
    for i, sequence in enumerate(batch):
        part = slice(tokens.offsets[i], tokens.offsets[i + 1])
        names = [trained.vocabulary[j] for j in tokens.ids[part]]
        spans = list(zip(tokens.starts[part], tokens.ends[part], strict=True))
        assert "".join("N" if name == "[UNK]" else name for name in names) == sequence
        assert [sequence[a:b] for a, b in spans] == ["N" if name == "[UNK]" else name for name in names]


@pytest.mark.parametrize("ties", [False, True])
def test_ids_and_spans_equal_the_library(trained, ties, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = BY_HAND if ties else trained
    tokenizer.save(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGTN"), p=[0.3, 0.3, 0.19, 0.19, 0.02], size=n)) for n in (0, 1, 9, 200, 3_000)]
    tokens = tokenizer.encode(encode_batch(texts))
    for i, text in enumerate(texts):
        part = slice(tokens.offsets[i], tokens.offsets[i + 1])
        expected = library.encode(text, add_special_tokens=False)
        assert tokens.ids[part].tolist() == expected.ids
        assert list(zip(tokens.starts[part].tolist(), tokens.ends[part].tolist(), strict=True)) == expected.offsets


def test_training_finds_what_the_corpus_repeats(trained):
    assert len(trained.vocabulary) == 120
    assert trained.vocabulary[:5] == SPECIALS
    assert set("ACGT") <= set(trained.vocabulary)
    assert sum(len(token) == 9 for token in trained.vocabulary) >= 20
    assert list(trained.scores[5:]) == sorted(trained.scores[5:], reverse=True)


def test_training_is_deterministic():
    codes = np.random.default_rng(1).integers(0, 4, 20_000, dtype=np.uint8)
    assert train_unigram(codes, 60).content_hash() == train_unigram(codes, 60).content_hash()


def test_pieces_with_n_are_left_out():
    codes = np.full(1_000, 4, dtype=np.uint8)
    codes[100:180] = np.arange(80) % 4
    with pytest.raises(DataError, match="no piece of 512 bases without N in a corpus of 1,000 bases"):
        train_unigram(codes, 20)
    assert train_unigram(codes, 12, piece=20).name.startswith("unigram-")


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(UsageError, match="want more than 9"):
        train_unigram(np.zeros(1_000, dtype=np.uint8), 9)


@pytest.mark.parametrize(("tokens", "problem"), [(("A", "C", "G"), "no token for T"), ((*"ACGT", "AX"), "token 'AX'")])
def test_other_alphabets_are_refused(tokens, problem):
    with pytest.raises(DataError, match=problem):
        UnigramTokenizer((*SPECIALS, *tokens), (0.0,) * (5 + len(tokens)))
