import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, UsageError
from glmbench.genomes.codes import genome_from_codes
from glmbench.sequences.alphabet import encode
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.compare import SCHEMA, compare_tokenizers, encoder_macs, token_change
from glmbench.tokenizers.compare_kernels import token_changes
from glmbench.tokenizers.kmer import KmerTokenizer

strings = st.lists(st.integers(0, 4), max_size=12)


def changes(a, b):
    jaccard, distance = np.empty(1), np.empty(1)
    ends = np.array([0, len(a)]), np.array([0, len(b)])
    before, after = np.array(a, dtype=np.int32), np.array(b, dtype=np.int32)
    token_changes(before, ends[0], after, ends[1], jaccard, distance)
    return float(jaccard[0]), float(distance[0])


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0]))


def test_changes_by_hand():
    assert changes([1, 2, 3, 3], [2, 3, 4]) == (2 / 4, 2 / 4)  # drop 1, replace the last 3 by 4
    assert changes([], []) == (1.0, 0.0)
    assert changes([1], []) == (0.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(strings, strings)
def test_changes_equal_their_definitions(a, b):
    either = set(a) | set(b)
    jaccard = len(set(a) & set(b)) / len(either) if either else 1.0
    short = a[:6], b[:6]
    assert changes(a, b)[0] == pytest.approx(jaccard)
    assert changes(*short)[1] == pytest.approx(levenshtein(*short) / max(*map(len, short), 1))


def test_one_inserted_base_by_hand():
    sequence, inserted = encode("ACGTACGTACGT")[None], encode("TACGTACGTACGT")[None]
    characters, blocks = CharacterTokenizer(), BlocksTokenizer(4)
    change = token_change(characters, characters.encode(sequence), inserted)
    assert (change.jaccard, change.distance) == (1.0, 1 / 13)
    # ACGT ACGT ACGT against TACG TACG TACG T: nothing shared, three tokens replaced and one added.
    change = token_change(blocks, blocks.encode(sequence), inserted)
    assert (change.jaccard, change.distance) == (0.0, 1.0)


@pytest.fixture(scope="module")
def genome():
    codes = np.random.default_rng(2).integers(0, 4, 5_000, dtype=np.uint8)
    codes[1_000:1_500] = 4
    return genome_from_codes({"one": codes[:3_000], "two": codes[3_000:]})


def test_the_table(genome):
    tokenizers = {"character": CharacterTokenizer(), "kmer-3": KmerTokenizer(3), "blocks-6": BlocksTokenizer(6)}
    table = compare_tokenizers(tokenizers, {"a": genome, "b": genome}, width=120, windows=50)
    assert dict(table.schema) == SCHEMA
    assert table.select("group", "tokenizer").rows() == [(g, t) for g in "ab" for t in tokenizers]
    character, kmer, blocks, *_ = table.rows(named=True)
    assert (character["bases_per_token"], character["max_length"], character["relative_flops"]) == (1.0, 1, 1.0)
    assert character["insertion_distance"] == pytest.approx(1 / 121)
    assert character["deletion_distance"] == pytest.approx(1 / 120)
    assert 0 < character["unknown_rate"] < 0.3  # a tenth of the genome is N
    assert kmer["bases_per_token"] == pytest.approx(120 / 118)
    assert (blocks["max_length"], blocks["median_length"]) == (6, 6.0)
    assert blocks["insertion_distance"] > 0.7 > 0.1 > kmer["insertion_distance"]
    assert blocks["relative_flops"] < 0.4
    assert table.filter(group="a").drop("group").equals(table.filter(group="b").drop("group"))


def test_flops_against_a_named_tokenizer(genome):
    tokenizers = {"character": CharacterTokenizer(), "blocks-6": BlocksTokenizer(6)}
    table = compare_tokenizers(tokenizers, {"a": genome}, width=60, windows=5, baseline="blocks-6")
    assert table["relative_flops"][1] == 1.0
    assert table["relative_flops"][0] > 2
    with pytest.raises(UsageError, match="no tokenizer 'bpe'"):
        compare_tokenizers(tokenizers, {"a": genome}, baseline="bpe")


def test_macs_by_hand():
    # Specification 3.4: layer parameters x tokens + 2 L S² d, at 12 layers of 9,444,096 and 768 wide.
    assert encoder_macs(np.array([100])) == 12 * 9_444_096 * 100 + 2 * 12 * 100**2 * 768
    assert encoder_macs(np.array([0, 200])) == encoder_macs(np.array([200])) / 2


def test_genomes_that_cannot_be_compared_are_refused(genome):
    with pytest.raises(DataError, match="a: no window of 9000 bases: the longest contig has 3000"):
        compare_tokenizers({"character": CharacterTokenizer()}, {"a": genome}, width=9_000)
    blank = genome_from_codes({"n": np.full(900, 4, dtype=np.uint8)})
    with pytest.raises(DataError, match="are N; there is nothing to compare"):
        compare_tokenizers({"character": CharacterTokenizer()}, {"a": blank}, width=100)


@pytest.mark.real_data
def test_blocks_share_no_tokens_after_an_insertion_in_a_real_genome(shared_data):
    from glmbench.tokenizers.genome_files import read_groups
    from glmbench.tokenizers.saving import load_tokenizer

    dnabert2 = load_tokenizer(shared_data / "tokenizers" / "dnabert2")
    groups = read_groups([shared_data / "genomes" / "VIR"])
    table = compare_tokenizers({"blocks-6": BlocksTokenizer(6), "bpe": dnabert2}, groups, windows=200)
    blocks, bpe = table.rows(named=True)
    assert blocks["insertion_jaccard"] < 0.05 < 0.9 < bpe["insertion_jaccard"]
    assert 4 < bpe["bases_per_token"] < 6  # "about 5 bases a token"


def test_a_width_without_a_token_is_refused(genome):
    tokenizers = {"characters": CharacterTokenizer(), "k-mers": KmerTokenizer(6)}
    with pytest.raises(UsageError, match="kmer-6 has no token for windows of 6 bases with one taken off"):
        compare_tokenizers(tokenizers, {"g": genome}, width=6, windows=5)
    assert compare_tokenizers(tokenizers, {"g": genome}, width=7, windows=5)["bases_per_token"].to_list() == [1.0, 3.5]
