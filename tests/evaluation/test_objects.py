"""What a run opens."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from glmbench.errors import MissingData
from glmbench.evaluation.objects import Objects
from glmbench.storage.fetch import Access


@pytest.mark.parametrize("scheme", ["hf", "random"])
def test_no_socket_is_opened_for_a_model_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str) -> None:
    tried: list[str] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        tried.append(str(arguments))
        raise OSError("there is no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingData, match="hf download org/x"):
        Objects(Access(cache=tmp_path, offline=True)).model(f"{scheme}:org/x")
    assert not tried
