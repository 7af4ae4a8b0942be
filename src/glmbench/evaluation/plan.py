"""From what was asked to a list of jobs. Planning trains nothing and writes nothing."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from glmbench.errors import GlmbenchError, Unsupported, UsageError
from glmbench.evaluation.job import Job
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.request import Request, asked
from glmbench.methods import registry as methods
from glmbench.methods.method import Method
from glmbench.models.model import Embeds, Model, Trainable
from glmbench.models.reference import parse_reference
from glmbench.models.zoo import zoo
from glmbench.suites.suite import Suite
from glmbench.tasks.budget import Budget, draws, training_rows
from glmbench.tasks.task import Task

REFERENCE = "reference"
"""The method name under which references of a task, such as its Bayes-optimal scores, are kept."""


@dataclass(frozen=True)
class Trouble:
    """Why a job cannot be done: a skip (absent files, impossible combination) or a failure (broken data or model)."""

    status: Literal["skip", "failed"]
    reason: str
    trace: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Trouble:
        """What an exception comes to: `Unsupported` is a skip, all else a failure, with its trace if it is not ours."""
        if isinstance(error, Unsupported):
            return cls("skip", str(error))
        if isinstance(error, GlmbenchError):
            return cls("failed", str(error))
        return cls("failed", f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Plan:
    """Jobs to do, model by model so that each is loaded once, and what stands against some of them, by address."""

    jobs: tuple[Job, ...]
    troubles: dict[str, Trouble] = field(default_factory=dict)


def plan(request: Request, objects: Objects) -> Plan:
    """All jobs of a request. The same request, data and models give the same addresses, so a plan can be made again.

    Raises:
        UsageError: a name is unknown, nothing was asked for, or two tables have one name.
        DataError: a table of one's own cannot be read as a task at all.
    """
    questions = [_question(request, *one, objects) for one in asked(request)]
    _require_distinct(questions)
    planned: list[tuple[Job, Trouble | None]] = [(job, None) for one in questions for job in _reference_jobs(one)]
    for reference in dict.fromkeys(model for question in questions for model in question.models):
        model, broken = _load(reference, objects)
        for question in questions:
            if reference in question.models:
                planned += _jobs(request, question, reference, model, broken)
        objects.forget_models(keep=reference)
    if not planned:
        raise UsageError("nothing to run: name models (-m), and tasks (-t) or a suite (-s)")
    _require_used(request, [job for job, _ in planned])
    jobs = {job.address: job for job, _ in planned}
    return Plan(tuple(jobs.values()), {job.address: trouble for job, trouble in planned if trouble is not None})


@dataclass(frozen=True)
class _Question:
    """One task under one protocol, opened, with the models to be asked."""

    suite: Suite
    task: Task
    models: tuple[str, ...]
    common: dict[str, Any]
    """Fields that its jobs share."""
    trouble: Trouble | None
    """What stands against its data."""


def _question(request: Request, suite: Suite, protocol: str, reference: str, objects: Objects) -> _Question:
    task = objects.task(reference, request.limit)
    data, trouble = _data(task)
    common = {"task": task.card.reference, "data": data, "limit": request.limit, "protocol": protocol}
    return _Question(suite, task, _models(request, suite), common, trouble)


def _require_distinct(questions: list[_Question]) -> None:
    """Two tables of one's own may have one name; their results would be taken for each other's."""
    seen: dict[str, str | None] = {}
    for question in questions:
        name, data = question.common["task"], question.common["data"]
        if seen.setdefault(name, data) != data:
            raise UsageError(f"two different tables are both named {name}; rename one of them")


def _require_used(request: Request, jobs: list[Job]) -> None:
    """Settings that no job heeds are a person's error."""
    used = {job.method for job in jobs}
    for method, key, _ in request.settings:
        if method not in used:
            raise UsageError(
                f"--set {method}.{key}: no job of this run is by {method}, only by {', '.join(sorted(used))}; add "
                f"--method {method}, or leave it out"
            )


def _reference_jobs(question: _Question) -> Iterator[Job]:
    if question.trouble is not None:
        return
    for name in question.task.references("test"):
        fixed: dict[str, Any] = {"fingerprint": None, "method": REFERENCE, "recipe": {}, "budget": "full", "seed": 0}
        yield Job(model=f"{REFERENCE}:{name}", **{**question.common, **fixed})


