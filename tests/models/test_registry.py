from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from glmbench.errors import DataError, UsageError
from glmbench.models import registry
from glmbench.models.callable import from_callable
from glmbench.models.kmer import KmerModel
from glmbench.models.model import Embeds
from glmbench.models.reference import ModelReference


def test_importing_and_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from glmbench.models import registry; registry.known_schemes();"
        "print(sorted({'torch', 'transformers', 'sklearn', 'scipy', 'numba', 'numpy', 'polars'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_scheme_has_its_loader_and_a_line_of_help() -> None:
    from importlib import import_module

    for scheme in registry.known_schemes():
        module, _, function = scheme.loader.partition(":")
        assert callable(getattr(import_module(module), function))
        assert scheme.help
        assert "\n" not in scheme.help


def test_unknown_scheme_names_the_near_one_and_examples() -> None:
    with pytest.raises(UsageError, match=r"unknown scheme 'kmre' \(did you mean kmer\?\).*kmer:pos3"):
        registry.load("kmre:5")


def load_plugin(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> KmerModel:
    return KmerModel((int(reference.locator),))


def test_a_plugin_adds_a_scheme_but_cannot_take_one(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:load_plugin", registry.PLUGIN_GROUP) for name in ("mine", "onehot-cnn")
    )
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points.select(group=group))
    assert registry.load("mine:2").card.fingerprint == KmerModel((2,)).card.fingerprint
    assert not isinstance(registry.load("onehot-cnn"), KmerModel)


def test_a_function_is_a_model() -> None:
    model = from_callable(lambda sequences: [[len(s), s.count("G")] for s in sequences], name="lengths", version="1")
    assert isinstance(model, Embeds)
    features = model.embed(["ACG", "GG"])
    assert features.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(features), [[3, 1], [2, 2]])
    assert model.card.reference == "callable:lengths@1"


def test_fingerprint_of_a_function_covers_name_version_and_source() -> None:
    def first(sequences: list[str]) -> list[list[int]]:
        return [[len(s)] for s in sequences]

    def second(sequences: list[str]) -> list[list[int]]:
        return [[len(s) + 1] for s in sequences]

    models = [
        from_callable(function, name=name, version=version)
        for function, name, version in ((first, "a", "1"), (first, "a", "2"), (first, "b", "1"), (second, "a", "1"))
    ]
    assert len({model.card.fingerprint for model in models}) == 4
    assert from_callable(first, name="a", version="1").card.fingerprint == models[0].card.fingerprint


@pytest.mark.parametrize(
    ("returned", "message"), [([[1.0]], "shape"), ([[1.0], [np.nan]], "NaN"), ([1.0, 2.0], "shape")]
)
def test_a_function_that_returns_nonsense_is_an_error(returned: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_callable(lambda sequences: returned, name="bad", version="1").embed(["A", "C"])


def test_a_callable_cannot_be_loaded_by_reference() -> None:
    with pytest.raises(UsageError, match="from_callable"):
        registry.load("callable:lengths@1")
