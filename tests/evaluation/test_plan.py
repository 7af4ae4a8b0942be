from __future__ import annotations

from pathlib import Path

import pytest

from frame_task import write_table
from glmbench.errors import UsageError
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.storage.fetch import Access


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(Access(cache=tmp_path / "cache", offline=True))


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(write_table(tmp_path / "table"))


def test_the_same_request_gives_the_same_addresses(objects: Objects, table: str) -> None:
    request = Request(models=("kmer:2",), tasks=(table,), budgets=("10", "full"))
    first = [job.address for job in plan(request, objects).jobs]
    second = [job.address for job in plan(request, Objects(objects.access)).jobs]
    assert first == second
    assert len(set(first)) == len(first)


def test_controls_stand_beside_every_model_unless_refused(objects: Objects, table: str) -> None:
    request = Request(models=("kmer:2",), tasks=(table,), budgets=("full",))
    assert {job.model for job in plan(request, objects).jobs} == {"kmer:2", "kmer:6", "onehot-cnn"}
    alone = Request(models=("kmer:2",), tasks=(table,), budgets=("full",), controls=False)
    assert {job.model for job in plan(alone, objects).jobs} == {"kmer:2"}


def test_seeds_are_planned_only_where_they_change_something(objects: Objects, table: str) -> None:
    request = Request(models=("kmer:2",), tasks=(table,), budgets=("10", "full"), seeds=4)
    found = plan(request, objects).jobs
    seeds = {
        (m, b): [j.seed for j in found if (j.model, j.budget) == (m, b)]
        for m, b in {(j.model, j.budget) for j in found}
    }
    assert seeds["kmer:2", "10"] == [0, 1, 2, 3]  # four draws
    assert seeds["kmer:2", "full"] == [0]  # one set of rows and a deterministic method
    assert seeds["onehot-cnn", "full"] == [0, 1, 2, 3]  # four initialisations


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    from tiny_checkpoints import save

    return f"hf:{save(tmp_path / 'bert', 'bert')}"


def test_pretrained_models_are_finetuned_only_when_asked_and_never_from_scratch(
    objects: Objects, table: str, checkpoint: str
) -> None:
    def methods(*asked: str) -> dict[tuple[str, str], bool]:
        found = plan(Request(models=(checkpoint,), tasks=(table,), methods=asked, seeds=1), objects)
        return {(job.model.partition(":")[0], job.method): job.address in found.troubles for job in found.jobs}

    given = {("hf", "probe"): False, ("random", "probe"): False}
    assert methods() == {**given, ("kmer", "probe"): False, ("onehot-cnn", "scratch"): False}
    for method in ("finetune", "lora"):
        assert methods(method) == {("hf", method): False, ("random", method): False}
    assert methods("scratch") == {("hf", "scratch"): True, ("onehot-cnn", "scratch"): False}


def test_methods_follow_from_what_a_model_can_do(objects: Objects, table: str) -> None:
    found = plan(Request(tasks=(table,), budgets=("full",)), objects).jobs
    assert {(job.model, job.method) for job in found} == {("kmer:6", "probe"), ("onehot-cnn", "scratch")}
    forced = plan(Request(models=("onehot-cnn",), tasks=(table,), methods=("probe",), controls=False), objects)
    assert [forced.troubles[job.address].reason for job in forced.jobs] == [
        "onehot-cnn cannot be used by method probe, which needs a model that embeds"
    ]


def test_a_retrained_table_or_recipe_is_a_new_address(objects: Objects, tmp_path: Path) -> None:
    request = Request(models=("kmer:2",), tasks=(str(tmp_path / "t"),), budgets=("full",), controls=False)
    write_table(tmp_path / "t", seed=0)
    (before,) = plan(request, objects).jobs
    write_table(tmp_path / "t", seed=5)
    (after,) = plan(request, Objects(objects.access)).jobs
    assert before.data != after.data
    assert before.address != after.address


def test_absent_data_are_planned_as_skips_with_the_command_that_gets_them(objects: Objects) -> None:
    made = plan(Request(models=("kmer:2",), tasks=("gue/EMP/H3",), controls=False), objects)
    assert len(made.jobs) == 1
    assert "glmbench get gue/EMP/H3" in made.troubles[made.jobs[0].address].reason


