from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import DataError, Unsupported, UsageError
from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.methods.variant_effect import score
from glmbench.methods.variant_effect.definitions import ENTROPY_FLOOR, settings_for
from glmbench.methods.variant_effect.score import score_variants
from glmbench.models.kmer import load_kmer
from glmbench.models.reference import parse_reference
from glmbench.sequences.encoding import reverse_complement
from markov_stand_ins import Answering, Both, BothAndLikelihood, Counting, Left, T, chain_log_p

RNG = np.random.default_rng(0)
SEQUENCE = "".join(RNG.choice(list("ACGT"), 300))
GENOME = GenomeInMemory({"c": SEQUENCE, "n": SEQUENCE[:20] + "NNNN" + SEQUENCE[24:60]})


def frame(*rows: tuple[int, str, str | None], contig: str = "c") -> pl.DataFrame:
    return pl.DataFrame(
        [(contig, start, ref, alt) for start, ref, alt in rows],
        schema={"contig": pl.String, "start": pl.Int64, "ref": pl.String, "alt": pl.String},
        orient="row",
    )


def all_snvs(starts: range | list[int]) -> pl.DataFrame:
    return frame(*((s, SEQUENCE[s], base) for s in starts for base in "ACGT" if base != SEQUENCE[s]))


def test_an_snv_by_hand() -> None:
    """A, hidden base, G: p is in proportion to p(b | A) p(G | b)."""
    genome = GenomeInMemory({"c": "CCCCACGCCC"})
    found = score_variants(Both(), frame((5, "C", "T")), genome, width=6).alleles.row(0, named=True)
    p = np.array([0.1 * 0.3, 0.2 * 0.2, 0.3 * 0.3, 0.4 * 0.1])
    p = p / p.sum()
    entropy = -(p * np.log(p)).sum()
    for alt, base in (("T", 3), ("A", 0), ("G", 2)):
        found = score_variants(Both(), frame((5, "C", alt)), genome, width=6).alleles.row(0, named=True)
        assert found["llr"] == pytest.approx(np.log(p[base] / p[1]), abs=1e-6)
        assert found["abs_llr"] == abs(found["llr"])
        assert found["entropy"] == pytest.approx(entropy, rel=1e-6)
        assert found["llr_per_entropy"] == pytest.approx(found["llr"] / entropy, rel=1e-6)
        wanted = {"status": "scored", "mode": "masked", "window_start": 2, "window_end": 8, "window_n": 0}
        assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("strands", ["forward", "both"])
@pytest.mark.parametrize("placing", ["centred", "shared"])
@pytest.mark.parametrize("mode", ["masked", "single-pass"])
def test_base_modes_equal_a_naive_loop(mode: str, placing: str, strands: str) -> None:
    variants = pl.concat([all_snvs([0, 1, 5, 30, 31, 150, 151, 298, 299]), frame((100, SEQUENCE[100:103], "GAT"))])
    scored = score_variants(Both(), variants, GENOME, mode=mode, width=32, strands=strands, placing=placing).alleles
    assert scored["status"].unique().to_list() == ["scored"]
    model = Both()
    for row in scored.iter_rows(named=True):
        window = SEQUENCE[row["window_start"] : row["window_end"]]
        assert len(window) == 32
        total, ratio, entropies = 0.0, 0.0, []
        for at, (ref, alt) in enumerate(zip(row["ref"], row["alt"], strict=True)):
            if ref == alt:
                continue
            position = row["start"] + at - row["window_start"]
            ask = model._row if mode == "masked" else model._seen
            log_p = ask(window, position)
            if strands == "both":
                log_p = (log_p + ask(reverse_complement(window), 31 - position)[::-1]) / 2
            p = np.exp(log_p) / np.exp(log_p).sum()
            llr = np.log(p["ACGT".index(alt)] / p["ACGT".index(ref)])
            entropies.append(-(p * np.log(p)).sum())
            total, ratio = total + llr, ratio + llr / entropies[-1]
        assert row["llr"] == pytest.approx(total, abs=1e-5)
        assert row["abs_llr"] == abs(row["llr"])
        assert row["llr_per_entropy"] == pytest.approx(ratio, abs=1e-5)
        assert row["entropy"] == pytest.approx(np.mean(entropies), abs=1e-5)


