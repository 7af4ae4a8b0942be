"""Released DNABERT-2 checkpoints, loaded natively, against the specification written out (`dnabert2_statement`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dnabert2_statement as statement
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.sparse import csr_matrix
from torch import Tensor

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.models import registry
from glmbench.models.huggingface.checkpoint import Checkpoint, locate
from glmbench.models.huggingface.families import recognise
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.weights import load_network, random_network, read_config, read_tokenizer
from glmbench.models.model import Embeds, PredictsBases
from glmbench.models.reference import parse_reference

TINY: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 3, "vocab_size": 44}
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


def save_bpe(folder: Path) -> None:
    """A tokenizer of the released form: BPE, special tokens of the released ids, template, padding on the left."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=44, special_tokens=SPECIAL, show_progress=False)
    generator = torch.Generator().manual_seed(0)
    lines = ["".join("ACGT"[base] for base in torch.randint(4, (300,), generator=generator)) for _ in range(20)]
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names).save_pretrained(folder)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint folder as the hub has it."""

    def folder(weights: dict[str, Tensor], *, pickled: bool = False, **changes: Any) -> Path:
        path = tmp_path / "DNABERT-2-117M"
        path.mkdir()
        save_bpe(path)
        config = statement.CONFIG | TINY | changes
        (path / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "-"}))
        if pickled:
            torch.save(weights, path / "pytorch_model.bin")
        else:
            save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        return path

    return folder


def tiny_weights(**changes: Any) -> dict[str, Tensor]:
    return statement.random_weights(statement.CONFIG | TINY | changes)


def load(folder: Path, **options: Any) -> LoadedNetwork:
    checkpoint = Checkpoint(folder, **options)
    return load_network(checkpoint, read_config(checkpoint, "hf:x"), "hf:x")


def padded(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Rows of ids ([UNK] among them) and their mask; padding is [PAD], 3, as the tokenizer puts it."""
    generator = torch.Generator().manual_seed(1)
    ids, mask = torch.full((len(lengths), max(lengths)), 3), torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.cat(
            (torch.tensor([1]), torch.randint(0, 44, (length - 2,), generator=generator), torch.tensor([2]))
        )
        mask[row, :length] = 1
    return ids, mask


@pytest.mark.parametrize("heads", [12, 6, 3, 8])
@pytest.mark.parametrize("lengths", [(9, 31, 2, 17), (700, 3)], ids=["padding", "beyond 512 tokens"])
@torch.no_grad()
def test_states_and_logits_are_those_of_the_specification(
    save: Callable[..., Path], heads: int, lengths: tuple[int, ...]
) -> None:
    weights = tiny_weights(num_attention_heads=heads)
    network = load(save(weights, num_attention_heads=heads))
    assert (network.objective, network.classifier) == ("masked", None)
    assert network.head is not None
    ids, mask = padded(lengths)
    config = statement.CONFIG | TINY | {"num_attention_heads": heads}
    expected = statement.states(weights, config, ids, mask.float())
    got = network.body(ids, mask, output_hidden_states=True).hidden_states
    real = mask.bool()
    for ours, theirs in zip(got, expected, strict=True):
        assert float((ours - theirs)[real].abs().max()) <= 1e-5
    wanted = statement.logits(weights, expected[-1][real])
    assert float(wanted.std()) > 0.3, "a test on logits that hardly differ would say nothing"
    assert float((network.head(got[-1][real]) - wanted).abs().max()) <= 1e-5


def test_the_released_sizes_have_the_released_names_and_shapes() -> None:
    from glmbench.networks.dnabert2 import DNABERT2ForMaskedLM

    family = recognise(statement.CONFIG)
    assert family is not None
    assert family.networks["masked"].endswith(":DNABERT2ForMaskedLM")
    with torch.device("meta"):
        network = DNABERT2ForMaskedLM(family.make_config(statement.CONFIG))
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == statement.shapes(
        statement.CONFIG
    )


@torch.no_grad()
def test_a_pickle_of_plain_tensors_gives_the_same_and_old_buffers_are_ignored(save: Callable[..., Path]) -> None:
    weights = tiny_weights()
    ids, mask = padded((9, 20))
    expected = statement.states(weights, statement.CONFIG | TINY, ids, mask.float())[-1]
    network = load(save(weights | {"bert.embeddings.position_ids": torch.arange(512)[None]}, pickled=True))
    assert float((network.body(ids, mask).last_hidden_state - expected)[mask.bool()].abs().max()) <= 1e-5


