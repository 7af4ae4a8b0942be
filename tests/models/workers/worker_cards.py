"""Cards written for a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from glmbench.models.registry import load
from glmbench.models.workers.client import WorkerModel

ADAPTERS = Path(__file__).with_name("worker_adapters.py")


def write_card(folder: Path, class_name: str, text: str = "", adapter: Path = ADAPTERS) -> Path:
    """A card for a class of the adapters, which are copied beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(adapter, folder / "adapter.py")
    head = f"name = {json.dumps(class_name.lower())}\nadapter = 'adapter.py'\nclass = {json.dumps(class_name)}\n"
    (folder / "card.toml").write_text(head + text)
    return folder


def load_worker(folder: Path, options: str = "") -> WorkerModel:
    """The model of a card's folder."""
    model = load(f"worker:{folder}{options}", trust_remote_code=True)
    assert isinstance(model, WorkerModel)
    return model
