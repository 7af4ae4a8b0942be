"""Array types that the room's signatures share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
"""Base codes: A, C, G, T = 0, 1, 2, 3 and N = 4."""

Integers = NDArray[np.int64]
