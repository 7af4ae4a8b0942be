"""Trainings of seconds: a genome with something to learn, and recipes of tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.recipe import Recipe, parsed

HELD_OUT = HeldOut(contigs=("b",))
BERT = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}


def chain(bases: int, seed: int) -> str:
    """DNA in which the next base is mostly the one after this one in ACGT: all bases are equally frequent."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(bases) < 0.8, 1, rng.integers(0, 4, bases))
    return "".join("ACGT"[code] for code in np.cumsum(steps) % 4)


def write_genome(folder: Path, bases: int = 20_000) -> Path:
    """A FASTA file of two contigs, `b` to be held out."""
    path = folder / "toy.fa"
    path.write_text(f">a\n{chain(bases, 1)}\n>b\n{chain(6_000, 2)}\n")
    return path


def recipe(
    tokenizer: str = "character",
    objective: str = "uniform",
    network: str = "dnabert2",
    sizes: dict[str, Any] | None = None,
    *,
    crop: int = 64,
    batch: int = 4,
    **training: Any,
) -> Recipe:
    """A recipe of a few steps; encoders without sizes of their own have one layer."""
    depth = None if sizes or network.startswith("genomenet") else 1
    return parsed(
        {
            "tokenizer": tokenizer,
            "objective": {"name": objective},
            "network": {"name": network, "depth": depth, "sizes": sizes or {}},
            "data": {"crop": crop, "batch": batch},
            "training": {"steps": 6, "lr": 3e-3, "evaluate_every": 3, "precision": "fp32", **training},
        },
        "of a test",
    )


CASES = {
    "uniform": recipe(),
    "genemask": recipe("kmer:6", "genemask", "logo", BERT),
    "bpe-modern": recipe("bpe:64", "uniform", "modern"),
    "spans": recipe("bpe:64", "span-corruption", "t5-small", T5, optimiser="adafactor", schedule="constant"),
    "lstm-end": recipe("character", "next-base", "genomenet-lstm", {"units": [8], "context": 20}, optimiser="adam"),
    "lstm-middle": recipe("character", "middle-base", "genomenet-lstm", {"units": [8], "context": 20}),
    "lanes": recipe("character", "next-base", "genomenet-stateful-lstm", {"units": [8], "context": 20}),
    "cm-gems": recipe("kmer:3", "cm-gems", "logo", BERT),
    "cm-step": recipe("kmer:3", "cm-step", "logo", BERT),
}
