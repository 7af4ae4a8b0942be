"""The exact encoder against merges by hand, plain Python BPE, and the tokenizers library."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import models, pre_tokenizers

from glmbench.errors import DataError
from glmbench.sequences.alphabet import encode, encode_batch
from glmbench.tokenizers.bpe import DNABERT2_SPECIALS, BPETokenizer, from_merges
from glmbench.tokenizers.bpe_training import train_bpe
from glmbench.tokenizers.tokenizer import SpecialTokens

UNKNOWN = "[UNK]"


def plain_bpe(sequence: str, merges: tuple[tuple[str, str], ...]) -> list[str]:
    """Plain Python: merge the pair of the lowest rank, leftmost first, until there is none."""
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    tokens = list(sequence)
    while True:
        found = [(ranks[pair], i) for i, pair in enumerate(itertools.pairwise(tokens)) if pair in ranks]
        if not found:
            return [UNKNOWN if token == "N" else token for token in tokens]
        at = min(found)[1]
        tokens[at : at + 2] = ["".join(tokens[at : at + 2])]


def by_library(tokenizer: BPETokenizer, sequences: list[str]) -> list[list[int]]:
    ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
    library = LibraryTokenizer(models.BPE(ids, list(tokenizer.merges), unk_token=UNKNOWN, fuse_unk=False))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return [encoding.ids for encoding in library.encode_batch_fast(sequences)]


def with_shuffled_ids(merges: list[tuple[str, str]], seed: int) -> BPETokenizer:
    """A tokenizer whose ids follow no order, and that names every product once."""
    made = dict.fromkeys(left + right for left, right in merges)
    tokens = [*DNABERT2_SPECIALS, *"ACGT", *made]
    vocabulary = tuple(tokens[i] for i in np.random.default_rng(seed).permutation(len(tokens)))
    roles = ("unknown", "cls", "sep", "pad", "mask")
    ids = {role: vocabulary.index(name) for role, name in zip(roles, DNABERT2_SPECIALS, strict=True)}
    return BPETokenizer(vocabulary, tuple(merges), SpecialTokens(**ids))


@st.composite
def any_merges(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Merges of tokens that exist by then: among them second ways to a token, and tokens that no text gives."""
    tokens, merges = list("ACG"), dict[tuple[str, str], None]()
    for _ in range(draw(st.integers(0, 25))):
        pair = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        token = "".join(pair)
        if pair not in merges and len(token) <= 12:
            merges[pair] = None
            if token not in tokens and plain_bpe(token, tuple(merges)) == [token]:
                tokens.append(token)
    return list(merges)


def check(tokenizer: BPETokenizer, sequences: list[str]) -> None:
    """Ids as plain BPE and as the library give them; spans that spell the sequence."""
    tokens = tokenizer.encode(encode_batch(sequences))
    for i, sequence in enumerate(sequences):
        part = slice(tokens.offsets[i], tokens.offsets[i + 1])
        names = [tokenizer.vocabulary[j] for j in tokens.ids[part]]
        assert names == plain_bpe(sequence, tokenizer.merges)
        spans = zip(tokens.starts[part].tolist(), tokens.ends[part].tolist(), strict=True)
        spelled = [sequence[start:end] for start, end in spans]
        assert spelled == ["N" if name == UNKNOWN else name for name in names]
        assert "".join(spelled) == sequence
    ids = np.split(tokens.ids, tokens.offsets[1:-1])
    assert [each.tolist() for each in ids] == by_library(tokenizer, sequences)


def test_by_hand() -> None:
    # AC first, then GT, then ACGT; CG would have come last.
    tokenizer = from_merges([("A", "C"), ("G", "T"), ("AC", "GT"), ("C", "G")])
    tokens = tokenizer.encode(encode_batch(["ACGTCGA", "", "NNAC"]))
    assert [tokenizer.vocabulary[i] for i in tokens.ids] == ["ACGT", "CG", "A", UNKNOWN, UNKNOWN, "AC"]
    assert tokens.offsets.tolist() == [0, 3, 3, 6]
    assert tokens.starts.tolist() == [0, 4, 6, 0, 1, 2]
    assert tokens.ends.tolist() == [4, 6, 7, 1, 2, 4]