def test_the_padding_index_is_the_released_one(save: Callable[..., Path]) -> None:
    """[UNK] is the embedding's padding index: its row is as released, and learns nothing."""
    weights = tiny_weights()
    weights["bert.embeddings.word_embeddings.weight"][0] = 0.5  # whatever the file says counts
    embedding = load(save(weights)).body.get_submodule("embeddings.word_embeddings")
    assert isinstance(embedding, torch.nn.Embedding)
    assert embedding.padding_idx == 0
    assert embedding.weight[0].eq(0.5).all()
    embedding.requires_grad_(True)
    embedding(torch.tensor([0, 3])).sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [3]


FINE_TUNED = {
    "architectures": ["BertForSequenceClassification"],
    "auto_map": {"AutoModelForSequenceClassification": "zhihan1996/DNABERT-2-117M--bert_layers.X"},
    "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2},
    "problem_type": "single_label_classification",
}


def fine_tuned_weights() -> dict[str, Tensor]:
    torch.manual_seed(3)
    weights = {name: value for name, value in tiny_weights().items() if not name.startswith("cls.")}
    weights |= {"bert.pooler.dense.weight": torch.randn(48, 48) * 0.2, "bert.pooler.dense.bias": torch.randn(48)}
    return weights | {"classifier.weight": torch.randn(3, 48) * 0.2, "classifier.bias": torch.randn(3)}


@torch.no_grad()
def test_a_fine_tuned_classifier_gives_the_scores_of_the_specification(save: Callable[..., Path]) -> None:
    weights = fine_tuned_weights()
    network = load(save(weights, **FINE_TUNED))
    assert (network.objective, network.head) == (None, None)
    assert network.classifier is not None
    ids, mask = padded((9, 31, 17))
    last = statement.states(weights, statement.CONFIG | TINY, ids, mask.float())[-1]
    got = network.classifier(input_ids=ids, attention_mask=mask).logits
    assert float((got - statement.scores(weights, last)).abs().max()) <= 1e-5
    assert float((network.body(ids, mask).last_hidden_state - last)[mask.bool()].abs().max()) <= 1e-5


def test_a_classifier_without_its_pooler_is_refused(save: Callable[..., Path]) -> None:
    weights = {name: value for name, value in fine_tuned_weights().items() if "pooler" not in name}
    with pytest.raises(DataError, match=r"2 weights are missing \(pooler\.dense\.bias"):
        load(save(weights, **FINE_TUNED))


@torch.no_grad()
def test_an_encoder_saved_alone_gives_states_only(save: Callable[..., Path]) -> None:
    """DNABERT-S: `BertModel.save_pretrained`, names without `bert.`, with a pooler."""
    weights = tiny_weights()
    alone = {name.removeprefix("bert."): value for name, value in weights.items() if name.startswith("bert.")}
    alone |= {"pooler.dense.weight": torch.randn(48, 48), "pooler.dense.bias": torch.randn(48)}
    network = load(save(alone, architectures=["BertModel"]))
    assert (network.objective, network.head, network.classifier) == (None, None, None)
    ids, mask = padded((9, 31))
    last = statement.states(weights, statement.CONFIG | TINY, ids, mask.float())[-1]
    assert float((network.body(ids, mask).last_hidden_state - last)[mask.bool()].abs().max()) <= 1e-5


@pytest.mark.parametrize("architectures", [["BertModel"], None])
def test_a_head_that_is_there_is_found_whatever_architectures_says(
    save: Callable[..., Path], architectures: list[str] | None
) -> None:
    assert load(save(tiny_weights(), architectures=architectures)).objective == "masked"


def test_a_head_that_is_not_there_is_not_claimed(save: Callable[..., Path]) -> None:
    weights = {name: value for name, value in tiny_weights().items() if name.startswith("bert.")}
    network = load(save(weights))
    assert (network.objective, network.head) == (None, None)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("cls.predictions.transform.dense.weight", r"1 weights are missing \(cls\.predictions\.transform"),
        ("bert.encoder.layer.1.mlp.wo.bias", r"1 weights are missing \(encoder\.layer\.1\.mlp\.wo\.bias"),
    ],
)
def test_a_lost_weight_is_refused(save: Callable[..., Path], broken: str, message: str) -> None:
    weights = tiny_weights()
    del weights[broken]
    with pytest.raises(DataError, match=message):
        load(save(weights))


