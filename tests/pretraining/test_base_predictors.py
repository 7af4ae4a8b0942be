import numpy as np
import pytest
import torch
from bases_factory import SPECIAL, ConstantNetwork, GreedyTokenizer, NeighbourNetwork, hidden_bases
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from glmbench.pretraining.base_predictors import Flanks, MaskedTokens, base_log_probabilities, covering_tokens
from glmbench.pretraining.bits_per_base import measure
from glmbench.sequences.alphabet import BASES
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer
from glmbench.tokenizers.tokenizer import with_ends


def probabilities(tokenizer, network, hidden, cut="blind"):
    return np.exp(MaskedTokens(network, tokenizer, cut=cut).log_probabilities(hidden))


def by_token(tokenizer, **shares):
    """A share for each token, very little for all others."""
    values = [shares.get(token.strip("[]"), 1e-30) for token in tokenizer.vocabulary]
    return (np.array(values) / np.sum(values)).tolist()


def test_characters_by_hand():
    tokenizer = CharacterTokenizer()
    network = ConstantNetwork(by_token(tokenizer, A=0.1, C=0.2, G=0.3, T=0.2, MASK=0.2))
    found = probabilities(tokenizer, network, hidden_bases(["ACGTA", "TT"], [(1, 3), (0,)]))
    assert found == pytest.approx(np.tile([1 / 8, 2 / 8, 3 / 8, 2 / 8], (3, 1)))
    (long, short) = (next(s for s in network.seen[0] if len(s) == n) for n in (7, 4))
    letters, mask = {b: tokenizer.vocabulary.index(b) for b in BASES}, tokenizer.special.mask
    assert long[1:-1].tolist() == [letters["A"], mask, letters["G"], mask, letters["A"]]
    assert short[1:-1].tolist() == [mask, letters["T"]]


def test_overlapping_3mers_by_hand():
    tokenizer = KmerTokenizer(3)
    network = ConstantNetwork(by_token(tokenizer, ACG=0.5, AAA=0.3, TGC=0.2))
    found = probabilities(tokenizer, network, hidden_bases(["GATTACAT"], [(0, 4)]))
    place = np.array([[0.8, 0, 0, 0.2], [0.3, 0.5, 0.2, 0], [0.3, 0.2, 0.5, 0]])
    assert found[0] == pytest.approx(place[0], abs=1e-9)  # only the first token covers the first base
    assert found[1] == pytest.approx(place.mean(axis=0), abs=1e-9)
    masked = network.seen[0][0][1:-1] == tokenizer.special.mask
    assert masked.tolist() == [True, False, True, True, True, False]


def test_variable_tokens_by_hand():
    tokenizer = GreedyTokenizer("A", "C", "G", "T", "AC", "ACG", "GT")
    network = ConstantNetwork(by_token(tokenizer, A=0.1, C=0.1, G=0.1, T=0.1, AC=0.2, ACG=0.3, GT=0.1))
    # ACG | T | GT | AC: bases 1 (place 1), 5 (place 1) and 6 (place 0) are hidden.
    hidden = hidden_bases(["ACGTGTAC"], [(1, 5, 6)])
    found = probabilities(tokenizer, network, hidden, "true")
    assert found[0] == pytest.approx([0, 0.5 / 0.6, 0, 0.1 / 0.6])
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx([0.6, 0.1, 0.2, 0.1])
    masked = (network.seen[0][0] == SPECIAL.mask).tolist()
    assert masked == [False, True, False, True, True, False]
    bits = measure(MaskedTokens(network, tokenizer, cut="true"), hidden).bits
    assert bits == pytest.approx(-np.log2([0.5 / 0.6, 0.1 / 0.6, 0.6]))


def test_windows_are_cut_with_each_base_in_turn():
    tokenizer = GreedyTokenizer("A", "C", "G", "T", "AC", "ACG", "GT")
    network = ConstantNetwork(by_token(tokenizer, A=0.1, C=0.1, G=0.1, T=0.1, AC=0.2, ACG=0.3, GT=0.1))
    found = probabilities(tokenizer, network, hidden_bases(["TAGT"], [(2,)]))
    # T|A|A|T, T|AC|T, T|A|GT, T|A|T|T: what each says of the base that it was cut with.
    own = np.array([0.6, 0.5 / 0.6, 0.2, 0.1])
    assert found[0] == pytest.approx(own / own.sum())


