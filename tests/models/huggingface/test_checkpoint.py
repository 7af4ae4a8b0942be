from __future__ import annotations

import json
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.models import registry
from glmbench.models.huggingface import checkpoint as checkpoint_module
from glmbench.models.huggingface.encoder import HuggingFaceModel

Checkpoints = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def bert(checkpoint: Checkpoints, tmp_path: Path) -> Path:
    """A copy of the BERT checkpoint to break."""
    return shutil.copytree(checkpoint("bert"), tmp_path / "bert")


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "esm"}, "weights are missing"),
        ({"num_hidden_layers": 4}, r"weights are missing \(encoder.layer.3"),
        ({"num_hidden_layers": 2}, r"weights have no place \(bert.encoder.layer.2"),
        ({"hidden_size": 16}, r"weights have another shape \(bert"),
        ({"model_type": "no-such-model"}, "cannot read"),
    ],
)
def test_weights_of_another_architecture_are_refused(bert: Path, changes: dict[str, Any], message: str) -> None:
    change_config(bert, **changes)
    with pytest.raises(DataError, match=message):
        registry.load(f"hf:{bert}")


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("form", ["zip", "pickle", "module"])
def test_a_pickle_with_code_is_refused_and_not_run(bert: Path, tmp_path: Path, form: str) -> None:
    import torch
    from transformers import AutoModel

    harmful = tmp_path / "harmful"
    network = AutoModel.from_pretrained(bert)
    (bert / "model.safetensors").unlink()
    if form == "pickle":
        (bert / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Malice(harmful)}))
    else:
        torch.save({"weight": Malice(harmful)} if form == "zip" else network, bert / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"could run code.*safetensors"):
        registry.load(f"hf:{bert}")
    assert not harmful.exists()


def test_a_pickle_of_plain_tensors_is_read_where_there_are_no_safetensors(bert: Path) -> None:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    weights = load_file(bert / "model.safetensors")
    expected = registry.load(f"hf:{bert}")
    (bert / "model.safetensors").unlink()
    torch.save(weights, bert / "pytorch_model.bin")
    got = registry.load(f"hf:{bert}")
    assert isinstance(got, HuggingFaceModel)
    assert isinstance(expected, HuggingFaceModel)
    np.testing.assert_array_equal(got.embed(["ACGT"]), expected.embed(["ACGT"]))
    assert got.card.fingerprint != expected.card.fingerprint


def test_a_truncated_weight_file_is_an_error(bert: Path) -> None:
    weights = bert / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])
    with pytest.raises(DataError, match="cannot be loaded"):
        registry.load(f"hf:{bert}")


@pytest.mark.parametrize(
    ("name", "message"),
    [("config.json", "no config"), ("tokenizer.json", "no tokenizer"), ("model.safetensors", "no weights")],
)
def test_an_incomplete_folder_says_what_it_lacks(bert: Path, name: str, message: str) -> None:
    (bert / name).unlink()
    with pytest.raises(DataError, match=message):
        registry.load(f"hf:{bert}")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_broken_json_is_an_error(bert: Path, name: str) -> None:
    (bert / name).write_text("{")
    with pytest.raises(DataError, match=r"no JSON|cannot read the tokenizer"):
        registry.load(f"hf:{bert}")