def stock_bert_weights() -> dict[str, Tensor]:
    from transformers import BertConfig, BertForMaskedLM

    sizes = {key: TINY[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")}
    network = BertForMaskedLM(BertConfig(num_attention_heads=12, max_position_embeddings=64, **sizes))
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_weights_of_stock_bert_are_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"missing.*Wqkv.*have no place"):
        load(save(stock_bert_weights()))


def test_weights_of_dnabert2_are_refused_where_config_json_says_stock_bert(save: Callable[..., Path]) -> None:
    """Users who took `auto_map` out got stock BERT with random layers."""
    with pytest.raises(DataError, match=r"missing.*put.*alibi_starting_size.*back into config.json"):
        load(save(tiny_weights(), auto_map="-", alibi_starting_size="-"))


@pytest.mark.parametrize("stripped", ["auto_map", "alibi_starting_size"])
def test_one_mark_of_the_family_is_enough(save: Callable[..., Path], stripped: str) -> None:
    assert load(save(tiny_weights(), **{stripped: "-"})).objective == "masked"


def test_another_activation_is_refused(save: Callable[..., Path]) -> None:
    with pytest.raises(Unsupported, match=r"hidden_act.*relu.*gelu"):
        load(save(tiny_weights(), hidden_act="relu"))


def test_an_adapter_beside_the_weights_is_not_left_out_in_silence(save: Callable[..., Path]) -> None:
    folder = save(tiny_weights())
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(Unsupported, match="merge it"):
        load(folder)


OWN_CODE = """
from pathlib import Path
import transformers

Path({mark!r}).touch()


class BertForMaskedLM(transformers.BertForMaskedLM):  # its own: transformers marks the classes that it takes from files
    pass
"""


def test_the_checkpoints_own_code_runs_only_where_it_is_asked_for_and_allowed(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = save(tiny_weights(), auto_map={"AutoModelForMaskedLM": "bert_layers.BertForMaskedLM"})
    mark = tmp_path / "ran"
    (folder / "bert_layers.py").write_text(OWN_CODE.format(mark=str(mark)))

    def located(options: str, *, trust: bool) -> Checkpoint:
        return locate(parse_reference(f"hf:{folder}{options}"), trust_remote_code=trust, offline=True)

    for trust in (False, True):
        checkpoint = located("", trust=trust)
        assert load_network(checkpoint, read_config(checkpoint, "hf:x"), "hf:x").objective == "masked"
    with pytest.raises(UsageError, match=r"bert_layers\.BertForMaskedLM.*--trust-remote-code"):
        located("?code=own", trust=False)
    assert not mark.exists()
    checkpoint = located("?code=own", trust=True)
    with pytest.raises(DataError, match=r"do not fit BertForMaskedLM"):  # stock BERT stands in for their code here
        load_network(checkpoint, read_config(checkpoint, "hf:x"), "hf:x")
    assert mark.exists()


def test_native_code_needs_no_leave_for_code_of_another_repository(save: Callable[..., Path]) -> None:
    folder = save(fine_tuned_weights(), **FINE_TUNED)
    reference = parse_reference(f"hf:{folder}")
    assert locate(reference, trust_remote_code=True, offline=True).code == "native"
    reference = parse_reference(f"hf:{folder}?code=own")
    with pytest.raises(UsageError, match="another repository"):
        locate(reference, trust_remote_code=True, offline=True)


def test_own_code_must_be_there_to_be_asked_for(save: Callable[..., Path]) -> None:
    reference = parse_reference(f"hf:{save(tiny_weights(), auto_map='-')}?code=own")
    with pytest.raises(UsageError, match="brings no code of its own"):
        locate(reference, trust_remote_code=True, offline=True)


def test_a_whole_model_reads_beyond_512_tokens(save: Callable[..., Path]) -> None:
    """By its reference, with the tokenizer of the released form; the card says that there is no limit."""
    model = registry.load(f"hf:{save(tiny_weights())}")
    assert isinstance(model, Embeds)
    assert isinstance(model, PredictsBases)
    assert model.card.context is None
    generator = torch.Generator().manual_seed(5)
    sequence = "".join("ACGT"[base] for base in torch.randint(4, (4_000,), generator=generator))
    features = model.embed([sequence, "ACGT", sequence[:2_000]])
    assert not isinstance(features, csr_matrix)
    assert features.shape == (3, 48)
    assert float(abs(features[0] - features[2]).max()) > 1e-4
    log_p = model.fill([sequence[:40]], [7])
    assert float(abs(np.exp(log_p).sum() - 1)) < 1e-5


def test_the_random_twin_has_the_heads_of_the_checkpoint(save: Callable[..., Path]) -> None:
    checkpoint = Checkpoint(save(tiny_weights()))
    config = read_config(checkpoint, "hf:x")
    twins = [random_network(checkpoint, config, seed) for seed in (0, 0, 1)]
    assert {twin.objective for twin in twins} == {"masked"}
    first, same, other = (twin.body.state_dict()["encoder.layer.0.mlp.wo.weight"] for twin in twins)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_tokenizer_is_read_as_released(save: Callable[..., Path]) -> None:
    tokenizer = read_tokenizer(Checkpoint(save(tiny_weights())), "hf:x")
    ids = tokenizer("ACGTACGTTTGCA")["input_ids"]
    assert (ids[0], ids[-1], tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 2, 3, 0, 4)
    assert all(token > 4 for token in ids[1:-1])
