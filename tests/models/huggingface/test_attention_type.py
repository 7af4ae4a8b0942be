"""BigBird: what a row gives is what a network fresh from its checkpoint gives for it alone, whatever ran before."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from glmbench.models.huggingface.assembly import assemble
from glmbench.models.huggingface.families.family import Role
from glmbench.models.huggingface.runner import Runner
from glmbench.training.precision import Precision

CPU = torch.device("cpu")
THRESHOLD = (5 + 2) * 4
"""Tokens up to which transformers computes these networks' attention in full."""
LENGTHS = (41, 12, THRESHOLD, THRESHOLD + 1, 41, 56, 12, 3)
SIZES: dict[str, Any] = {
    "vocab_size": 12, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64, "attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1,
    "pad_token_id": 0,
}  # fmt: skip
ROLES: dict[str, Role] = {"BigBirdForMaskedLM": "masked", "BigBirdForSequenceClassification": "classifier"}


def fresh(name: str) -> Any:
    """A network that ran nothing yet, with weights so large that every token matters."""
    import transformers

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = getattr(transformers, name)(transformers.BigBirdConfig(**SIZES, num_labels=3))
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def rows() -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(4, 12, length).tolist() for length in LENGTHS]


def runner_of(name: str, network: Any = None) -> Runner:
    loaded = assemble(fresh(name) if network is None else network, ROLES[name])
    return Runner(loaded, pad=0, device=CPU, precision=Precision("fp32", "highest"))


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_sparse_attention_is_not_full_attention(rows: list[list[int]]) -> None:
    """Else the tests below could not fail."""
    sparse, full = fresh("BigBirdForMaskedLM"), fresh("BigBirdForMaskedLM")
    full.bert.set_attention_type("original_full")
    ids = torch.tensor([rows[0]])
    assert float((sparse(input_ids=ids).logits - full(input_ids=ids).logits).abs().max()) > 0.1


@pytest.mark.parametrize("layer", [0, 1, -1])
@pytest.mark.parametrize("batch", ["together", "alone", "reversed"])
def test_states_are_those_of_a_fresh_network(rows: list[list[int]], layer: int, batch: str) -> None:
    runner = runner_of("BigBirdForMaskedLM")
    calls = {"together": [rows], "alone": [[row] for row in rows], "reversed": [[row] for row in rows[::-1]]}[batch]
    for call in calls:
        for indices, states, packing in runner.states(call, layer):
            for index, got in zip(indices, states.split(packing.lengths), strict=True):
                row = call[index]
                output = fresh("BigBirdForMaskedLM").bert(input_ids=torch.tensor([row]), output_hidden_states=True)
                close(got, output.hidden_states[layer][0, : len(row)])


def test_logits_are_those_of_a_fresh_network(rows: list[list[int]]) -> None:
    runner = runner_of("BigBirdForMaskedLM")
    asked = [[0, len(row) - 1] for row in rows]
    seen = []
    for indices, logits in runner.logits(rows, asked):
        wanted = [fresh("BigBirdForMaskedLM")(input_ids=torch.tensor([rows[i]])).logits[0, asked[i]] for i in indices]
        close(logits, torch.cat(wanted))
        seen += indices
    assert sorted(seen) == list(range(len(rows)))


def test_a_classifier_answers_as_a_fresh_one(rows: list[list[int]]) -> None:
    runner = runner_of("BigBirdForSequenceClassification")
    wanted = [fresh("BigBirdForSequenceClassification")(input_ids=torch.tensor([row])).logits[0] for row in rows]
    for call in (rows, rows[:1], rows[1:3], rows[:1]):
        for indices, logits in runner.labels(call):
            close(logits, torch.stack([wanted[rows.index(call[index])] for index in indices]))
    next(iter(runner.states(rows[1:2])))  # states and labels run the same body
    ((_, logits),) = runner.labels(rows[:1])
    close(logits[0], wanted[0])


def test_it_keeps_its_weights_and_draws_no_number(rows: list[list[int]]) -> None:
    network = fresh("BigBirdForMaskedLM")
    weights = copy.deepcopy(network.state_dict())
    runner = runner_of("BigBirdForMaskedLM", network)
    before = torch.random.get_rng_state()
    for row in (rows[0], rows[1], rows[0]):
        list(runner.states([row]))
    assert torch.equal(before, torch.random.get_rng_state())
    now = network.state_dict()
    assert set(now) == set(weights)
    assert all(torch.equal(now[name], weights[name]) for name in weights)
