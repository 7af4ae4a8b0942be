from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models import registry
from glmbench.models.huggingface import runner
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.model import CountsPasses, Embeds, Inspectable, PredictsBases
from glmbench.training import precision

KINDS = ["bert", "esm", "gpt2", "mistral", "t5"]
Checkpoints = Callable[[str], Path]


def load(folder: Path, options: str = "") -> HuggingFaceModel:
    model = registry.load(f"hf:{folder}{options}")
    assert isinstance(model, HuggingFaceModel)
    return model


def states_one_by_one(folder: Path, sequence: str, layer: int = -1) -> tuple[NDArray[np.float32], list[int]]:
    """Hidden states (tokens, dim) of one sequence and its token ids, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer, T5EncoderModel

    architecture = json.loads((folder / "config.json").read_text())["model_type"]
    network = (T5EncoderModel if architecture == "t5" else AutoModel).from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(sequence.upper())["input_ids"]
    with torch.no_grad():
        output = network(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return output.hidden_states[layer][0].numpy(), ids


def of_bases(ids: list[int]) -> list[int]:
    """Places of tokens that stand for bases: unknown, A, C, G, T."""
    return [place for place, token in enumerate(ids) if token == 1 or token >= 5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", ["", "?layer=1", "?layer=0&pool=max"])
def test_pooling_equals_transformers_one_sequence_at_a_time(
    checkpoint: Checkpoints, sequences: list[str], kind: str, options: str
) -> None:
    layer = {"": -1, "?layer=1": 1}.get(options, 0)
    model = load(checkpoint(kind), options)
    features = model.embed(sequences)
    assert isinstance(model, Embeds)
    assert features.dtype == np.float32
    assert features.shape == (len(sequences), 32)
    for row, sequence in zip(features, sequences, strict=True):
        states, ids = states_one_by_one(checkpoint(kind), sequence, layer)
        real = states[of_bases(ids)]
        assert len(real) == len(sequence)
        np.testing.assert_allclose(row, real.max(axis=0) if "max" in options else real.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_do_not_depend_on_the_batch(
    checkpoint: Checkpoints, sequences: list[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = load(checkpoint(kind)).embed(sequences)
    monkeypatch.setattr(runner, "CPU_BATCH_TOKENS", 1)
    model = load(checkpoint(kind))
    np.testing.assert_allclose(model.embed(sequences[::-1])[::-1], together, atol=1e-5)
    assert model.passes == len(sequences)


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_every_layer_equal_transformers_and_their_spans_cover_the_sequence(
    checkpoint: Checkpoints, sequences: list[str], kind: str
) -> None:
    model = load(checkpoint(kind))
    assert isinstance(model, Inspectable)
    assert isinstance(model, CountsPasses)
    for number, layer in enumerate(model.layers()):
        for sequence, states in zip(sequences[:4], model.states(sequences[:4], layer), strict=True):
            values, ids = states_one_by_one(checkpoint(kind), sequence, number)
            np.testing.assert_allclose(states.values, values, atol=1e-5)
            real = states.starts >= 0
            assert np.flatnonzero(real).tolist() == of_bases(ids)
            assert states.starts[real].tolist() == list(range(len(sequence)))
            assert states.ends[real].tolist() == list(range(1, len(sequence) + 1))
            assert (states.ends[~real] == -1).all()


def test_states_of_a_long_sequence_come_window_after_window(checkpoint: Checkpoints) -> None:
    sequence = "ACGTTGCA" * 20
    model = load(checkpoint("bert"), "?overflow=window")
    (states,) = model.states([sequence], "2")
    real = states.starts >= 0
    assert states.starts[real].tolist() == list(range(160))
    whole = load(checkpoint("bert")).states([sequence[: 160 // 3], "ACG"], "2")[0]
    np.testing.assert_allclose(states.values[: len(whole.values)], whole.values, atol=1e-5)
    with pytest.raises(Unsupported, match="overflow=window"):
        load(checkpoint("bert")).states([sequence], "2")


def test_a_layer_without_a_name_and_a_unit_that_is_not_there_are_refused(checkpoint: Checkpoints) -> None:
    model = load(checkpoint("bert"))
    assert model.layers() == ("0", "1", "2", "3")
    np.testing.assert_array_equal(model.states(["ACG"], "-1")[0].values, model.states(["ACG"], "3")[0].values)
    with pytest.raises(UsageError, match=r"no layer '4'; wanted one of 0, 1, 2, 3"):
        model.states(["ACG"], "4")
    with pytest.raises(UsageError, match="units 0 to 31, got 32"), model.clamped("1", 32, 0.0):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_clamped_unit_is_held_there_and_changes_what_follows_only(checkpoint: Checkpoints, kind: str) -> None:
    import torch

    model = load(checkpoint(kind))
    before = [model.states(["ACGTTG"], layer)[0].values for layer in model.layers()]
    for number, layer in enumerate(model.layers()):
        with model.clamped(layer, 5, -1.5):
            held = [model.states(["ACGTTG"], other)[0].values for other in model.layers()]
        expected = before[number].copy()
        expected[:, 5] = -1.5
        np.testing.assert_allclose(held[number], expected, atol=1e-6)
        for earlier in range(number):
            np.testing.assert_allclose(held[earlier], before[earlier], atol=1e-6)
        for later in range(number + 1, len(before)):
            assert np.abs(held[later] - before[later]).max() > 1e-4
    np.testing.assert_allclose(model.states(["ACGTTG"], "1")[0].values, before[1], atol=1e-6)
    assert not any(module._forward_hooks_with_kwargs for module in model._network.body.modules())
    assert torch.is_grad_enabled()


def test_what_follows_a_clamped_layer_is_what_the_next_layers_make_of_it(checkpoint: Checkpoints) -> None:
    """The rest of the network, run by hand on the clamped states of a layer."""
    import torch

    model = load(checkpoint("bert"))
    with model.clamped("1", 3, 2.0):
        held = model.states(["ACGTTG"], "1")[0].values
        last = model.states(["ACGTTG"], "3")[0].values
    x = torch.from_numpy(held)[None]
    with torch.inference_mode():
        for layer in model._network.body.get_submodule("encoder.layer")[1:]:
            x = layer(x)
    np.testing.assert_allclose(last, x[0].numpy(), atol=1e-5)


def test_a_network_that_cannot_mask_gets_batches_of_one_length(
    checkpoint: Checkpoints, sequences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertModel

    masked = load(checkpoint("bert")).embed(sequences)
    forward = BertModel.forward
    model = load(checkpoint("bert"))
    monkeypatch.setattr(BertModel, "forward", lambda self, input_ids: forward(self, input_ids=input_ids))
    np.testing.assert_allclose(model.embed(sequences), masked, atol=1e-5)


def test_cls_is_the_first_token_of_an_encoder(checkpoint: Checkpoints) -> None:
    features = load(checkpoint("bert"), "?pool=cls").embed(["ACGTAC", "GGT"])
    expected = [states_one_by_one(checkpoint("bert"), sequence)[0][0] for sequence in ("ACGTAC", "GGT")]
    np.testing.assert_allclose(features, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_cls_is_the_last_token_of_a_causal_model(checkpoint: Checkpoints, kind: str) -> None:
    features = load(checkpoint(kind), "?pool=cls").embed(["ACGTAC", "GGT"])
    expected = [states_one_by_one(checkpoint(kind), sequence)[0][-1] for sequence in ("ACGTAC", "GGT")]
    np.testing.assert_allclose(features, expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "place"), [("bert", 0), ("gpt2", -1)])
def test_cls_of_the_embedding_layer_is_the_same_token_as_of_the_last(
    checkpoint: Checkpoints, kind: str, place: int
) -> None:
    """At layer 0 no token has seen another yet, in an encoder either."""
    features = load(checkpoint(kind), "?layer=0&pool=cls").embed(["ACGTAC", "GGT"])
    expected = [states_one_by_one(checkpoint(kind), sequence, 0)[0][place] for sequence in ("ACGTAC", "GGT")]
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_cls_of_an_encoder_without_such_a_token_is_unsupported(checkpoint: Checkpoints) -> None:
    with pytest.raises(Unsupported, match="pool=mean"):
        load(checkpoint("t5"), "?pool=cls")


def test_lower_case_is_read_as_upper_case(checkpoint: Checkpoints) -> None:
    model = load(checkpoint("bert"))
    np.testing.assert_allclose(model.embed(["acgtt"]), model.embed(["ACGTT"]), atol=1e-6)


def test_bf16_is_near_fp32_and_returns_float32(
    checkpoint: Checkpoints, sequences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    exact = load(checkpoint("bert")).embed(sequences)
    rough = load(checkpoint("bert"), "?precision=bf16").embed(sequences)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_bf16_that_would_be_emulated_is_unsupported(checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fast_bf16", lambda device: False)
    with pytest.raises(Unsupported, match="use fp32"):
        load(checkpoint("bert"), "?precision=bf16")


def test_matrix_products_use_the_setting_of_the_training_room(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import BertModel

    monkeypatch.setattr(precision, "resolve", lambda wanted, device: precision.Precision("fp32", "medium"))
    seen: list[str] = []
    forward = BertModel.forward

    def spy(self: BertModel, *arguments: object, **options: object) -> object:
        seen.append(torch.get_float32_matmul_precision())
        return forward(self, *arguments, **options)

    model = load(checkpoint("bert"))
    monkeypatch.setattr(BertModel, "forward", spy)
    model.embed(["ACGT"])
    assert set(seen) == {"medium"}
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_a_decoder_keeps_no_keys_and_values(
    checkpoint: Checkpoints, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import DynamicCache

    kept: list[int] = []
    update = DynamicCache.update

    def spy(self: DynamicCache, keys: torch.Tensor, *arguments: object, **options: object) -> object:
        kept.append(keys.numel())
        return update(self, keys, *arguments, **options)

    monkeypatch.setattr(DynamicCache, "update", spy)
    assert load(checkpoint(kind)).embed(["ACGTAC"]).shape == (1, 32)
    assert not kept


def test_the_network_is_on_the_device_of_the_training_room(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr("glmbench.training.device.preferred_device", lambda: torch.device("meta"))
    network = load(checkpoint("bert"))._network.body
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


def test_a_long_sequence_is_refused_with_what_to_do(checkpoint: Checkpoints) -> None:
    model = load(checkpoint("bert"))
    assert model.card.context == 64
    assert model.embed(["A" * 62]).shape == (1, 32)
    with pytest.raises(Unsupported, match=r"sequence 1 has 63 bp.*62 at most.*overflow=window"):
        model.embed(["ACGT", "A" * 63])


def test_windows_are_averaged_by_their_tokens(checkpoint: Checkpoints) -> None:
    rng = np.random.default_rng(1)
    sequence = "".join(rng.choice(list("ACGT"), 151))
    model = load(checkpoint("bert"), "?overflow=window")
    parts = [sequence[:50], sequence[50:100], sequence[100:]]
    expected = load(checkpoint("bert")).embed(parts).astype(float).T @ [50, 50, 51] / 151
    np.testing.assert_allclose(model.embed(["ACG", sequence])[1], expected, atol=1e-5)
    assert model.notes(["ACG", sequence])["windows"] == 4
    highest = load(checkpoint("bert"), "?overflow=window&pool=max").embed(["ACG", sequence])[1]
    expected = load(checkpoint("bert"), "?pool=max").embed(parts).max(axis=0)
    np.testing.assert_allclose(highest, expected, atol=1e-5)


def test_truncation_cuts_the_end_and_is_counted(checkpoint: Checkpoints) -> None:
    model = load(checkpoint("gpt2"), "?overflow=truncate&max_tokens=20")
    sequence = "ACGTTGCAACGTGTCATTGACCAGT"
    np.testing.assert_allclose(model.embed([sequence]), model.embed([sequence[:20]]), atol=1e-6)
    notes = model.notes([sequence, "ACGTN"])
    assert notes["beyond_context"] == 1
    assert notes["cut_tokens"] == 5
    assert notes["tokens"] == 30
    assert notes["unknown_tokens"] == 1
    assert notes["unknown_rate"] == pytest.approx(1 / 30)


def test_a_relative_network_has_no_limit_but_a_stated_one_can_be_set(checkpoint: Checkpoints) -> None:
    assert load(checkpoint("t5")).embed(["ACGT" * 100]).shape == (1, 32)
    with pytest.raises(Unsupported):
        load(checkpoint("t5"), "?max_tokens=100").embed(["ACGT" * 100])


def test_max_tokens_cannot_exceed_learned_positions(checkpoint: Checkpoints) -> None:
    with pytest.raises(UsageError, match="has 64 positions"):
        load(checkpoint("gpt2"), "?max_tokens=65")


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(checkpoint: Checkpoints, layer: int) -> None:
    with pytest.raises(UsageError, match="3 layers"):
        load(checkpoint("bert"), f"?layer={layer}")


def test_no_sequences_and_an_empty_one_are_errors(checkpoint: Checkpoints) -> None:
    model = load(checkpoint("bert"))
    with pytest.raises(DataError, match="no sequences"):
        model.embed([])
    with pytest.raises(DataError, match=r"sequence 1 .* has no token"):
        model.embed(["ACG", ""])


def test_states_that_are_not_finite_are_an_error(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint("bert"), tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"] *= float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="NaN"):
        load(folder).embed(["ACGT"])


def test_the_card_says_what_is_known(checkpoint: Checkpoints, tmp_path: Path) -> None:
    plain = load(checkpoint("bert")).card
    assert (plain.kind, plain.context, plain.licence) == ("model", 64, None)
    assert plain.parameters is not None
    assert 20_000 < plain.parameters < 50_000
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "small")
    about = {"kind": "stand-in", "description": "for tests", "pretraining": {"species": ["yeast"]}}
    (folder / "glmbench.json").write_text(json.dumps(about))
    (folder / "README.md").write_text("---\nlicense: mit\ndatasets:\n- x/y\n---\nA model.\n")
    card = load(folder, "?pool=max").card
    assert (card.kind, card.name, card.licence) == ("stand-in", "small", "mit")
    assert card.pretraining == {"species": ["yeast"]}
    (folder / "README.md").write_text("---\nlicense: [mit\n---\nA model.\n")
    assert load(folder).card.licence is None
    assert card.reference == f"hf:{folder}?pool=max"
    assert card.fingerprint == plain.fingerprint, "what is said about a model does not change its numbers"


def test_a_model_retrained_in_place_has_another_fingerprint(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint("bert"), tmp_path / "model")
    before = load(folder)
    weights = load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"][0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = load(folder)
    assert before.card.fingerprint == load(checkpoint("bert")).card.fingerprint != after.card.fingerprint
    assert not np.array_equal(before.embed(["ACGT"]), after.embed(["ACGT"]))


def test_k_mer_tokenizers_need_their_option(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from itertools import product

    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map("".join, product("ACGT", repeat=3))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"\?kmer="):
        load(tmp_path)
    model = load(tmp_path, "?kmer=3")
    assert model.embed(["ACGTACGT", "AC"]).shape == (2, 16)
    assert model.notes(["ACGTACGT", "ACN"]) | {"unknown_rate": 0} == {
        "sequences": 2, "tokens": 7, "unknown_tokens": 1, "unknown_rate": 0, "beyond_context": 0, "windows": 2,
        "cut_tokens": 0,
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_random_twin_has_other_weights_of_the_same_shape(checkpoint: Checkpoints, kind: str) -> None:
    import torch

    trained, generator_state = load(checkpoint(kind)), torch.get_rng_state()
    twins = [registry.load(f"random:{checkpoint(kind)}{options}") for options in ("", "?seed=0", "?seed=1")]
    assert torch.equal(generator_state, torch.get_rng_state())
    features = [np.asarray(twin.embed(["ACGTTG"])) for twin in twins if isinstance(twin, Embeds)]
    np.testing.assert_array_equal(features[0], features[1])
    assert np.abs(features[0] - features[2]).max() > 1e-3
    assert np.abs(features[0] - trained.embed(["ACGTTG"])).max() > 1e-3
    cards = [twin.card for twin in twins]
    assert {card.parameters for card in cards} == {trained.card.parameters}
    assert {(card.kind, card.context, card.tokenizer) for card in cards} == {
        ("control", trained.card.context, trained.card.tokenizer)
    }
    assert cards[0].fingerprint == cards[1].fingerprint
    assert len({trained.card.fingerprint, cards[0].fingerprint, cards[2].fingerprint}) == 3


def test_the_random_twin_needs_no_weights(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    whole, bare = (registry.load(f"random:{path}").card for path in (checkpoint("bert"), folder))
    assert whole.fingerprint == bare.fingerprint


def test_a_tokenizer_of_another_checkpoint_is_refused(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "mixed"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["".join(bases) for bases in product("ACGT", repeat=4)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(DataError, match=r"the tokenizer has .* tokens, the network .* different checkpoints"):
        load(folder)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_tokens_that_dna_never_gives_may_be_beyond_the_table(
    checkpoint: Checkpoints, tmp_path: Path, kind: str
) -> None:
    """As one that transformers adds to Qwen2's tokenizer."""
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / "more"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<|endoftext|>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    model, plain = load(folder), load(checkpoint(kind))
    np.testing.assert_array_equal(model.embed(["ACGTTGNA"]), plain.embed(["ACGTTGNA"]))
    assert isinstance(model, PredictsBases)
    assert isinstance(plain, PredictsBases)
    np.testing.assert_array_equal(model.scan(["ACGTTGNA"])[0], plain.scan(["ACGTTGNA"])[0])


def test_parameters_are_those_of_the_whole_network_whatever_its_head(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM, BertConfig, BertForSequenceClassification

    whole = AutoModelForMaskedLM.from_pretrained(checkpoint("bert"))
    assert load(checkpoint("bert")).card.parameters == whole.num_parameters()
    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "classifier"))
    classifier = BertForSequenceClassification(BertConfig.from_pretrained(folder, num_labels=3))
    classifier.save_pretrained(folder)
    assert load(folder).card.parameters == classifier.num_parameters()
