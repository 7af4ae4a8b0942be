"""The BPE tokenizer as a file: what is read, what is refused, and what transformers makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glmbench.errors import DataError
from glmbench.sequences.alphabet import encode
from glmbench.tokenizers.bpe import DNABERT2_SPECIALS, BPETokenizer, from_merges
from glmbench.tokenizers.bpe_training import train_bpe
from glmbench.tokenizers.saving import load_tokenizer
from glmbench.tokenizers.tokenizer import SpecialTokens, with_ends

SMALL = from_merges([("A", "C"), ("AC", "G"), ("T", "T")])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    SMALL.save(tmp_path)
    return tmp_path / "tokenizer.json"


def test_what_it_says_of_itself() -> None:
    assert (SMALL.name, SMALL.kind, SMALL.overlap) == ("bpe-12", "bpe", 0)
    assert SMALL.special == SpecialTokens(unknown=0, cls=1, sep=2, pad=3, mask=4)
    assert SMALL.vocabulary == (*DNABERT2_SPECIALS, "A", "C", "G", "T", "AC", "ACG", "TT")


def test_the_hash_is_of_what_decides_tokens(saved: Path) -> None:
    assert BPETokenizer.from_file(saved).content_hash() == SMALL.content_hash()
    assert from_merges(SMALL.merges[:2]).content_hash() != SMALL.content_hash()
    other = from_merges(SMALL.merges, DNABERT2_SPECIALS[::-1])
    assert other.content_hash() != SMALL.content_hash()


def test_saved_and_read_again(saved: Path) -> None:
    again = load_tokenizer(saved.parent)
    assert again == SMALL
    content = saved.read_bytes()
    again.save(saved.parent / "copy")
    assert (saved.parent / "copy" / "tokenizer.json").read_bytes() == content


def test_transformers_gives_the_same_ids(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    rng = np.random.default_rng(0)
    tokenizer = train_bpe(rng.choice(4, size=20_000, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8), 300)
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    sequence = "".join(rng.choice(list("ACGTN"), size=500, p=[0.3, 0.3, 0.2, 0.15, 0.05]))
    tokens = with_ends(tokenizer.encode(encode(sequence)), tokenizer.special)
    found = theirs(sequence, return_offsets_mapping=True)
    assert found["input_ids"] == tokens.ids.tolist()
    spans = list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    assert found["offset_mapping"][1:-1] == spans[1:-1]
    assert theirs(sequence.lower())["input_ids"] == tokens.ids.tolist()
    assert (theirs.cls_token_id, theirs.pad_token_id, theirs.mask_token_id) == (1, 3, 4)


def test_transformers_joins_pairs(saved: Path) -> None:
    from transformers import AutoTokenizer

    joined = AutoTokenizer.from_pretrained(saved.parent)("ACG", "TT", return_token_type_ids=True)
    assert joined["input_ids"] == [1, 10, 2, 11, 2]
    assert joined["token_type_ids"] == [0, 0, 0, 1, 1]


def test_the_released_file_goes_through_unchanged(shared_data: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    tokenizer = BPETokenizer.from_file(file)
    assert (tokenizer.name, len(tokenizer.merges)) == ("bpe-4096", 4_087)
    tokenizer.save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == file.read_bytes()
    # The example of DNABERT-2's README: 59 bp, 17 tokens with both ends.
    example = "ACGTAGCATCGGATCTATCTATCGACACTTGGTTATCGATCTACGAGCATCTCGTTAGC"
    wanted = with_ends(tokenizer.encode(encode(example)), tokenizer.special).ids.tolist()
    assert len(wanted) == 17
    assert AutoTokenizer.from_pretrained(tmp_path)(example)["input_ids"] == wanted


def test_merges_as_strings_and_reserved_ids(saved: Path) -> None:
    content = json.loads(saved.read_text())
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    content["added_tokens"].append({**content["added_tokens"][0], "id": 12, "content": "[EXTRA]"})
    saved.write_text(json.dumps(content))
    tokenizer = BPETokenizer.from_file(saved)
    assert tokenizer.merges == SMALL.merges
    assert tokenizer.special.reserved == (12,)


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["model"].__setitem__(name, value)


def _replace(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("dropout", 0.1), "sets dropout to 0.1"),
        (_set("continuing_subword_prefix", "##"), "sets continuing_subword_prefix"),
        (_set("end_of_word_suffix", "</w>"), "sets end_of_word_suffix"),
        (_set("fuse_unk", True), "sets fuse_unk"),
        (_set("byte_fallback", True), "sets byte_fallback"),
        (_set("ignore_merges", True), "sets ignore_merges"),
        (_set("unk_token", None), "unknown token is None"),
        (_set("type", "WordPiece"), "its model is WordPiece"),
        (_set("merges", [["A", "G"]]), "without a token for it"),
        (_set("merges", [["A", "C"], ["A", "C"]]), "one merge twice"),
        (_set("merges", [["AC", "G"], ["A", "C"]]), "stands before the one that makes AC"),
        (_set("merges", ["ACG"]), "broken at ValueError"),
        (_set("merges", None), "broken at TypeError"),
        (lambda content: content["model"]["vocab"].pop("G"), "ids are not 0, 1, 2"),
        (lambda content: content["model"]["vocab"].update(N=12), "a token 'N'"),
        (lambda content: content["model"]["vocab"].update({"": 12}), "a token ''"),
        (lambda content: content["added_tokens"][0].update(content="ACG", id=10), "a token 'ACG'"),
        (_replace("pre_tokenizer", {"type": "ByteLevel"}), "its pre-tokenizer ByteLevel"),
        (_replace("normalizer", {"type": "Lowercase"}), "its normalizer is {'type': 'Lowercase'}"),
    ],
)
def test_refusals(saved: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = json.loads(saved.read_text())
    change(content)
    saved.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as refusal:
        BPETokenizer.from_file(saved)
    assert str(saved) in str(refusal.value)


def test_a_vocabulary_without_its_special_tokens_is_refused(saved: Path) -> None:
    content = json.loads(saved.read_text().replace("[MASK]", "[HIDE]"))
    saved.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"no token \[MASK\]"):
        BPETokenizer.from_file(saved)
