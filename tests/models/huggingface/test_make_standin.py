"""The example that makes a stand-in checkpoint, run small."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from glmbench.models import registry
from glmbench.models.huggingface.encoder import HuggingFaceModel

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "make_standin.py"


def make(genome: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceModel:
    sizes = ["--steps", "3", "--width", "32", "--layers", "1", "--vocabulary", "32", "--longest", "100"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(genome), "--out", str(out), "--seed", "4", *sizes])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    model = registry.load(f"hf:{out}")
    assert isinstance(model, HuggingFaceModel)
    return model


def test_a_stand_in_is_labelled_loads_and_is_made_again_from_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome = tmp_path / "small.fa"
    bases = np.random.default_rng(0).choice(list("acgtACGT"), 20_000)
    genome.write_text(">one\n" + "".join(bases) + "\n>two\nACGTN\n")
    first, again = (make(genome, tmp_path / name, monkeypatch) for name in ("first", "again"))
    assert first.card.kind == "stand-in"
    assert first.card.pretraining["species"] == ["small"]
    assert first.card.pretraining["steps"] == 3
    assert first.notes(["ACGTN"])["unknown_tokens"] == 0
    assert first.card.fingerprint == again.card.fingerprint
    twin = registry.load(f"random:{tmp_path / 'first'}")
    assert isinstance(twin, HuggingFaceModel)
    assert np.abs(first.embed(["ACGTACGT"]) - twin.embed(["ACGTACGT"])).max() > 1e-4
