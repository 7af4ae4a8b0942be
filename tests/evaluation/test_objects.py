"""What a run opens."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frame_task import write_table
from glmbench.errors import MissingData
from glmbench.evaluation.execute import execute
from glmbench.evaluation.objects import Objects
from glmbench.evaluation.plan import plan
from glmbench.evaluation.request import Request
from glmbench.models import registry
from glmbench.models.embedding_cache import CachedEmbeddings
from glmbench.models.model import ModelCard, PredictsBases
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


class SlowModel:
    """A network by its reference, that embeds and predicts bases."""

    card = ModelCard(reference="hf:slow", name="slow", fingerprint="f")
    reach = "both"

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += len(sequences)
        return np.array([[sequence.count(base) for base in "ACG"] for sequence in sequences], np.float32)

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        return np.full((len(sequences), 4), np.log(0.25), np.float32)

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        return [np.full((len(sequence), 4), np.log(0.25), np.float32) for sequence in sequences]


def test_a_slow_model_can_all_that_it_can_and_its_embeddings_are_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = SlowModel()
    monkeypatch.setattr(registry, "load", lambda *_, **__: network)
    objects = Objects(Access(cache=tmp_path / "cache", offline=True))
    assert isinstance(objects.model("hf:slow"), PredictsBases)
    embedder = objects.embedder("hf:slow")
    assert isinstance(embedder, CachedEmbeddings)
    assert isinstance(objects.without_cache("hf:slow").embedder("hf:slow"), SlowModel)
    request = Request(models=("hf:slow",), tasks=(str(write_table(tmp_path / "t")),), budgets=("full",), controls=False)
    (job,) = plan(request, objects).jobs
    counts = [execute(job, objects).result.details["embedded"] for _ in range(2)]
    assert counts == [network.embedded, 0]
    assert network.embedded > 0
    assert embedder.embed(["ACGTA"]).tolist() == [[2, 1, 1]]
