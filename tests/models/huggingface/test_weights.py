"""What is loaded of a checkpoint: its body, and the head whose weights are there."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.assembly import assemble
from glmbench.models.huggingface.checkpoint import Checkpoint
from glmbench.models.huggingface.families import FAMILIES, known_families, recognise
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.weights import implementation, load_network, random_network, read_config

Checkpoints = Callable[[str], Path]
IDS = torch.tensor([[2, 5, 6, 8, 7, 5, 3]])


@pytest.fixture
def bert(checkpoint: Checkpoints, tmp_path: Path) -> Path:
    """A copy of the BERT checkpoint to break."""
    return shutil.copytree(checkpoint("bert"), tmp_path / "bert")


def load(folder: Path, **options: Any) -> LoadedNetwork:
    checkpoint = Checkpoint(folder, **options)
    return load_network(checkpoint, read_config(checkpoint, "hf:x"), "hf:x")


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def save_stock(folder: Path, name: str, config: Any, **changes: Any) -> Any:
    """A class of transformers with weights so large that layers differ, saved as anyone would."""
    import transformers

    torch.manual_seed(0)
    network = getattr(transformers, name)(getattr(transformers, config)(**changes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    return network


SMALL = {"vocab_size": 9, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.mark.parametrize(
    ("kind", "objective"), [("bert", "masked"), ("esm", "masked"), ("gpt2", "causal"), ("mistral", "causal")]
)
@torch.no_grad()
def test_head_on_states_of_the_body_gives_the_logits_of_the_class(
    checkpoint: Checkpoints, kind: str, objective: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    loaded = load(checkpoint(kind))
    auto = AutoModelForMaskedLM if objective == "masked" else AutoModelForCausalLM
    whole = auto.from_pretrained(checkpoint(kind)).eval()
    assert (loaded.objective, loaded.classifier) == (objective, None)
    assert loaded.head is not None
    states = loaded.body(input_ids=IDS).last_hidden_state[0]
    expected = whole(input_ids=IDS).logits[0]
    torch.testing.assert_close(loaded.head(states), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loaded.head(states[[3, 1]]), expected[[3, 1]], rtol=1e-5, atol=1e-5)


def test_of_an_encoder_and_decoder_the_encoder_is_taken(checkpoint: Checkpoints) -> None:
    from transformers import T5EncoderModel

    loaded = load(checkpoint("t5"))
    assert isinstance(loaded.body, T5EncoderModel)
    assert (loaded.objective, loaded.head, loaded.classifier) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "config", "sizes"),
    [
        ("BertForSequenceClassification", "BertConfig", {}),
        ("EsmForSequenceClassification", "EsmConfig", {"pad_token_id": 0, "mask_token_id": 4}),
        ("MistralForSequenceClassification", "MistralConfig", {"num_key_value_heads": 1, "pad_token_id": 0}),
    ],
)
@torch.no_grad()
def test_a_classifier_comes_whole_and_with_its_body(
    tmp_path: Path, name: str, config: str, sizes: dict[str, Any]
) -> None:
    whole = save_stock(tmp_path, name, config, num_labels=3, **SMALL, **sizes)
    loaded = load(tmp_path)
    assert (loaded.objective, loaded.head) == (None, None)
    assert loaded.classifier is not None
    assert any(part is loaded.body for part in loaded.classifier.modules())
    torch.testing.assert_close(loaded.classifier(input_ids=IDS).logits, whole(input_ids=IDS).logits)


@torch.no_grad()
def test_the_masked_head_of_bert_for_pretraining_is_found(tmp_path: Path) -> None:
    whole = save_stock(tmp_path, "BertForPreTraining", "BertConfig", **SMALL)
    loaded = load(tmp_path)
    assert loaded.objective == "masked"
    assert loaded.head is not None
    states = loaded.body(input_ids=IDS).last_hidden_state[0]
    torch.testing.assert_close(loaded.head(states), whole(input_ids=IDS).prediction_logits[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architectures", [None, ["BertModel"], ["NobodyKnows"]])
def test_a_head_is_found_by_its_weights(bert: Path, architectures: list[str] | None) -> None:
    change_config(bert, architectures=architectures)
    assert load(bert).objective == "masked"


@pytest.mark.parametrize(
    ("name", "config"), [("BertModel", "BertConfig"), ("MistralModel", "MistralConfig"), ("GPT2Model", "GPT2Config")]
)
def test_a_body_saved_alone_has_no_head(tmp_path: Path, name: str, config: str) -> None:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 9} if name == "GPT2Model" else SMALL
    save_stock(tmp_path, name, config, **sizes, **({"num_key_value_heads": 1} if name == "MistralModel" else {}))
    assert load(tmp_path).objective is None


def test_a_head_without_weights_is_not_claimed(bert: Path) -> None:
    change_weights(bert, lambda weights: {name: value for name, value in weights.items() if "cls." not in name})
    loaded = load(bert)
    assert (loaded.objective, loaded.head) == (None, None)


def test_token_labels_are_no_classes_of_sequences(tmp_path: Path) -> None:
    """`score` of both has one name and shape in decoders: `architectures` alone tells them apart."""
    save_stock(tmp_path, "MistralForTokenClassification", "MistralConfig", num_key_value_heads=1, **SMALL)
    assert load(tmp_path).classifier is None


@pytest.mark.parametrize("kept", ["cls.predictions.bias", "cls.predictions.decoder.bias"])
@torch.no_grad()
def test_the_bias_of_bert_s_head_has_two_names(bert: Path, kept: str) -> None:
    """Checkpoints of different years have one, the other, or both."""
    weights = load_file(bert / "model.safetensors")
    value = weights.get("cls.predictions.bias", weights.get("cls.predictions.decoder.bias"))
    assert value is not None
    before = load(bert)
    bare = {name: tensor for name, tensor in weights.items() if not name.endswith(("predictions.bias", "decoder.bias"))}
    save_file(bare | {kept: value}, bert / "model.safetensors", metadata={"format": "pt"})
    after = load(bert)
    assert before.head is not None
    assert after.head is not None
    states = torch.randn(4, 32)
    torch.testing.assert_close(after.head(states), before.head(states))


def drop(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("cls.predictions.transform.dense.bias"), r"1 weights are missing \(cls\.predictions\.transform\.dense"),
        (drop("bert.encoder.layer.0.output.dense.bias"), r"1 weights are missing \(encoder\.layer\.0\.output\.dense"),
        (lambda weights: weights | {"cls.predictions.extra": torch.ones(2)}, r"no place \(cls\.predictions\.extra"),
        (lambda weights: weights | {"bert.encoder.extra": torch.ones(2)}, r"no place \(bert\.encoder\.extra"),
        (
            lambda weights: weights | {"cls.predictions.transform.dense.bias": torch.ones(7)},
            r"another shape \(cls\.predictions\.transform\.dense\.bias 7, wanted 32\)",
        ),
    ],
)
def test_body_and_head_fit_to_the_last_weight_or_are_refused(
    bert: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    change_weights(bert, change)
    with pytest.raises(DataError, match=message):
        load(bert)


def test_a_classifier_with_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    save_stock(tmp_path, "BertForSequenceClassification", "BertConfig", num_labels=3, **SMALL)
    labels = {str(label): f"LABEL_{label}" for label in range(5)}
    change_config(tmp_path, id2label=labels, label2id={name: int(label) for label, name in labels.items()})
    with pytest.raises(DataError, match=r"another shape \(classifier\.bias 3, wanted 5"):
        load(tmp_path)


def native(folder: Path) -> None:
    """Make the folder one that `families` claims, so that our own reader reads its files."""
    change_config(folder, alibi_starting_size=512)


@pytest.mark.parametrize("ours", [False, True], ids=["transformers", "native"])
@pytest.mark.parametrize("form", ["truncated", "no header", "empty"])
def test_broken_safetensors_are_refused(bert: Path, ours: bool, form: str) -> None:
    if ours:
        native(bert)
    whole = (bert / "model.safetensors").read_bytes()
    broken = {"truncated": whole[:5_000], "no header": b"\xff" * 64, "empty": b""}[form]
    (bert / "model.safetensors").write_bytes(broken)
    with pytest.raises(DataError, match=r"cannot be loaded: .*get the checkpoint again"):
        load(bert)


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("ours", [False, True], ids=["transformers", "native"])
@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(bert: Path, tmp_path: Path, ours: bool, form: str) -> None:
    if ours:
        native(bert)
    harmful = tmp_path / "harmful"
    (bert / "model.safetensors").unlink()
    if form == "pickle":
        (bert / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Malice(harmful)}))
    else:
        torch.save({"weight": Malice(harmful)}, bert / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"could run code.*safetensors"):
        load(bert)
    assert not harmful.exists()


def test_a_pickle_of_something_else_is_refused(bert: Path) -> None:
    native(bert)
    (bert / "model.safetensors").unlink()
    torch.save([torch.ones(2)], bert / "pytorch_model.bin")
    with pytest.raises(DataError, match="holds list, wanted names and tensors"):
        load(bert)


def test_parts_of_a_checkpoint_are_read_by_their_index(checkpoint: Checkpoints, tmp_path: Path) -> None:
    from dnabert2_statement import CONFIG, random_weights

    config = CONFIG | {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "vocab_size": 40}
    config |= {"num_attention_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = random_weights(config)
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[:10], "model-00002-of-00002.safetensors": names[10:]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, tmp_path / part, metadata={"format": "pt"})
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load(tmp_path).objective == "masked"
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match="cannot be loaded"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "esm", "gpt2", "mistral", "t5"])
def test_the_random_twin_is_the_same_architecture_with_weights_of_its_seed(checkpoint: Checkpoints, kind: str) -> None:
    place = Checkpoint(checkpoint(kind))
    config = read_config(place, "hf:x")
    loaded = load_network(place, config, "hf:x")
    before = torch.get_rng_state()
    first, same, other = (random_network(place, config, seed).body.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert random_network(place, config, 0).objective == loaded.objective
    assert {name: value.shape for name, value in first.items()} == {
        name: value.shape for name, value in loaded.body.state_dict().items()
    }
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_what_is_loaded_is_frozen_and_in_float32(bert: Path) -> None:
    change_weights(bert, lambda weights: {name: value.half() for name, value in weights.items()})
    body = load(bert).body
    assert {parameter.dtype for parameter in body.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in body.parameters())
    assert not body.training


OWN_CODE = """
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel


class OwnConfig(BertConfig):
    model_type = "own-bert"


class OwnModel(BertModel):
    config_class = OwnConfig


class OwnForMaskedLM(BertForMaskedLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that ships its own architecture."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (bert / "own.py").write_text(OWN_CODE)
    change_config(bert, model_type="own-bert", auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    return bert


def test_own_code_is_taken_for_what_auto_map_says_and_stock_code_for_nothing(own_code: Path) -> None:
    """A head of stock code on the body of another would be guesswork."""
    loaded = load(own_code, trust_remote_code=True)
    assert loaded.objective is None
    assert type(loaded.body).__name__ == "OwnModel"


@torch.no_grad()
def test_own_code_with_a_head_has_it(own_code: Path, checkpoint: Checkpoints) -> None:
    config = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel", "AutoModelForMaskedLM": "own.OwnForMaskedLM"}
    change_config(own_code, auto_map=config)
    loaded, stock = load(own_code, trust_remote_code=True), load(checkpoint("bert"))
    assert loaded.objective == "masked"
    assert loaded.head is not None
    assert stock.head is not None
    states = stock.body(input_ids=IDS).last_hidden_state[0]
    torch.testing.assert_close(loaded.head(states), stock.head(states))
    assert implementation(loaded, None, None)[1:] == ["OwnForMaskedLM", True]


class Scaled(torch.nn.Module):
    """A head that also wants the input ids: not one that can be asked about states alone."""

    base_model_prefix = "bert"

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.bert, self.cls, self.config = whole.bert, whole.cls, whole.config

    def forward(self, input_ids: Tensor) -> Any:
        from transformers.modeling_outputs import MaskedLMOutput

        logits = self.cls(self.bert(input_ids=input_ids).last_hidden_state)
        return MaskedLMOutput(logits=logits * (1 + input_ids[:, :, None]))


def test_a_head_that_does_not_give_the_logits_of_its_class_is_not_given_out(checkpoint: Checkpoints) -> None:
    from transformers import AutoModelForMaskedLM

    whole = AutoModelForMaskedLM.from_pretrained(checkpoint("bert"))
    with pytest.warns(UserWarning, match=r"head of Scaled cannot be asked apart from its body \(logits differ by"):
        loaded = assemble(Scaled(whole), "masked")
    assert (loaded.objective, loaded.head) == (None, None)


def test_a_network_that_predicts_bases_from_windows_comes_whole(tmp_path: Path) -> None:
    from glmbench.networks.genomenet import GenomeNetForBasePrediction
    from glmbench.networks.genomenet_config import GenomeNetConfig

    GenomeNetForBasePrediction(GenomeNetConfig(units=(8,))).save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded.flanks, GenomeNetForBasePrediction)
    assert loaded.body is loaded.flanks.genomenet
    assert (loaded.objective, loaded.classifier) == (None, None)
    place = Checkpoint(tmp_path)
    assert random_network(place, read_config(place, "hf:x"), 0).flanks is not None


def test_families_are_known_by_name_and_claim_nothing_of_stock_architectures(checkpoint: Checkpoints) -> None:
    families = known_families()
    assert len({family.name for family in families}) == len(FAMILIES)
    for kind in ("bert", "esm", "gpt2", "mistral", "t5"):
        assert recognise(Checkpoint(checkpoint(kind)).read_json("config.json")) is None
    assert recognise({}) is None


def test_families_are_listed_without_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from glmbench.models.huggingface.families import known_families; known_families(); "
        "assert not {'torch', 'transformers'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_adapter_beside_stock_weights_is_neither_followed_nor_left_out(bert: Path) -> None:
    (bert / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    with pytest.raises(Unsupported, match="merge_and_unload"):
        load(bert)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("kind", ["bert", "mistral"])
def test_a_random_twin_has_the_head_that_is_found_by_its_weights(
    checkpoint: Checkpoints, tmp_path: Path, kind: str, pickled: bool
) -> None:
    folder = shutil.copytree(checkpoint(kind), tmp_path / kind)
    change_config(folder, architectures=None)
    if pickled:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    at = Checkpoint(folder)
    config = read_config(at, "hf:x")
    model, twin = load(folder), random_network(at, config, 0)
    assert model.objective is not None
    assert twin.objective == model.objective
    (folder / ("pytorch_model.bin" if pickled else "model.safetensors")).unlink()
    assert random_network(at, config, 0).objective is None


def test_a_random_twin_has_no_head_where_the_weights_have_none(bert: Path) -> None:
    change_weights(bert, lambda weights: {name: w for name, w in weights.items() if not name.startswith("cls.")})
    at = Checkpoint(bert)
    config = read_config(at, "hf:x")
    assert (load(bert).objective, random_network(at, config, 0).objective) == (None, None)
