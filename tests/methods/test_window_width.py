from __future__ import annotations

import pytest

from glmbench.methods.window_width import default_width
from glmbench.models.model import ModelCard


@pytest.mark.parametrize(
    ("reference", "context", "width"),
    [
        ("h5:x", None, 512),
        ("h5:x", 1000, 512),
        ("h5:x", 500, 500),
        ("hf:x", 514, 512),
        ("hf:x", 513, 511),
        ("zoo:x", 60, 58),
        ("hf:x", 3, 4),
    ],
)
def test_the_width_where_none_is_chosen(reference: str, context: int | None, width: int) -> None:
    assert default_width(ModelCard(reference=reference, name="x", fingerprint="f", context=context)) == width
