import numpy as np
import pytest

from glmbench.errors import UsageError
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.choices import ToTrain, parse_tokenizer, train_tokenizer
from glmbench.tokenizers.kmer import KmerTokenizer


def test_references():
    assert parse_tokenizer("character") == CharacterTokenizer()
    assert parse_tokenizer("kmer:6") == KmerTokenizer(6)
    assert parse_tokenizer("blocks:3") == BlocksTokenizer(3)
    assert parse_tokenizer("bpe:4096") == ToTrain("bpe", 4096)
    assert parse_tokenizer("unigram:300").name == "unigram-300"


def test_a_path_is_opened(tmp_path, monkeypatch):
    KmerTokenizer(2).save(tmp_path / "kmer")
    assert parse_tokenizer(str(tmp_path / "kmer")) == KmerTokenizer(2)
    monkeypatch.chdir(tmp_path)
    assert parse_tokenizer("./kmer") == parse_tokenizer("kmer") == KmerTokenizer(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a path that exists nor a kind; want character, kmer:6"),
        ("kmers:6", "neither a path"),
        ("kmer", r"wants a number \(kmer:6\)"),
        ("bpe", r"wants a number \(bpe:4096\), and there is no folder"),
        ("kmer:", "'' is no number"),
        ("kmer:six", "'six' is no number"),
        ("kmer:-1", "'-1' is no number"),
        ("kmer:9", "of 9 bases; want 1 to 8"),
        ("blocks:1", "of 1 bases; want 2 to 8"),
        ("character:1", "take no number"),
        ("bpe:9", "a bpe vocabulary of 9: five special tokens and four bases are nine; want 10"),
        ("unigram:65001", "a unigram vocabulary of 65001; want 65,000 or fewer"),
    ],
)
def test_other_references_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_tokenizer(text)


def test_training_by_choice():
    codes = np.random.default_rng(0).integers(0, 4, 5_000, dtype=np.uint8)
    for kind in ("bpe", "unigram"):
        tokenizer = train_tokenizer(ToTrain(kind, 30), codes)
        assert (tokenizer.kind, len(tokenizer.vocabulary)) == (kind, 30)
