import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
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


@pytest.mark.parametrize(("tokens", "problem"), [(("A", "C", "G"), "no token for T"), ((*"ACGT", "AX"), "token 'AX'")])
def test_other_alphabets_are_refused(tokens, problem):
    with pytest.raises(DataError, match=problem):
        UnigramTokenizer((*SPECIALS, *tokens), (0.0,) * (5 + len(tokens)))
