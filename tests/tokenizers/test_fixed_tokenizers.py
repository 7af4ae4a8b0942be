import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import UsageError
from glmbench.sequences.alphabet import encode, encode_batch
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer
from glmbench.tokenizers.tokenizer import token_bases, with_ends

batches = st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=5)
FIXED = [CharacterTokenizer(), KmerTokenizer(1), KmerTokenizer(3), BlocksTokenizer(2), BlocksTokenizer(6)]


def spelled(tokenizer, tokens, sequence=0):
    """Tokens of one sequence with their spans."""
    part = slice(tokens.offsets[sequence], tokens.offsets[sequence + 1])
    names = [tokenizer.vocabulary[i] for i in tokens.ids[part]]
    return list(zip(names, tokens.starts[part].tolist(), tokens.ends[part].tolist(), strict=True))


def test_characters_by_hand():
    tokens = CharacterTokenizer().encode(encode("ACGTN"))
    assert tokens.ids.tolist() == [5, 6, 7, 8, 1]
    assert spelled(CharacterTokenizer(), tokens) == [
        ("A", 0, 1), ("C", 1, 2), ("G", 2, 3), ("T", 3, 4), ("[UNK]", 4, 5),
    ]  # fmt: skip


def test_overlapping_kmers_by_hand():
    three = KmerTokenizer(3)
    tokens = three.encode(encode_batch(["ACGTNAAT", "AC", "GGG"]))
    assert spelled(three, tokens, 0) == [
        ("ACG", 0, 3), ("CGT", 1, 4), ("[UNK]", 2, 5), ("[UNK]", 3, 6), ("[UNK]", 4, 7), ("AAT", 5, 8),
    ]  # fmt: skip
    assert spelled(three, tokens, 1) == []
    assert spelled(three, tokens, 2) == [("GGG", 0, 3)]
    assert tokens.offsets.tolist() == [0, 6, 6, 7]


def test_kmer_ids_are_those_of_dnabert():
    six = KmerTokenizer(6)
    assert len(six.vocabulary) == 4101
    # Specification 1.1: AAAAAA=5, AAAAAT=6, AAAAAC=7, AAAAAG=8, AAAATA=9.
    assert six.vocabulary[:10] == (
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "AAAAAA", "AAAAAT", "AAAAAC", "AAAAAG", "AAAATA",
    )  # fmt: skip
    assert six.vocabulary[-1] == "GGGGGG"
    assert six.encode(encode("AAAATA")).ids.tolist() == [9]


def test_blocks_by_hand():
    """The Nucleotide Transformer's own examples have k = 5: ATCGA ATGGC GATGC A C; ATCGA A T N GGCGA TGCAC."""
    five = BlocksTokenizer(5)
    tokens = five.encode(encode_batch(["ATCGAATGGCGATGCAC", "ATCGAATNGGCGATGCAC"]))
    assert spelled(five, tokens, 0) == [
        ("ATCGA", 0, 5), ("ATGGC", 5, 10), ("GATGC", 10, 15), ("A", 15, 16), ("C", 16, 17),
    ]  # fmt: skip
    assert spelled(five, tokens, 1) == [
        ("ATCGA", 0, 5), ("A", 5, 6), ("T", 6, 7), ("N", 7, 8), ("GGCGA", 8, 13), ("TGCAC", 13, 18),
    ]  # fmt: skip


def test_block_ids_are_those_of_the_nucleotide_transformer():
    six = BlocksTokenizer(6)
    assert len(six.vocabulary) == 4105
    assert six.vocabulary[:6] == ("<unk>", "<pad>", "<mask>", "<cls>", "AAAAAA", "AAAAAT")
    assert six.vocabulary[4099:] == ("GGGGGG", "A", "T", "C", "G", "N")
    assert six.special.sep is None
    assert with_ends(six.encode(encode("AAAAAANT")), six.special).ids.tolist() == [3, 4, 4104, 4101]


@pytest.mark.parametrize("tokenizer", FIXED, ids=lambda t: t.name)
@settings(deadline=None, max_examples=40)
@given(batch=batches)
def test_tokens_spell_the_sequences_they_cover(tokenizer, batch):
    tokens = tokenizer.encode(encode_batch(batch))
    assert tokens.ids.dtype == tokens.starts.dtype == tokens.ends.dtype == np.int32
    assert tokens.offsets.dtype == np.int64
    for i, sequence in enumerate(batch):
        pieces = spelled(tokenizer, tokens, i)
        unknown = tokenizer.vocabulary[tokenizer.special.unknown]
        for token, start, end in pieces:
            covered = sequence[start:end]
            assert token == (unknown if "N" in covered else covered)
        if tokenizer.kind == "kmer":
            assert [start for _, start, _ in pieces] == list(range(max(len(sequence) - tokenizer.k + 1, 0)))
        else:
            assert "".join(sequence[start:end] for _, start, end in pieces) == sequence
            assert [end for *_, end in pieces][:-1] == [start for _, start, _ in pieces][1:]


def test_long_sequences_are_read_across_the_kernels_room():
    """The overlapping kernel takes 4,096 bases at a time: ids on both sides of that border, with and without N."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 10_000, dtype=np.uint8)
    codes[5_000] = 4
    six = KmerTokenizer(6)
    whole = six.encode(codes)
    rows = np.lib.stride_tricks.sliding_window_view(codes, 6)
    assert np.array_equal(whole.ids, six.encode(np.ascontiguousarray(rows)).ids)
    assert (whole.ids[4_995:5_001] == 1).all()


def test_token_bases_leave_out_special_tokens():
    table = token_bases(BlocksTokenizer(2))
    assert table[:4].max() == -1
    assert table[4 + 1].tolist() == [0, 3]  # AT
    assert table[-1].tolist() == [-1, -1]  # N


@pytest.mark.parametrize(("kind", "k"), [(KmerTokenizer, 0), (KmerTokenizer, 9), (BlocksTokenizer, 1)])
def test_k_out_of_range_is_refused(kind, k):
    with pytest.raises(UsageError, match=f"of {k} bases; want"):
        kind(k)


def test_content_hashes_differ_where_tokens_do():
    hashes = {tokenizer.content_hash() for tokenizer in (*FIXED, KmerTokenizer(6))}
    assert len(hashes) == len(FIXED) + 1
    assert KmerTokenizer(3).content_hash() == KmerTokenizer(3).content_hash()
