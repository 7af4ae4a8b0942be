"""The worker's side of the pipe: run by path in a private environment, never imported by glmbench.

    python -I -u server.py REQUESTS ANSWERS

REQUESTS and ANSWERS are the numbers of open file descriptors; -P stands for -I where the environment is that of
glmbench itself. Whatever the model prints goes to standard error, as nothing but this file knows ANSWERS. It needs the
standard library of Python 3.8 and numpy alone; of glmbench it imports but its neighbour `protocol.py`, by path.

The main thread computes. One thread reads requests and ends the process when the pipe closes, also in the midst of a
computation; one says every second that the computation goes on, and ends the process when its parent is gone.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import queue
import signal
import sys
import threading
import traceback
from contextlib import ExitStack, suppress
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("embed", "fill", "scan", "log_likelihood", "predict", "layers", "states", "clamped")
FACTS = ("reach", "context", "outputs", "description", "parameters", "tokenizer")
LONGEST_MESSAGE = 4000


def _load_module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, str(path))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


protocol = _load_module("_glmbench_protocol", Path(__file__).resolve().with_name("protocol.py"))


class Channel:
    """Writes frames, one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, frame: list[bytes]) -> None:
        """Write an encoded frame whole."""
        with self._lock:
            for piece in frame:
                left = memoryview(piece)
                while left:
                    left = left[os.write(self._descriptor, left) :]


class Host:
    """Holds the adapter and answers for it."""

    def __init__(self) -> None:
        self._model: Any = None
        self._clamps: list[ExitStack] = []

    def answer(self, header: dict[str, Any], arrays: dict[str, Any]) -> list[bytes]:
        """The frame that answers a request."""
        value, answered = self._do(header["method"], header["arguments"], arrays)
        passes = self._passes()
        frame: list[bytes] = protocol.encode(
            {"kind": "answer", "id": header["id"], "value": value, "passes": passes}, answered
        )
        return frame

    def _do(self, method: str, arguments: dict[str, Any], arrays: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if method == "load":
            return self._load(Path(arguments["adapter"]), arguments["class"], arguments["options"]), {}
        if method == "layers":
            return [str(name) for name in self._model.layers()], {}
        if method == "clamp":
            stack = ExitStack()
            stack.enter_context(self._model.clamped(arguments["layer"], arguments["unit"], arguments["value"]))
            self._clamps.append(stack)
            return None, {}
        if method == "release":
            self._clamps.pop().close()
            return None, {}
        return None, self._compute(method, protocol.unpack_sequences(arrays), arguments, arrays)

    def _compute(
        self, method: str, sequences: list[str], arguments: dict[str, Any], arrays: dict[str, Any]
    ) -> dict[str, Any]:
        if method in ("embed", "predict"):
            return {"values": _numbers(getattr(self._model, method)(sequences))}
        if method == "log_likelihood":
            return {"values": _numbers(self._model.log_likelihood(sequences), "<f8")}
        if method == "fill":
            return {"values": _numbers(self._model.fill(sequences, arrays["positions"].tolist()))}
        if method == "scan":
            return _end_to_end({"values": [_numbers(rows) for rows in self._model.scan(sequences)]})
        if method == "states":
            return _states(self._model.states(sequences, arguments["layer"]))
        raise ValueError(f"unknown method {method!r}")

    def _passes(self) -> int | None:
        passes = getattr(self._model, "passes", None)
        return None if passes is None else int(passes)

    def _load(self, adapter: Path, name: str, options: dict[str, Any]) -> dict[str, Any]:
        sys.path.insert(0, str(adapter.parent))
        module = _load_module("glmbench_adapter", adapter)
        if not hasattr(module, name):
            raise AttributeError(f"{adapter.name} has no class {name!r}")
        self._model = getattr(module, name)(**options)
        facts = {fact: _plain(getattr(self._model, fact, None)) for fact in FACTS}
        files = {str(Path(path).resolve()) for path in getattr(self._model, "files", ())}
        return {
            "methods": [method for method in METHODS if callable(getattr(self._model, method, None))],
            "files": sorted(files | _imported_from(adapter.parent)),
            "counts_passes": self._passes() is not None,
            **facts,
        }


def _plain(value: Any) -> Any:
    """A fact; None for what is none, such as a tokenizer or a method that happens to have the name of one."""
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    if isinstance(value, Integral):
        return int(value)
    return value if isinstance(value, str) else None


def _imported_from(folder: Path) -> set[str]:
    """Python files of a folder that were imported: the adapter and its neighbours."""
    named = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(path).resolve() for path in named if path}
    return {str(path) for path in paths if folder.resolve() in path.parents}