def test_likelihoods_equal_a_naive_loop() -> None:
    rows = [(s, SEQUENCE[s], b) for s in (0, 3, 150, 299) for b in "ACGT" if b != SEQUENCE[s]]
    rows += [(100, SEQUENCE[100:104], SEQUENCE[100]), (200, SEQUENCE[200], SEQUENCE[200] + "GGT")]
    for strands in ("forward", "both"):
        scored = score_variants(Left(), frame(*rows), GENOME, width=40, strands=strands).alleles
        assert scored["mode"].unique().to_list() == ["likelihood"]
        for row in scored.iter_rows(named=True):
            start, ref, alt = row["start"], row["ref"], row["alt"]
            window = slice(row["window_start"], row["window_end"])
            haplotype = SEQUENCE[:start] + alt + SEQUENCE[start + len(ref) :]
            pairs = [(SEQUENCE[window], haplotype[window])]
            pairs += [tuple(map(reverse_complement, pairs[0]))] if strands == "both" else []
            wanted = np.mean([chain_log_p(other) - chain_log_p(own) for own, other in pairs])
            assert row["llr"] == pytest.approx(wanted, abs=1e-9)
            assert row["abs_llr"] == abs(row["llr"])
            assert "entropy" not in row


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 298), min_size=1, max_size=8), st.sampled_from(["centred", "shared"]))
def test_hiding_one_base_of_a_chain_says_what_its_likelihood_says(starts: list[int], placing: str) -> None:
    """p(alt, rest) / p(ref, rest) is the same by Bayes: two modes, two models, one answer."""
    variants = all_snvs(starts)
    masked = score_variants(Both(), variants, GENOME, width=50, placing=placing).alleles
    whole = score_variants(Left(), variants, GENOME, mode="likelihood", width=50, placing=placing).alleles
    assert np.allclose(masked["llr"], whole["llr"], atol=1e-5)


def test_embeddings_and_predictions_equal_a_naive_loop() -> None:
    variants = pl.concat([all_snvs([0, 150]), frame((100, SEQUENCE[100:104], SEQUENCE[100]))])
    model = Answering()
    for strands in ("forward", "both"):
        options = {"width": 40, "strands": strands}
        distances = score_variants(Counting(), variants, GENOME, **options).alleles
        differences = score_variants(model, variants, GENOME, **options).alleles
        assert differences["mode"].unique().to_list() == ["prediction"]
        for far, apart in zip(distances.iter_rows(named=True), differences.iter_rows(named=True), strict=True):
            start, window = far["start"], slice(far["window_start"], far["window_end"])
            haplotype = SEQUENCE[:start] + far["alt"] + SEQUENCE[start + len(far["ref"]) :]
            pairs = [(SEQUENCE[window], haplotype[window])]
            pairs += [tuple(map(reverse_complement, pairs[0]))] if strands == "both" else []
            a, b = (model.embed([pair[i] for pair in pairs]).astype(float) for i in (0, 1))
            cosines = 1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            assert far["cosine"] == pytest.approx(cosines.mean(), abs=1e-9)
            assert far["l1"] == pytest.approx(np.abs(a - b).sum(1).mean())
            assert far["l2"] == pytest.approx(np.linalg.norm(a - b, axis=1).mean())
            assert far["dot"] == pytest.approx((a * b).sum(1).mean())
            change = (model.predict([p[1] for p in pairs]) - model.predict([p[0] for p in pairs])).mean(0)
            assert [apart["difference_low"], apart["difference_high"]] == pytest.approx(change.tolist(), abs=1e-5)


def test_sparse_features_and_nameless_outputs() -> None:
    kmers = score_variants(load_kmer(parse_reference("kmer:2")), all_snvs([150]), GENOME, width=20).alleles
    assert 2 <= kmers["l1"].min() <= kmers["l1"].max() <= 4  # a base is part of two 2-mers
    model = Answering(outputs=())
    rows = pl.concat([frame((7, SEQUENCE[7], None)), all_snvs([150])])
    scored = score_variants(model, rows, GENOME).alleles
    assert scored.columns[-2:] == ["difference_0", "difference_1"]
    assert scored["difference_0"].null_count() == 1


