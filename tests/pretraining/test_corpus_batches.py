from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_training import HELD_OUT, write_genome

from glmbench.networks.packing import Packing
from glmbench.pretraining.batches import BaseWindows, CorruptedCrops, MaskedCrops
from glmbench.pretraining.corpus import Corpus
from glmbench.pretraining.crops import BaseCrops, Crops
from glmbench.pretraining.losses import NO_LABEL
from glmbench.pretraining.objectives.choices import make_masking, make_objective
from glmbench.pretraining.objectives.objective import Situation
from glmbench.pretraining.preparation import open_sources
from glmbench.tokenizers.character import CharacterTokenizer
from glmbench.training.batches import Batch

TOKENIZER = CharacterTokenizer()
BASES = (5, 6, 7, 8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_sources([write_genome(tmp_path_factory.mktemp("genome"), 4_000)], HELD_OUT, None)


def base_crops(corpus: Corpus, seed: int = 1, crop: int = 51, **more: Any) -> BaseCrops:
    return BaseCrops(corpus, crop=crop, batch=4, seed=seed, **more)


def masked(corpus: Corpus, seed: int = 1, rate: float = 0.15, **more: Any) -> MaskedCrops:
    crops = Crops(base_crops(corpus, seed), TOKENIZER)
    return MaskedCrops(crops, make_masking("uniform", TOKENIZER, rate=rate), seed=seed, **more)


def corrupted(corpus: Corpus, seed: int = 1) -> CorruptedCrops:
    objective: Any = make_objective("span-corruption", TOKENIZER)
    return CorruptedCrops(Crops(base_crops(corpus, seed), TOKENIZER), objective, seed=seed)


def windows(corpus: Corpus, seed: int = 1, *, middle: bool = False) -> BaseWindows:
    return BaseWindows(base_crops(corpus, seed, shortest=51), BASES, middle=middle)


SOURCES = {"masked": masked, "corrupted": corrupted, "windows": windows}


def tensors(batch: Batch) -> list[torch.Tensor]:
    inputs = [x.offsets if isinstance(x, Packing) else x for x in batch.inputs]
    return [*(x for x in inputs if isinstance(x, torch.Tensor)), batch.targets]


def equal(a: Batch, b: Batch) -> bool:
    pairs = zip(tensors(a), tensors(b), strict=True)
    return (a.size, a.bases) == (b.size, b.bases) and all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("name", SOURCES)
def test_an_epoch_can_be_entered_anywhere_and_shared_out(name: str, corpus: Corpus) -> None:
    source, again = SOURCES[name](corpus), SOURCES[name](corpus)
    whole = list(source.epoch(2))
    assert len(whole) == len(source) == 4_000 // (4 * 51)
    for start, every in ((0, 1), (7, 1), (1, 2), (3, 5)):
        part = list(again.epoch(2, start=start, every=every))
        assert len(part) == len(whole[start::every])
        assert all(equal(a, b) for a, b in zip(part, whole[start::every], strict=True))
    assert not equal(whole[0], next(source.epoch(3)))
    assert not equal(whole[0], whole[1])


@pytest.mark.parametrize("name", SOURCES)
def test_the_hash_tells_what_decides_the_batches(name: str, corpus: Corpus) -> None:
    make = SOURCES[name]
    assert make(corpus).content_hash() == make(corpus).content_hash() != make(corpus, 2).content_hash()


def test_the_hash_of_masked_crops_holds_the_objective_and_the_steps(corpus: Corpus) -> None:
    hashes = {m.content_hash() for m in (masked(corpus), masked(corpus, rate=0.2), masked(corpus, steps=9))}
    assert len(hashes) == 3
    assert windows(corpus).content_hash() != windows(corpus, middle=True).content_hash()


def test_targets_are_what_the_mask_took_away(corpus: Corpus) -> None:
    source = masked(corpus)
    batch = next(source.epoch(0))
    ids, packing, positions = batch.inputs
    clean = source.crops.batch(0, 0).tokens
    assert batch.size == len(clean.ids) == 4 * 53
    assert batch.bases == 4 * 51
    restored = ids.clone()
    restored[positions] = batch.targets
    np.testing.assert_array_equal(restored, clean.ids)
    np.testing.assert_array_equal(packing.offsets, clean.offsets)
    share = source.hidden().tokens
    assert share == pytest.approx(0.15, abs=0.03)


def test_a_curriculum_is_told_its_step_and_the_perplexities(corpus: Corpus) -> None:
    told: list[Situation] = []
    source = masked(corpus, steps=12, per_step=2)
    mask = source.objective.mask

    class Listening:
        def mask(self, tokens: Any, rng: Any, situation: Situation) -> Any:
            told.append(situation)
            return mask(tokens, rng, situation)

    source.objective = Listening()
    source.observe([9.0, 8.0])
    list(source.epoch(1, start=3, every=4))
    first = (len(source) + 3) // 2
    assert [s.step for s in told] == [first, first + 2, first + 4, first + 6, first + 8][: len(told)]
    assert {(s.steps, tuple(s.perplexities)) for s in told} == {(12, (9.0, 8.0))}


def test_corrupted_rows_are_padded_and_labels_are_the_targets(corpus: Corpus) -> None:
    batch = next(corrupted(corpus).epoch(0))
    ids, mask, labels = batch.inputs
    assert ids.shape == mask.shape
    assert (ids[mask == 0] == TOKENIZER.special.pad).all()
    assert torch.equal(labels[labels != NO_LABEL], batch.targets)
    assert (labels != NO_LABEL).any(dim=1).all()
    assert len(mask) == 4


@pytest.mark.parametrize("middle", [False, True])
def test_one_base_of_each_window_is_asked_for(middle: bool, corpus: Corpus) -> None:
    source = windows(corpus, middle=middle)
    (seen,), codes = next(source.epoch(0)).inputs, source.crops.windows(0, 0)
    targets = next(source.epoch(0)).targets
    assert seen.shape == ((4, 51) if middle else (4, 50))
    np.testing.assert_array_equal(targets, codes[:, 25 if middle else 50])
    np.testing.assert_array_equal(seen, codes[:, : seen.shape[1]].astype(int) + 5)
