"""Adapters as users write them, good and bad; run by workers, never imported here."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np

LOG = np.log(np.array([0.1, 0.2, 0.3, 0.4]))


class Everything:
    """All capabilities: bases are independent, A, C, G, T with probabilities 0.1, 0.2, 0.3, 0.4."""

    reach = "both"
    context = 100
    outputs = ("short", "long")
    description = "independent bases"

    def __init__(self, scale=1.0, table=""):
        self.scale = scale
        self.passes = 0
        self.files = [table] if table else []
        self._held = {}

    def embed(self, sequences):
        self.passes += len(sequences)
        return [[self.scale * s.upper().count(b) for b in "ACGT"] for s in sequences]

    def fill(self, sequences, positions):
        assert all(0 <= p < len(s) for s, p in zip(sequences, positions))  # noqa: B905
        return np.tile(LOG, (len(sequences), 1))

    def scan(self, sequences):
        return [np.tile(LOG, (len(s), 1)) for s in sequences]

    def log_likelihood(self, sequences):
        return [sum(LOG["ACGT".index(b)] for b in s.upper() if b in "ACGT") for s in sequences]

    def predict(self, sequences):
        return np.array([[1.0, 0.0] if len(s) < 10 else [0.0, 1.0] for s in sequences])

    def layers(self):
        return ["bases"]

    def states(self, sequences, layer):
        assert layer == "bases"
        found = []
        for s in sequences:
            values = np.array([[b == x for x in "ACGT"] for b in s], dtype=float)
            for unit, value in self._held.items():
                values[:, unit] = value
            found.append((values, range(len(s)), range(1, len(s) + 1)))
        return found

    @contextmanager
    def clamped(self, layer, unit, value):
        self._held[unit] = value
        try:
            yield
        finally:
            del self._held[unit]


class Embeds:
    def embed(self, sequences):
        return np.ones((len(sequences), 3))


class Says(Embeds):
    """Prints on every way that leads to standard output, then a crash on request."""

    def embed(self, sequences):
        print("python says", len(sequences))
        sys.stdout.flush()
        os.system("echo a child says")
        os.write(1, b"glmw garbage that looks like a frame\n")
        if sequences == ["CRASH"]:
            print("the last words", file=sys.stderr)
            os._exit(7)
        return super().embed(sequences)


class Segfaults(Embeds):
    def embed(self, sequences):
        if sequences == ["AC"]:
            import ctypes

            ctypes.string_at(0)
        return super().embed(sequences)


class ForksThenDies(Embeds):
    """A child that outlives it holds the pipe open."""

    def embed(self, sequences):
        if os.fork() == 0:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Embeds):
    def embed(self, sequences):
        if sequences == ["EXIT"]:
            sys.exit("leaving")
        if sequences == ["LONG"]:
            raise NotImplementedError("at most 3 bases")
        raise ValueError("the weights are on holiday")


class RaisesOnLoading(Embeds):
    def __init__(self):
        import a_package_that_is_nowhere  # noqa: F401


class Slow(Embeds):
    def embed(self, sequences):
        time.sleep(2.5)
        return super().embed(sequences)


class Hangs(Embeds):
    def embed(self, sequences):
        threading.Event().wait()


class Freezes(Embeds):
    def embed(self, sequences):
        os.kill(os.getpid(), signal.SIGSTOP)


class Babbles(Embeds):
    """Writes to the pipe itself."""

    def embed(self, sequences):
        os.write(int(sys.argv[2]), b"Content-Length: 12\r\n\r\nno frame")
        return super().embed(sequences)


class Wrong:
    """Whatever `what` names is wrong about the answers."""

    reach = "left"

    def __init__(self, what):
        self._what = what

    def embed(self, sequences):
        values = np.ones((len(sequences), 3))
        if self._what == "nan":
            values[0, 0] = np.nan
        if self._what == "one-dimensional":
            return values[0]
        if self._what == "widths":
            return np.ones((len(sequences), len(sequences[0])))
        return values[1:] if self._what == "rows" else values

    def fill(self, sequences, positions):
        return np.zeros((len(sequences), 4))

    def scan(self, sequences):
        return [np.tile(LOG, (len(s) + 1, 1)) for s in sequences]

    def layers(self):
        return ["only"]

    def states(self, sequences, layer):
        return [(np.ones((2, 2)), [-1, 0], [-1, 99]) for _ in sequences]

    def clamped(self, layer, unit, value):
        raise NotImplementedError


class Half:
    """Some of what `PredictsBases` needs."""

    reach = "left"

    def fill(self, sequences, positions):
        return np.tile(LOG, (len(sequences), 1))


class Nothing:
    pass


class Namesakes(Embeds):
    """Attributes that are named like facts and are none."""

    tokenizer = object()
    context = np.int64(12)
    outputs = np.ones(3)

    def parameters(self):
        return []


class BadFacts(Embeds):
    context = "as long as you like"


class Where(Embeds):
    """Describes the process that it runs in."""

    @property
    def description(self):
        here = "glmbench" in sys.modules, os.getpid(), os.environ.get("HF_HUB_OFFLINE"), os.path.basename(os.getcwd())  # noqa: PTH109, PTH119
        return repr(here)
