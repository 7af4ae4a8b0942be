from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from naive_bases import save_model

from glmbench.errors import DataError, UsageError
from glmbench.models.huggingface.flank_models import FlankLanguageModel
from glmbench.models.huggingface.loading import load_huggingface
from glmbench.models.model import CountsPasses, Embeds, PredictsBases, ScoresSequences
from glmbench.models.reference import parse_reference
from glmbench.pretraining.base_predictors import Flanks
from glmbench.pretraining.bits_per_base import HiddenBases
from glmbench.sequences.alphabet import encode_batch
from glmbench.tokenizers.character import CharacterTokenizer

TEXTS = ["ACGTTGCATTAGCCGATACGGATCTTCA", "GGGTACCNNTAgaCCATTTGA", "TTTA"]


@pytest.fixture(scope="module", params=["end", "middle", "stateful"])
def network(request: pytest.FixtureRequest) -> Any:
    from glmbench.networks.genomenet import GenomeNetForBasePrediction
    from glmbench.networks.genomenet_config import GenomeNetConfig

    sizes: dict[str, Any] = {"filters": (8,), "pools": (2,), "kernel": 3, "units": (8,), "readout": "last"}
    if request.param == "stateful":
        sizes = {"units": (8, 8), "readout": "last", "stateful": True}
    position = "end" if request.param == "stateful" else request.param
    return GenomeNetForBasePrediction(GenomeNetConfig(position=position, context=12, **sizes))


@pytest.fixture(scope="module")
def model(network: Any, tmp_path_factory: pytest.TempPathFactory) -> FlankLanguageModel:
    folder = save_model(tmp_path_factory.mktemp("genomenet"), network, CharacterTokenizer())
    loaded = load_huggingface(parse_reference(f"hf:{folder}"))
    assert isinstance(loaded, FlankLanguageModel)
    return loaded


def test_hidden_bases_equal_those_of_the_frozen_evaluation(model: FlankLanguageModel, network: Any) -> None:
    asked = [(text, at) for text in TEXTS for at in range(len(text))]
    sequences, positions = [text for text, _ in asked], np.array([at for _, at in asked])
    hidden = HiddenBases(encode_batch(sequences), pl.DataFrame(), np.arange(len(asked)), positions)
    config = network.config
    sides = (6, 6) if config.position == "middle" else (12, 0)
    wanted = Flanks(network.eval(), (*config.base_ids, 0), *sides).log_probabilities(hidden)
    got = model.fill(sequences, positions.tolist())
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert np.exp(wanted).std(axis=0).min() > 2e-3
    np.testing.assert_allclose(np.concatenate(model.scan(TEXTS)), got, atol=1e-6)
    assert model.reach == ("both" if config.position == "middle" else "left")


def test_a_base_by_hand(model: FlankLanguageModel, network: Any) -> None:
    import torch

    text = TEXTS[0]
    ids = ["ACGT".index(base) + 5 for base in text]
    row = ids[4:16] if network.config.position == "end" else [*ids[10:16], 0, *ids[17:23]]
    with torch.inference_mode():
        wanted = torch.log_softmax(network.eval()(torch.tensor([row])).logits[0], 0)
    np.testing.assert_allclose(model.fill([text], [16])[0], wanted, atol=1e-5)


def test_likelihoods_sum_over_known_bases(model: FlankLanguageModel) -> None:
    got = model.log_likelihood([*TEXTS, "N"])
    for text, log_p, value in zip(TEXTS, model.scan(TEXTS), got, strict=False):
        known = [(at, "ACGT".index(base)) for at, base in enumerate(text.upper()) if base != "N"]
        assert value == pytest.approx(sum(log_p[at, base] for at, base in known), abs=1e-4)
    assert got[-1] == 0


def test_alleles_share_a_window(model: FlankLanguageModel) -> None:
    alleles = [TEXTS[0][:9] + base + TEXTS[0][10:] for base in "ACGTN"]
    before = model.passes
    rows = model.fill(alleles, [9] * 5)
    assert model.passes - before == 1
    assert (rows == rows[0]).all()
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, atol=1e-5)


def test_capabilities_and_refusals(model: FlankLanguageModel) -> None:
    assert all(isinstance(model, one) for one in (Embeds, PredictsBases, ScoresSequences, CountsPasses))
    assert model.embed(["ACGTACGTACGT"]).shape == (1, 16 if model.reach == "both" else 8)
    with pytest.raises(DataError, match="outside"):
        model.fill(["ACG"], [3])
    assert model.fill([], []).shape == (0, 4)
    assert model.scan([]) == []


def test_a_unit_can_be_held_in_every_layer(model: FlankLanguageModel, network: Any) -> None:
    free = {layer: model.states(TEXTS[:1], layer)[0].values for layer in model.layers()}
    assert len(free) == len(network.config.filters) + len(network.config.units)
    prediction = model.fill(TEXTS[:1], [20])
    for layer, values in free.items():
        for unit in (0, values.shape[1] - 1):  # of the left side, and of the right one if there is one
            with model.clamped(layer, unit, 3.5):
                got = model.states(TEXTS[:1], layer)[0].values
                assert np.abs(model.fill(TEXTS[:1], [20]) - prediction).max() > 1e-4
            others = [other for other in range(values.shape[1]) if other != unit]
            np.testing.assert_array_equal(got[:, unit], 3.5)
            np.testing.assert_array_equal(got[:, others], values[:, others])
    np.testing.assert_array_equal(model.fill(TEXTS[:1], [20]), prediction)
    for layer, unit in (("9", 0), (model.layers()[0], 16)):
        with pytest.raises(UsageError, match=r"no layer|has units"), model.clamped(layer, unit, 0.0):
            pass


def test_the_network_alone_is_no_language_model(tmp_path: Path, network: Any) -> None:
    folder = save_model(tmp_path / "body", network.genomenet, CharacterTokenizer())
    assert not isinstance(load_huggingface(parse_reference(f"hf:{folder}")), PredictsBases)