def test_an_impossible_budget_is_a_skip_that_lists_the_possible_ones(objects: Objects, table: str) -> None:
    made = plan(Request(models=("kmer:2",), tasks=("genemask/prom-core",), budgets=("20000",), controls=False), objects)
    assert len(made.troubles) == 1


def test_protocols_come_from_the_suite(objects: Objects) -> None:
    made = plan(Request(suites=("genemask",), tasks=("genemask/prom-core",), budgets=("10",)), objects)
    assert {job.task for job in made.jobs} == {"genemask/prom-core@2"}
    released = Request(suites=("genemask",), tasks=("genemask/prom-core",), budgets=("10",), protocol="released")
    jobs = plan(released, objects).jobs
    assert {job.task for job in jobs} == {"genemask/prom-core@1"}
    assert {job.recipe["penalty"] for job in jobs if job.model == "kmer:5"} == {10.0}
    with pytest.raises(UsageError, match="corrected, released"):
        plan(Request(suites=("genemask",), protocol="relesed"), objects)


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(models=("kmer:2",)),
        Request(models=("nmer:2",), tasks=("sim/promoter",)),
        Request(models=("kmer:2",), tasks=("sim/promotor",)),
        Request(models=("kmer:2",), tasks=("sim/promoter",), methods=("prob",)),
        Request(models=("kmer:2",), tasks=("sim/promoter",), budgets=("-3",)),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(objects: Objects, request_: Request) -> None:
    with pytest.raises(UsageError):
        plan(request_, objects)


def test_a_simulated_task_brings_its_reference(objects: Objects) -> None:
    made = plan(Request(models=("kmer:2",), tasks=("sim/promoter",), budgets=("full",), controls=False), objects)
    assert [job.model for job in made.jobs] == ["reference:bayes-optimal", "kmer:2"]


def test_a_task_without_version_is_asked_in_the_version_of_the_protocol(objects: Objects) -> None:
    def versions(**fields: object) -> set[str]:
        request = Request(**{"models": ("kmer:2",), "budgets": ("10",), "controls": False, **fields})
        return {job.task for job in plan(request, objects).jobs}

    assert versions(tasks=("genemask/prom-core",)) == {"genemask/prom-core@2"}
    assert versions(tasks=("genemask/prom-core@1",)) == {"genemask/prom-core@1"}
    assert versions(tasks=("genemask/prom-core",), protocol="released") == {"genemask/prom-core@1"}
    assert versions(tasks=("gue/tf/0",)) == {"gue/tf/0@1"}
    assert versions(tasks=("gue/tf/0",), protocol="corrected") == {"gue/tf/0@2"}
    assert versions(suites=("gue",), tasks=("gue/tf/0@2",)) == {"gue/tf/0@2"}


def test_of_several_suites_each_takes_the_tasks_it_lists(objects: Objects) -> None:
    request = Request(models=("kmer:2",), suites=("sim", "gue"), tasks=("sim/promoter",), controls=False)
    assert {job.task for job in plan(request, objects).jobs} == {"sim/promoter@1"}
    with pytest.raises(UsageError, match="no task 'genemask/prom-core' in sim, gue"):
        plan(Request(suites=("sim", "gue"), tasks=("genemask/prom-core",)), objects)


def test_precision_is_of_methods_that_train(objects: Objects, table: str) -> None:
    def of(precision: str | None) -> dict[str, tuple[str, str]]:
        request = Request(tasks=(table,), budgets=("full",), seeds=1, precision=precision)
        return {job.model: (job.precision, job.address) for job in plan(request, objects).jobs}

    plain, half = of(None), of("bf16")
    assert plain["kmer:6"] == half["kmer:6"]  # nothing to do again
    assert (plain["onehot-cnn"][0], half["onehot-cnn"][0]) == ("fp32", "bf16")
    assert plain["onehot-cnn"][1] != half["onehot-cnn"][1]


def test_two_tables_of_one_name_are_refused(objects: Objects, tmp_path: Path) -> None:
    both = tuple(str(write_table(tmp_path / folder / "data", seed=seed)) for seed, folder in enumerate("ab"))
    with pytest.raises(UsageError, match="rename"):
        plan(Request(models=("kmer:2",), tasks=both), objects)
