"""Real networks of a few weights, loaded as any checkpoint is: one token a base, k-mers, and a left-to-right one."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.methods.variant_effect.score import score_variants
from glmbench.models.registry import load
from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm
from glmbench.networks.quiet import quiet
from glmbench.networks.sizes import EncoderSizes
from glmbench.sequences.encoding import reverse_complement
from glmbench.tokenizers.choices import ToTrain, parse_tokenizer

SEQUENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 200))
GENOME = GenomeInMemory({"c": SEQUENCE})
STARTS = [60, 61, 62, 63, 90, 199]
VARIANTS = pl.DataFrame(
    [("c", start, SEQUENCE[start], alt) for start in STARTS for alt in "ACGT" if alt != SEQUENCE[start]],
    schema=["contig", "start", "ref", "alt"],
    orient="row",
)


@pytest.fixture(scope="module", params=["character", "kmer:3", "blocks:3"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = parse_tokenizer(request.param)
    assert not isinstance(tokenizer, ToTrain)
    sizes = EncoderSizes("modern", 2, 32, 2, 64, len(tokenizer.vocabulary))
    network = new_masked_lm(masked_lm_config(sizes, pad=tokenizer.special.pad), seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save(folder)
    return request.param, load(f"hf:{folder}")


@pytest.mark.parametrize("strands", ["forward", "both"])
def test_masked_scores_equal_one_question_at_a_time(loaded: tuple[str, Any], strands: str) -> None:
    tokens, model = loaded
    found = score_variants(model, VARIANTS, GENOME, width=48, strands=strands, placing="shared")
    rows = set()
    for row in found.alleles.iter_rows(named=True):
        window, at = SEQUENCE[row["window_start"] : row["window_end"]], row["start"] - row["window_start"]
        log_p = model.fill([window], [at])[0]
        rows.add((window, at // 3 if tokens == "blocks:3" else at))
        if strands == "both":
            log_p = (log_p + model.fill([reverse_complement(window)], [47 - at])[0][::-1]) / 2
        wanted = log_p["ACGT".index(row["alt"])] - log_p["ACGT".index(row["ref"])]
        assert row["llr"] == pytest.approx(wanted, abs=2e-5)
    directions = 2 if strands == "both" else 1
    assert found.forwards == len(rows) * directions <= 6 * directions
    assert found.alleles["llr"].std() > 0.01


def test_a_single_pass_takes_a_forward_a_window(loaded: tuple[str, Any]) -> None:
    _, model = loaded
    found = score_variants(model, VARIANTS, GENOME, width=48, mode="single-pass")
    assert found.forwards == found.alleles["window_start"].n_unique() == 3
    for row in found.alleles.iter_rows(named=True):
        log_p = model.scan([SEQUENCE[row["window_start"] : row["window_end"]]])[0][row["start"] - row["window_start"]]
        wanted = log_p["ACGT".index(row["alt"])] - log_p["ACGT".index(row["ref"])]
        assert row["llr"] == pytest.approx(wanted, abs=2e-5)


def test_indels_by_pseudo_likelihood_and_by_embedding(loaded: tuple[str, Any]) -> None:
    _, model = loaded
    indels = pl.DataFrame({"contig": "c", "start": [80], "ref": [SEQUENCE[80:83]], "alt": [SEQUENCE[80]]})
    [row] = score_variants(model, indels, GENOME, width=24).alleles.to_dicts()
    window = SEQUENCE[row["window_start"] : row["window_end"]]
    other = (SEQUENCE[row["window_start"] : 81] + SEQUENCE[83:])[:24]
    likelihoods = model.log_likelihood([window, other])
    assert (row["mode"], row["llr"]) == ("likelihood", pytest.approx(likelihoods[1] - likelihoods[0], abs=1e-4))
    [row] = score_variants(model, indels, GENOME, width=24, mode="embedding").alleles.to_dicts()
    a, b = model.embed([window, other]).astype(float)
    assert row["l2"] == pytest.approx(np.linalg.norm(a - b), rel=1e-3)
