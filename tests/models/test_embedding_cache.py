from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from glmbench.models import embedding_cache, registry
from glmbench.models.callable import CallableModel, from_callable
from glmbench.models.embedding_cache import CachedEmbeddings, with_cache
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.model import Embeds, ModelCard


class Counting:
    """Counts bases, and which sequences it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, sequences: list[str]) -> list[list[float]]:
        self.asked += sequences
        return [[sequence.count(base) for base in "ACGT"] for sequence in sequences]


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_cache, "SHARD", 4)


def model(counting: Counting, version: str = "1") -> CallableModel:
    return from_callable(counting, name="counting", version=version)


SEQUENCES = ["A" * count + "CG" for count in range(10)]
EXPECTED = np.array([[count, 1, 1, 0] for count in range(10)], dtype=np.float32)


def test_each_sequence_is_asked_for_once_whatever_set_it_is_in(counting: Counting, tmp_path: Path) -> None:
    cached = CachedEmbeddings(model(counting), tmp_path)
    order = [7, 2, 2, 9]
    np.testing.assert_array_equal(cached.embed([SEQUENCES[at] for at in order]), EXPECTED[order])
    assert len(counting.asked) == 3
    np.testing.assert_array_equal(CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES), EXPECTED)
    assert sorted(counting.asked) == sorted(SEQUENCES)
    assert isinstance(cached, Embeds)
    assert cached.card == model(counting).card


def test_another_model_has_another_folder(counting: Counting, tmp_path: Path) -> None:
    for version in ("1", "2"):
        CachedEmbeddings(model(counting, version), tmp_path).embed(SEQUENCES)
    assert len(counting.asked) == 20
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage", ["truncate vectors", "truncate keys", "remove vectors", "empty vectors", "other rows"]
)
def test_a_broken_shard_is_computed_again(counting: Counting, tmp_path: Path, damage: str) -> None:
    CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES)
    counting.asked.clear()
    keys = sorted(tmp_path.rglob("*.keys.npy"))[0]
    rows = len(np.load(keys))
    vectors = keys.with_name(keys.name.replace(".keys.", ".vectors."))
    target = keys if "keys" in damage else vectors
    if damage.startswith("truncate"):
        target.write_bytes(target.read_bytes()[:-8])
    elif damage.startswith("remove"):
        target.unlink()
    elif damage.startswith("empty"):
        target.write_bytes(b"")
    else:
        np.save(target, np.zeros((rows + 1, 4), dtype=np.float32))
    np.testing.assert_array_equal(CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES), EXPECTED)
    assert len(counting.asked) == rows


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE, errno.EIO])
def test_a_shard_that_cannot_be_read_now_is_kept_and_computed_again(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES)
    before = sorted(path.name for path in tmp_path.rglob("*.npy"))
    counting.asked.clear()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", fail)
        patch.setattr(embedding_cache, "atomic_path", fail)  # what cannot be opened cannot be written either
        np.testing.assert_array_equal(CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES), EXPECTED)
    assert sorted(counting.asked) == sorted(SEQUENCES)
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == before
    counting.asked.clear()
    np.testing.assert_array_equal(CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES), EXPECTED)
    assert not counting.asked


FEW_FILES = """
    import resource, sys
    from pathlib import Path
    from glmbench.models import embedding_cache
    from glmbench.models.callable import CallableModel
    from glmbench.models.model import ModelCard

    def counts(sequences):
        asked.extend(sequences)
        return [[sequence.count(base) for base in "ACGT"] for sequence in sequences]

    asked = []
    embedding_cache.SHARD = 1
    model = CallableModel(counts, ModelCard(reference="callable:counting@1", name="counting", fingerprint="same"))
    cached = embedding_cache.CachedEmbeddings(model, Path(sys.argv[1]))
    sequences = ["A" * count + "CG" for count in range(60)]
    first = cached.embed(sequences)
    assert len(asked) == 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    again = cached.embed(sequences)
    assert (again == first).all()
    print(len(asked), len(list(Path(sys.argv[1]).rglob("*.keys.npy"))))
