"""Our side of the pipe to a worker: bytes with deadlines, and what can be said of a process that ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from glmbench.errors import GlmbenchError
from glmbench.models.workers.interpreters import clean_variables

SERVER = Path(__file__).with_name("server.py")

_LOOK_SECONDS = 0.5
"""How often a silent pipe makes us look whether the process is still there."""
_LAST_LINES = 12
_LONGEST_LINE = 400


class WorkerError(GlmbenchError):
    """A worker crashed, hung, raised an exception, or answered what cannot be read. The next request starts it anew."""


class HungError(Exception):
    """Nothing was heard for too long; the message says for how long."""


class Session:
    """One worker process from its start to its end."""

    def __init__(self, python: Path, folder: Path, *, isolated: bool, variables: Mapping[str, str]) -> None:
        flag = "-I" if isolated else "-P"  # either way the folder of the server is no place to import from
        inherited = clean_variables() if isolated else dict(os.environ)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        try:
            self._process = subprocess.Popen(
                [str(python), flag, "-u", str(SERVER), str(theirs_in), str(theirs_out)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs_in, theirs_out),
                cwd=folder,
                env=inherited | dict(variables),
                start_new_session=True,  # Ctrl-C is ours to hear; and what the model starts can be ended with it
            )
        except OSError:
            os.close(self._out)
            os.close(self._in)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.owner = os.getpid()
        self._ended = False
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.set_deadlines(silence=60.0, total=60.0)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def set_deadlines(self, *, silence: float, total: float) -> None:
        """From now on, how many seconds may pass without a byte, and altogether, before `HungError`."""
        self._silence, self._total = silence, total
        self._began = self._heard = time.monotonic()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write bytes.

        Raises:
            HungError: the worker does not read them.
            EOFError: it ended.
        """
        for piece in pieces:
            left = memoryview(piece)
            while left:
                self._wait(self._out, select.POLLOUT)
                try:
                    left = left[os.write(self._out, left) :]
                except BrokenPipeError as error:
                    raise EOFError from error
                self._heard = time.monotonic()

    def read(self, size: int) -> bytearray:
        """Exactly `size` bytes.

        Raises:
            HungError: they do not come in time.
            EOFError: the worker ended.
        """
        received = bytearray()
        while len(received) < size:
            self._wait(self._in, select.POLLIN)
            piece = os.read(self._in, min(size - len(received), 1 << 20))
            if not piece:
                raise EOFError
            received += piece
            self._heard = time.monotonic()
        return received

    def last_words(self) -> str:
        """The last lines that the worker printed, each on a line of its own; empty if there are none."""
        self._listener.join(timeout=1.0)
        return "".join(f"\n  {line}" for line in self._lines)

    def cause_of_death(self) -> str:
        """How the process ended, in words that follow the worker's name."""
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), most likely because memory ran out; try a smaller ?batch="
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return f"ended with exit code {code}"

    def end(self) -> None:
        """Kill the worker and what it started, and close the pipes. In a fork of the owner, close the pipes alone."""
        if self._ended:
            return
        self._ended = True
        if os.getpid() == self.owner:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._listener.join(timeout=1.0)
        os.close(self._out)
        os.close(self._in)
        if not self._listener.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()

    def _wait(self, descriptor: int, event: int) -> None:
        """Until the pipe is ready, or closed."""
        poll = select.poll()
        poll.register(descriptor, event)
        while True:
            ended = self._process.poll() is not None  # before the look at the pipe: last bytes may stand in it
            if poll.poll(0 if ended else 1000 * _LOOK_SECONDS):
                return
            if ended:
                raise EOFError
            now = time.monotonic()
            if now - self._began > self._total:
                raise HungError(f"gave no answer within {self._total:g} s; a longer ?timeout= allows more")
            if now - self._heard > self._silence:
                raise HungError(f"gave no sign of life for {self._silence:g} s; a longer ?silence= allows more")

    def _listen(self) -> None:
        """Keep the last lines of what the worker prints."""
        assert self._process.stdout is not None
        rest = b""
        with suppress(OSError, ValueError):
            while block := os.read(self._process.stdout.fileno(), 1 << 16):
                *lines, rest = (rest + block).split(b"\n")
                self._lines.extend(_shown(line) for line in lines if line.strip())
                rest = rest[-_LONGEST_LINE:]
        if rest.strip():
            self._lines.append(_shown(rest))


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()[-_LONGEST_LINE:].rpartition("\r")[2]