def test_the_longest_token_is_not_always_right() -> None:
    # CA merges first, so ACA never becomes AC A, and the encoder has to step back from AC.
    tokenizer = from_merges([("C", "A"), ("A", "C"), ("A", "CA")])
    check(tokenizer, ["ACA", "AACACAAC", "ACACACAC"])


def test_runs_of_one_base_merge_from_the_left() -> None:
    tokenizer = from_merges([("A", "A"), ("AA", "A"), ("AA", "AA"), ("AAAA", "AA")])
    check(tokenizer, ["A" * n for n in range(40)])


def test_merges_that_never_happen() -> None:
    # AC goes first, so no text gives ACG from A and CG, nor what ACG would merge to; AC and G make it after all.
    never = [("A", "C"), ("C", "G"), ("A", "CG")]
    check(from_merges([*never, ("ACG", "T")]), ["ACG", "ACGT", "CGACGTCG"])
    check(with_shuffled_ids([*never, ("AC", "G"), ("ACG", "ACG")], 3), ["ACG", "ACGACG", "CGACGACGCG"])


def test_no_merges() -> None:
    check(from_merges([]), ["ACGTN", "", "N"])


@given(any_merges(), st.lists(st.text("AACGTN", max_size=60), min_size=1, max_size=4), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_any_merges(merges: list[tuple[str, str]], sequences: list[str], seed: int) -> None:
    check(with_shuffled_ids(merges, seed), sequences)


@given(st.integers(0, 2**32 - 1), st.sampled_from([20, 100, 400]), st.floats(0.1, 0.9))
@settings(max_examples=25, deadline=None)
def test_trained_merges(seed: int, size: int, skew: float) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, size=4_000, p=[skew, *[(1 - skew) / 3] * 3]).astype(np.uint8)
    texts = ["".join(rng.choice(list("ACGTN"), p=[0.3, 0.3, 0.2, 0.18, 0.02], size=n)) for n in (1, 50, 300)]
    check(train_bpe(codes, size), texts)


def test_one_sequence_and_a_matrix_are_batches() -> None:
    tokenizer = from_merges([("A", "C")])
    assert tokenizer.encode(encode("ACA")).ids.tolist() == tokenizer.encode(encode_batch(["ACA"])).ids.tolist()
    matrix = np.stack([encode("ACAC"), encode("CCAC")])
    assert tokenizer.encode(matrix).offsets.tolist() == [0, 2, 5]


def test_merges_out_of_order_are_refused() -> None:
    merges = [("AC", "G"), ("A", "C")]
    tokenizer = with_shuffled_ids(merges, 0)
    with pytest.raises(DataError, match="merge of AC and G stands before the one that makes AC"):
        tokenizer.encode(encode("ACG"))


@pytest.mark.parametrize("genome", ["VIR/Enterobacteria_phage_lambda.fna.gz", "EUK/Homo_sapiens_MT.fna.gz"])
def test_the_released_file_on_real_genomes(shared_data: Path, genome: str) -> None:
    import gzip

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    with gzip.open(shared_data / "genomes" / genome, "rt") as lines:
        whole = "".join(line.strip() for line in lines if not line.startswith(">")).upper()
    sequences = [whole, *(whole[i : i + 400] for i in range(0, len(whole), 400)), "NN" + whole[:1_000] + "NAN"]
    library = LibraryTokenizer.from_file(str(file))
    wanted = [each.ids for each in library.encode_batch(sequences, add_special_tokens=False)]
    tokens = BPETokenizer.from_file(file).encode(encode_batch(sequences))
    assert [each.tolist() for each in np.split(tokens.ids, tokens.offsets[1:-1])] == wanted
