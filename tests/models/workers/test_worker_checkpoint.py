"""The adapter that comes with glmbench, run here by our own transformers, and models of the zoo that are workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glmbench.errors import MissingData, Unsupported, UsageError
from glmbench.models.model import CountsPasses, Embeds
from glmbench.models.registry import load
from glmbench.models.workers import environment
from glmbench.models.workers.card import find_card
from glmbench.models.workers.pipe import WorkerError
from glmbench.models.zoo import zoo
from glmbench.models.zoo.card import ZooCard
from wheels import use_only

CARD = "name = 'bert'\nadapter = 'glmbench:checkpoint'\n[options]\ncheckpoint = 'weights'\n"


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Path:
    shutil.copytree(checkpoint("bert"), tmp_path / "weights")
    (tmp_path / "card.toml").write_text(CARD)
    return tmp_path


def test_it_computes_what_transformers_computes(folder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    sequences = ["ACGTTGCA", "acgnt", "T"]
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder / "weights"),
        AutoModel.from_pretrained(folder / "weights"),
    )
    with torch.no_grad():
        ids = [tokenizer(sequence.upper(), return_tensors="pt").input_ids for sequence in sequences]
        states = [network(i, output_hidden_states=True).hidden_states for i in ids]
    model = load(f"worker:{folder}")  # no code but ours runs, so nothing must be allowed
    assert isinstance(model, Embeds)
    assert isinstance(model, CountsPasses)
    expected = np.stack([layers[-1][0, 1:-1].mean(0).numpy() for layers in states])
    np.testing.assert_allclose(np.asarray(model.embed(sequences)), expected, atol=1e-5)
    assert (model.passes, model.card.parameters) == (3, sum(p.numel() for p in network.parameters()))
    first = load(f"worker:{folder}?layer=1&pool=max")
    assert isinstance(first, Embeds)
    expected = np.stack([layers[1][0, 1:-1].max(0).values.numpy() for layers in states])
    np.testing.assert_allclose(np.asarray(first.embed(sequences)), expected, atol=1e-5)
    assert first.card.fingerprint != model.card.fingerprint


def test_what_it_refuses(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    with pytest.raises(UsageError, match="what weights ships is Python code that would run here"):
        load(f"worker:{folder}?remote_code=true")
    with pytest.raises(WorkerError, match="pool is 'sum', wanted mean, max or cls"):
        load(f"worker:{folder}?pool=sum")
    tokenizer = folder / "weights" / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"model_max_length": 8}))
    model = load(f"worker:{folder}")
    assert isinstance(model, Embeds)
    assert model.card.context == 8
    with pytest.raises(Unsupported, match="a sequence has 9 tokens, the context is 8"):
        model.embed(["ACGTACG"])
    weights = load_file(folder / "weights" / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "layer.1.attention" not in key}
    save_file(kept, folder / "weights" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WorkerError, match="weights lacks 10 weights of its network"):
        load(f"worker:{folder}")


def test_a_model_of_the_zoo_that_is_a_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "cache"))
    use_only(tmp_path / "wheels", monkeypatch)
    published = ZooCard(
        name="old-published",
        title="An old published model",
        family="Old",
        runs="worker",
        repository="org/old",
        revision="0" * 40,
        options={"pool": "cls"},
        licence="MIT",
        environment={"packages": ["tiny<2"]},
        tried="tiny stand-in",
    )
    monkeypatch.setattr(zoo, "_cards", lambda: {published.name: published})
    card, folder = find_card("old-published")
    assert card.environment is not None
    assert card.environment.packages == ("tiny<2",)
    assert (card.options["checkpoint"], card.options["pool"], card.options["layer"]) == ("org/old", "cls", -1)
    with pytest.raises(UsageError, match=r"what org/old ships is Python code that would run here"):
        load("worker:old-published")
    with pytest.raises(MissingData, match="build it with `glmbench env build old-published`"):
        load("worker:old-published", trust_remote_code=True)
    environment.build(card.environment, card.name)
    with pytest.raises(WorkerError, match="No module named 'torch'"):  # it is not in that environment
        load("worker:old-published", trust_remote_code=True)
    assert folder.is_dir()
