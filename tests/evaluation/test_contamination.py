from __future__ import annotations

from typing import Any

import pytest

from frame_task import CARD
from glmbench.evaluation.contamination import contamination, read_species
from glmbench.models.model import ModelCard
from glmbench.models.zoo.zoo import load_card
from glmbench.pretraining.folder import model_card
from glmbench.storage.fetch import Access
from glmbench.suites import suite as suites
from glmbench.tasks.registry import open_task

HUMAN, MOUSE, YEAST = "Homo sapiens", "Mus musculus", "Saccharomyces cerevisiae"


def card(pretraining: dict[str, Any], **fields: Any) -> ModelCard:
    return ModelCard(reference="hf:m", name="m", fingerprint="f", pretraining=pretraining, **fields)


def said(species: object, *task: str) -> str | None:
    return contamination(card({"species": species}), CARD.model_copy(update={"species": task}))


@pytest.mark.parametrize(
    "spelling",
    [
        "Homo sapiens", "homo sapiens", "Homo_sapiens", "Homo_sapiens_GRCh38", "Homo_sapiens.GRCh38.dna.toplevel",
        "homo_sapiens", "Homo sapiens (human)", "human", "Human", "human_hg38", "hg38", "GRCh38", "H. sapiens",
        "H_sapiens", "  Homo  sapiens ",
    ],
)  # fmt: skip
def test_a_species_is_seen_in_any_spelling(spelling: str) -> None:
    assert said([spelling], HUMAN) == "seen"
    assert said([spelling], MOUSE) == "not seen"
    assert said([YEAST], spelling) == "not seen"
    assert said([HUMAN], spelling) == "seen"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Saccharomyces_cerevisiae_S288C", YEAST),
        ("yeast", YEAST),
        ("baker's yeast", YEAST),
        ("fission yeast", "Schizosaccharomyces pombe"),
        ("mouse", MOUSE),
        ("E. coli", "Escherichia coli"),
        ("Escherichia coli K-12", "Escherichia coli"),
        ("SARS-CoV-2", "SARS-CoV-2"),
        ("sars_cov_2", "SARS-CoV-2"),
        ("Canis lupus familiaris", "Canis lupus"),
        ("Brachypodium distachyon", "Brachypodium distachyon"),
    ],
)
def test_names_are_read(spelling: str, name: str) -> None:
    assert read_species([spelling]) == (frozenset({name}), True)


@pytest.mark.parametrize(
    "text",
    [
        "multi-species (850 genomes)", "multi-species: human, mouse and others", "Bacteria (100 species)",
        "Vertebrata (443 genome assemblies)", "Vertebrata several species", "all domains of life",
        "seven other Brassicales", "Viruses (several species)", "corpus", "train_data", "Training_data", "My_genome",
        "Bacillus sp. X", "GCF_000146045.2_R64_genomic", "", "chr1", "Homo", "Brassica relatives and others",
        "without Homo sapiens", "Danio rerio and its relatives", "Danio and others",
    ],
)  # fmt: skip
def test_free_text_is_unknown_and_never_not_seen(text: str) -> None:
    assert said([text], "Oryza sativa") == "unknown"
    assert said(["Zea mays", text], "Oryza sativa") == "unknown"
    assert said(["Zea mays"], text) == "unknown"


def test_a_species_beside_free_text_is_seen() -> None:
    mixed = [HUMAN, "multi-species"]
    assert said(mixed, HUMAN) == "seen"
    assert said(mixed, MOUSE) == "unknown"
    assert said("human, mouse and others", MOUSE) == "seen"
    assert said("human, mouse and others", YEAST) == "unknown"
    assert said("human and mouse", YEAST) == "not seen"


def test_one_species_of_several_is_enough() -> None:
    assert said([MOUSE], HUMAN, MOUSE) == "seen"
    assert said([MOUSE], HUMAN, "Fungi (several species)") == "unknown"
    assert said([MOUSE], "Fungi (several species)", MOUSE) == "seen"


