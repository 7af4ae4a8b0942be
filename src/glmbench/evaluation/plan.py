"""From what was asked to a list of jobs. Planning trains nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from glmbench.errors import GlmbenchError, MissingData, Unsupported, UsageError
from glmbench.evaluation.job import Job
from glmbench.evaluation.objects import Objects
from glmbench.methods import registry as methods
from glmbench.methods.method import Method
from glmbench.models.model import Embeds, Model, Trainable
from glmbench.suites import suite as suites
from glmbench.suites.suite import Suite
from glmbench.tasks.budget import Budget, draws, training_rows
from glmbench.tasks.task import Task

REFERENCE = "reference"
"""The method name under which references of a task, such as its Bayes-optimal scores, are kept."""


@dataclass(frozen=True)
class Request:
    """What a person asks for. Empty fields are filled from the suite."""

    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    protocol: str | None = None
    seeds: int | None = None
    limit: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    controls: bool = True


@dataclass(frozen=True)
class Plan:
    """Jobs to do, model by model so that each is loaded once, and those that can only be skipped, with the reason."""

    jobs: tuple[Job, ...]
    unavailable: dict[str, str] = field(default_factory=dict)
    """Reason by address: files that are absent, a model that could not be loaded, a combination that makes no sense."""


def plan(request: Request, objects: Objects) -> Plan:
    """All jobs of a request. The same request, data and models give the same addresses, so a plan can be made again.

    Raises:
        UsageError: a name is unknown, or nothing was asked for.
    """
    questions = [_question(request, *asked, objects) for asked in _asked(request)]
    planned: list[tuple[Job, str | None]] = [(job, None) for question in questions for job in _reference_jobs(question)]
    for reference in dict.fromkeys(model for question in questions for model in question.models):
        model, broken = _load(reference, objects)
        for question in questions:
            if reference in question.models:
                planned += _jobs(request, question, reference, model, broken)
        objects.forget_models(keep=reference)
    if not planned:
        raise UsageError("nothing to run: name models (-m), and tasks (-t) or a suite (-s)")
    jobs = {job.address: job for job, _ in planned}
    return Plan(tuple(jobs.values()), {job.address: reason for job, reason in planned if reason is not None})


@dataclass(frozen=True)
class _Question:
    """One task under one protocol, opened, with the models to be asked."""

    suite: Suite
    task: Task
    models: tuple[str, ...]
    common: dict[str, Any]
    """Fields that its jobs share."""
    missing: str | None
    """Why the data cannot be had."""


def _asked(request: Request) -> Iterator[tuple[Suite, str, str]]:
    """Every (suite, protocol, task) asked for; a task named by itself borrows the suite that lists it."""
    for name in request.suites:
        suite = suites.load(name)
        protocol = request.protocol or suite.default_protocol
        if protocol not in suite.tasks:
            raise UsageError(f"suite {name} has no protocol {protocol!r}; it has: {', '.join(suite.protocols)}")
        for task in suite.tasks[protocol] if not request.tasks else _chosen(request.tasks, suite, protocol):
            yield suite, protocol, task
    if not request.suites:
        for task in request.tasks:
            suite = suites.suite_of(task)
            protocol = request.protocol or suite.default_protocol
            if suite.tasks and protocol not in suite.tasks:
                raise UsageError(
                    f"suite {suite.name} has no protocol {protocol!r}; it has: {', '.join(suite.protocols)}"
                )
            yield suite, protocol, task


def _chosen(wanted: tuple[str, ...], suite: Suite, protocol: str) -> Iterator[str]:
    """Tasks of a suite that were named: in the version that was named, else in the protocol's."""
    listed = {task.partition("@")[0]: task for task in suite.tasks[protocol]}
    for task in wanted:
        name = task.partition("@")[0]
        if name not in listed:
            raise UsageError(f"suite {suite.name} has no task {name!r}; it has: {', '.join(listed)}")
        yield task if "@" in task else listed[name]


def _question(request: Request, suite: Suite, protocol: str, reference: str, objects: Objects) -> _Question:
    task = objects.task(reference, request.limit)
    data, missing = _data_hash(task)
    common = {
        "task": task.card.reference,
        "data": data,
        "limit": request.limit,
        "protocol": protocol,
        "precision": request.precision,
    }
    return _Question(suite, task, _models(request, suite), common, missing)


