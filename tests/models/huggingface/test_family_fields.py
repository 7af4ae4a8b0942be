"""A field of config.json that a network of ours does not take is not left out in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dnabert2_statement
import family_checkpoints as made
import pytest

from glmbench.errors import Unsupported
from glmbench.models.huggingface.families import recognise
from glmbench.models.huggingface.families.fields import check_fields

GENA: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"], "hidden_act": "gelu", "model_type": "bert", "pad_token_id": 3,
    "position_embedding_type": "absolute", "pre_layer_norm": True, "type_vocab_size": 2, "vocab_size": 32000,
}  # fmt: skip
RUNNING = {
    "use_cache": True, "torch_dtype": "float32", "transformers_version": "4.28.0", "_name_or_path": "x",
    "bos_token_id": 1, "output_hidden_states": True, "hidden_dropout_prob": 0.2, "esmfold_config": None,
    "is_folding_model": False, "pruned_heads": {}, "id2label": {"0": "no", "1": "yes"}, "max_length": 20,
    "gradient_checkpointing": True,
}  # fmt: skip


def written(save: Callable[[Path], None], folder: Path) -> dict[str, Any]:
    save(folder)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    saves = {"nt": made.nucleotide_transformer_v2, "hyenadna": made.hyenadna, "gpn": made.gpn}
    own = {name: written(save, tmp_path_factory.mktemp(name)) for name, save in saves.items()}
    return {**own, "dnabert2": dnabert2_statement.CONFIG, "gena": GENA}


@pytest.mark.parametrize("name", ["nt", "hyenadna", "gpn", "dnabert2", "gena"])
def test_unknown_fields_are_spoken_of_and_known_ones_are_not(configs: dict[str, dict[str, Any]], name: str) -> None:
    family = recognise(configs[name])
    assert family is not None
    family.make_config(configs[name] | RUNNING)
    with pytest.warns(UserWarning, match=r"does not know: \{'rescaling_factor': 2.5\}.*code=own"):
        family.make_config(configs[name] | RUNNING | {"rescaling_factor": 2.5})


def test_networks_around_a_nucleotide_transformer_are_not_taken_for_it(configs: dict[str, dict[str, Any]]) -> None:
    assert recognise(configs["nt"] | {"architectures": ["SegmentNT"]}) is None
    assert recognise(configs["nt"] | {"architectures": ["EsmForSequenceClassification"]}) is not None
    assert recognise(configs["nt"] | {"architectures": None}) is not None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nt", {"token_dropout": True}),
        ("hyenadna", {"use_bias": False}),
        ("gena", {"tie_word_embeddings": False}),
        ("dnabert2", {"tie_word_embeddings": False}),
    ],
)
def test_fields_of_one_value_are_checked(
    configs: dict[str, dict[str, Any]], name: str, changes: dict[str, Any]
) -> None:
    family = recognise(configs[name])
    assert family is not None
    with pytest.raises(Unsupported, match=next(iter(changes))):
        family.make_config(configs[name] | changes)


def test_a_field_that_is_off_is_none() -> None:
    check_fields({"rope": False, "scaling": None, "list": []}, "X", (), {})
    with pytest.warns(UserWarning, match="rope"):
        check_fields({"rope": True}, "X", (), {})
    with pytest.raises(Unsupported, match="scale"):
        check_fields({"scale": 0}, "X", (), {"scale": 1})
