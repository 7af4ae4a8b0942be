from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import CASES, HELD_OUT, recipe, write_genome
from transformers import AutoConfig

from glmbench.errors import UsageError
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.folder import save_model
from glmbench.pretraining.npmi import score_ngrams
from glmbench.pretraining.optimisation import make_plan
from glmbench.pretraining.preparation import Prepared, make_tokenizer, open_sources, prepare, sample_bases
from glmbench.pretraining.quality import measure_quality
from glmbench.pretraining.recipe import Recipe, changed
from glmbench.pretraining.report import _notes
from glmbench.sequences.ngrams import count_ngrams


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_sources([write_genome(tmp_path_factory.mktemp("genome"))], HELD_OUT, None)


def prepared(chosen: Recipe, corpus: Corpus) -> Prepared:
    return prepare(chosen, corpus, make_tokenizer(chosen, corpus, None))


@pytest.mark.parametrize("of", ["tokens", "nucleotides"])
def test_a_share_to_hide_is_what_is_hidden(of: str, corpus: Corpus) -> None:
    part = {"objective.hide": 0.1, "objective.of": of, "data.batch": 64}
    hidden = prepared(changed(CASES["genemask"], part), corpus).learner.hidden["genemask"]
    assert getattr(hidden, of) == pytest.approx(0.1, abs=0.005)
    other = {"tokens": "nucleotides", "nucleotides": "tokens"}[of]
    assert getattr(hidden, other) != pytest.approx(0.1, abs=0.01)


