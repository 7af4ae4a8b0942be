from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import family_checkpoints as made
import numpy as np
import pytest

from glmbench.models import registry
from glmbench.models.conformance import capabilities, check
from glmbench.models.model import Embeds, Predicts, PredictsBases

LANGUAGE = {"Embeds", "PredictsBases", "ScoresSequences", "Inspectable"}
LEFT_TO_RIGHT_BPE = LANGUAGE - {"PredictsBases"}
"""What comes after the bases before, such a tokenizer knows only where a token begins."""

FAMILIES: dict[str, tuple[Callable[[Path], None], str, set[str]]] = {
    "nt-v1": (made.nucleotide_transformer_v1, "", LANGUAGE),
    "nt-v2": (made.nucleotide_transformer_v2, "", LANGUAGE),
    "dnabert-3": (partial(made.dnabert, k=3), "?kmer=3", LANGUAGE),
    "dnabert-6": (partial(made.dnabert, k=6), "?kmer=6", LANGUAGE),
    "grover": (made.grover, "", LANGUAGE),
    "mistral-dna": (made.mistral_dna, "", LEFT_TO_RIGHT_BPE),
    "mistral-dna-classifier": (made.mistral_dna_classifier, "", {"Embeds", "Predicts", "Inspectable"}),
    "mistral": (made.mistral_7b_kind, "", LEFT_TO_RIGHT_BPE),
    "gena-lm-bigbird": (made.gena_bigbird, "", LANGUAGE),
    "t5": (made.t5, "", {"Embeds", "Inspectable"}),
    "hyenadna": (made.hyenadna, "", LANGUAGE),
    "gpn": (made.gpn, "", LANGUAGE),
}


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The model of a family's small checkpoint, loaded as anyone loads the published one."""
    models: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in models:
            save, options, _ = FAMILIES[name]
            folder = tmp_path_factory.mktemp("families") / name
            folder.mkdir()
            save(folder)
            models[name] = registry.load(f"hf:{folder}{options}")
        return models[name]

    return load


@pytest.mark.parametrize("name", FAMILIES)
def test_it_has_the_capabilities_of_its_head_and_keeps_what_they_promise(
    family: Callable[[str], Any], name: str
) -> None:
    model = family(name)
    assert set(capabilities(model)) - {"Trainable"} == FAMILIES[name][2]
    broken = [finding for finding in check(model) if not finding.ok]
    assert not broken


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_finite_and_tell_sequences_apart_whatever_the_batch(
    family: Callable[[str], Any], name: str
) -> None:
    model = family(name)
    assert isinstance(model, Embeds)
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in (41, 6, 97, 97, 13)]
    together = np.asarray(model.embed(sequences))
    assert np.isfinite(together).all()
    assert np.abs(together[2] - together[3]).max() > 1e-3
    alone = np.concatenate([np.asarray(model.embed([sequence])) for sequence in sequences])
    np.testing.assert_allclose(together, alone, atol=2e-5)


def test_a_classifier_gives_probabilities(family: Callable[[str], Any]) -> None:
    model = family("mistral-dna-classifier")
    assert isinstance(model, Predicts)
    found = model.predict(["ACGTACGTTG", "GGGTACCA"])
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "reach"), [("nt-v1", "both"), ("gpn", "both"), ("hyenadna", "left")])
def test_reach(family: Callable[[str], Any], name: str, reach: str) -> None:
    model = family(name)
    assert isinstance(model, PredictsBases)
    assert model.reach == reach


@pytest.mark.parametrize(("name", "context"), [("nt-v1", 1000), ("nt-v2", 2048), ("hyenadna", 258), ("gpn", None)])
def test_context(family: Callable[[str], Any], name: str, context: int | None) -> None:
    assert family(name).card.context == context


def test_6_mers_are_cut_as_by_the_published_rules(family: Callable[[str], Any]) -> None:
    """From the left, single bases at N and at the end; <cls> before, nothing after. Two are InstaDeep's examples."""
    from glmbench.sequences.alphabet import encode
    from glmbench.tokenizers.blocks import BlocksTokenizer

    reader = family("nt-v1")._reader
    for sequence in ("ACGTGTACGTGCACGGACGACTAGTCAGCA", "ACGTGTACNTGCACGGANCGACTAGTCTGA", "ACG"):
        piece = reader.read([sequence]).pieces[0]
        expected = BlocksTokenizer(6).encode(encode(sequence))
        assert piece.ids == [3, *expected.ids.tolist()]
        assert piece.starts.tolist() == expected.starts.tolist()


def test_its_own_numbers_do_not_depend_on_our_code(family: Callable[[str], Any], tmp_path: Path) -> None:
    """The small DNABERT through transformers alone: mean over the k-mers of the last layer."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path / "dnabert"
    folder.mkdir()
    made.dnabert(folder, 6)
    sequence = "ACGTGTACGTGCACGGACGACTAG"
    text = " ".join(sequence[start : start + 6] for start in range(len(sequence) - 5))
    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state[0, 1:-1]
    found = np.asarray(family("dnabert-6").embed([sequence]))[0]
    np.testing.assert_allclose(found, states.mean(0).numpy(), atol=2e-5)


def embeds(reference: str) -> Embeds:
    model = registry.load(reference)
    assert isinstance(model, Embeds)
    return model


@pytest.mark.parametrize("save", [made.nucleotide_transformer_v2, made.hyenadna, made.gpn])
def test_networks_of_ours_have_random_twins(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path)
    first, again, other = (
        np.asarray(embeds(f"random:{tmp_path}{seed}").embed(["ACGTTGCATGCA"]))
        for seed in ("?seed=1", "?seed=1", "?seed=2")
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
