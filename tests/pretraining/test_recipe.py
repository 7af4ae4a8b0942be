from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_training import BERT, HELD_OUT, T5, write_genome

from glmbench.errors import UsageError
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.optimisation import make_plan
from glmbench.pretraining.preparation import make_tokenizer, open_sources, prepare
from glmbench.pretraining.recipe import Recipe, changed, load, names, parsed, sized

TINY = {"logo": BERT, "dnabert": BERT, "dnabert2": BERT, "modern": BERT, "t5-small": T5}


def test_values_of_a_file_are_read_and_the_rest_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'tokenizer = "kmer:6"\n[objective]\nname = "genemask"\nhide = 0.15\n[training]\nbetas = [0.9, 0.95]'
    )
    recipe = load(str(path))
    assert (recipe.tokenizer, recipe.objective.name, recipe.objective.hide) == ("kmer:6", "genemask", 0.15)
    assert recipe.training.betas == (0.9, 0.95)
    assert recipe.network == Recipe().network


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainning": {}}, "recipe x: trainning: Extra inputs are not permitted"),
        ({"training": {"lr": 0}}, "training.lr: Input should be greater than 0"),
        ({"training": {"lr": -1}, "data": {"crop": 2}}, "data.crop: .*; training.lr: "),
        ({"training": {"seed": -1}}, "training.seed: Input should be greater than or equal to 0"),
        ({"objective": {"hide": 1.5}}, "objective.hide: Input should be less than 1"),
        ({"network": {"depth": "many"}}, "network.depth: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(values, "x")


def test_changes_replace_values_at_dotted_keys() -> None:
    recipe = changed(Recipe(), {"training.lr": 1e-3, "tokenizer": "kmer:3", "network.sizes.layer_norm_eps": 1e-6})
    assert (recipe.training.lr, recipe.tokenizer) == (1e-3, "kmer:3")
    assert recipe.network.sizes == {"layer_norm_eps": 1e-6}
    assert changed(recipe, {"training.lr": None, "tokenizer": None}) == recipe
    with pytest.raises(UsageError, match="there is no part 'trainning'; parts are description, tokenizer, objective"):
        changed(recipe, {"trainning.lr": 1})
    with pytest.raises(UsageError, match=r"training.rate: Extra inputs"):
        changed(recipe, {"training.rate": 1})


def test_another_objective_does_not_inherit_rate_and_ranks() -> None:
    recipe = changed(Recipe(), {"objective.name": "genemask", "objective.rate": 0.02, "objective.ranks": "table.csv"})
    assert changed(recipe, {"objective.name": "genemask"}) == recipe
    other = changed(recipe, {"objective.name": "contiguous"}).objective
    assert (other.rate, other.ranks) == (None, None)
    hide = changed(recipe, {"objective.hide": 0.15}).objective
    assert (hide.rate, hide.hide) == (None, 0.15)


def test_a_norm_of_zero_clips_nothing() -> None:
    part = changed(load("genomenet-cnn"), {"training.evaluate_every": 1}).training
    assert make_plan(part, torch.device("cpu")).clip_norm is None
    assert make_plan(load("genemask").training, torch.device("cpu")).clip_norm == 1.0


def test_another_network_does_not_inherit_sizes() -> None:
    recipe = changed(Recipe(), {"network.depth": 3, "network.sizes.layer_norm_eps": 1e-6})
    same = changed(recipe, {"network.name": "dnabert2"})
    encoder = changed(recipe, {"network.name": "modern"})
    other = changed(recipe, {"network.name": "t5-small"})
    assert same == recipe
    assert (encoder.network.depth, encoder.network.sizes) == (3, {})
    assert (other.network.depth, other.network.sizes) == (None, {})


def test_the_dial_derives_what_is_left_out() -> None:
    recipe = sized(Recipe(), width=192, parameters=1_000_000, tokens_per_crop=125.0)
    assert recipe.training.steps == 20 * 1_000_000 / (64 * 125)
    assert recipe.training.lr == pytest.approx(1e-3)  # a quarter of the width, twice the rate
    assert recipe.training.evaluate_every == 250
    asked = parsed({"training": {"steps": 7, "lr": 0.5, "evaluate_every": 2}}, "x")
    assert sized(asked, width=192, parameters=10, tokens_per_crop=1.0) == asked
    assert sized(Recipe(), width=768, parameters=10, tokens_per_crop=1.0).training.steps == 100


def test_a_recipe_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"no recipe 'large': want a TOML file or one of dnabert2, genemask, "):
        load("large")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_sources([write_genome(tmp_path_factory.mktemp("genome"))], HELD_OUT, None)


@pytest.mark.parametrize("name", names())
def test_every_recipe_of_ours_makes_a_learner_when_shrunk(name: str, corpus: Corpus) -> None:
    recipe = load(name)
    assert recipe.description
    network = recipe.network.name
    sizes = TINY.get(network, {"units": [4]} if network.endswith("lstm") else {})
    small = {
        "tokenizer": "bpe:64" if recipe.tokenizer.startswith(("bpe", "unigram")) else None,
        "network.sizes": {**recipe.network.sizes, **sizes},
        "data.batch": 4,
        "training.accumulate": 1,
    }
    chosen = changed(recipe, small)
    prepared = prepare(chosen, corpus, make_tokenizer(chosen, corpus, None))
    batch = next(prepared.learner.batches.epoch(0))
    loss = prepared.learner.loss(prepared.learner.module, batch)
    loss.backward()
    assert 0 < loss.item() < 50
    assert prepared.steps == (recipe.training.steps or prepared.steps) >= 100