def _jobs(
    request: Request, question: _Question, reference: str, model: Model | None, broken: Trouble | None
) -> Iterator[tuple[Job, Trouble | None]]:
    suite, task = question.suite, question.task
    for budget in map(Budget.parse, request.budgets or suite.budgets):
        for name in _methods_for(model, request):
            method = _method(name, request, question, reference, budget)
            mismatch = _mismatch(model, method)
            if mismatch and reference not in request.models:
                continue  # a control that the method cannot use; nobody asked for it by name
            seeds, impossible = _seeds(task, budget, method, request.seeds or suite.seeds, question.trouble)
            for seed in seeds:
                job = Job(
                    model=model.card.reference if model else reference,
                    fingerprint=model.card.fingerprint if model else None,
                    method=name,
                    recipe=method.recipe,
                    budget=str(budget),
                    seed=seed,
                    precision=method.recipe.get("precision", "fp32"),
                    **question.common,
                )
                yield job, impossible or broken or mismatch


def _method(name: str, request: Request, question: _Question, model: str, budget: Budget) -> Method:
    """The method with the suite's recipe for this job."""
    recipe = question.suite.recipe(
        method=name,
        protocol=question.common["protocol"],
        model=_resolved(model),
        task=question.task.card.name,
        budget=str(budget),
    )
    if request.precision is not None and methods.trains(name):
        recipe["precision"] = request.precision
    for method, key, value in request.settings:
        if method == name:
            _lay_over(recipe, key, value)
    return methods.make(name, recipe)


def _lay_over(recipe: dict[str, Any], key: str, value: Any) -> None:
    """Put a value of `--set` into a recipe; `lora.rank` is a key within another.

    Raises:
        UsageError: a key within one that holds no others.
    """
    *outer, last = key.split(".")
    for part in outer:
        inner = recipe.get(part) or {}
        if not isinstance(inner, dict):
            raise UsageError(f"--set …{key}: {part} is {inner!r} and holds no {last}")
        recipe[part] = dict(inner)
        recipe = recipe[part]
    recipe[last] = value


def _resolved(reference: str) -> str:
    """The reference that a name of the zoo stands for; any other as it is."""
    if not reference.startswith("zoo:"):
        return reference
    resolved = zoo.resolve(parse_reference(reference))
    return reference if resolved is None else str(resolved)


def _models(request: Request, suite: Suite) -> tuple[str, ...]:
    """What was asked for, then its random twins, then the suite's controls; each once."""
    wanted = dict.fromkeys(request.models)
    if request.controls or not wanted:
        wanted |= dict.fromkeys(twin for m in request.models if (twin := _random_twin(m)) is not None)
        wanted |= dict.fromkeys(suite.controls)
    return tuple(wanted)


def _random_twin(reference: str) -> str | None:
    """The same architecture with fresh weights, for a checkpoint."""
    scheme, _, rest = reference.partition(":")
    if scheme == "zoo":
        resolved = zoo.resolve(parse_reference(reference))
        return None if resolved is None else _random_twin(str(resolved))
    return f"random:{rest}" if scheme == "hf" else None


def _methods_for(model: Model | None, request: Request) -> Iterable[str]:
    """What was asked for, else what the model can do: be probed where it embeds, else be trained."""
    if request.methods:
        return request.methods
    if isinstance(model, Embeds) or model is None:
        return ("probe",)
    if not isinstance(model, Trainable):
        return ("probe",)
    return ("scratch",) if model.card.weights == "fresh" else ("finetune",)


def _mismatch(model: Model | None, method: Method) -> Trouble | None:
    if model is None:
        return None
    start = method.starts_from
    if isinstance(model, method.needs) and start in (None, model.card.weights):
        return None
    cannot = f"{model.card.reference} cannot be used by method {method.name}"
    return Trouble("skip", f"{cannot}, which needs a model that {_CAN[method.name]}")


_CAN = {
    "probe": "embeds",
    "scratch": "can be trained from random weights",
    "finetune": "has weights to train on from",
    "lora": "has weights to put adapters beside",
}


def _data(task: Task) -> tuple[str | None, Trouble | None]:
    """The hash of a task's data, and what stands against them: a card may know the hash of files that are absent."""
    data = None
    try:
        data = task.data_hash()
        task.load("test")
    except GlmbenchError as error:
        return data, Trouble.of(error)
    return data, None


def _load(reference: str, objects: Objects) -> tuple[Model | None, Trouble | None]:
    """The model, or why it could not be loaded. A malformed reference is the person's error and is raised."""
    try:
        return objects.model(reference), None
    except UsageError:
        raise
    except Exception as error:
        return None, Trouble.of(error)


def _seeds(
    task: Task, budget: Budget, method: Method, wanted: int, trouble: Trouble | None
) -> tuple[range, Trouble | None]:
    """Seeds worth running: as many as wanted, but one where rows and method leave nothing to chance."""
    if trouble is not None:
        return range(1), trouble
    try:
        different = draws(task, budget)
        training_rows(task, budget, 0)
    except GlmbenchError as error:
        return range(1), Trouble.of(error)
    if different is None or method.stochastic:
        return range(wanted), None
    return range(min(wanted, different)), None
