"""A worker that is asked: started when first asked, ended with us, started anew after a crash."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from glmbench.errors import Unsupported
from glmbench.models.workers import protocol
from glmbench.models.workers.pipe import HungError, Session, WorkerError


@dataclass(frozen=True)
class Launch:
    """How a worker is started."""

    name: str
    python: Path
    isolated: bool
    """Whether it must see nothing of our packages; else it runs in our own environment."""
    adapter: Path
    folder: Path
    """Working directory."""
    class_name: str
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside those of this process."""
    timeout: float = 3600.0
    """Seconds that one request may take."""
    silence: float = 120.0
    """Seconds without a sign of life; a worker that computes gives one every second."""


class Description(BaseModel):
    """What a worker says of itself when it has loaded its model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[str, ...]
    files: tuple[Path, ...]
    """Files that decide the model's numbers: the adapter, its neighbours, and what it names."""
    counts_passes: bool
    reach: Literal["left", "both"] | None = None
    context: int | None = None
    outputs: tuple[str, ...] | None = None
    description: str | None = None
    parameters: int | None = None
    tokenizer: str | None = None


class Worker:
    """The process of one model."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.passes = 0
        """Inputs that went through the network, over all processes; 0 where the adapter does not count them."""
        self._session: Session | None = None
        self._finalizer: weakref.finalize[[Session], Worker] | None = None
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._passes_before = 0
        self._held = 0

    def describe(self) -> Description:
        """Start the process and load the model, if that is not done."""
        with self._lock:
            self._live()
            return self._description

    def request(
        self, method: str, arguments: Mapping[str, Any] | None = None, arrays: dict[str, Any] | None = None
    ) -> protocol.Frame:
        """Ask, and wait for the answer.

        Raises:
            WorkerError: the worker crashed, hung or raised an exception. After a crash the next request starts it anew.
            Unsupported: the model raised NotImplementedError.
        """
        with self._lock:
            return self._exchange(self._live(), method, arguments or {}, arrays)

    def hold(self, layer: str, unit: int, value: float) -> None:
        """Clamp a unit. Until it is let go of, a worker that ends is not started anew: it would not be clamped."""
        with self._lock:
            self.request("clamp", {"layer": layer, "unit": unit, "value": value})
            self._held += 1

    def let_go(self) -> None:
        """Undo the last clamp."""
        with self._lock:
            self._held -= 1
            if self._session is not None:
                self.request("release")

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """Process id; None while there is no process."""
        return None if self._session is None else self._session.pid

    def _live(self) -> Session:
        """The running session, started if there is none."""
        if self._session is not None and self._session.owner != os.getpid():
            self._end()  # we are a fork; the worker is our parent's
        if self._session is None:
            if self._held:
                raise WorkerError(f"{self._who}: it ended while a unit was clamped; load the layer and clamp it again")
            self._start()
        assert self._session is not None
        return self._session

    def _start(self) -> None:
        launch = self.launch
        try:
            session = Session(launch.python, launch.folder, isolated=launch.isolated, variables=launch.variables)
        except OSError as error:
            raise WorkerError(
                f"{self._who} cannot be started: {launch.python}: {error.strerror}; build its environment again"
            ) from error
        self._session = session
        self._finalizer = weakref.finalize(self, Session.end, session)
        self._passes_before = self.passes
        self._greet(session)
        arguments = {"adapter": str(launch.adapter), "class": launch.class_name, "options": dict(launch.options)}
        try:
            said = self._exchange(session, "load", arguments, None).header.get("value")
            self._description = Description.model_validate(said)
        except ValidationError as error:
            found = error.errors()[0]
            self._end()
            raise WorkerError(f"{self._who}: {'.'.join(map(str, found['loc']))}: {found['msg']}") from error
        except BaseException:
            self._end()
            raise

    def _greet(self, session: Session) -> None:
        """Wait for the first frame, which says that we understand each other."""
        session.set_deadlines(silence=self.launch.silence, total=self.launch.timeout)
        hello = self._read(session)
        if hello.header.get("kind") != "hello" or hello.header.get("protocol") != protocol.PROTOCOL:
            self._broken(session, f"it speaks another protocol ({hello.header}), wanted {protocol.PROTOCOL}")

    def _exchange(
        self, session: Session, method: str, arguments: Mapping[str, Any], arrays: dict[str, Any] | None
    ) -> protocol.Frame:
        number = next(self._numbers)
        session.set_deadlines(silence=self.launch.silence, total=self.launch.timeout)
        header = {"id": number, "method": method, "arguments": dict(arguments)}
        try:
            pieces = protocol.encode(header, arrays)
        except protocol.FrameError as error:  # nothing was sent yet, and the worker lives on
            raise WorkerError(f"{self._who} cannot be asked {method}: {error}; ask for less at once") from error
        try:
            session.write(pieces)
        except BaseException as error:
            self._lost(session, error)
        while (answer := self._read(session)).header.get("kind") == "heartbeat":
            pass
        kind = answer.header.get("kind")
        if answer.header.get("id") != number or kind not in ("answer", "error"):
            self._broken(session, f"request {number} was answered by {answer.header}")
        if kind == "error":
            self._raised(answer.header)
        if isinstance(passes := answer.header.get("passes"), int):
            self.passes = self._passes_before + passes
        return answer

    def _read(self, session: Session) -> protocol.Frame:
        try:
            return protocol.read_frame(session.read)
        except BaseException as error:
            self._lost(session, error)

    def _lost(self, session: Session, error: BaseException) -> NoReturn:
        """End a session that is of no more use, and say why."""
        if isinstance(error, EOFError):
            cause = session.cause_of_death()
        elif isinstance(error, HungError):
            cause = str(error)
        elif isinstance(error, protocol.FrameError):
            cause = f"sent what is no answer ({error})"
        else:  # an interrupt: half a frame may be on its way
            self._end()
            raise error
        self._end()
        raise WorkerError(f"{self._who} {cause}{session.last_words()}") from error

    def _broken(self, session: Session, problem: str) -> NoReturn:
        self._lost(session, protocol.FrameError(problem))

    def _raised(self, header: Mapping[str, Any]) -> NoReturn:
        where = f" ({header['where']})" if header.get("where") else ""
        if header.get("unsupported"):
            raise Unsupported(f"{self._who}: {header.get('message') or 'not supported'}{where}")
        raise WorkerError(f"{self._who}: {header.get('type')}: {header.get('message')}{where}")

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._session = self._finalizer = None

    @property
    def _who(self) -> str:
        return f"the worker of {self.launch.name}"
