import json
from dataclasses import replace

import numpy as np
import pytest

from glmbench.errors import DataError
from glmbench.sequences.alphabet import EncodedBatch, encode, encode_batch
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.bpe_training import train_bpe
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer
from glmbench.tokenizers.saving import load_tokenizer
from glmbench.tokenizers.tokenizer import with_ends
from glmbench.tokenizers.unigram_training import train_unigram

KINDS = ("character", "kmer-1", "kmer-6", "blocks-3", "blocks-6", "unigram", "bpe")


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(5)
    return ["".join(rng.choice(list("ACGTN"), p=[0.24] * 4 + [0.04], size=n)) for n in (1, 6, 7, 70, 500)]


@pytest.fixture(scope="module")
def made():
    codes = np.random.default_rng(6).integers(0, 4, 12_000, dtype=np.uint8)
    fixed = (CharacterTokenizer(), KmerTokenizer(1), KmerTokenizer(6), BlocksTokenizer(3), BlocksTokenizer(6))
    return dict(zip(KINDS, (*fixed, train_unigram(codes, 60), train_bpe(codes, 60)), strict=True))


def as_text(tokenizer, sequence):
    k = tokenizer.overlap + 1
    return " ".join(sequence[i : i + k] for i in range(len(sequence) - k + 1)) if tokenizer.kind == "kmer" else sequence


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_ids(kind, made, texts, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = made[kind]
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = tokenizer.encode(encode_batch(texts))
    ended = with_ends(ours, tokenizer.special)
    for i, text in enumerate(texts):
        joined = as_text(tokenizer, text)
        plain = theirs(joined, add_special_tokens=False, return_offsets_mapping=True)
        part = slice(ours.offsets[i], ours.offsets[i + 1])
        assert plain["input_ids"] == ours.ids[part].tolist()
        if tokenizer.kind != "kmer":
            spans = list(zip(ours.starts[part].tolist(), ours.ends[part].tolist(), strict=True))
            assert plain["offset_mapping"] == spans
        assert theirs(joined)["input_ids"] == ended.ids[ended.offsets[i] : ended.offsets[i + 1]].tolist()
        assert theirs(joined.lower(), add_special_tokens=False)["input_ids"] == plain["input_ids"]
    special = tokenizer.special
    assert (theirs.pad_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id) == (
        special.pad, special.cls, special.sep, special.mask,
    )  # fmt: skip
    assert theirs.init_kwargs.get("kmer") == (tokenizer.overlap + 1 if tokenizer.kind == "kmer" else None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_loaded(kind, made, tmp_path):
    made[kind].save(tmp_path / "deep" / "folder")
    for path in (tmp_path / "deep" / "folder", tmp_path / "deep" / "folder" / "tokenizer.json"):
        loaded = load_tokenizer(path)
        assert type(loaded) is type(made[kind])
        assert loaded.content_hash() == made[kind].content_hash()


def test_uracil_and_ambiguity_codes_are_read_as_everywhere_here(made, tmp_path):
    from transformers import AutoTokenizer

    for kind in ("character", "blocks-6", "unigram", "bpe"):
        made[kind].save(tmp_path / kind)
        theirs = AutoTokenizer.from_pretrained(tmp_path / kind)
        found = theirs("acgUryACGTACGTk", add_special_tokens=False)["input_ids"]
        assert found == made[kind].encode(encode("acgUryACGTACGTk")).ids.tolist(), kind


def test_dnaberts_vocabulary_file_alone_is_enough(tmp_path):
    KmerTokenizer(4).save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    assert load_tokenizer(tmp_path) == KmerTokenizer(4)


@pytest.mark.real_data
def test_the_released_dnabert2_file_loads_with_identical_ids(shared_data, texts):
    from tokenizers import Tokenizer

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    ours, theirs = load_tokenizer(file.parent), Tokenizer.from_file(str(file))
    assert (ours.kind, ours.name) == ("bpe", "bpe-4096")
    tokens = with_ends(ours.encode(encode_batch(texts)), ours.special)
    for i, text in enumerate(texts):
        assert tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() == theirs.encode(text).ids


def altered(folder, change):
    BlocksTokenizer(2).save(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def swap(content):
    vocabulary = content["model"]["vocab"]
    vocabulary["AA"], vocabulary["AT"] = vocabulary["AT"], vocabulary["AA"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(type="WordPiece"), "its model is WordPiece; want characters"),
        (lambda c: c.pop("model"), "its model is missing"),
        (swap, "looks like blocks-2 .* id 4 is 'AT', want 'AA'"),
        (lambda c: c["model"]["vocab"].update({"MKV": 25}), "25 is 'MKV', want missing"),
        (lambda c: c["model"].update(vocab={"the": 0, "of": 1}), "no table of k-mers"),
        (lambda c: c["model"]["vocab"].update({"AA": 99}), "not 0, 1, 2, … each once"),
    ],
)
def test_other_tokenizers_are_refused_by_name(change, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load_tokenizer(altered(tmp_path, change))


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_broken_files_are_refused(content, tmp_path):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json (cannot be read|holds a JSON list)"):
        load_tokenizer(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no tokenizer\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(DataError, match="there is no tokenizer at"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_unigram_that_fuses_unknown_letters_is_refused(made, tmp_path):
    made["unigram"].save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="does not cut text at every N"):
        load_tokenizer(tmp_path)


def alter_unigram(folder, change):
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content["model"])
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.update(unk_id=999), "special id 999 is none of its 60"),
        (lambda model: model.update(unk_id=-1), "special id -1 is none of its 60"),
        (lambda model: model.update(unk_id=None), "special id None is none of its 60"),
        (lambda model: model["vocab"][7].__setitem__(1, float("nan")), "score of .* is no finite number"),
    ],
)
def test_broken_unigrams_are_refused(change, message, made, tmp_path):
    made["unigram"].save(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer\.json: .*" + message):
        load_tokenizer(alter_unigram(tmp_path, change))


@pytest.mark.parametrize("odd", ["x", None, 1.5])
def test_ids_that_are_no_numbers_are_refused(odd, tmp_path):
    with pytest.raises(DataError, match="not 0, 1, 2, … each once"):
        load_tokenizer(altered(tmp_path, lambda content: content["model"]["vocab"].update({"AA": odd})))


def test_both_published_vocabularies_are_told_apart(tmp_path):
    for tokenizer in (KmerTokenizer(6), BlocksTokenizer(6)):
        (tmp_path / "vocab.txt").write_text("\n".join(tokenizer.vocabulary) + "\n")
        assert load_tokenizer(tmp_path) == tokenizer


def test_a_hash_does_not_hang_on_the_last_digits(made):
    unigram = made["unigram"]
    near = replace(unigram, scores=tuple(score * (1 + 1e-15) for score in unigram.scores))
    assert near.scores != unigram.scores
    assert near.content_hash() == unigram.content_hash()
    assert replace(unigram, scores=tuple(s * 1.001 for s in unigram.scores)).content_hash() != unigram.content_hash()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_too_long_for_its_spans_is_refused(kind, made):
    codes = np.broadcast_to(np.uint8(0), (2**31,))
    with pytest.raises(DataError, match="a sequence of 2,147,483,648 bases"):
        made[kind].encode(EncodedBatch(codes, np.array([0, 2**31])))


@pytest.mark.parametrize("kind", ["character", "kmer-6"])
def test_a_folder_that_cannot_be_filled_is_not_there(kind, made, tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("glmbench.tokenizers.saving.write_text", full)
    with pytest.raises(OSError, match="No space left") as caught:
        made[kind].save(tmp_path / "new")
    assert caught.value.filename == str(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
