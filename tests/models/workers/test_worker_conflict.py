"""A worker whose packages conflict with ours, built from a registry."""

from __future__ import annotations

import numpy as np
import packaging
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmbench.errors import GlmbenchError
from glmbench.models.model import Embeds
from glmbench.models.registry import load
from glmbench.models.workers import environment
from glmbench.models.workers.card import read_card

CARD = """
name = "conflict"
adapter = "adapter.py"
class = "Old"
[environment]
python = ">=3.9,<3.13"
packages = ["numpy>=1.26,<2", "packaging<22"]
"""

ADAPTER = """
import numpy as np
import packaging
from packaging.version import LegacyVersion  # went in packaging 22


class Old:
    description = "numpy " + np.__version__ + ", packaging " + packaging.__version__

    def embed(self, sequences):
        counts = np.array([[s.count(base) + 1.5 for base in "ACGT"] for s in sequences])
        product = np.product(counts, axis=1, keepdims=True)  # went in numpy 2
        odd = np.array([[isinstance(LegacyVersion(s), LegacyVersion)] for s in sequences])
        return np.concatenate([np.sqrt(counts), product, odd], axis=1)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Embeds:
    folder = tmp_path_factory.mktemp("conflict")
    (folder / "card.toml").write_text(CARD)
    (folder / "adapter.py").write_text(ADAPTER)
    card, _ = read_card(folder)
    assert card.environment is not None
    try:
        environment.build(card.environment, card.name)
    except GlmbenchError as error:
        pytest.skip(f"pip cannot reach a registry that has these packages: {str(error).splitlines()[-1]}")
    model = load(f"worker:{folder}", trust_remote_code=True)
    assert isinstance(model, Embeds)
    return model


def test_its_packages_are_not_ours(old: Embeds) -> None:
    theirs = old.card.description.replace(",", "").split()
    assert theirs[1].startswith("1.26")
    assert theirs[3].startswith("21")
    assert int(np.__version__.split(".")[0]) >= 2
    assert int(packaging.__version__.split(".")[0]) >= 22
    assert not hasattr(np, "product")


@given(st.lists(st.text("ACGTNacgt", max_size=50), min_size=1, max_size=9))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_computes_what_is_computed_here(old: Embeds, sequences: list[str]) -> None:
    counts = np.array([[s.count(base) + 1.5 for base in "ACGT"] for s in sequences])
    expected = np.concatenate([np.sqrt(counts), counts.prod(axis=1, keepdims=True), np.ones((len(counts), 1))], axis=1)
    np.testing.assert_array_equal(np.asarray(old.embed(sequences)), expected.astype(np.float32))
