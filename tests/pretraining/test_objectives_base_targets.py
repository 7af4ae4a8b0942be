from __future__ import annotations

import numpy as np
import pytest

from glmbench.errors import UsageError
from glmbench.pretraining.objectives.base_targets import MiddleBase, NextBase

WINDOWS = np.array([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]], dtype=np.uint8)


def test_next_base() -> None:
    asked = NextBase().ask(WINDOWS)
    assert asked.inputs.tolist() == [[10, 11, 12, 13], [20, 21, 22, 23]]
    assert asked.targets.tolist() == [14, 24]


def test_middle_base_is_the_third_of_five() -> None:
    """ceil(5 / 2), counted from 1."""
    asked = MiddleBase().ask(WINDOWS)
    assert asked.targets.tolist() == [12, 22]
    assert asked.inputs.tolist() == WINDOWS.tolist()


def test_windows_without_a_target_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(2, 4\)"):
        MiddleBase().ask(WINDOWS[:, :4])
    with pytest.raises(UsageError, match=r"\(2, 1\)"):
        NextBase().ask(WINDOWS[:, :1])