REASONS = [
    (10, SEQUENCE[10], None, "missing"),
    (10, SEQUENCE[10], "*", "spanning_deletion"),
    (10, SEQUENCE[10], "<DUP>", "symbolic"),
    (10, SEQUENCE[10], "G]c:5]", "breakend"),
    (10, SEQUENCE[10], "N", "ambiguous_bases"),
    (10, SEQUENCE[10], SEQUENCE[10].lower(), "same_as_ref"),
    (40, SEQUENCE[40:70], SEQUENCE[40], "too_long"),
]


def test_reasons_are_said_in_order() -> None:
    rows = [(start, ref, alt) for start, ref, alt, _ in REASONS]
    scored = score_variants(BothAndLikelihood(), frame(*rows), GENOME, width=40).alleles
    assert scored["status"].to_list() == [reason for *_, reason in REASONS]
    assert scored["llr"].null_count() == scored["mode"].null_count() == len(REASONS)


def test_indels_by_what_the_model_can_do() -> None:
    indel = frame((50, SEQUENCE[50:52], SEQUENCE[50]), (50, SEQUENCE[50], "T" if SEQUENCE[50] != "T" else "A"))
    auto = score_variants(BothAndLikelihood(), indel, GENOME, width=20).alleles
    assert auto["mode"].to_list() == ["likelihood", "masked"]
    assert auto["entropy"].null_count() == 1
    named = score_variants(BothAndLikelihood(), indel, GENOME, width=20, mode="masked").alleles
    assert named["status"].to_list() == ["indel", "scored"]
    unable = score_variants(Both(), indel, GENOME, width=20).alleles
    assert unable["status"].to_list() == ["indel", "scored"]


def test_unknown_bases_are_counted_and_seen() -> None:
    alts = ["A" if SEQUENCE[start] != "A" else "C" for start in (19, 50)]
    rows = frame((19, SEQUENCE[19], alts[0]), (50, SEQUENCE[50], alts[1]), contig="n")
    found = score_variants(Both(), rows, GENOME, width=12).alleles
    assert found["window_n"].to_list() == [4, 0]
    log_p = np.log(T["ACGT".index(SEQUENCE[18])])  # an unknown base follows
    wanted = log_p["ACGT".index(alts[0])] - log_p["ACGT".index(SEQUENCE[19])]
    assert found["llr"][0] == pytest.approx(wanted, abs=1e-6)


def test_a_certain_model_is_divided_by_the_floor() -> None:
    class Certain(Both):
        def _row(self, sequence: str, position: int) -> np.ndarray:
            return np.array([0.0, -50.0, -np.inf, -np.inf])

    genome = GenomeInMemory({"c": "ACAAAAAAAA"})
    scored = score_variants(Certain(), frame((2, "A", "C"), (2, "A", "G"), (1, "C", "A")), genome, width=8).alleles
    assert scored["llr"].to_list() == [-50, -np.inf, 50]
    assert scored["llr_per_entropy"].to_list() == [-50 / ENTROPY_FLOOR, -np.inf, 50 / ENTROPY_FLOOR]


def test_forwards_are_bounded() -> None:
    """18 alleles of 6 places: one forward a place when masked, one a window in a single pass, one an allele else."""
    starts = [100, 101, 102, 130, 131, 132]
    variants = all_snvs(starts)
    assert score_variants(Both(), variants, GENOME, width=64).forwards == 6
    assert score_variants(Both(), variants, GENOME, width=64, strands="both").forwards == 12
    assert score_variants(Both(), variants, GENOME, width=64, placing="shared").forwards == 6
    single = score_variants(Both(), variants, GENOME, width=64, mode="single-pass")
    windows = single.alleles["window_start"].n_unique()
    assert (windows, single.forwards) == (2, 2)
    assert score_variants(Left(), variants, GENOME, width=64).forwards == 18 + windows
    assert score_variants(Counting(), variants, GENOME, width=64).forwards == 18 + 6
    assert score_variants(load_kmer(parse_reference("kmer:2")), variants, GENOME).forwards is None


