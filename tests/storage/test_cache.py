from pathlib import Path

import pytest

from glmbench.storage.cache import cache_folder


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_else_the_platform_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "glmbench"
    assert not cache_folder().exists()
