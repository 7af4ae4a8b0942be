"""The exact trainer against merges by hand, a plain Python trainer, and the tokenizers library."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import models, pre_tokenizers, trainers

from glmbench.errors import DataError, UsageError
from glmbench.sequences.alphabet import decode, encode, encode_batch
from glmbench.tokenizers import bpe_training, bpe_training_kernels
from glmbench.tokenizers.bpe import DNABERT2_SPECIALS
from glmbench.tokenizers.bpe_training import train_bpe

LETTERS = st.sampled_from("AAAAACGTN")
SEQUENCES = st.lists(
    st.one_of(
        st.text(LETTERS, max_size=40),
        st.text("AC", max_size=40),
        st.integers(0, 60).map(lambda n: "A" * n),
        st.tuples(st.text("ACGT", min_size=1, max_size=6), st.integers(1, 8)).map(lambda unit: unit[0] * unit[1]),
    ),
    min_size=1,
    max_size=6,
)


def trained_by_library(
    sequences: list[str], size: int, min_frequency: int = 2, max_bases: int | None = None
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Vocabulary by id and merges, with sequences cut at N as the library's words."""
    library = LibraryTokenizer(models.BPE(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=list(DNABERT2_SPECIALS),
        initial_alphabet=list("ACGT"),
        show_progress=False,
        # The library merges two tokens of three bases and more in all only below its limit.
        max_token_length=None if max_bases is None else max_bases + 1,
    )
    library.train_from_iterator([sequence.replace("N", " ") for sequence in sequences], trainer)
    ids = library.get_vocab()
    return tuple(sorted(ids, key=lambda token: ids[token])), json.loads(library.to_str())["model"]["merges"]


def trained_by_counting(sequences: list[str], merges: int, min_frequency: int) -> list[tuple[str, str]]:
    """Plain Python: count all neighbours anew before every merge."""
    words = [list(word) for sequence in sequences for word in sequence.split("N")]
    order = {base: i for i, base in enumerate("ACGT")}
    found: list[tuple[str, str]] = []
    while len(found) < merges:
        counts = Counter(pair for word in words for pair in itertools.pairwise(word))
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], order[pair[0]], order[pair[1]]))
        if counts[best] < min_frequency:
            break
        found.append(best)
        order["".join(best)] = len(order)
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = ["".join(best)]
                at += 1
    return found


def test_by_hand() -> None:
    # AC stands 4 times, CA 3 times; then ACAC overlaps itself: AC AC AC AC holds (AC, AC) 3 times.
    tokenizer = train_bpe(encode("ACACACAC"), 12)
    assert tokenizer.merges == (("A", "C"), ("AC", "AC"))  # (ACAC, ACAC) stands once: too rare
    assert tokenizer.vocabulary == (*DNABERT2_SPECIALS, "A", "C", "G", "T", "AC", "ACAC")


def test_a_run_of_one_base_counts_overlapping_pairs() -> None:
    # TTTT holds three TT, ahead of the two GC.
    assert train_bpe(encode_batch(["TTTT", "GCNGC"]), 11).merges == (("T", "T"), ("G", "C"))


@given(SEQUENCES, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_equals_counting_anew(sequences: list[str], min_frequency: int) -> None:
    if not set("".join(sequences)) - {"N"}:
        return
    tokenizer = train_bpe(encode_batch(sequences), 40, min_frequency=min_frequency)
    assert list(tokenizer.merges) == trained_by_counting(sequences, 31, min_frequency)


@given(SEQUENCES, st.integers(9, 60), st.integers(1, 4), st.sampled_from([None, 2, 3, 4, 7]))
@settings(max_examples=150, deadline=None)
def test_equals_the_library(sequences: list[str], size: int, min_frequency: int, max_bases: int | None) -> None:
    if not set("".join(sequences)) - {"N"}:
        return
    tokenizer = train_bpe(encode_batch(sequences), size, min_frequency=min_frequency, max_bases=max_bases)
    vocabulary, merges = trained_by_library(sequences, size, min_frequency, max_bases)
    assert tokenizer.vocabulary == vocabulary
    assert [list(merge) for merge in tokenizer.merges] == merges


def test_equals_the_library_on_a_real_genome(shared_data: Path) -> None:
    file = shared_data / "genomes" / "VIR" / "Enterobacteria_phage_lambda.fna.gz"
    with gzip.open(file, "rt") as lines:
        genome = encode("".join(line.strip() for line in lines if not line.startswith(">")))
    pieces = genome[: genome.size // 500 * 500].reshape(-1, 500)
    vocabulary, merges = trained_by_library([decode(piece) for piece in pieces], 2_048)
    tokenizer = train_bpe(pieces, 2_048)
    assert tokenizer.vocabulary == vocabulary
    assert [list(merge) for merge in tokenizer.merges] == merges


def test_tidying_between_merges_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).choice(5, size=30_000, p=[0.4, 0.2, 0.2, 0.15, 0.05]).astype(np.uint8)
    plain = train_bpe(codes, 1_500)
    merge_until = bpe_training_kernels.merge_until
    calls = []

    def always_full(state: bpe_training_kernels.Trainer, tokens: int, *settings: int) -> int:
        calls.append(tokens)
        status = merge_until(state, tokens, *settings)
        return status if status == bpe_training_kernels.EXHAUSTED else bpe_training_kernels.FULL

    monkeypatch.setattr(bpe_training_kernels, "merge_until", always_full)
    assert train_bpe(codes, 1_500) == plain
    assert len(calls) > 20


def test_wide_positions_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(1).integers(0, 4, size=5_000, dtype=np.uint8)
    narrow = train_bpe(codes, 200)
    monkeypatch.setattr(bpe_training, "_WIDE_TEXT", 100)
    assert train_bpe(codes, 200) == narrow


def test_a_small_corpus_gives_a_small_vocabulary() -> None:
    assert len(train_bpe(encode("ACGTTGCA"), 4_096).vocabulary) == 9
    assert len(train_bpe(encode("ACGTTGCA"), 4_096, min_frequency=1).vocabulary) == 9 + 7


def test_specials_in_another_order() -> None:
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = train_bpe(encode("ACACAC"), 10, specials=specials)
    assert tokenizer.vocabulary[:5] == specials
    assert (tokenizer.special.pad, tokenizer.special.unknown) == (0, 1)


def test_refusals() -> None:
    codes = encode("ACGTACGT")
    with pytest.raises(UsageError, match="vocabulary of 8 tokens"):
        train_bpe(codes, 8)
    with pytest.raises(UsageError, match="vocabulary of 70000 tokens"):
        train_bpe(codes, 70_000)
    with pytest.raises(UsageError, match="min_frequency 0"):
        train_bpe(codes, 20, min_frequency=0)
    with pytest.raises(UsageError, match="max_bases 1"):
        train_bpe(codes, 20, max_bases=1)
    with pytest.raises(UsageError, match="special tokens"):
        train_bpe(codes, 20, specials=("[UNK]",))
    with pytest.raises(DataError, match="hold no A, C, G or T"):
        train_bpe(encode_batch(["NNNN", ""]), 20)