def test_a_folder_that_is_not_there_and_a_revision_of_one(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no folder"):
        registry.load("hf:./no/such/folder")
    monkeypatch.chdir(bert.parent)
    with pytest.raises(UsageError, match="has no revisions"):
        registry.load("hf:bert@main")


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What tried to reach the network, which nothing can."""
    tried: list[str] = []

    def refuse(*arguments: Any, **options: Any) -> Any:
        tried.append(str(arguments))
        raise OSError("there is no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    return tried


@pytest.mark.parametrize("scheme", ["hf", "random"])
def test_an_uncached_hub_model_offline_is_missing_data_with_the_command_and_no_look_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sockets: list[str], scheme: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingData, match="hf download some-lab/some-model --revision v1"):
        registry.load(f"{scheme}:some-lab/some-model@v1", offline=True)
    assert not sockets


def cached_snapshot(bert: Path, cache: Path) -> Path:
    """The checkpoint as the hub's client would have stored it."""
    repository = cache / "models--some-lab--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return shutil.copytree(bert, repository / "snapshots" / COMMIT)


def test_a_cached_hub_model_is_read_offline(
    bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sockets: list[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = cached_snapshot(bert, tmp_path / "hub")
    cards = [
        registry.load(reference, offline=True).card
        for reference in ("hf:some-lab/some-model", f"hf:some-lab/some-model@{COMMIT}")
    ]
    assert {card.fingerprint for card in cards} == {registry.load(f"hf:{bert}").card.fingerprint}
    assert {card.name for card in cards} == {"some-model"}
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(MissingData, match=r"no weights.*hf download"):
        registry.load("hf:some-lab/some-model", offline=True)
    assert not sockets


OWN_CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel

Path({mark!r}).touch()


class OwnConfig(BertConfig):
    model_type = "own-bert"


class OwnModel(BertModel):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A checkpoint that ships its own architecture, and the file that its code writes when imported."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    mark = tmp_path / "ran"
    (bert / "own.py").write_text(OWN_CODE.format(mark=str(mark)))
    change_config(bert, model_type="own-bert", auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    return bert, mark


@pytest.mark.parametrize("scheme", ["hf", "random"])
def test_own_code_runs_only_when_allowed(own_code: tuple[Path, Path], scheme: str) -> None:
    folder, mark = own_code
    with pytest.raises(UsageError, match=r"own Python code \(own.OwnConfig.*--trust-remote-code"):
        registry.load(f"{scheme}:{folder}")
    assert not mark.exists()
    model = registry.load(f"{scheme}:{folder}", trust_remote_code=True)
    assert mark.exists()
    assert isinstance(model, HuggingFaceModel)
    assert model.embed(["ACGT"]).shape == (1, 32)


def test_own_code_is_part_of_the_fingerprint(own_code: tuple[Path, Path]) -> None:
    folder, _ = own_code
    before = checkpoint_module.Checkpoint(folder).content_hash()
    with (folder / "own.py").open("a") as code:
        code.write("# changed\n")
    assert checkpoint_module.Checkpoint(folder).content_hash() != before


def test_the_code_that_runs_the_files_is_part_of_the_fingerprint(
    own_code: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same files may run by stock code without leave, and by their own code with it."""
    folder, _ = own_code
    change_config(folder, model_type="bert", auto_map={"AutoModel": "own.OwnModel"})
    own = (folder / "own.py").read_text().replace("config_class = OwnConfig", "config_class = BertConfig")
    (folder / "own.py").write_text(own)
    stock, allowed = (registry.load(f"hf:{folder}", trust_remote_code=allow).card for allow in (False, True))
    assert stock.fingerprint != allowed.fingerprint
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert registry.load(f"hf:{moved}", trust_remote_code=True).card.fingerprint == allowed.fingerprint

    from transformers import BertModel

    class AnotherModel(BertModel):
        pass

    monkeypatch.setattr("glmbench.models.huggingface.roles._auto_class", lambda role, own, config: AnotherModel)
    assert registry.load(f"hf:{folder}").card.fingerprint != stock.fingerprint


def test_the_fingerprint_of_a_random_twin_covers_its_head(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another initialisation of the head alone is another model: it says other things of bases."""
    import torch

    from glmbench.models.huggingface import random_weights

    draw = random_weights.random_network

    def changed(*arguments: Any) -> Any:
        network = draw(*arguments)
        assert isinstance(network.head, torch.nn.Module)
        for name, weight in network.head.named_parameters():
            if name.endswith("transform.dense.bias"):
                weight.add_(1)
        return network

    before = [registry.load(f"random:{bert}").card.fingerprint for _ in range(2)]
    monkeypatch.setattr(random_weights, "random_network", changed)
    assert before == [before[0]] * 2
    assert registry.load(f"random:{bert}").card.fingerprint != before[0]


@pytest.mark.parametrize("revision", ["", "@main", "@0123456"])
def test_own_code_from_the_hub_needs_a_pinned_commit(revision: str) -> None:
    with pytest.raises(UsageError, match="pinned commit"):
        registry.load(f"hf:some-lab/some-model{revision}", trust_remote_code=True)


def test_own_code_from_another_repository_is_refused(own_code: tuple[Path, Path]) -> None:
    folder, mark = own_code
    change_config(folder, auto_map={"AutoConfig": "other/place--own.OwnConfig"})
    with pytest.raises(UsageError, match=r"another repository \(other/place\)"):
        registry.load(f"hf:{folder}", trust_remote_code=True)
    assert not mark.exists()


def test_stock_code_is_not_taken_for_own_code_in_silence(bert: Path) -> None:
    """DNABERT-2 calls itself `bert`: without its own code, stock BERT would be filled with random weights."""
    from safetensors.torch import load_file, save_file

    change_config(bert, auto_map={"AutoModel": "own.OwnModel"})
    weights = {
        key.replace("self.query", "self.Wqkv"): value for key, value in load_file(bert / "model.safetensors").items()
    }
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"self\.query.*--trust-remote-code"):
        registry.load(f"hf:{bert}")
