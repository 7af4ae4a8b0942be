"""From FASTA to a folder that transformers and the benchmark open, for every kind of network and objective."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_training import CASES, HELD_OUT, T5, recipe, write_genome
from transformers import AutoModel, AutoTokenizer

from glmbench.errors import DataError, UsageError
from glmbench.models.registry import load as load_model
from glmbench.pretraining.bits_per_base import measure
from glmbench.pretraining.folder import LOG, POSITIONS, REPORT
from glmbench.pretraining.planning import plan
from glmbench.pretraining.preparation import make_tokenizer, open_sources, prepare
from glmbench.pretraining.pretrain import pretrain
from glmbench.pretraining.recipe import Recipe

SEQUENCES = ["ACGTACGTTACGATCGATCGATTACGATCGTACG", "TTGACATTACGATCGATCGTAGCTAGCTACGATCG"]


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_genome(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module", params=CASES)
def finished(request: pytest.FixtureRequest, genome: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Recipe, folder and report of each case."""
    out = tmp_path_factory.mktemp(request.param) / "model"
    chosen = CASES[request.param]
    return chosen, out, pretrain([genome], out, chosen, held_out=HELD_OUT)


def test_the_report_is_in_the_folder_and_nothing_is_left_beside_it(finished: tuple[Recipe, Path, Any]) -> None:
    chosen, out, report = finished
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    stored = json.loads((out / REPORT).read_text(), parse_constant=pytest.fail)
    assert stored["steps"] == report["steps"] == 6
    assert stored["recipe"]["network"]["name"] == chosen.network.name
    assert stored["corpus"]["training_bases"] == 20_000
    assert [json.loads(line)["step"] for line in (out / LOG).read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    assert stored["cost"]["bases"] > 0
    assert stored["cost"]["model_units_per_s"] >= stored["cost"]["units_per_s"] > 0
    if "dnabert2" in chosen.network.name:
        assert stored["cost"]["flop_utilisation"] > 0
    parts = {"cm-gems": ["genemask", "global-pmi"], "cm-step": ["contiguous", "global-pmi"]}
    hides = not chosen.network.name.startswith("genomenet")
    assert list(stored["hidden"]) == parts.get(chosen.objective.name, [chosen.objective.name] if hides else [])
    assert all(0 < shares["tokens"] < 0.4 for shares in stored["hidden"].values())
    card = (out / "README.md").read_text()
    assert f"`{chosen.objective.name}`" in card
    assert "20,000 bases of toy" in card


def test_transformers_opens_the_folder(finished: tuple[Recipe, Path, Any]) -> None:
    chosen, out, _ = finished
    network, tokenizer = AutoModel.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    k = json.loads((out / "tokenizer_config.json").read_text()).get("kmer")
    assert k == (int(chosen.tokenizer[5:]) if chosen.tokenizer.startswith("kmer") else None)
    text = SEQUENCES[0] if k is None else " ".join(SEQUENCES[0][i : i + k] for i in range(len(SEQUENCES[0]) - k + 1))
    ids = tokenizer(text, return_tensors="pt").input_ids
    more = {"decoder_input_ids": ids} if network.config.is_encoder_decoder else {}
    with torch.inference_mode():
        states = network(input_ids=ids, **more).last_hidden_state
    assert states.shape[0] == 1
    assert torch.isfinite(states).all()


def test_the_benchmark_embeds_by_it_and_by_its_random_twin(finished: tuple[Recipe, Path, Any]) -> None:
    chosen, out, _ = finished
    # BPE makes more tokens of these than of any crop that it was trained on, and a rotary network states that limit
    longer = "?overflow=window" if chosen.network.name == "modern" else ""
    trained, twin = (load_model(f"{scheme}:{out}{longer}").embed(SEQUENCES) for scheme in ("hf", "random"))
    assert trained.shape == twin.shape
    assert len(trained) == 2
    assert trained.shape[1] >= 8
    assert not np.allclose(trained, twin)


def test_bits_per_base_are_those_of_the_weights_in_the_folder(finished: tuple[Recipe, Path, Any], genome: Path) -> None:
    chosen, out, report = finished
    if not report["quality"]:
        assert chosen.objective.name == "span-corruption"
        assert "bits per base are not defined for t5-small" in report["notes"][0]
        assert not (out / POSITIONS).exists()
        return
    corpus = open_sources([genome], HELD_OUT, None)
    prepared = prepare(chosen, corpus, make_tokenizer(chosen, corpus, None))
    assert prepared.learner.predictor is not None
    assert prepared.hidden is not None
    loaded = type(prepared.network).from_pretrained(out).eval()
    again = measure(prepared.learner.predictor(loaded), prepared.hidden)
    stored = pl.read_parquet(out / POSITIONS)
    np.testing.assert_allclose(again.positions["log_p"], stored["log_p"], rtol=1e-4, atol=1e-5)
    assert again.value == pytest.approx(report["quality"][0]["bits_per_base"], rel=1e-5)
    names = [row["model"] for row in report["quality"]]
    assert names[:3] == ["this model", "the same before training", "order-0 Markov"]
    assert [name.rpartition(", ")[2] for name in names[3:]] == ["left context", "both sides"]


def test_a_network_learns_what_counting_bases_cannot_tell(genome: Path, tmp_path: Path) -> None:
    sizes = {"units": [16], "context": 8, "dropout": 0.0}
    chosen = recipe("character", "next-base", "genomenet-lstm", sizes, steps=120, evaluate_every=20, lr=2e-2)
    report = pretrain([genome], tmp_path / "model", chosen, held_out=HELD_OUT, snapshots=True)
    assert report is not None
    trained, fresh, order_0 = (row["bits_per_base"] for row in report["quality"][:3])
    assert trained < order_0 - 0.05
    assert trained < fresh
    assert 0 < report["cost"]["seconds_to_order_0"] <= report["cost"]["wall_s"]
    snapshots = sorted((tmp_path / "model" / "snapshots").iterdir())
    assert [path.name for path in snapshots] == [f"step-{step:08d}" for step in range(20, 121, 20)]
    last, final = (load_model(f"hf:{folder}").embed(SEQUENCES) for folder in (snapshots[-1], tmp_path / "model"))
    np.testing.assert_array_equal(last, final)


def test_one_recipe_gives_one_network(genome: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pretrain([genome], tmp_path / name, recipe(), held_out=HELD_OUT)
    pretrain([genome], tmp_path / "other", recipe(seed=2), held_out=HELD_OUT)
    one, two, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two != other


@pytest.mark.parametrize("name", ["uniform", "spans", "lanes", "lstm-middle"])
def test_the_plan_says_what_the_training_then_does(name: str, genome: Path, tmp_path: Path) -> None:
    planned = plan([genome], CASES[name], held_out=HELD_OUT)
    report = pretrain([genome], tmp_path / "model", CASES[name], held_out=HELD_OUT)
    assert report is not None
    assert planned["steps"] == report["steps"] == 6
    assert planned["parameters"] == report["network"]["parameters"]
    assert planned["flops_per_step"] == report["network"]["flops_per_step"]
    assert planned["seconds"] > 0
    if name != "spans":  # their rows have many lengths
        bases, tokens = {"uniform": (64, 66), "lanes": (128, 128), "lstm-middle": (21, 21)}[name]
        assert planned["tokens"] == report["cost"]["units"] == 6 * 4 * tokens
        assert planned["bases"] == report["cost"]["bases"] == 6 * 4 * bases


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (recipe("character", "next-base"), "does not go with network dnabert2.*such as genomenet-lstm"),
        (recipe("character", "uniform", "genomenet-lstm"), "which learns by next-base, middle-base: choose"),
        (recipe("bpe:64", "next-base", "genomenet-lstm"), "reads single bases: use --tokenizer character"),
        (
            recipe("character", "uniform", "t5-small", T5),
            "learns by span-corruption, span-corruption-bases: .*dnabert2",
        ),
        (recipe("character", "span-corruption"), "does not go with network dnabert2.*such as t5-small"),
        (recipe("character", "nonsense"), "there is no objective 'nonsense'; there are uniform, contiguous"),
        (recipe("character", "uniform", "nonsense"), "no network 'nonsense'; there are dnabert2, modern"),
        (recipe(batch=3, accumulate=2), "a batch of 3 crops cannot be cut into 2 micro-batches"),
    ],
)
def test_what_does_not_go_together_is_refused_and_leaves_nothing(
    chosen: Recipe, message: str, genome: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        pretrain([genome], tmp_path / "model", chosen, held_out=HELD_OUT)
    assert not list(tmp_path.iterdir())


def test_more_tokens_than_positions_are_refused_before_training(genome: Path, tmp_path: Path) -> None:
    long = recipe("kmer:6", "contiguous", "dnabert", crop=600)
    with pytest.raises(UsageError, match=r"up to 597 tokens.* 512 positions: crop at most 514 bases \(--crop 514\)"):
        pretrain([genome], tmp_path / "model", long, held_out=HELD_OUT)
    narrow = recipe("character", "uniform", "logo", {"max_position_embeddings": 128})
    with pytest.raises(
        UsageError, match=r"windows of up to 480 bases, 482 tokens .*, and the network has 128 positions"
    ):
        pretrain([genome], tmp_path / "model", narrow, held_out=HELD_OUT)
    assert not list(tmp_path.iterdir())


def test_a_corpus_that_holds_nothing_out_or_has_no_crop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.fa").write_text(">s\n" + "ACGTTGCAAC" * 20 + "\n")
    with pytest.raises(DataError, match="holds out no stretch"):
        pretrain([tmp_path / "short.fa"], tmp_path / "model", recipe())
    (tmp_path / "tiny.fa").write_text(">s\n" + "ACGTTGCAAC" * 4 + "\n")
    with pytest.raises(DataError, match="no crop of 50 bases"):
        pretrain([tmp_path / "tiny.fa"], tmp_path / "model", recipe())
    assert not (tmp_path / "model.training").exists()
