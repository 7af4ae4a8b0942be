"""What a pre-trained folder says that it was trained on."""

from __future__ import annotations

from glmbench.pretraining.folder import model_card


def test_species_held_out_whole_are_not_on_the_card() -> None:
    files = [
        {"name": "a1.fa", "species": "Saccharomyces_cerevisiae_S288C", "bases": 100, "held_out": 100},
        {"name": "a2.fa", "species": "Saccharomyces_cerevisiae_S288C", "bases": 100, "held_out": 2},
        {"name": "b.fa", "species": "Mus musculus", "bases": 50, "held_out": 50},
        {"name": "c.fa", "species": "Zea mays", "bases": 50, "held_out": 0},
    ]
    corpus = {
        "species": ["Mus musculus", "Saccharomyces_cerevisiae_S288C", "Zea mays"],
        "training_bases": 148,
        "held_out": {},
        "sha256": "0",
        "files": files,
    }
    report = {
        "corpus": corpus,
        "recipe": {"description": "", "training": {"seed": 0}},
        "network": {"name": "n"},
        "objective": {},
        "steps": 1,
    }
    assert model_card("m", report)["pretraining"]["species"] == ["Saccharomyces_cerevisiae_S288C", "Zea mays"]