def test_one_token_over_two_hidden_bases():
    tokenizer = GreedyTokenizer("A", "C", "G", "T", "ACG")
    network = ConstantNetwork(by_token(tokenizer, A=0.25, C=0.25, ACG=0.5))
    found = probabilities(tokenizer, network, hidden_bases(["TACG"], [(1, 3)]), "true")
    assert found == pytest.approx(np.array([[0.75, 0.25, 0, 0], [0, 0, 1, 0]]), abs=1e-6)
    assert (network.seen[0][0] == SPECIAL.mask).sum() == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(BASES, min_size=6, max_size=40), min_size=1, max_size=5), st.integers(0, 99), st.data())
def test_every_prediction_is_a_distribution_and_batches_change_nothing(sequences, seed, data):
    hidden = hidden_bases(sequences, [sorted(data.draw(st.sets(st.integers(0, len(s) - 1)))) for s in sequences])
    for tokenizer in (CharacterTokenizer(), KmerTokenizer(3), GreedyTokenizer(*BASES, "AC", "GTA")):
        network = NeighbourNetwork(len(tokenizer.vocabulary), seed)
        whole = MaskedTokens(network, tokenizer).log_probabilities(hidden)
        assert np.exp(whole).sum(axis=1) == pytest.approx(1)
        singly = MaskedTokens(network, tokenizer, tokens=1).log_probabilities(hidden)
        assert singly == pytest.approx(whole)


def test_hidden_bases_are_not_seen():
    one = hidden_bases(["ACGTACGTACGT"], [(4, 9)])
    other = hidden_bases(["ACGTTCGTAGGT"], [(4, 9)])
    for tokenizer in (CharacterTokenizer(), KmerTokenizer(4), GreedyTokenizer(*BASES, "TC", "TCG", "GT")):
        network = NeighbourNetwork(len(tokenizer.vocabulary))
        found = [MaskedTokens(network, tokenizer).log_probabilities(hidden) for hidden in (one, other)]
        assert np.array_equal(*found)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(BASES, min_size=5, max_size=30), min_size=1, max_size=4))
def test_covering_tokens_are_those_whose_span_holds_the_base(sequences):
    hidden = hidden_bases(sequences, [range(len(s)) for s in sequences])
    for tokenizer in (KmerTokenizer(5), GreedyTokenizer(*BASES, "AC", "GTA")):
        tokens = with_ends(tokenizer.encode(hidden.windows), tokenizer.special)
        owner = np.repeat(np.arange(len(tokens)), tokens.lengths)
        first, number = covering_tokens(tokens, hidden)
        for i, (window, position) in enumerate(zip(hidden.window, hidden.position, strict=True)):
            covers = (owner == window) & (tokens.starts <= position) & (position < tokens.ends)
            assert np.flatnonzero(covers).tolist() == list(range(first[i], first[i] + number[i]))


def test_a_base_that_no_token_has_at_a_place():
    bases = torch.tensor([[0, 1], [2, -1]], dtype=torch.int8)
    found = base_log_probabilities(torch.tensor([[1.0, 2.0]]), torch.tensor([1]), bases)
    assert torch.exp(found).tolist() == [[0, 1, 0, 0]]


class LastBases(nn.Module):
    """Sums the ids it sees at either end of its window, to see what it was given."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.seen = []

    def base_log_probabilities(self, input_ids):
        assert not self.training
        self.seen.append(input_ids)
        return torch.log_softmax(self.dropout(torch.nn.functional.one_hot(input_ids[:, 0], 5)[:, :4].float()), dim=1)


def test_flanks_end_where_the_window_ends():
    network = LastBases()
    hidden = hidden_bases(["ACGT", "TTA"], [(0, 3), (1,)])
    log_p = Flanks(network, (0, 1, 2, 3, 4), left=2, right=0).log_probabilities(hidden)
    assert network.training
    assert network.seen[0].tolist() == [[4, 4], [1, 2], [4, 3]]
    assert np.exp(log_p)[1] == pytest.approx(np.exp([0, 1, 0, 0]) / (np.e + 3))
    Flanks(network, (0, 1, 2, 3, 4), left=1, right=1).log_probabilities(hidden)
    assert network.seen[1].tolist() == [[4, 4, 1], [2, 4, 4], [3, 4, 0]]
