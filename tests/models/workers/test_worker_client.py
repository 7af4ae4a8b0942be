from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from worker_cards import load_worker, write_card

from glmbench.errors import DataError, UsageError
from glmbench.models import conformance
from glmbench.models.embedding_cache import CachedEmbeddings, with_cache
from glmbench.models.model import (
    CountsPasses,
    Embeds,
    Inspectable,
    Model,
    Predicts,
    PredictsBases,
    ScoresSequences,
    Trainable,
)
from glmbench.models.registry import load
from glmbench.models.reporting import ReportsProgress
from glmbench.models.workers import protocol
from glmbench.models.workers.client import WorkerModel
from glmbench.models.workers.pipe import WorkerError

LOG = np.log(np.array([0.1, 0.2, 0.3, 0.4]))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> WorkerModel:
    folder = tmp_path_factory.mktemp("everything")
    return load_worker(write_card(folder, "Everything", "[options]\nscale = 1.0\ntable = ''\n"), "?batch=3")


def test_it_has_every_capability_but_training(everything: WorkerModel) -> None:
    for capability in (Model, Embeds, PredictsBases, ScoresSequences, Predicts, Inspectable, CountsPasses):
        assert isinstance(everything, capability)
    assert isinstance(everything, ReportsProgress)
    assert not isinstance(everything, Trainable)


def test_it_passes_our_own_examination(everything: WorkerModel) -> None:
    assert [finding for finding in conformance.check(everything) if not finding.ok] == []


def test_answers_by_hand(everything: WorkerModel) -> None:
    assert isinstance(everything, Embeds)
    features = everything.embed(["ACCA", "GGT", "", "N", "T" * 1000])  # two requests of at most three
    assert features.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(features), [[2, 2, 0, 0], [0, 0, 2, 1], [0] * 4, [0] * 4, [0, 0, 0, 1000]])
    assert isinstance(everything, PredictsBases)
    assert everything.reach == "both"
    np.testing.assert_allclose(everything.fill(["ACG"] * 5, [0, 1, 2, 0, 1]), np.tile(LOG, (5, 1)), rtol=1e-6)
    rows = everything.scan(["ACG", "", "A", "ACGTA"])
    assert [row.shape for row in rows] == [(3, 4), (0, 4), (1, 4), (5, 4)]
    assert isinstance(everything, ScoresSequences)
    scores = everything.log_likelihood(["AC", "TTT", "G", "A"])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, np.log([0.1 * 0.2, 0.4**3, 0.3, 0.1]))
    assert isinstance(everything, Predicts)
    np.testing.assert_array_equal(everything.predict(["A" * 9, "A" * 10]), [[1, 0], [0, 1]])
    assert everything.card.outputs == ("short", "long")
    assert (everything.card.context, everything.card.description) == (100, "independent bases")


def test_no_sequences(everything: WorkerModel) -> None:
    assert isinstance(everything, Embeds)
    assert isinstance(everything, PredictsBases)
    assert isinstance(everything, ScoresSequences)
    assert isinstance(everything, Predicts)
    assert everything.embed([]).shape == (0, 4)
    assert everything.fill([], []).shape == (0, 4)
    assert everything.scan([]) == []
    assert everything.log_likelihood([]).shape == (0,)
    assert everything.predict([]).shape == (0, 2)


def test_a_position_outside_is_refused_here(everything: WorkerModel) -> None:
    assert isinstance(everything, PredictsBases)
    with pytest.raises(DataError, match="position 3 is outside its sequence of 3 bases"):
        everything.fill(["ACG"], [3])


def test_states_and_clamps(everything: WorkerModel) -> None:
    assert isinstance(everything, Inspectable)
    assert everything.layers() == ("bases",)
    first, second = everything.states(["AC", "G"], "bases")
    np.testing.assert_array_equal(first.values, [[1, 0, 0, 0], [0, 1, 0, 0]])
    assert (first.starts.tolist(), first.ends.tolist(), second.ends.tolist()) == ([0, 1], [1, 2], [1])
    with everything.clamped("bases", 3, 5.0), everything.clamped("bases", 0, 7.0):
        np.testing.assert_array_equal(everything.states(["C"], "bases")[0].values, [[7, 1, 0, 5]])
    np.testing.assert_array_equal(everything.states(["C"], "bases")[0].values, [[0, 1, 0, 0]])


def test_passes_and_progress(everything: WorkerModel) -> None:
    assert isinstance(everything, CountsPasses)
    assert isinstance(everything, ReportsProgress)
    before, steps = everything.passes, list[int]()
    everything.embed_reporting(["A"] * 7, steps.append)
    assert (steps, everything.passes - before) == ([3, 3, 1], 7)


