"""From a model to a network: the same way each time, for every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from glmbench.errors import Unsupported, UsageError
from glmbench.models.fitted.adapters import LoraRecipe
from glmbench.models.fitted.building import Form, LimitsLength, build
from glmbench.models.fitted.target import Kind, Target
from glmbench.models.model import Trainable
from glmbench.models.registry import load

Checkpoint = Callable[[str], Path]
TWO = Target("classes", 2)
SEQUENCE = "ACGTTGCATTAGCCGATACGGATCTTCAAG"


def model(reference: str) -> Trainable:
    found = load(reference)
    assert isinstance(found, Trainable)
    return found


@pytest.fixture
def bert(checkpoint: Checkpoint) -> Trainable:
    return model(f"hf:{checkpoint('bert')}")


@pytest.mark.parametrize("kind", ["classes", "bases"])
@pytest.mark.parametrize(
    ("reference", "lora"),
    [
        ("hf:bert", None),
        ("hf:bert", LoraRecipe(rank=2)),
        ("random:bert?seed=2", LoraRecipe()),
        ("onehot-cnn", None),
    ],
    ids=["whole", "adapters", "adapters in random weights", "from scratch"],
)
def test_a_seed_decides_what_is_drawn(
    reference: str, kind: Kind, lora: LoraRecipe | None, checkpoint: Checkpoint
) -> None:
    built = model(reference.replace("bert", str(checkpoint("bert"))))
    torch.manual_seed(0)
    one, same, other = (build(built, Target(kind, 3), Form(lora=lora), seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing
    if reference != "onehot-cnn":
        assert all(
            "lora_A" in name or not name.partition(".")[2].startswith(("bert.enc", "body.")) for name in differing
        )
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1)), "and torch's own generator is left alone"


@pytest.mark.parametrize(
    ("target", "shape"),
    [(TWO, (1, 2)), (Target("labels", 5), (1, 5)), (Target("values", 1), (1, 1)), (Target("bases", 3), (1, 30, 3))],
    ids=lambda value: value.kind if isinstance(value, Target) else "",
)
@pytest.mark.parametrize("reference", ["hf:bert", "onehot-cnn"])
def test_the_head_has_the_outputs_of_the_target(
    reference: str, target: Target, shape: tuple[int, ...], checkpoint: Checkpoint
) -> None:
    module, collate, _ = build(model(reference.replace("bert", str(checkpoint("bert")))), target, Form(), 0)
    assert module.eval()(*collate.batch(collate.encode([SEQUENCE]), np.array([0]))).shape == shape


def test_fresh_adapters_change_nothing_and_are_told(bert: Trainable) -> None:
    plain, collate, nothing = build(bert, TWO, Form(), 0)
    adapted, _, told = build(bert, TWO, Form(lora=LoraRecipe(rank=2, targets=("query", "value"))), 0)
    inputs = collate.batch(collate.encode([SEQUENCE]), np.array([0]))
    with torch.inference_mode():
        torch.testing.assert_close(adapted.eval()(*inputs), plain.eval()(*inputs))
    assert nothing == {}
    head = 32 * 32 + 32 + 32 * 2 + 2
    assert told["adapted_layers"] == 2 * 3
    assert told["trained_weights"] == 2 * 3 * 2 * (32 + 32) + head
    assert told["pretrained_weights"] == sum(parameter.numel() for parameter in plain.parameters())
    with pytest.raises(UsageError, match="lora target 'Wqkv' is the end of no linear layer's name"):
        build(bert, TWO, Form(lora=LoraRecipe(targets=("Wqkv",))), 0)


def test_adapters_stand_in_the_body_under_a_head_for_bases_alone(bert: Trainable) -> None:
    module, _, told = build(bert, Target("bases", 2), Form(lora=LoraRecipe(rank=1)), 0)
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "lora_" not in name} == {
        f"head.{name}" for name in ("places.weight", "dense.weight", "dense.bias", "out.weight", "out.bias")
    }
    assert all(name.startswith("body.encoder.layer.") for name in trained if "lora_" in name)
    assert told["adapted_layers"] == 6 * 3


@pytest.mark.parametrize(("form", "lengths"), [(Form(max_length=12, too_long="truncate"), [12]),
                                               (Form(max_length=12, too_long="window", overlap=0.5), [12] * 5),
                                               (Form(), [32])])  # fmt: skip
def test_the_form_reaches_the_inputs(form: Form, lengths: list[int], bert: Trainable) -> None:
    _, collate, _ = build(bert, TWO, form, 0)
    assert isinstance(collate, LimitsLength)
    ids, mask, _, _ = collate.batch(collate.encode([SEQUENCE]), np.array([0]))
    assert ids is not None
    assert [len(row) for row in ids] == lengths
    assert mask is None


def test_the_way_with_long_sequences_is_the_reference_s_where_the_recipe_says_nothing(checkpoint: Checkpoint) -> None:
    long = "ACGTTGCA" * 10
    with pytest.raises(Unsupported, match="1 of 1 sequences have more than 64 tokens"):
        build(model(f"hf:{checkpoint('bert')}"), TWO, Form(), 0)[1].encode([long])
    for overflow, form, rows in (
        ("truncate", Form(), 1),
        ("window", Form(), 2),
        ("window", Form(too_long="truncate"), 1),
    ):
        collate = build(model(f"hf:{checkpoint('bert')}?overflow={overflow}"), TWO, form, 0)[1]
        ids = collate.batch(collate.encode([long]), np.array([0]))[0]
        assert ids is not None
        assert ids.shape == (rows, 64)


@pytest.mark.parametrize("form", [Form(max_length=20), Form(too_long="window")], ids=["length", "windows"])
def test_a_network_without_tokens_has_none_to_count(form: Form) -> None:
    with pytest.raises(Unsupported, match="onehot-cnn has no tokens to count"):
        build(model("onehot-cnn"), TWO, form, 0)


@pytest.mark.parametrize("kind", ["classes", "bases"])
def test_a_one_hot_network_has_nothing_to_adapt(kind: Kind) -> None:
    with pytest.raises(Unsupported, match="does not say which of its modules are its head"):
        build(model("onehot-cnn"), Target(kind, 2), Form(lora=LoraRecipe()), 0)