def test_a_rate_and_a_share_are_one_too_many(corpus: Corpus) -> None:
    both = changed(recipe(), {"objective.hide": 0.1, "objective.rate": 0.1})
    with pytest.raises(UsageError, match=r"a rate \(0.1\) and a share to hide \(0.1\); give one of them"):
        prepared(both, corpus)


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("uniform", {"objective.ranks": "table.csv"}, "objective uniform has no ranks; leave them out"),
        (
            "uniform",
            {"objective.of": "nucleotides"},
            r"belongs to a share to hide, and there is none; give one \(--hide",
        ),
        (
            "spans",
            {"objective.hide": 0.2, "objective.of": "nucleotides"},
            "hides a share of tokens, not of nucleotides",
        ),
        ("lstm-end", {"objective.rate": 0.2}, "next-base hides nothing: leave rate and share to hide out"),
        ("lstm-end", {"objective.hide": 0.2}, "next-base hides nothing: leave rate and share to hide out"),
        ("bpe-modern", {"training.compile": True}, "bpe-64 makes of crops rows of many lengths"),
    ],
)
def test_what_would_be_ignored_is_refused(case: str, changes: dict[str, Any], message: str, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(changed(CASES[case], changes), corpus)


def test_rows_of_one_length_may_be_compiled(corpus: Corpus) -> None:
    prepared(changed(CASES["uniform"], {"training.compile": True}), corpus)
    with pytest.raises(UsageError, match="1 stretches shorter than a crop make rows of many lengths"):
        prepared(changed(CASES["uniform"], {"training.compile": True, "data.crop": 20_001}), corpus)


def test_only_curricula_may_become_harder(corpus: Corpus) -> None:
    for name in ("uniform", "cm-step", "cm-gems"):
        made = prepared(CASES[name], corpus)
        plan = make_plan(made.recipe.training, torch.device("cpu"), may_rise=made.learner.becomes_harder)
        assert (plan.guard is None) == name.startswith("cm")


def test_a_rotary_network_states_512_tokens_or_what_it_was_trained_on(corpus: Corpus) -> None:
    made = prepared(CASES["bpe-modern"], corpus)
    assert made.longest_crop < made.longest_window < 512
    assert made.network.config.max_position_embeddings == 512
    long = prepared(changed(CASES["bpe-modern"], {"tokenizer": "character", "data.crop": 600}), corpus)
    assert long.network.config.max_position_embeddings == 602
    assert any("Rotary positions often do worse there" in note for note in _notes(made))
    wide = prepared(changed(CASES["bpe-modern"], {"network.sizes.max_position_embeddings": 900}), corpus)
    assert wide.network.config.max_position_embeddings == 900
    alibi = prepared(changed(CASES["bpe-modern"], {"network.sizes.positions": "alibi"}), corpus)
    assert alibi.network.config.max_position_embeddings is None
    assert any("ALiBi only weakens" in note for note in _notes(alibi))
    assert not _notes(prepared(recipe(crop=490), corpus))


def test_a_kernel_for_training_is_neither_measured_with_nor_saved(corpus: Corpus, tmp_path: Path) -> None:
    made = prepared(changed(CASES["uniform"], {"network.attention": "flash"}), corpus)
    assert measure_quality(made) is not None  # in float32, on a CPU: flash can do neither
    save_model(tmp_path, made.network, made.tokenizer, {})
    assert AutoConfig.from_pretrained(tmp_path).attention_backend == "auto"
    assert made.network.config.attention_backend == "flash"


def test_a_sample_of_a_corpus_is_whole_pieces_within_the_bound(corpus: Corpus) -> None:
    whole = sample_bases(corpus, 20_000)
    assert len(whole) == 20_001
    part = sample_bases(corpus, 12_000)
    assert len(part) == 10_001
    np.testing.assert_array_equal(part, [*whole[:10_000], 4])
    assert len(sample_bases(corpus, 50)) == 10_001  # at least one piece


def test_ranks_are_counted_on_what_may_be_trained_on_or_read_from_a_table(corpus: Corpus, tmp_path: Path) -> None:
    counted = prepared(CASES["genemask"], corpus).learner.batches.content_hash()
    table = score_ngrams(count_ngrams(corpus.codes(corpus.training), 6), 6)
    table.write_csv(tmp_path / "same.csv")
    given = changed(CASES["genemask"], {"objective.ranks": tmp_path / "same.csv"})
    assert prepared(given, corpus).learner.batches.content_hash() == counted
    other = score_ngrams(count_ngrams(corpus.codes(corpus.held_out), 6), 6)
    other.write_csv(tmp_path / "other.csv")
    given = changed(CASES["genemask"], {"objective.ranks": tmp_path / "other.csv"})
    assert prepared(given, corpus).learner.batches.content_hash() != counted


def test_cm_gems_switches_by_the_perplexity_of_held_out_tokens(corpus: Corpus) -> None:
    made = prepared(CASES["cm-gems"], corpus)
    learner = made.learner
    assert learner.perplexity is not None
    assert learner.observe is not None
    module = learner.module.eval()
    assert learner.perplexity(module) == learner.perplexity(module)
    assert 20 < learner.perplexity(module) < 200  # of 64 3-mers, by a network that knows nothing
    before = [batch.targets.tolist() for batch in learner.batches.epoch(0)]
    learner.observe([10.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    assert [batch.targets.tolist() for batch in learner.batches.epoch(0)] != before


def test_only_what_can_be_asked_for_bases_is(corpus: Corpus) -> None:
    for name, chosen in CASES.items():
        made = prepared(chosen, corpus)
        assert (made.hidden is None) == (made.learner.predictor is None) == (name == "spans")
        assert (made.learner.perplexity is not None) == (name == "cm-gems")
        assert (made.flops_per_step is None) == (name.startswith("l") or name == "spans")


def test_a_stateful_network_is_trained_unaccumulated(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="carries its state from step to step: train it in one process, unaccumulated"):
        prepared(changed(CASES["lanes"], {"training.accumulate": 2}), corpus)


def test_crops_are_cut_to_the_positions_of_the_network(corpus: Corpus) -> None:
    assert prepared(CASES["genemask"], corpus).recipe.data.max_tokens == 512
    assert prepared(CASES["uniform"], corpus).recipe.data.max_tokens is None
    fewer = changed(CASES["genemask"], {"data.max_tokens": 30})
    made = prepared(fewer, corpus)
    assert made.recipe.data.max_tokens == 30
    assert made.tokens_per_crop == 30
