from __future__ import annotations

import io
import sys

import pytest

from glmbench.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("outer", total=2) as outer, progress("inner", total=1) as inner:
        inner.advance()
        outer.describe("other words")
        outer.advance()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_on_a_terminal_inner_bars_stand_below_and_all_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("outer", total=2) as outer:
        with progress("inner", total=3) as inner:
            inner.advance(2)
        with progress("second", total=None):
            pass
        outer.advance()
    with progress("later", total=1) as later:
        later.advance()
    written = terminal.getvalue()
    assert all(words in written for words in ("outer", "inner", "later"))
    assert "\x1b[2K" in written  # the last thing done to the line is to clear it


def test_an_error_inside_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ValueError, match="broken"), progress("outer"):
        raise ValueError("broken")
    with progress("fresh", total=1) as fresh:
        fresh.advance()
