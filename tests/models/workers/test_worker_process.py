"""Workers that crash, hang, freeze and babble: an error of ours with a message, and the next request is answered."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from worker_cards import load_worker, write_card

from glmbench.errors import GlmbenchError, Unsupported
from glmbench.models.model import Embeds, Inspectable
from glmbench.models.workers.client import WorkerModel
from glmbench.models.workers.pipe import WorkerError


def embed(model: WorkerModel, *sequences: str) -> tuple[int, ...]:
    assert isinstance(model, Embeds)
    return np.asarray(model.embed(sequences)).shape


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within a while; a zombie has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_prints_do_not_harm_and_are_the_last_words(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Says"))
    assert embed(model, "A", "C") == (2, 3)
    with pytest.raises(WorkerError) as caught:
        embed(model, "CRASH")
    message = str(caught.value)
    assert message.startswith("the worker of says ended with exit code 7\n")
    assert "a child says" in message
    assert message.endswith("\n  the last words")
    assert embed(model, "A", "C") == (2, 3)


def test_a_segmentation_fault(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Segfaults"))
    with pytest.raises(WorkerError, match=r"crashed \(SIGSEGV\)(.|\n)*in embed"):
        embed(model, "AC")
    assert embed(model, "A") == (1, 3)


def test_sigkill_is_told_as_memory(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Slow"))
    pid = model.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"was killed \(SIGKILL\), most likely because memory ran out"):
        embed(model, "A")
    assert model.worker.pid is None
    model.worker.describe()
    assert model.worker.pid not in (None, pid)


def test_a_child_that_holds_the_pipe_open_hides_no_crash(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "ForksThenDies"))
    with pytest.raises(WorkerError, match="SIGKILL"):
        embed(model, "A")


def test_slow_is_not_hung(tmp_path: Path) -> None:
    assert embed(load_worker(write_card(tmp_path, "Slow"), "?silence=1.6"), "A") == (1, 3)


@pytest.mark.parametrize(
    ("class_name", "options", "message"),
    [
        ("Hangs", "?timeout=1.5", r"gave no answer within 1.5 s; a longer \?timeout= allows more"),
        ("Freezes", "?silence=1.5", r"gave no sign of life for 1.5 s; a longer \?silence= allows more"),
        ("Babbles", "", r"sent what is no answer \(a frame begins with b'Cont', wanted b'glmw'\)"),
    ],
)
def test_hung_frozen_and_babbling_workers_are_ended(
    class_name: str, options: str, message: str, tmp_path: Path
) -> None:
    model = load_worker(write_card(tmp_path, class_name), options)
    pid = model.worker.pid
    assert pid is not None
    with pytest.raises(WorkerError, match=message):
        embed(model, "A")
    assert gone(pid)


def test_a_frozen_worker_that_does_not_read(tmp_path: Path) -> None:
    """A request larger than the pipe holds."""
    model = load_worker(write_card(tmp_path, "Embeds"), "?silence=0.6")
    assert model.worker.pid is not None
    os.kill(model.worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match="no sign of life"):
        embed(model, "A" * 1_000_000)


def test_exceptions_come_through_and_the_worker_stays(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Raises"))
    pid = model.worker.pid
    with pytest.raises(
        WorkerError,
        match=r"the worker of raises: ValueError: the weights are on holiday \(adapter.py line \d+, in embed\)",
    ):
        embed(model, "A")
    with pytest.raises(WorkerError, match="SystemExit: leaving"):
        embed(model, "EXIT")
    with pytest.raises(Unsupported, match="at most 3 bases"):
        embed(model, "LONG")
    assert model.worker.pid == pid


@pytest.mark.parametrize(
    ("class_name", "message"),
    [
        ("RaisesOnLoading", "ModuleNotFoundError: No module named 'a_package_that_is_nowhere'"),
        ("Absent", "adapter.py has no class 'Absent'"),
        ("BadFacts", "context: Input should be a valid integer"),
    ],
)
def test_adapters_that_do_not_load(class_name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=message):
        load_worker(write_card(tmp_path, class_name))


def test_a_clamp_is_not_forgotten_by_a_new_process(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Everything"))
    assert isinstance(model, Inspectable)
    with model.clamped("bases", 0, 1.0):
        assert model.worker.pid is not None
        os.kill(model.worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="SIGKILL"):
            model.states(["A"], "bases")
        with pytest.raises(WorkerError, match="ended while a unit was clamped"):
            model.states(["A"], "bases")
    np.testing.assert_array_equal(model.states(["C"], "bases")[0].values, [[0, 1, 0, 0]])


def test_the_worker_ends_with_the_model(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Embeds"))
    pid = model.worker.pid
    assert pid is not None
    del model
    gc.collect()
    assert gone(pid)


PARENT = """
import sys, time
from glmbench.models.registry import load
model = load("worker:" + sys.argv[1], trust_remote_code=True)
print(model.worker.pid, flush=True)
{then}
"""


def start_parent(folder: Path, then: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then), str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("then", ["time.sleep(60)", "model.embed(['A'])"])
def test_kill_9_of_the_parent_ends_the_worker(then: str, tmp_path: Path) -> None:
    """Idle, and in the midst of a computation that never ends."""
    parent, worker = start_parent(write_card(tmp_path, "Hangs"), then)
    with parent:
        time.sleep(0.3)
        parent.kill()
    assert gone(worker)


def test_the_worker_ends_with_a_parent_that_exits(tmp_path: Path) -> None:
    parent, worker = start_parent(write_card(tmp_path, "Embeds"), "")
    with parent:
        assert parent.wait(20) == 0
    assert gone(worker)


def test_an_interrupt_ends_the_worker_and_no_answer_is_taken_for_another(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Slow"))

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            embed(model, "A")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert model.worker.pid is None


def test_a_fork_starts_a_worker_of_its_own(tmp_path: Path) -> None:
    model = load_worker(write_card(tmp_path, "Embeds"))
    pid = model.worker.pid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: there are threads, and we know
        child = os.fork()
    if child == 0:
        code = 1
        try:
            embed(model, "A")
            code = 0 if model.worker.pid != pid else 2
            model.worker.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert embed(model, "A") == (1, 3)
    assert model.worker.pid == pid


def test_an_environment_whose_python_is_gone(tmp_path: Path) -> None:
    from glmbench.models.workers.worker import Launch, Worker

    launch = Launch("lost", tmp_path / "python", True, tmp_path / "adapter.py", tmp_path, "Model")
    with pytest.raises(GlmbenchError, match=r"the worker of lost cannot be started: .*No such file.*build"):
        Worker(launch).describe()