@pytest.mark.parametrize("chunk", [1, 2, 7, 50])
@pytest.mark.parametrize("mode", ["masked", "single-pass", "likelihood"])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int, mode: str) -> None:
    variants = all_snvs([50, 51, 60, 90, 91, 200])
    whole = score_variants(BothAndLikelihood(), variants, GENOME, width=30, mode=mode)
    monkeypatch.setattr(score, "CHUNK", chunk)
    cut = score_variants(BothAndLikelihood(), variants, GENOME, width=30, mode=mode)
    assert cut.alleles.equals(whole.alleles)
    assert cut.forwards == whole.forwards


def test_order_and_other_columns_stay() -> None:
    variants = all_snvs([200, 3, 100]).with_columns(pl.int_range(pl.len()).alias("value"))
    scored = score_variants(Both(), variants, GENOME, width=30).alleles
    assert scored.select(variants.columns).equals(variants)
    single = pl.concat([score_variants(Both(), row, GENOME, width=30).alleles for row in variants.iter_slices(1)])
    assert single.equals(scored)
    assert score_variants(Both(), variants.clear(), GENOME).alleles.height == 0


def test_chosen_scores() -> None:
    scored = score_variants(Both(), all_snvs([9]), GENOME, scores=["entropy", "llr"]).alleles
    assert scored.columns[-2:] == ["llr", "entropy"]
    with pytest.raises(UsageError, match="score 'cosine': mode masked gives llr, abs_llr, llr_per_entropy, entropy"):
        score_variants(Both(), all_snvs([9]), GENOME, scores=["cosine"])
    with pytest.raises(UsageError, match="gives difference_low, difference_high"):
        score_variants(Answering(), all_snvs([9]), GENOME, scores=["difference_0"])


def test_a_ref_that_is_not_in_the_genome() -> None:
    wrong = next(base for base in "ACGT" if base != SEQUENCE[5])
    rows = pl.concat(
        [all_snvs([4]), frame((5, wrong, SEQUENCE[5]), (299, SEQUENCE[299] + "A", "A"), (-1, "A", "C")),
         frame((3, "A", "C"), contig="chrc")]
    )  # fmt: skip
    with pytest.raises(DataError) as raised:
        score_variants(Both(), rows, GENOME)
    message = str(raised.value)
    assert "REF disagrees with the genome at 4 of 5 variants" in message
    assert f"c:6 REF {wrong}, genome {SEQUENCE[5]}" in message
    assert "beyond the 300 bases of c" in message
    assert "chrc:4 REF A, no such contig" in message
    assert "the genome calls it c; rename one side" in message
    scored = score_variants(Both(), rows, GENOME, on_mismatch="skip").alleles
    assert scored["status"].to_list() == ["scored"] * 3 + ["ref_mismatch"] * 3 + ["no_such_contig"]


def test_many_mismatches_are_counted_and_few_named() -> None:
    rows = frame(*((s, next(b for b in "ACGT" if b != SEQUENCE[s]), SEQUENCE[s]) for s in range(50)))
    with pytest.raises(DataError, match=r"at 50 of 50 variants: .*and 45 more; is it the assembly of these variants\?"):
        score_variants(Both(), rows, GENOME)


def test_modes_by_what_a_model_can_do() -> None:
    modes = {model: settings_for(model) for model in (Both(), Left(), BothAndLikelihood(), Counting(), Answering())}
    assert [(s.substitutions, s.indels, s.placing) for s in modes.values()] == [
        ("masked", None, "centred"),
        ("likelihood", "likelihood", "shared"),
        ("masked", "likelihood", "centred"),
        ("embedding", "embedding", "centred"),
        ("prediction", "prediction", "centred"),
    ]
    limited = Both(context=100)
    assert settings_for(limited).width == 100
    limited.card = limited.card.model_copy(update={"reference": "hf:folder"})
    assert settings_for(limited).width == 98  # [CLS] and [SEP]
    assert settings_for(Both(context=5_000)).width == settings_for(Both()).width == 512
    with pytest.raises(Unsupported, match=r"cannot be asked in mode likelihood.*can be asked in: masked, single-pass"):
        settings_for(Both(), mode="likelihood")
    with pytest.raises(UsageError, match="window of 3 bases"):
        settings_for(Both(), width=3)