def test_a_request_that_is_too_large_leaves_the_worker_as_it_is(
    everything: WorkerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything.embed(["ACGT"])
    pid = everything.worker.pid
    monkeypatch.setattr(protocol, "LARGEST_PAYLOAD", 100)
    with pytest.raises(
        WorkerError, match=r"cannot be asked embed: arrays have .* are allowed in one frame; ask for less"
    ):
        everything.embed(["ACGT" * 100])
    monkeypatch.undo()
    everything.embed(["ACGT"])
    assert everything.worker.pid == pid is not None


def test_only_what_the_adapter_has(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Embeds"))
    assert isinstance(model, Embeds)
    for capability in (PredictsBases, ScoresSequences, Predicts, Inspectable, CountsPasses, Trainable):
        assert not isinstance(model, capability)
    assert isinstance(with_cache(model, tmp_path / "cache"), CachedEmbeddings)


def test_attributes_that_are_only_named_like_facts(tmp_path: Path) -> None:
    card = load_worker(write_card(tmp_path, "Namesakes")).card
    assert (card.tokenizer, card.context, card.outputs, card.parameters) == (None, 12, (), None)


@pytest.mark.parametrize(
    ("class_name", "message"),
    [
        ("Half", "its adapter has fill, reach but not scan, which PredictsBases needs too"),
        ("Nothing", r"nothing to ask for; want some of: embed \(Embeds\); fill, reach, scan"),
    ],
)
def test_half_a_capability_is_refused(class_name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_worker(write_card(tmp_path, class_name))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "'wrong': embed returned 1 values that are NaN or infinite"),
        ("one-dimensional", r"embed returned shape \(3,\) for 2 sequences, wanted \(2, dim\)"),
        ("rows", r"embed returned shape \(1, 3\) for 2 sequences"),
        ("widths", r"embed returned shape \(1, 3\) for 1 sequences, wanted \(1, 2\)"),
    ],
)
def test_wrong_features_are_refused(what: str, message: str, tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Wrong", "[options]\nwhat = 'nothing'\n"), f"?what={what}&batch=2")
    assert isinstance(model, Embeds)
    with pytest.raises(DataError, match=message):
        model.embed(["AC", "AC", "ACG"])


def test_wrong_answers_of_other_kinds_are_refused(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Wrong", "[options]\nwhat = 'all'\n"))
    assert isinstance(model, PredictsBases)
    assert isinstance(model, Inspectable)
    with pytest.raises(DataError, match=r"fill returned rows whose probabilities sum to 1 ± 3; wanted natural log"):
        model.fill(["A"], [0])
    with pytest.raises(DataError, match="scan returned other numbers of rows"):
        model.scan(["A", "AC"])
    with pytest.raises(DataError, match="spans outside their sequence"):
        model.states(["ACGT"], "only")


def test_the_worker_knows_nothing_of_glmbench_and_stands_beside_its_card(tmp_path: Path) -> None:
    folder = write_card(tmp_path / "place", "Where")
    for offline in (False, True):
        model = load(f"worker:{folder}", trust_remote_code=True, offline=offline)
        loaded, pid, hub_offline, place = eval(model.card.description, {})
        assert (loaded, place) == (False, "place")
        assert pid != os.getpid()
        assert hub_offline == ("1" if offline else None)


def test_options(tmp_path: Path) -> None:
    folder = write_card(tmp_path, "Everything", "[options]\nscale = 2.0\ntable = ''\n")
    for options, wanted in (("", 2), ("?scale=3", 3)):
        model = load_worker(folder, options)
        assert isinstance(model, Embeds)
        assert np.asarray(model.embed(["A"]))[0, 0] == wanted
    for options, message in (
        ("?scael=1", r"unknown option 'scael'; options here: batch, scale, silence, table, timeout \(did you mean sc"),
        ("?scale=big", "option 'scale' is 'big', wanted a number as 2.0"),
        ("?timeout=0", "wanted a number of seconds above 0"),
        ("?timeout=inf", "wanted a number of seconds above 0"),
        ("?batch=1.5", "wanted a whole number"),
    ):
        with pytest.raises(UsageError, match=message):
            load_worker(folder, options)


def test_the_fingerprint_covers_what_decides_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("1")
    folder = write_card(tmp_path, "Everything", "[options]\nscale = 2.0\ntable = 'table.txt'\n")
    first = load_worker(folder).card.fingerprint
    assert load_worker(folder, "?batch=5&timeout=9").card.fingerprint == first
    prints = {first, load_worker(folder, "?scale=3").card.fingerprint}
    (tmp_path / "table.txt").write_text("2")
    prints.add(load_worker(folder).card.fingerprint)
    with (folder / "adapter.py").open("a") as file:
        file.write("\nimport neighbour\n")
    (folder / "neighbour.py").write_text("x = 1\n")
    prints.add(load_worker(folder).card.fingerprint)
    (folder / "neighbour.py").write_text("x = 2\n")
    prints.add(load_worker(folder).card.fingerprint)
    assert len(prints) == 5
    with pytest.raises(DataError, match=r"names .*absent.txt, which is no file"):
        load_worker(folder, "?table=absent.txt")
