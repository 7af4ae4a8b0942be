"""Log-likelihood ratios of all SNVs at some places of a genome: against one forward per allele."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.methods.variant_effect.score import Scored, score_variants
from glmbench.models.registry import load
from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm
from glmbench.networks.quiet import quiet
from glmbench.networks.sizes import EncoderSizes
from glmbench.sequences.alphabet import BASES, decode
from glmbench.simulation.genome import bacterial_settings, simulate_genome
from glmbench.tokenizers.character import CharacterTokenizer
from harness import Measurement, race

PLACES, WIDTH, BATCH, SEED = 70, 256, 16, 0
LAYERS, DIM, HEADS = 4, 256, 4
TOLERANCE = 1e-4


def measure() -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a shared machine two threads wait for each other, and the ratio is theirs
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return _race(Path(scratch))
    finally:
        torch.set_num_threads(threads)


def _race(folder: Path) -> Measurement:
    save_network(folder)
    genome = GenomeInMemory(
        {
            name: decode(codes)
            for name, codes in simulate_genome(
                bacterial_settings(), contigs=2, genes_per_contig=20, seed=SEED
            ).contigs.items()
        }
    )
    variants = all_snvs(genome)
    model: Any = load(f"hf:{folder}")
    with quiet():
        network, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def ours() -> Scored:
        return score_variants(model, variants, genome, mode="masked", width=WIDTH)

    scored = ours()
    windows = questions(scored.alleles, genome)

    def theirs() -> np.ndarray[Any, Any]:
        return one_forward_per_allele(network, tokenizer, windows)

    difference = float(np.abs(theirs() - scored.alleles["llr"].to_numpy()).max())
    assert difference < TOLERANCE, f"scores differ by {difference}"
    assert scored.forwards == PLACES, f"{scored.forwards} forwards for {PLACES} distinct places"
    return race(
        "variant_scoring",
        ours,
        theirs,
        amount=variants.height,
        unit="alleles/CPU s",
        what_is_theirs=f"transformers.AutoModelForMaskedLM, one masked row an allele in batches of {BATCH}",
        rounds=3,
        note=f"modern encoder of {LAYERS} layers and {DIM} features, one token a base, {variants.height} SNVs at "
        f"{PLACES} places, windows of {WIDTH} bp, fp32, one thread each; ours {scored.forwards} forwards, theirs "
        f"{variants.height}; log-likelihood ratios differ by at most {difference:.1e}",
        clock=time.process_time,
    )


def save_network(folder: Path) -> None:
    """A fresh encoder over characters, weights made larger so that its answers differ between alleles."""
    tokenizer = CharacterTokenizer()
    sizes = EncoderSizes("modern", LAYERS, DIM, HEADS, 4 * DIM, len(tokenizer.vocabulary))
    network = new_masked_lm(masked_lm_config(sizes, pad=tokenizer.special.pad), seed=SEED)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save(folder)


def all_snvs(genome: GenomeInMemory) -> pl.DataFrame:
    """Three alleles at each of some places, drawn over all contigs."""
    rng = np.random.default_rng(SEED)
    names = sorted(genome.lengths)
    rows = []
    for number in range(PLACES):
        contig = names[number % len(names)]
        start = int(rng.integers(0, genome.lengths[contig]))
        ref = genome.fetch(contig, start, start + 1)
        rows += [(contig, start, ref, alt) for alt in BASES if alt != ref]
    return pl.DataFrame(rows, schema=["contig", "start", "ref", "alt"], orient="row")


def questions(alleles: pl.DataFrame, genome: GenomeInMemory) -> list[tuple[str, int, str, str]]:
    """Window, position in it, reference and alternative base of each allele."""
    columns = ("contig", "start", "ref", "alt", "window_start", "window_end")
    return [
        (genome.fetch(contig, first, end), start - first, ref, alt)
        for contig, start, ref, alt, first, end in alleles.select(columns).iter_rows()
    ]


@torch.inference_mode()
def one_forward_per_allele(
    network: Any, tokenizer: Any, windows: list[tuple[str, int, str, str]]
) -> np.ndarray[Any, Any]:
    """What the scripts of the field do: the masked window of every allele, logits of every token, two of them kept."""
    found = []
    for begin in range(0, len(windows), BATCH):
        batch = windows[begin : begin + BATCH]
        ids = torch.tensor([tokenizer(window)["input_ids"] for window, *_ in batch])
        rows, places = torch.arange(len(batch)), torch.tensor([at + 1 for _, at, *_ in batch])
        ids[rows, places] = tokenizer.mask_token_id
        logits = network(input_ids=ids).logits[rows, places]
        ref, alt = (torch.tensor(tokenizer.convert_tokens_to_ids([row[which] for row in batch])) for which in (2, 3))
        found.append((logits[rows, alt] - logits[rows, ref]).numpy())
    return np.concatenate(found)
