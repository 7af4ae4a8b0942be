from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_bases import Naive, save_model

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.loading import load_huggingface
from glmbench.models.huggingface.reader import Reader
from glmbench.models.model import CountsPasses, Embeds, PredictsBases, ScoresSequences
from glmbench.models.reference import parse_reference
from glmbench.pretraining.base_predictors import MaskedTokens
from glmbench.pretraining.bits_per_base import HiddenBases
from glmbench.sequences.alphabet import encode_batch
from glmbench.tokenizers.blocks import BlocksTokenizer
from glmbench.tokenizers.bpe import BPETokenizer
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TEXTS = ["ACGTTGCATTAGCCGATACGGATCTTCA", "GGGTACCNNTAGACCATTTGA", "ACGTTGCATTAGCCGATACGGATCTTCC", "TTTAGACCA"]


def small_bpe() -> BPETokenizer:
    from glmbench.tokenizers.bpe_training import train_bpe

    drawn = np.random.default_rng(1).choice(4, p=[0.4, 0.2, 0.1, 0.3], size=3_000).astype(np.uint8)
    return train_bpe(drawn, 40)


def bert(tokens: int, **changes: Any) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=tokens, max_position_embeddings=48, **SIZES | changes))


def dnabert2(tokens: int) -> Any:
    from glmbench.networks.dnabert2 import DNABERT2ForMaskedLM
    from glmbench.networks.dnabert2_config import DNABERT2Config

    return DNABERT2ForMaskedLM(DNABERT2Config(vocab_size=tokens, **SIZES))


def mistral(tokens: int) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(
        MistralConfig(vocab_size=tokens, num_key_value_heads=1, max_position_embeddings=40, **SIZES)
    )


