"""Where downloaded data and computed embeddings are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

TRAININGS = "training"
"""Its folder with a folder for each training that is not finished."""


def cache_folder() -> Path:
    """`$GLMBENCH_CACHE`, or the user's cache folder as the platform defines it."""
    if chosen := os.environ.get("GLMBENCH_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("glmbench")
