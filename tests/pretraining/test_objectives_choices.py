from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from objective_samples import ragged

from glmbench.errors import Unsupported, UsageError
from glmbench.pretraining.npmi import SCHEMA
from glmbench.pretraining.objectives.choices import MASKING, NAMES, RANKED, make_masking, make_objective, ranks_for
from glmbench.pretraining.objectives.fractions import realised
from glmbench.pretraining.objectives.span_corruption import SpanCorruption
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.tokenizers.kmer import KmerTokenizer
from glmbench.tokenizers.tokenizer import with_ends

SIXMERS = KmerTokenizer(6)
RANKS = np.random.default_rng(0).permutation(len(SIXMERS.vocabulary)).astype(np.int32) + 1


@pytest.mark.parametrize("name", MASKING)
def test_every_masking_objective_masks_encoded_bases(name: str) -> None:
    objective = make_masking(name, SIXMERS, ranks=RANKS)
    assert objective.name == name
    codes = np.random.default_rng(2).integers(0, 4, (60, 515), dtype=np.uint8)
    tokens = with_ends(SIXMERS.encode(codes), SIXMERS.special)
    masked = objective.mask(tokens, np.random.default_rng(3))
    hidden = realised(tokens, masked.positions)
    assert 0.1 < hidden.tokens < 0.17
    assert np.array_equal(masked.targets, tokens.ids[masked.positions])
    assert json.loads(json.dumps(objective.settings()))["name"] == name
    nothing = objective.mask(ragged([]), np.random.default_rng(0))
    assert nothing.positions.shape == (0,)


@pytest.mark.parametrize(
    ("k", "name", "probability"), [(6, "contiguous", 0.025), (3, "contiguous", 0.05), (6, "genemask", 0.0176)]
)
def test_published_probabilities(k: int, name: str, probability: float) -> None:
    tokenizer = KmerTokenizer(k)
    ranks = np.arange(len(tokenizer.vocabulary), dtype=np.int32)
    made = make_masking(name, tokenizer, ranks=ranks)
    assert made.settings()["probability"] == pytest.approx(probability)
    assert make_masking(name, tokenizer, ranks=ranks, rate=0.01).settings()["probability"] == 0.01


def test_ranks_are_those_of_the_control_that_the_name_says() -> None:
    """Four 1-mers: C has the best NPMI, T the most occurrences. Ids 5 to 8 are A, T, C, G."""
    columns = {"ngram": ["C", "A", "G", "T"], "count": [7, 5, 6, 9], "rank": [1, 2, 3, 4]}
    scores = {name: [0.0] * 4 for name in SCHEMA if name not in columns}
    table = pl.DataFrame(columns | scores, schema=SCHEMA)
    tokenizer = KmerTokenizer(1)
    found = {name: ranks_for(name, tokenizer, table)[5:].tolist() for name in RANKED}
    assert found["genemask"] == found["cm-gems"] == found["genemask-released-2023-07"] == [2, 4, 1, 3]
    assert found["genemask-inverse"] == [3, 1, 4, 2]
    assert found["genemask-frequency"] == [4, 1, 2, 3]
    dealt = {tuple(ranks_for("genemask-permuted", tokenizer, table, seed=s)[5:].tolist()) for s in range(20)}
    assert all(sorted(ranks) == [1, 2, 3, 4] for ranks in dealt)
    assert len(dealt) > 5


def test_objectives_that_do_not_mask() -> None:
    characters = CharacterTokenizer()
    for name in ("span-corruption", "span-corruption-bases"):
        objective = make_objective(name, characters, rate=0.2)
        assert isinstance(objective, SpanCorruption)
        assert (objective.name, objective.fraction) == (name, 0.2)
        assert objective.first_sentinel == len(characters.vocabulary)
    assert make_objective("uniform", characters, rate=0.2).settings()["probability"] == 0.2


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nonsense", {}, "no objective 'nonsense'. Choose one of: uniform, contiguous"),
        ("genemask", {}, "genemask needs the ranks"),
        ("genemask", {"ranks": RANKS[:-1]}, "a vocabulary of 4101 tokens wants one"),
        ("genemask", {"ranks": RANKS.astype(float)}, "type float64"),
        ("uniform", {"rate": 15}, "rate of 15"),
        ("cm-step", {"ranks": RANKS, "rate": 0.1}, "two objectives"),
        ("next-base", {}, "next-base hides and draws nothing"),
        ("middle-base", {"rate": 0.1}, "middle-base hides and draws nothing"),
    ],
)
def test_what_is_wrong_is_said(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_objective(name, SIXMERS, **arguments)


def test_tokenizers_that_do_not_suit() -> None:
    for name in MASKING[1:]:
        with pytest.raises(Unsupported, match="tokens of character do not overlap"):
            make_objective(name, CharacterTokenizer(), ranks=RANKS)
    with pytest.raises(Unsupported, match="spell out the ends"):
        make_objective("span-corruption", SIXMERS)
    with pytest.raises(Unsupported, match="6-mers only"):
        make_objective("genemask-released-2023-07", KmerTokenizer(5), ranks=np.arange(5 + 4**5))


def test_names_are_complete() -> None:
    assert len(set(NAMES)) == len(NAMES) == 17
    with pytest.raises(UsageError, match="masking objective 'next-base'"):
        make_masking("next-base", SIXMERS)
