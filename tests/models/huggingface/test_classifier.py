"""Checkpoints with a classification head against transformers' own pipeline of tokenizer, network and scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from glmbench.errors import DataError, Unsupported
from glmbench.models import registry
from glmbench.models.huggingface.classifier import Classifier
from glmbench.models.model import Predicts

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
LABELS = {0: "none", 1: "promoter", 2: "enhancer"}


def make_bert(**changes: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(vocab_size=9, max_position_embeddings=64, **SIZES | changes))


def make_mistral(**changes: Any) -> Any:
    """A decoder classifies by its last token; 0 is padding."""
    from transformers import MistralConfig, MistralForSequenceClassification

    config = MistralConfig(vocab_size=9, num_key_value_heads=1, max_position_embeddings=64, **SIZES | changes)
    return MistralForSequenceClassification(config)


def make_dnabert2(**changes: Any) -> Any:
    from glmbench.networks.dnabert2 import DNABERT2ForSequenceClassification
    from glmbench.networks.dnabert2_config import DNABERT2Config

    return DNABERT2ForSequenceClassification(DNABERT2Config(vocab_size=9, **SIZES | changes))


@pytest.fixture
def save(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[[Any], Path]:
    """Saves a network with the tokenizer of one token a base."""

    def saved(network: Any) -> Path:
        import torch
        from transformers import AutoTokenizer

        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        network.save_pretrained(tmp_path)
        AutoTokenizer.from_pretrained(checkpoint("bert")).save_pretrained(tmp_path)
        return tmp_path

    return saved


def load(folder: Path, options: str = "") -> Classifier:
    model = registry.load(f"hf:{folder}{options}")
    assert isinstance(model, Classifier)
    return model


def by_pipeline(folder: Path, sequences: list[str], activation: str) -> NDArray[np.float32]:
    """Scores (batch, labels) of transformers' own pipeline, a sequence at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    network = AutoModelForSequenceClassification.from_pretrained(folder)
    ask: Any = pipeline("text-classification", model=network, tokenizer=AutoTokenizer.from_pretrained(folder))
    order = [network.config.id2label[index] for index in range(network.config.num_labels)]
    rows = []
    for sequence in sequences:
        answers = {a["label"]: a["score"] for a in ask(sequence.upper(), top_k=None, function_to_apply=activation)}
        rows.append([answers[label] for label in order])
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("make", [make_bert, make_mistral, make_dnabert2])
def test_classes_equal_the_pipeline_of_transformers(
    save: Callable[[Any], Path], sequences: list[str], make: Callable[..., Any]
) -> None:
    folder = save(make(id2label=LABELS, pad_token_id=0))
    model = load(folder)
    assert isinstance(model, Predicts)
    assert model.card.outputs == ("none", "promoter", "enhancer")
    scores = model.predict(sequences)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_pipeline(folder, sequences, "softmax"), atol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert np.abs(scores - scores[0]).max() > 1e-3, "or all rows would be alike"


def test_a_decoder_without_an_id_for_padding_takes_rows_one_by_one(
    save: Callable[[Any], Path], sequences: list[str]
) -> None:
    folder = save(make_mistral(id2label=LABELS))
    np.testing.assert_allclose(load(folder).predict(sequences), by_pipeline(folder, sequences, "softmax"), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "activation"),
    [
        ({"problem_type": "multi_label_classification", "id2label": LABELS}, "sigmoid"),
        ({"problem_type": "regression", "num_labels": 2}, "none"),
        ({"num_labels": 1}, "none"),
    ],
)
def test_the_configuration_says_what_outputs_are(
    save: Callable[[Any], Path], sequences: list[str], changes: dict[str, Any], activation: str
) -> None:
    folder = save(make_bert(**changes))
    scores = load(folder).predict(sequences)
    assert scores.shape == (len(sequences), changes.get("num_labels", 3))
    np.testing.assert_allclose(scores, by_pipeline(folder, sequences, activation), atol=1e-5)


def test_long_sequences_are_refused_or_averaged_over_windows(save: Callable[[Any], Path]) -> None:
    folder = save(make_bert(id2label=LABELS))
    long = "ACGTTGCAAC" * 15 + "A"
    with pytest.raises(Unsupported, match=r"overflow=window"):
        load(folder).predict([long])
    windowed = load(folder, "?overflow=window").predict(["ACG", long])
    parts = load(folder).predict([long[:50], long[50:100], long[100:]])
    np.testing.assert_allclose(windowed[1], parts.T @ np.array([50, 50, 51], dtype=np.float32) / 151, atol=1e-5)
    with pytest.raises(DataError, match="no sequences"):
        load(folder).predict([])


def test_a_classifier_embeds_like_its_encoder_and_can_be_clamped(save: Callable[[Any], Path]) -> None:
    model = load(save(make_bert(id2label=LABELS)))
    assert model.embed(["ACGT", "AC"]).shape == (2, 32)
    before = model.predict(["ACGTTG"])
    with model.clamped("1", 2, 3.0):
        assert np.abs(model.predict(["ACGTTG"]) - before).max() > 1e-4
    np.testing.assert_array_equal(model.predict(["ACGTTG"]), before)
