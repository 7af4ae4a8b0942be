from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.models.huggingface.reader import Reader
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.bpe import from_merges
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer


@pytest.mark.real_data
def test_pieces_equal_what_the_tokenizer_itself_would_make(shared_data: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), unk_token="[UNK]")
    sequences = ["ACGTTGCATTAGC", "A", "TTTTTTTTTTTTACGNACG"]
    reading = Reader(tokenizer, None).read(sequences)
    assert [piece.ids for piece in reading.pieces] == tokenizer(sequences)["input_ids"]
    assert reading.tokens == sum(len(piece.ids) - 2 for piece in reading.pieces)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(1, 300), context=st.integers(8, 50))
def test_windows_cover_a_sequence_in_order_and_are_of_about_one_size(length: int, context: int) -> None:
    reader = Reader(_Letters(), context, overflow="window")
    sequence = ("ACGT" * length)[:length]
    pieces = reader.read([sequence]).pieces
    assert [token for piece in pieces for token in piece.ids[1:-1]] == [ord(base) for base in sequence]
    assert max(len(piece.ids) for piece in pieces) <= context
    assert max(piece.tokens for piece in pieces) - min(piece.tokens for piece in pieces) <= 1


class _Letters:
    """A tokenizer of one token a letter, 0 before and 1 after, that drops what it does not know."""

    unk_token_id = mask_token_id = None
    all_special_ids = (0, 1)
    is_fast = False
    known = "ACGT"

    def get_vocab(self) -> dict[str, int]:
        return {"<s>": 0, "</s>": 1, **{letter: ord(letter) for letter in self.known}}

    def convert_ids_to_tokens(self, index: int) -> str:
        return {number: token for token, number in self.get_vocab().items()}[index]

    def __call__(self, texts: str | list[str], *, add_special_tokens: bool = True, **_: object) -> dict[str, object]:
        if isinstance(texts, str):
            return {"input_ids": self._one(texts, add_special_tokens)}
        return {"input_ids": [self._one(text, add_special_tokens) for text in texts]}

    def _one(self, text: str, special: bool) -> list[int]:
        letters = [ord(letter) for letter in text if letter in self.known]
        return [0, *letters, 1] if special else letters


def fixed(folder: Path, tokenizer: Any) -> Any:
    """One of our tokenizers as transformers opens it."""
    from transformers import AutoTokenizer

    tokenizer.save(folder)
    return AutoTokenizer.from_pretrained(folder)


