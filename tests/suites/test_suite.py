from __future__ import annotations

import pytest

from glmbench.errors import UsageError
from glmbench.methods.registry import make
from glmbench.suites import suite
from glmbench.suites.published import published
from glmbench.tasks.registry import find


@pytest.mark.parametrize("name", [*suite.names(), suite.DEFAULT])
def test_every_suite_names_tasks_recipes_and_budgets_that_exist(name: str) -> None:
    loaded = suite.load(name)
    for protocol, tasks in loaded.tasks.items():
        for task in tasks:
            assert find(task).reference.startswith(task)
            for method in ("probe", "scratch"):
                recipe = loaded.recipe(method=method, protocol=protocol, model="kmer:5", task=task, budget="10")
                make(method, recipe)
    for aggregate in loaded.aggregates:
        assert all(loaded.lists(task) for task in aggregate.tasks)


def test_genemask_recipes_are_those_of_the_published_baselines() -> None:
    genemask = suite.load("genemask")
    question = {"method": "probe", "protocol": "released", "task": "genemask/splice-40@1", "budget": "10"}
    assert genemask.recipe(model="kmer:5", **question) == {"normalise": "l2", "penalty": 10.0}
    assert genemask.recipe(model="kmer:pos3", **question) == {"normalise": "none", "penalty": 1.0}
    assert genemask.recipe(model="kmer:5", **{**question, "protocol": "corrected"}) == {}


def test_gue_lists_28_and_8_sets_in_7_tasks() -> None:
    gue = suite.load("gue")
    tasks = gue.tasks["released"]
    assert len(tasks) == 36
    assert gue.tasks["corrected"] == tuple(f"{task}@2" for task in tasks)
    assert sum(task.startswith("gue+/") for task in tasks) == 8
    assert [len(aggregate.tasks) for aggregate in gue.aggregates] == [28, 28]
    assert [len(group) for group in gue.aggregates[1].groups.values()] == [10, 5, 1, 5, 3, 3, 1]


def test_published_rows_speak_of_listed_tasks_in_their_main_metric() -> None:
    gue = suite.load("gue")
    rows = published(gue)
    named = rows.filter(rows["task"].str.starts_with("gue/"))
    assert named.height > 280
    for task, metric, flag in named.select("task", "metric", "flag").unique().iter_rows():
        card = find(task)
        assert card.metric == metric or (flag == "another-protocol" and metric in card.metrics)
    assert published(suite.load("genemask")).height == 0
    assert published(suite.load("sim")).height == 0


def test_a_task_borrows_from_the_suite_that_lists_it() -> None:
    assert suite.suite_of("genemask/prom-core@2").name == "genemask"
    assert suite.suite_of("./my.csv").name == suite.DEFAULT


def test_an_unknown_suite_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="genemask"):
        suite.load("gues")