def _numbers(values: Any, dtype: str = "<f4") -> Any:
    """An array of what a model returned, be it a list, an array or a SciPy sparse matrix."""
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.asarray(values, dtype=dtype)


def _end_to_end(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Arrays of several sequences concatenated, and how many rows each sequence has."""
    joined = {name: np.concatenate(arrays) for name, arrays in columns.items()}
    joined["counts"] = np.array([len(array) for array in columns["values"]], dtype="<i8")
    return joined


def _states(found: Any) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {"values": [], "starts": [], "ends": []}
    for values, starts, ends in found:
        columns["values"].append(_numbers(values))
        columns["starts"].append(_numbers(starts, "<i8"))
        columns["ends"].append(_numbers(ends, "<i8"))
        if not len(columns["values"][-1]) == len(columns["starts"][-1]) == len(columns["ends"][-1]):
            raise ValueError("states: wanted as many starts and ends as rows of values")
    return _end_to_end(columns)


def _error(error: BaseException, request: int) -> list[bytes]:
    """A frame with type, message and place of what the model raised; the whole trace goes to standard error."""
    traceback.print_exception(type(error), error, error.__traceback__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = ""
    if frames:
        where = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}, in {frames[-1].name}"
    header = {
        "kind": "error",
        "id": request,
        "type": type(error).__name__,
        "unsupported": isinstance(error, NotImplementedError),
        "message": str(error)[:LONGEST_MESSAGE],
        "where": where,
    }
    frame: list[bytes] = protocol.encode(header)
    return frame


def _leave() -> None:
    """End at once, and take along processes that the model started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _listen(descriptor: int, requests: queue.Queue[Any]) -> None:
    """Read requests until the other side is gone."""

    def read(size: int) -> bytearray:
        received = bytearray()
        while len(received) < size:
            piece = os.read(descriptor, min(size - len(received), 1 << 20))
            if not piece:
                raise EOFError
            received += piece
        return received

    try:
        while True:
            requests.put(protocol.read_frame(read))
    except EOFError:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        _leave()


def _beat(channel: Channel, computing: threading.Event, parent: int) -> None:
    """Say that the computation goes on; leave when nobody is there to hear it."""
    heartbeat = protocol.encode({"kind": "heartbeat"})
    pause = threading.Event()
    try:
        while os.getppid() == parent:
            if computing.is_set():
                channel.write(heartbeat)
            pause.wait(protocol.HEARTBEAT_SECONDS)
    finally:
        _leave()


def serve(requests_descriptor: int, answers_descriptor: int) -> None:
    """Answer requests one after the other, until the pipe closes."""
    faulthandler.enable()
    with suppress(OSError):  # Linux: where memory runs out, this process goes rather than its parent
        Path("/proc/self/oom_score_adj").write_text("800")
    channel, host, computing = Channel(answers_descriptor), Host(), threading.Event()
    channel.write(protocol.encode({"kind": "hello", "protocol": protocol.PROTOCOL}))
    requests: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_listen, args=(requests_descriptor, requests), daemon=True).start()
    threading.Thread(target=_beat, args=(channel, computing, os.getppid()), daemon=True).start()
    while True:
        header, arrays = requests.get()
        computing.set()
        try:
            frame = host.answer(header, arrays)
        except (Exception, SystemExit) as error:
            frame = _error(error, header["id"])
        computing.clear()
        channel.write(frame)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