def spans_of(reader: Reader, sequence: str) -> list[tuple[int, int]]:
    (piece,) = reader.read([sequence]).pieces
    assert len(piece.ids) == len(reader.prefix) + piece.tokens + len(reader.suffix)
    assert len(piece.starts) == len(piece.ends) == piece.tokens
    return list(zip(piece.starts.tolist(), piece.ends.tolist(), strict=True))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, int | None]]:
    """Tokenizers of every kind, fast and slow, and the k of overlapping k-mers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import EsmTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "vocab.txt").write_text("\n".join(BlocksTokenizer(6).vocabulary) + "\n")

    class Characters(PreTrainedTokenizer):
        """As HyenaDNA and Caduceus have it: a slow tokenizer, padding on the left, [SEP] at the end only."""

        def __init__(self) -> None:
            self._ids = {t: i for i, t in enumerate(["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[UNK]", *"ACGTN"])}
            names = {"sep": "[SEP]", "cls": "[CLS]", "pad": "[PAD]", "mask": "[MASK]", "unk": "[UNK]"}
            super().__init__(padding_side="left", **{f"{key}_token": value for key, value in names.items()})

        @property
        def vocab_size(self) -> int:
            return len(self._ids)

        def get_vocab(self) -> dict[str, int]:
            return dict(self._ids)

        def _tokenize(self, text: str, **_: object) -> list[str]:
            return list(text)

        def _convert_token_to_id(self, token: str) -> int:
            return self._ids.get(token, self._ids["[UNK]"])

        def _convert_id_to_token(self, index: int) -> str:
            return list(self._ids)[index]

        def build_inputs_with_special_tokens(
            self, token_ids_0: list[int], token_ids_1: list[int] | None = None
        ) -> list[int]:
            return [*token_ids_0, self._ids["[SEP]"]]

    # T5: SentencePiece marks where a word begins, and one unknown token stands for a run of letters.
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((t, -3.0) for t in ["▁AC", *"ACGT", "TTG"])]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    # A WordPiece that has no piece for N gives up on the whole word.
    marked = {t: i for i, t in enumerate(["[UNK]", "[PAD]", *"ACGT", *(f"##{base}" for base in "ACGT"), "##CG"])}
    wordpiece = Tokenizer(models.WordPiece(marked, unk_token="[UNK]", max_input_chars_per_word=10_000))
    return {
        "characters": (fixed(folder / "characters", CharacterTokenizer()), None),
        "kmers": (fixed(folder / "kmers", KmerTokenizer(3)), 3),
        "blocks": (fixed(folder / "blocks", BlocksTokenizer(2)), None),
        "esm": (EsmTokenizer(str(folder / "vocab.txt"), eos_token=None), None),
        "bpe": (fixed(folder / "bpe", from_merges([("A", "C"), ("AC", "G"), ("T", "T"), ("TT", "ACG")])), None),
        "slow-characters": (Characters(), None),
        "sentencepiece": (
            PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"),
            None,
        ),
        "wordpiece": (PreTrainedTokenizerFast(tokenizer_object=wordpiece, unk_token="[UNK]"), None),
    }


KINDS = ["characters", "kmers", "blocks", "esm", "bpe", "slow-characters", "sentencepiece", "wordpiece"]


def test_spans_by_hand(tokenizers: dict[str, tuple[Any, int | None]]) -> None:
    def spans(name: str, sequence: str) -> list[tuple[int, int]]:
        tokenizer, kmer = tokenizers[name]
        return spans_of(Reader(tokenizer, None, kmer=kmer), sequence)

    assert spans("characters", "acnt") == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert spans("kmers", "ACGNA") == [(0, 3), (1, 4), (2, 5)]
    assert spans("kmers", "AC") == [(0, 2)]
    assert spans("blocks", "ACGNTTA") == [(0, 2), (2, 3), (3, 4), (4, 6), (6, 7)]
    assert spans("esm", "ACGTACNACRACGTAA") == [(0, 6), *((i, i + 1) for i in range(6, 10)), (10, 16)]
    assert spans("bpe", "TTACGNAC") == [(0, 5), (5, 6), (6, 8)]
    assert spans("slow-characters", "ANG") == [(0, 1), (1, 2), (2, 3)]
    assert spans("sentencepiece", "ACTTGNNA") == [(0, 2), (2, 5), (5, 7), (7, 8)]
    assert spans("sentencepiece", "GA") == [(0, 0), (0, 1), (1, 2)]  # the mark of a word's begin is a token of its own
    assert spans("wordpiece", "ACG") == [(0, 1), (1, 3)]
    assert spans("wordpiece", "ACGN") == [(0, 4)]


def test_how_text_is_cut_is_found_out(tokenizers: dict[str, tuple[Any, int | None]]) -> None:
    cut = {name: Reader(tokenizer, None, kmer=kmer).cut for name, (tokenizer, kmer) in tokenizers.items()}
    learned = dict.fromkeys(("bpe", "sentencepiece", "wordpiece"), "learned")
    blocks = dict.fromkeys(("blocks", "esm"), "blocks")
    assert cut == {"characters": "characters", "kmers": "kmers", "slow-characters": "characters", **learned, **blocks}


def test_special_tokens_of_slow_characters_with_padding_on_the_left(
    tokenizers: dict[str, tuple[Any, int | None]],
) -> None:
    reader = Reader(tokenizers["slow-characters"][0], 6, overflow="window")
    assert (reader.prefix, reader.suffix, reader.room) == ([], [1], 5)
    pieces = reader.read(["ACGTNA"]).pieces
    assert [piece.ids for piece in pieces] == [[6, 7, 8, 1], [9, 10, 6, 1]]
    assert [piece.starts.tolist() for piece in pieces] == [[0, 1, 2], [3, 4, 5]]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_spans_cover_every_sequence_exactly_and_spell_it(
    tokenizers: dict[str, tuple[Any, int | None]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(KINDS))
    tokenizer, kmer = tokenizers[name]
    sequences = data.draw(st.lists(st.text("ACGTacgtNR", min_size=1, max_size=40), min_size=1, max_size=4))
    context = data.draw(st.sampled_from([None, 9]))
    reader = Reader(tokenizer, context, overflow="window", kmer=kmer)
    reading = reader.read(sequences)
    for index, sequence in enumerate(sequences):
        pieces = [piece for piece in reading.pieces if piece.sequence == index]
        starts, ends = (np.concatenate([getattr(piece, side) for piece in pieces]) for side in ("starts", "ends"))
        overlap = 0 if kmer is None else min(kmer, len(sequence)) - 1
        assert (starts[0], ends[-1]) == (0, len(sequence))
        assert (starts[1:] == ends[:-1] - overlap).all()
        ids = [token for piece in pieces for token in piece.ids[len(reader.prefix) :][: piece.tokens]]
        for token, start, end in zip(ids, starts, ends, strict=True):
            assert reader.letters[token] in ("", sequence[start:end].upper().replace("R", "N"))


@pytest.mark.parametrize("name", KINDS)
def test_our_own_kernels_give_what_the_tokenizer_gives(
    tokenizers: dict[str, tuple[Any, int | None]], name: str
) -> None:
    tokenizer, kmer = tokenizers[name]
    rng = np.random.default_rng(7)
    sequences = ["".join(rng.choice(list("ACGTN"), p=[0.3, 0.2, 0.2, 0.28, 0.02], size=n)) for n in range(1, 300)]
    sequences += ["acgtRYacgt", "AC-GT"] if name not in ("esm", "sentencepiece", "kmers") else ["acgtRYacgt"]
    many, one = Reader(tokenizer, None, kmer=kmer).read(sequences), Reader(tokenizer, None, kmer=kmer)
    for piece, sequence in zip(many.pieces, sequences, strict=True):
        (alone,) = one.read([sequence]).pieces
        assert piece.ids == alone.ids
        np.testing.assert_array_equal((piece.starts, piece.ends), (alone.starts, alone.ends))


def test_dropped_letters_are_an_error_that_names_them() -> None:
    reader = Reader(_Letters(), None)
    assert spans_of(reader, "ACG") == [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(DataError, match=r"sequence 1 has 4 letters, its 3 tokens .* spell 3: .* T: N"):
        reader.read(["ACG", "ACNG"])


def test_tokens_that_spell_other_bases_are_an_error() -> None:
    class Complements(_Letters):
        def _one(self, text: str, special: bool) -> list[int]:
            return super()._one(text.translate(str.maketrans("ACGT", "TGCA")), special)

    with pytest.raises(DataError, match="cannot be matched"):
        Reader(Complements(), None)


def test_a_wrong_k_is_an_error(tokenizers: dict[str, tuple[Any, int | None]]) -> None:
    with pytest.raises(DataError, match=r"does not know DNA|spell"):
        Reader(tokenizers["kmers"][0], None, kmer=4)


@pytest.mark.real_data
def test_spans_of_the_released_bpe_equal_its_offsets(shared_data: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    file = shared_data / "tokenizers" / "dnabert2" / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), unk_token="[UNK]")
    rng = np.random.default_rng(2)
    sequences = ["".join(rng.choice(list("ACGTN"), p=[0.3, 0.2, 0.2, 0.29, 0.01], size=800)) for _ in range(40)]
    for sequence, piece in zip(sequences, Reader(tokenizer, None).read(sequences).pieces, strict=True):
        offsets = tokenizer(sequence, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        assert list(zip(piece.starts.tolist(), piece.ends.tolist(), strict=True)) == offsets