"""


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    call = [sys.executable, "-c", textwrap.dedent(FEW_FILES), str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["60", "60"], "every shard was read, and none removed"


def test_only_shards_that_are_wanted_are_loaded(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = CachedEmbeddings(model(counting), tmp_path)
    cached.embed(SEQUENCES)
    loaded: list[str] = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **options: loaded.append(str(path)) or load(path, **options))
    np.testing.assert_array_equal(cached.embed(SEQUENCES[:2]), EXPECTED[:2])
    assert sum(".vectors." in path for path in loaded) == 1


def test_vectors_without_keys_are_not_read(counting: Counting, tmp_path: Path) -> None:
    """A process killed between the two files of a shard leaves this."""
    CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES)
    sorted(tmp_path.rglob("*.keys.npy"))[0].unlink()
    counting.asked.clear()
    np.testing.assert_array_equal(CachedEmbeddings(model(counting), tmp_path).embed(SEQUENCES), EXPECTED)
    assert 0 < len(counting.asked) <= 4


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from glmbench.models import embedding_cache
    from glmbench.models.callable import CallableModel
    from glmbench.models.model import ModelCard

    def counts(sequences):
        if any(len(sequence) > 8 for sequence in sequences):
            os.kill(os.getpid(), signal.SIGKILL)
        return [[sequence.count(base) for base in "ACGT"] for sequence in sequences]

    embedding_cache.SHARD = 4
    model = CallableModel(counts, ModelCard(reference="callable:counting@1", name="counting", fingerprint="same"))
    embedding_cache.CachedEmbeddings(model, Path(sys.argv[1])).embed(["A" * count + "CG" for count in range(10)])
"""


def test_a_killed_run_keeps_its_finished_shards(counting: Counting, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    card = ModelCard(reference="callable:counting@1", name="counting", fingerprint="same")
    survivor = CallableModel(counting, card)
    np.testing.assert_array_equal(CachedEmbeddings(survivor, tmp_path).embed(SEQUENCES), EXPECTED)
    assert counting.asked == SEQUENCES[4:]


def test_a_sparse_answer_is_stored_dense(tmp_path: Path) -> None:
    from scipy.sparse import csr_matrix

    sparse = from_callable(lambda sequences: csr_matrix(np.eye(len(sequences), 4)), name="sparse", version="1")
    np.testing.assert_array_equal(CachedEmbeddings(sparse, tmp_path).embed(SEQUENCES[:3]), np.eye(3, 4))


def test_only_slow_models_are_cached(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    assert not isinstance(with_cache(registry.load("kmer:3"), tmp_path), CachedEmbeddings)
    assert not isinstance(with_cache(registry.load("onehot-cnn"), tmp_path), CachedEmbeddings)
    network = registry.load(f"hf:{checkpoint('bert')}")
    cached = with_cache(network, tmp_path)
    assert isinstance(network, HuggingFaceModel)
    assert isinstance(cached, CachedEmbeddings)
    np.testing.assert_allclose(cached.embed(SEQUENCES), network.embed(SEQUENCES), atol=1e-5)
    np.testing.assert_array_equal(cached.embed(SEQUENCES[:1]), cached.embed(SEQUENCES)[:1])
    assert cached.notes(SEQUENCES) == network.notes(SEQUENCES)


@pytest.mark.parametrize(("reference", "slow"), [("h5:net.h5", True), ("worker:w.toml", True), ("kmer:3", False)])
def test_schemes_whose_networks_are_slow(reference: str, slow: bool, counting: Counting, tmp_path: Path) -> None:
    class Named:
        card = model(counting).card.model_copy(update={"reference": reference})
        embed = model(counting).embed

    assert isinstance(with_cache(Named(), tmp_path), CachedEmbeddings) is slow


def test_layers_of_one_network_do_not_mix(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    last, first = (with_cache(registry.load(f"hf:{checkpoint('bert')}?layer={layer}"), tmp_path) for layer in (-1, 0))
    assert isinstance(last, CachedEmbeddings)
    assert isinstance(first, CachedEmbeddings)
    assert np.abs(last.embed(SEQUENCES) - first.embed(SEQUENCES)).max() > 1e-3


def test_an_unwritable_cache_costs_time_and_nothing_else(counting: Counting, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "file").touch()
        folder = tmp_path / "file"
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
    uncached = model(counting)
    np.testing.assert_array_equal(CachedEmbeddings(uncached, folder).embed(SEQUENCES), uncached.embed(SEQUENCES))


def test_it_counts_what_went_through_the_model(counting: Counting, tmp_path: Path) -> None:
    cached = CachedEmbeddings(model(counting), tmp_path)
    cached.embed(SEQUENCES)
    assert cached.computed == len(set(SEQUENCES))
    cached.embed(SEQUENCES)
    assert cached.computed == len(set(SEQUENCES))
