import numpy as np
import pytest
from bases_factory import hidden_bases

from glmbench.pretraining.bits_per_base import FrozenEvaluation, hide_bases, measure
from glmbench.pretraining.corpus import build_corpus
from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.markov_baseline import (
    MarkovBases,
    baseline_table,
    best_order,
    fit_corpus,
    highest_order,
    lower_order,
    markov_baselines,
)
from glmbench.sequences.alphabet import decode, encode
from glmbench.sequences.encoding import reverse_complement_codes
from glmbench.sequences.markov import MarkovModel, fit_markov, log_likelihood, sample_markov


def corpus_of(folder, **contigs):
    (folder / "one.fa").write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    return build_corpus([folder / "one.fa"], folder / "corpus", held_out=HeldOut(contigs=("held",)))


@pytest.fixture(scope="module")
def chain():
    """An order-2 chain with strong preferences."""
    rng = np.random.default_rng(3)
    return MarkovModel(2, tuple(rng.dirichlet([0.3] * 4, 4**j) * 0.9 + 0.025 for j in range(3)))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, chain):
    train, held = (decode(sample_markov(chain, 1, n, np.random.default_rng(n))[0]) for n in (60_000, 40_000))
    return corpus_of(tmp_path_factory.mktemp("chain"), train=train, held=held)


def test_order_0_by_hand(tmp_path):
    corpus = corpus_of(tmp_path, train="A" * 300 + "C" * 60, held="A" * 64)
    model = fit_corpus(corpus, 0, both_strands=False)
    assert model.tables[0][0] == pytest.approx(np.array([310, 70, 10, 10]) / 400)
    both = fit_corpus(corpus, 0)
    assert both.tables[0][0] == pytest.approx(np.array([310, 70, 70, 310]) / 760)
    result = measure(MarkovBases(both, "left"), hide_bases(corpus))
    assert result.value == pytest.approx(-np.log2(310 / 760))


def test_tables_back_off_to_the_order_below(tmp_path):
    corpus = corpus_of(tmp_path, train="ACAAC", held="A" * 64)
    zero, one = fit_corpus(corpus, 1, both_strands=False).tables
    assert zero[0] == pytest.approx(np.array([13, 12, 10, 10]) / 45)
    assert one[0] == pytest.approx((np.array([1, 2, 0, 0]) + 40 * zero[0]) / 43)  # AA, AC, AC
    assert one[3] == pytest.approx(zero[0])  # T was not seen


def test_both_strands_are_the_counts_of_both(simulated):
    codes = next(iter(simulated.codes(simulated.training)))
    counts = [fit_markov(c, 3, pseudocount=1e-9).tables[3] for c in (codes, reverse_complement_codes(codes))]
    many = fit_corpus(simulated, 3).tables[3]
    assert np.abs(many - np.mean(counts, axis=0)).max() < 0.4
    log_p = log_likelihood(fit_corpus(simulated, 1), np.stack([codes, reverse_complement_codes(codes)]))
    assert log_p[0] == pytest.approx(log_p[1], rel=1e-4)


def test_the_order_that_data_fill():
    assert [highest_order(bases) for bases in (10, 80, 33_000_000, 3_000_000_000)] == [0, 1, 10, 11]


def test_left_is_the_transition_probability_and_both_is_bayes():
    tables = (np.full((1, 4), 0.25), np.array([[0.4, 0.3, 0.2, 0.1]] * 2 + [[0.1, 0.2, 0.3, 0.4]] * 2))
    model = MarkovModel(1, tables)
    hidden = hidden_bases(["GAC", "AT"], [(1, 2), (0,)])
    left = np.exp(MarkovBases(model, "left").log_probabilities(hidden))
    assert left == pytest.approx(np.array([tables[1][2], tables[1][0], tables[0][0]]))
    both = np.exp(MarkovBases(model, "both").log_probabilities(hidden))
    amid = tables[1][2] * tables[1][:, 1]  # p(b | G) p(C | b)
    before = 0.25 * tables[1][:, 3]
    assert both == pytest.approx(np.array([amid / amid.sum(), tables[1][0], before / before.sum()]))


def test_both_sides_of_a_true_chain_are_exact(chain):
    """All 4^5 sequences of an order-2 chain: the conditional of the middle base by enumeration."""
    every = np.array(np.meshgrid(*[range(4)] * 5, indexing="ij"), dtype=np.uint8).reshape(5, -1).T
    joint = np.exp(log_likelihood(chain, every)).reshape((4,) * 5)
    conditional = (joint / joint.sum(axis=2, keepdims=True)).transpose(0, 1, 3, 4, 2)
    hidden = hidden_bases([decode(row) for row in every], [(2,)] * len(every))
    found = np.exp(MarkovBases(chain, "both").log_probabilities(hidden))
    wanted = conditional[tuple(every[:, [0, 1, 3, 4]].T)]
    assert found == pytest.approx(wanted)


def test_baselines_on_a_simulated_chain(simulated, chain):
    hidden = hide_bases(simulated, FrozenEvaluation(windows=200))
    # The chain has a direction, so its reverse complement is another chain: count one strand.
    fitted = fit_corpus(simulated, 4, both_strands=False)
    results = {
        (order, reach): measure(MarkovBases(lower_order(fitted, order), reach), hidden)
        for order in range(5)
        for reach in ("left", "both")
    }
    truth = {reach: measure(MarkovBases(chain, reach), hidden).value for reach in ("left", "both")}
    for reach, best in truth.items():
        assert results[2, reach].value == pytest.approx(best, abs=0.02)
        assert results[0, reach].value > results[1, reach].value > results[2, reach].value
    assert truth["both"] < truth["left"]
    assert results[2, "both"].value < results[2, "left"].value


def test_a_table_of_all_orders(simulated):
    hidden = hide_bases(simulated, FrozenEvaluation(windows=20))
    results = markov_baselines(simulated, hidden)
    highest = highest_order(60_000)
    assert set(results) == {(order, reach) for order in range(highest + 1) for reach in ("left", "both")}
    table = baseline_table(results)
    assert table.columns == ["order", "reach", "bits_per_base", "low", "high", "accuracy"]
    best = best_order(results, "left")
    assert table.filter(reach="left").sort("bits_per_base")["order"][0] == best
    assert results[0, "left"].value == pytest.approx(results[0, "both"].value)


@pytest.mark.real_data
def test_real_genome(shared_data, tmp_path):
    """Yeast's third chromosome from the others: counting helps, both sides help more."""
    yeast = shared_data / "genomes" / "EUK" / "Saccharomyces_cerevisiae_S288C.fna.gz"
    corpus = build_corpus([yeast], tmp_path / "corpus", held_out=HeldOut(contigs=("III",)))
    hidden = hide_bases(corpus)
    results = markov_baselines(corpus, hidden, (0, 6))
    truth = np.bincount(hidden.truth, minlength=4) / len(hidden.truth)
    base = next(iter(corpus.codes(corpus.training)))
    assert encode(decode(base[:9])).tolist() == base[:9].tolist()
    assert results[0, "left"].value == pytest.approx(float(-(truth * np.log2(truth)).sum()), abs=0.01)
    assert results[6, "both"].value < results[6, "left"].value < results[0, "left"].value < 2
