from __future__ import annotations

from pathlib import Path

import pytest
from small_training import CASES, HELD_OUT, recipe, write_genome

from glmbench.errors import UsageError
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.npmi import score_ngrams
from glmbench.pretraining.preparation import Prepared, make_tokenizer, open_sources, prepare
from glmbench.pretraining.recipe import Recipe, changed
from glmbench.sequences.ngrams import count_ngrams


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_sources([write_genome(tmp_path_factory.mktemp("genome"))], HELD_OUT, None)


def prepared(chosen: Recipe, corpus: Corpus) -> Prepared:
    return prepare(chosen, corpus, make_tokenizer(chosen, corpus, None))


@pytest.mark.parametrize("of", ["tokens", "nucleotides"])
def test_a_share_to_hide_is_what_is_hidden(of: str, corpus: Corpus) -> None:
    part = {"objective.hide": 0.1, "objective.of": of, "data.batch": 64}
    hidden = prepared(changed(CASES["genemask"], part), corpus).learner.hidden
    assert hidden is not None
    assert getattr(hidden, of) == pytest.approx(0.1, abs=0.005)
    other = {"tokens": "nucleotides", "nucleotides": "tokens"}[of]
    assert getattr(hidden, other) != pytest.approx(0.1, abs=0.01)


def test_a_rate_and_a_share_are_one_too_many(corpus: Corpus) -> None:
    both = changed(recipe(), {"objective.hide": 0.1, "objective.rate": 0.1})
    with pytest.raises(UsageError, match=r"a rate \(0.1\) and a share to hide \(0.1\); give one of them"):
        prepared(both, corpus)


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
