from __future__ import annotations

from pathlib import Path

import pytest

from finished import add
from glmbench.evaluation.store import Store
from glmbench.report.collect import collect


def test_published_figures_stand_on_the_board_of_the_same_measurement(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for budget in ("full", "10"):
        add(store, task="gue/tf/0@1", skill=0.5, budget=budget, protocol="released", metric="mcc")
    add(store, task="gue/tf/1@2", skill=0.5, protocol="corrected", metric="mcc")
    data = collect(store)
    published = [score for score in data.scores if score.kind == "published"]
    assert {(s.task, s.budget, s.protocol, s.metric) for s in published} == {("gue/tf/0@1", "full", "released", "mcc")}
    by_model = {score.model: score for score in published}
    assert by_model["DNABERT-2"].value == pytest.approx(0.7199)
    assert "Table 6" in by_model["DNABERT-2"].source
    assert not by_model["DNABERT-2"].flagged
    assert by_model["HyenaDNA"].flagged  # Table 9 mixes metrics
    assert by_model["DNABERT-2 117M (DNALLM-Mark)"].flagged
    assert "another protocol" in by_model["DNABERT-2 117M (DNALLM-Mark)"].caveat
    assert all(score.rank_low is None and score.low is None for score in published)


def test_an_incomplete_mean_is_shown_as_incomplete_beside_the_published_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, task="gue/tf/0@1", skill=0.5, protocol="released", metric="mcc")
    rows = [a for a in collect(store).aggregates if a.name.startswith("Mean over 28")]
    (measured,) = [a for a in rows if a.kind != "published"]
    assert (measured.value, measured.have, measured.of) == (None, 1, 28)
    published = {a.model: a.value for a in rows if a.kind == "published"}
    assert published["NT-2500M-multi"] == pytest.approx(0.6693, abs=1e-4)
    assert {a.protocol for a in rows} == {"released"}
    doubtful = {a.model: a for a in rows if a.flagged}
    assert doubtful.keys() == {"AIDO.DNA-7B", "DeepGene 118M", "DeepGene 85M"}
    assert doubtful["AIDO.DNA-7B"].source.startswith("genbio-ai/ModelGenerator")


def test_a_model_is_set_against_the_best_control_and_a_control_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, model="mine", skill=0.9)
    add(store, model="kmer:3", skill=0.2, kind="control")
    add(store, model="kmer:5", skill=0.4, kind="control")
    scores = {score.model: score for score in collect(store).scores}
    versus = scores["mine"].versus_control
    assert versus is not None
    assert versus.against == "kmer:5"
    assert versus.delta == pytest.approx((scores["mine"].value or 0) - (scores["kmer:5"].value or 0))
    assert (versus.low or 0) > 0
    assert scores["kmer:3"].versus_control is None
    assert (scores["mine"].rank_low, scores["mine"].rank_high) == (1, 1)


def test_one_name_with_two_data_makes_two_boards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, model="m", skill=0.9, data="a" * 64)
    add(store, model="m", skill=0.2, data="b" * 64)
    assert {score.task for score in collect(store).scores} == {"test/frames@1 (aaaaaaa)", "test/frames@1 (bbbbbbb)"}


def test_what_was_overcome_or_only_tried_is_not_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, skill=0.5, fingerprint="mended")
    done = next(store.results())
    for number, update in enumerate(({"fingerprint": "broken"}, {"seed": 7}, {"seed": 8, "limit": 10})):
        job = done.job.model_copy(update=update)
        store.put_attempt(done.model_copy(update={"status": "failed", "reason": f"reason {number}", "job": job}))
    assert [item.reason for item in collect(store).skipped] == ["reason 1"]