def _reference_jobs(question: _Question) -> Iterator[Job]:
    if question.missing is not None:
        return
    for name in question.task.references("test"):
        fixed: dict[str, Any] = {
            "fingerprint": None,
            "method": REFERENCE,
            "recipe": {},
            "budget": "full",
            "seed": 0,
            "precision": "fp32",
        }
        yield Job(model=f"{REFERENCE}:{name}", **{**question.common, **fixed})


def _jobs(
    request: Request, question: _Question, reference: str, model: Model | None, broken: str | None
) -> Iterator[tuple[Job, str | None]]:
    suite, task, missing = question.suite, question.task, question.missing
    for budget in map(Budget.parse, request.budgets or suite.budgets):
        for name in _methods_for(model, request):
            method = methods.make(
                name,
                suite.recipe(
                    method=name,
                    protocol=question.common["protocol"],
                    model=reference,
                    task=task.card.name,
                    budget=str(budget),
                ),
            )
            mismatch = _mismatch(model, method)
            if mismatch and reference not in request.models:
                continue  # a control that the method cannot use; nobody asked for it by name
            seeds, impossible = _seeds(task, budget, method, request.seeds or suite.seeds, available=missing is None)
            for seed in seeds:
                job = Job(
                    model=model.card.reference if model else reference,
                    fingerprint=model.card.fingerprint if model else None,
                    method=name,
                    recipe=method.recipe,
                    budget=str(budget),
                    seed=seed,
                    **question.common,
                )
                yield job, missing or impossible or broken or mismatch


def _models(request: Request, suite: Suite) -> tuple[str, ...]:
    """What was asked for, then its random twins, then the suite's controls; each once."""
    asked = dict.fromkeys(request.models)
    if request.controls or not asked:
        asked |= dict.fromkeys(twin for m in request.models if (twin := _random_twin(m)) is not None)
        asked |= dict.fromkeys(suite.controls)
    return tuple(asked)


def _random_twin(reference: str) -> str | None:
    """The same architecture with fresh weights, for a checkpoint."""
    scheme, _, rest = reference.partition(":")
    return f"random:{rest}" if scheme == "hf" else None


def _methods_for(model: Model | None, request: Request) -> Iterable[str]:
    """What was asked for, else what the model can do: train where it is trainable, be probed where it embeds."""
    if request.methods:
        return request.methods
    if isinstance(model, Embeds) or model is None:
        return ("probe",)
    return ("scratch",) if isinstance(model, Trainable) else ("probe",)


def _mismatch(model: Model | None, method: Method) -> str | None:
    if model is None or isinstance(model, method.needs):
        return None
    return (
        f"{model.card.reference} cannot be used by method {method.name}, which needs a model that {_CAN[method.name]}"
    )


_CAN = {"probe": "embeds", "scratch": "can be trained from random weights"}


def _data_hash(task: Task) -> tuple[str | None, str | None]:
    """The hash of a task's data, and why they cannot be used: a card may know the hash of files that are absent."""
    try:
        data = task.data_hash()
    except MissingData as missing:
        return None, str(missing)
    try:
        task.load("test")
    except Unsupported as reason:
        return data, str(reason)
    return data, None


def _load(reference: str, objects: Objects) -> tuple[Model | None, str | None]:
    """The model, or why it could not be loaded. A malformed reference is the person's error and is raised."""
    try:
        return objects.model(reference), None
    except UsageError:
        raise
    except GlmbenchError as error:
        return None, str(error)


def _seeds(task: Task, budget: Budget, method: Method, wanted: int, *, available: bool) -> tuple[range, str | None]:
    """Seeds worth running: as many as wanted, but one where rows and method leave nothing to chance."""
    if not available:
        return range(1), None
    try:
        different = draws(task, budget)
        training_rows(task, budget, 0)
    except Unsupported as error:
        return range(1), str(error)
    if different is None or method.stochastic:
        return range(wanted), None
    return range(min(wanted, different)), None