def test_an_initial_stands_for_a_genus_and_two_genera_are_two() -> None:
    assert said(["A. thaliana"], "Arabidopsis thaliana") == "seen"
    assert said(["B. thaliana"], "Arabidopsis thaliana") == "not seen"
    assert said(["Aedes thaliana"], "Arabidopsis thaliana") == "not seen"


@pytest.mark.parametrize("stated", [None, [], "", {}, 3, [None]])
def test_without_a_list_nothing_is_known(stated: object) -> None:
    assert said(stated, HUMAN) == "unknown"


def test_a_folder_pre_trained_here_knows_its_species() -> None:
    files = [
        {"name": "Saccharomyces_cerevisiae_S288C.fa.gz", "species": "Saccharomyces_cerevisiae_S288C", "bases": 9,
         "held_out": 1},
        {"name": "Homo_sapiens.fa", "species": "Homo_sapiens", "bases": 9, "held_out": 9},
    ]  # fmt: skip
    corpus = {"files": files, "training_bases": 8, "held_out": {}, "sha256": "0"}
    report = {
        "corpus": corpus, "recipe": {"description": "d", "training": {"seed": 0}}, "objective": {}, "steps": 1
    }  # fmt: skip
    of_folder = card(model_card("m", report)["pretraining"])
    species = {YEAST: "seen", HUMAN: "not seen", MOUSE: "not seen"}
    for name, answer in species.items():
        assert contamination(of_folder, CARD.model_copy(update={"species": (name,)})) == answer


def test_what_a_keras_file_was_trained_on_is_read_alike() -> None:
    human = CARD.model_copy(update={"species": (HUMAN,)})
    said = [contamination(card({"trained_on": text}), human) for text in ("human", "Zea mays", "PRO")]
    assert said == ["seen", "not seen", "unknown"]


def test_a_model_trained_on_from_another_may_have_seen_more() -> None:
    further = card({"species": [HUMAN], "base_model": "someone/else"})
    assert contamination(further, CARD.model_copy(update={"species": (MOUSE,)})) == "unknown"
    assert contamination(further, CARD.model_copy(update={"species": (HUMAN,)})) == "seen"


def test_controls_fresh_weights_and_simulated_tasks_have_no_answer() -> None:
    human = CARD.model_copy(update={"species": (HUMAN,)})
    assert contamination(card({"species": [HUMAN]}, kind="control"), human) is None
    assert contamination(card({}, weights="fresh"), human) is None
    assert contamination(card({}), human.model_copy(update={"parameters": {"generator": "x"}})) is None
    assert contamination(card({"species": [HUMAN]}, kind="stand-in"), human) == "seen"
    assert contamination(card({"species": [HUMAN]}), CARD) == "unknown"  # a table that names no species


@pytest.mark.parametrize(
    ("model", "human", "mouse", "yeast"),
    [
        ("dnabert2", "seen", "seen", "seen"),
        ("grover", "seen", "not seen", "not seen"),
        ("nt-v2-500m", "unknown", "unknown", "unknown"),
        ("gena-lm-bert-base-t2t-multi", "seen", "unknown", "unknown"),
        ("evo2-7b", "unknown", "unknown", "unknown"),
    ],
)
def test_cards_of_the_zoo_are_read(model: str, human: str, mouse: str, yeast: str) -> None:
    model_card = card(load_card(model).pretraining)
    answers = [contamination(model_card, CARD.model_copy(update={"species": (s,)})) for s in (HUMAN, MOUSE, YEAST)]
    assert answers == [human, mouse, yeast]


def test_species_of_the_tasks_of_suites_are_read_where_they_are_one_species() -> None:
    for suite in ("gue", "genemask"):
        for task in suites.load(suite).tasks["released"]:
            species = open_task(task, Access(offline=True)).card.species
            assert read_species(species).whole == ("several" not in " ".join(species)), task