def nucleotide_transformer(folder: Path) -> tuple[Any, Any]:
    """ESM with 6-mers side by side from its own slow tokenizer."""
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(BlocksTokenizer(6).vocabulary) + "\n")
    tokenizer = EsmTokenizer(str(folder / "vocab.txt"), eos_token=None, model_max_length=60)
    kind = {"position_embedding_type": "absolute", "token_dropout": True, "max_position_embeddings": 62}
    return EsmForMaskedLM(EsmConfig(vocab_size=4105, pad_token_id=1, mask_token_id=2, **kind, **SIZES)), tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Checkpoints of language models by name, made when they are first wanted."""
    root, made = tmp_path_factory.mktemp("language-models"), dict[str, Path]()
    bpe = small_bpe()
    pairs: dict[str, Callable[[], tuple[Any, Any]]] = {
        "characters": lambda: (bert(9), CharacterTokenizer()),
        "kmers": lambda: (bert(69), KmerTokenizer(3)),
        "blocks": lambda: nucleotide_transformer(root / "vocabulary"),
        "bpe": lambda: (dnabert2(len(bpe.vocabulary)), bpe),
        "causal": lambda: (mistral(9), CharacterTokenizer()),
        "causal-bpe": lambda: (mistral(len(bpe.vocabulary)), bpe),
    }

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = save_model(root / name, *pairs[name]())
        return made[name]

    return folder


def model_of(folder: Path, options: str = "") -> Any:
    return load_huggingface(parse_reference(f"hf:{folder}{options}"))


def naive_of(folder: Path, causal: bool = False) -> Naive:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_pretrained(folder).eval()
    return Naive(network, tokenizer, tokenizer.init_kwargs.get("kmer"))


def questions(texts: list[str]) -> tuple[list[str], list[int]]:
    """Every third base and both ends."""
    asked = [(text, at) for text in texts for at in sorted({0, len(text) - 1, *range(0, len(text), 3)})]
    return [text for text, _ in asked], [at for _, at in asked]


@pytest.mark.parametrize("name", ["characters", "kmers", "blocks", "bpe"])
def test_hidden_bases_are_those_of_a_loop_over_tokens_and_vocabulary(folders: Callable[[str], Path], name: str) -> None:
    model, naive = model_of(folders(name)), naive_of(folders(name))
    ask = naive.cut_four_times if name == "bpe" else naive.masked
    sequences, positions = questions(TEXTS)
    known = [i for i, at in enumerate(positions) if sequences[i][at] != "N"]  # the loop cuts with what stands there
    got = np.exp(model.fill(sequences, positions))
    wanted = np.array([ask(sequences[i], positions[i]) for i in known])
    np.testing.assert_allclose(got[known], wanted, atol=2e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    assert wanted.std(axis=0).min() > 2e-3  # the network tells questions apart


def test_only_the_base_hidden_is_the_conditional_of_its_token(folders: Callable[[str], Path]) -> None:
    model, naive = model_of(folders("blocks"), "?hide=base"), naive_of(folders("blocks"))
    sequences, positions = questions([TEXTS[0]])
    wanted = [naive.amid_its_token(text, at) for text, at in zip(sequences, positions, strict=True)]
    np.testing.assert_allclose(np.exp(model.fill(sequences, positions)), wanted, atol=2e-5)
    alleles = [TEXTS[0][:9] + base + TEXTS[0][10:] for base in "ACGT"]
    before = model.passes
    rows = model.fill(alleles, [9] * 4)
    assert model.passes - before == 1
    assert (rows == rows[0]).all()
    with pytest.raises(Unsupported, match="hide=base"):
        model_of(folders("bpe"), "?hide=base")


@pytest.mark.parametrize("name", ["characters", "kmers", "blocks"])
def test_a_single_pass_is_that_of_the_loop(folders: Callable[[str], Path], name: str) -> None:
    model, naive = model_of(folders(name)), naive_of(folders(name))
    for text, got in zip(TEXTS, model.scan(TEXTS), strict=True):
        np.testing.assert_allclose(np.exp(got), naive.unmasked(text), atol=2e-5)
    assert model.passes == len(TEXTS)


def test_bpe_tells_nothing_of_bases_in_a_single_pass(folders: Callable[[str], Path]) -> None:
    with pytest.raises(Unsupported, match="depend on the bases"):
        model_of(folders("bpe")).scan(TEXTS)


@pytest.mark.parametrize("name", ["bpe", "characters", "kmers", "blocks"])
def test_hidden_bases_equal_those_of_the_frozen_evaluation(
    folders: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    from glmbench.networks.masked_lm import load_masked_lm
    from glmbench.tokenizers.saving import load_tokenizer

    folder = folders(name)
    if name == "blocks":  # the evaluation packs networks of ours only
        folder = save_model(tmp_path / "ours", bert(4105), BlocksTokenizer(6))
    texts = [text.replace("N", "A") for text in TEXTS]
    rng = np.random.default_rng(3)
    several = [text for text in texts for _ in range(4)]  # one hidden base a window, as `fill` hides one
    position = np.array([rng.integers(len(text)) for text in several])
    hidden = HiddenBases(encode_batch(several), pl.DataFrame(), np.arange(len(several)), position)
    wanted = MaskedTokens(load_masked_lm(folder), load_tokenizer(folder)).log_probabilities(hidden)
    np.testing.assert_allclose(model_of(folder).fill(several, position.tolist()), wanted, atol=2e-4)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_what_stands_at_the_position_makes_no_difference(folders: Callable[[str], Path], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["characters", "kmers", "blocks", "bpe", "causal"]))
    text = data.draw(st.text("ACGTNacgtR", min_size=1, max_size=30))
    at = data.draw(st.integers(0, len(text) - 1))
    model = _kept(folders(name))
    alleles = [text[:at] + letter + text[at + 1 :] for letter in "ACGTN"]
    rows = model.fill(alleles, [at] * 5)
    assert (rows == rows[0]).all()
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, atol=1e-5)


_LOADED: dict[Path, Any] = {}


def _kept(folder: Path) -> Any:
    if folder not in _LOADED:
        _LOADED[folder] = model_of(folder)
    return _LOADED[folder]


def test_questions_with_one_input_are_asked_once(folders: Callable[[str], Path]) -> None:
    text = TEXTS[0]
    alleles = [text[:at] + base + text[at + 1 :] for at in (3, 10, 20) for base in "ACGT"]
    positions = [at for at in (3, 10, 20) for _ in "ACGT"]
    for name in ("characters", "kmers", "blocks"):
        model = model_of(folders(name))
        model.fill(alleles, positions)
        assert model.passes == 3, name
    model = model_of(folders("characters"))
    model.fill([text] * len(text), range(len(text)))
    assert model.passes == len(text)
    blocks = model_of(folders("blocks"))
    together = blocks.fill([text] * len(text), range(len(text)))
    assert blocks.passes == len(text) // 6 + len(text) % 6  # bases of one token share a row
    alone = [model_of(folders("blocks")).fill([text], [at])[0] for at in (0, 4, len(text) - 1)]
    np.testing.assert_allclose(together[[0, 4, len(text) - 1]], alone, atol=2e-6)
    bpe = model_of(folders("bpe"))
    bpe.fill(alleles, positions)
    assert 3 <= bpe.passes <= 12  # distinct token rows
    causal = model_of(folders("causal"))
    causal.fill([text] * len(text), range(len(text)))
    assert causal.passes == 1
    causal.fill([text[:12] + base + text[13:] for base in "ACGT"], [12] * 4)
    assert causal.passes == 2


def test_pseudo_log_likelihood_is_the_sum_of_hidden_bases(folders: Callable[[str], Path]) -> None:
    model = model_of(folders("characters"))
    got = model.log_likelihood([*TEXTS, "NN"])
    for text, value in zip(TEXTS, got, strict=False):
        log_p = model.fill([text] * len(text), range(len(text)))
        assert value == pytest.approx(sum(log_p[i, "ACGT".index(b)] for i, b in enumerate(text) if b != "N"), abs=1e-4)
    assert got[-1] == 0


@pytest.mark.parametrize("name", ["causal", "causal-bpe"])
def test_causal_likelihood_is_the_loss_of_transformers(folders: Callable[[str], Path], name: str) -> None:
    model, naive = model_of(folders(name)), naive_of(folders(name), causal=True)
    texts = [text.replace("N", "") for text in TEXTS]
    for text, got in zip(texts, model.log_likelihood(texts), strict=True):
        ids = torch.tensor([naive.tokenizer(text)["input_ids"][:-1]])  # without [SEP]
        with torch.inference_mode():
            loss = naive.network(input_ids=ids, labels=ids).loss
        assert got == pytest.approx(-float(loss) * (ids.shape[1] - 1), abs=2e-4)
    assert model.passes == len(texts)


def test_causal_bases_are_those_of_the_logits_before_them(folders: Callable[[str], Path]) -> None:
    model, naive = model_of(folders("causal")), naive_of(folders("causal"), causal=True)
    for text, scanned in zip(TEXTS, model.scan(TEXTS), strict=True):
        logits = naive.logits(naive.tokens(text)[0])
        wanted = torch.softmax(logits[: len(text), 5:9], dim=1).numpy()  # the row of [CLS] speaks of the first base
        np.testing.assert_allclose(np.exp(scanned), wanted, atol=2e-5)
        np.testing.assert_allclose(model.fill([text] * len(text), range(len(text))), scanned, atol=2e-5)


def test_without_a_first_special_token_nothing_is_known_of_the_first_base(checkpoint: Callable[[str], Path]) -> None:
    model = model_of(checkpoint("gpt2"))
    np.testing.assert_allclose(model.scan(["GATTACA"])[0][0], np.log(1 / 4))
    whole = model.log_likelihood(["GATTACA"])[0]
    with torch.inference_mode():
        from transformers import AutoModelForCausalLM

        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "C", "G", "T"]
        ids = torch.tensor([[vocabulary.index(base) for base in "GATTACA"]])
        network = AutoModelForCausalLM.from_pretrained(checkpoint("gpt2")).eval()
        loss = network(input_ids=ids, labels=ids).loss
    assert whole == pytest.approx(np.log(1 / 4) - 6 * float(loss), abs=1e-4)


def test_a_model_has_the_capabilities_that_it_can_answer(folders: Callable[[str], Path]) -> None:
    for name, bases in {"characters": True, "bpe": True, "causal": True, "causal-bpe": False}.items():
        model = model_of(folders(name))
        assert isinstance(model, PredictsBases) == bases, name
        assert all(isinstance(model, capability) for capability in (ScoresSequences, Embeds, CountsPasses))
        if bases:
            assert model.reach == ("left" if name == "causal" else "both")


def test_beyond_the_context_is_refused_or_read_in_windows(folders: Callable[[str], Path]) -> None:
    text = "".join(np.random.default_rng(5).choice(list("ACGT"), 150))
    for name in ("characters", "kmers", "bpe", "causal"):
        refusing = model_of(folders(name), "?max_tokens=20")
        for ask in (lambda m=refusing: m.fill([text], [70]), lambda m=refusing: m.log_likelihood([text])):
            with pytest.raises(Unsupported, match="overflow=window"):
                ask()
        with pytest.raises(Unsupported, match="overflow=window"):
            model_of(folders(name), "?max_tokens=20&overflow=truncate").fill([text], [70])
        model = model_of(folders(name), "?max_tokens=20&overflow=window")
        assert np.isfinite(model.log_likelihood([text])).all()
        if name != "bpe":
            assert len(model.scan([text])[0]) == 150
    characters = model_of(folders("characters"), "?max_tokens=20&overflow=window")
    whole = model_of(folders("characters"))
    # 18 bases around the asked one, shifted at the ends of the sequence
    for at, (start, end) in {70: (62, 80), 2: (0, 18), 149: (132, 150)}.items():
        wanted = whole.fill([text[start:end]], [at - start])
        np.testing.assert_allclose(characters.fill([text], [at]), wanted, atol=2e-5)


def test_very_long_sequences_are_looked_at_near_the_question_only(folders: Callable[[str], Path]) -> None:
    text = "".join(np.random.default_rng(8).choice(list("ACGT"), 3_000))
    for name in ("characters", "kmers", "blocks", "bpe"):
        model = model_of(folders(name), "?max_tokens=20&overflow=window")
        positions = [0, 7, 1_500, 1_501, 2_990, 2_999]
        got = model.fill([text] * 6, positions)
        # from a stretch that is short enough to be cut whole, and begins where blocks do
        for at, row in zip(positions, got, strict=True):
            start, end = max(at - 180, 0) // 6 * 6, min(at + 180, 3_000)
            start = end // 6 * 6 - 354 if end == 3_000 else start
            np.testing.assert_allclose(row, model.fill([text[start:end]], [at - start])[0], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["characters", "kmers", "blocks", "bpe"])
@pytest.mark.parametrize("unknown", [[], [0], [3, 4, 150]])
def test_an_answer_stays_when_a_sequence_becomes_very_long(
    folders: Callable[[str], Path], name: str, unknown: list[int]
) -> None:
    """An N shifts all blocks behind it, wherever a long sequence is cut."""
    letters = np.random.default_rng(9).choice(list("ACGT"), 1_500)
    letters[unknown] = "N"
    text = "".join(letters)
    model = model_of(folders(name), "?max_tokens=20&overflow=window")
    positions = [150, 155, 200, 219, 221]
    short = model.fill([text[:400]] * 5, positions)
    np.testing.assert_allclose(model.fill([text] * 5, positions), short, atol=2e-5)


def test_a_sequence_is_normalised_once_however_many_bases_are_asked(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(folders("causal"))
    normalised, calls = Reader.normalised, list[str]()

    def counted(reader: Reader, sequence: str) -> str:
        calls.append(sequence)
        return normalised(reader, sequence)

    monkeypatch.setattr(Reader, "normalised", counted)
    model.scan(["gattaca" * 5, "ACGT" * 9])
    assert len(calls) <= 4  # once for the question, once to cut it into tokens


def test_causal_windows_overlap_by_half(folders: Callable[[str], Path]) -> None:
    text = "".join(np.random.default_rng(6).choice(list("ACGT"), 60))
    model = model_of(folders("causal"), "?max_tokens=21&overflow=window")  # [CLS] and 20 bases
    whole = model_of(folders("causal"))
    parts = [(0, 0, 20), (10, 20, 30), (20, 30, 40), (30, 40, 50), (40, 50, 60)]
    wanted = np.concatenate([whole.scan([text[start:end]])[0][first - start :] for start, first, end in parts])
    np.testing.assert_allclose(model.scan([text])[0], wanted, atol=2e-5)
    np.testing.assert_allclose(model.fill([text] * 3, [0, 35, 59]), wanted[[0, 35, 59]], atol=2e-5)
    sums = [whole.log_likelihood([text[s:e]])[0] - whole.log_likelihood([text[s:f]])[0] for s, f, e in parts[1:]]
    total = whole.log_likelihood([text[:20]])[0] + sum(sums)
    assert model.log_likelihood([text])[0] == pytest.approx(total, abs=1e-3)


def test_bad_questions_are_refused(folders: Callable[[str], Path]) -> None:
    model = model_of(folders("characters"))
    with pytest.raises(DataError, match="outside sequence 1"):
        model.fill(["ACG", "AC"], [2, 2])
    with pytest.raises(DataError, match="one position a sequence"):
        model.fill(["ACG"], [0, 1])
    assert model.fill([], []).shape == (0, 4)
    assert model.scan([]) == []
    assert model.log_likelihood([]).shape == (0,)
