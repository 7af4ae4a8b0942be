from __future__ import annotations

from pathlib import Path

import pytest

from glmbench.errors import DataError, MissingData, UsageError
from glmbench.models.registry import load
from glmbench.models.workers.card import read_card

CARD = """
name = "old"
adapter = "adapter.py"
class = "Old"
description = "an old model"

[environment]
python = ">=3.8"
packages = ["transformers==4.29.2"]

[options]
layer = -1
pool = "mean"

[card]
context = 512
licence = "MIT"
pretraining = { species = ["Homo sapiens"] }
"""


def write(folder: Path, text: str) -> Path:
    (folder / "adapter.py").write_text("")
    (folder / "card.toml").write_text(text)
    return folder


def test_a_card_by_file_and_by_folder(tmp_path: Path) -> None:
    card, folder = read_card(write(tmp_path, CARD))
    assert (card, folder) == read_card(tmp_path / "card.toml")
    assert folder == tmp_path
    assert card.environment is not None
    assert card.environment.packages == ("transformers==4.29.2",)
    assert (card.class_name, card.options) == ("Old", {"layer": -1, "pool": "mean"})
    assert card.facts.pretraining == {"species": ["Homo sapiens"]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "old"', "", "name: Field required"),
        ('name = "old"', 'name = "../old"', "name: String should match"),
        ('class = "Old"', 'klass = "Old"', "class: Field required"),
        ("licence", "license", "card.license: Extra inputs"),
        ("context = 512", "context = 0", "card.context: Input should be greater"),
        ("4.29.2", "4.29 .2", "environment.packages: 'transformers==4.29 .2' is no requirement"),
        ("layer = -1", "layer = [1]", "options.layer"),
        ("[card]", "[card", "no TOML"),
    ],
)
def test_what_is_wrong_with_a_card_is_said(old: str, new: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, CARD.replace(old, new))
    with pytest.raises(DataError, match=f"card.toml: {message}"):
        read_card(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no such card; want a TOML file"):
        read_card(tmp_path)
    write(tmp_path, CARD)
    (tmp_path / "adapter.py").unlink()
    with pytest.raises(MissingData, match=r"adapter 'adapter.py' is not in"):
        read_card(tmp_path)


def test_the_code_does_not_run_unless_trusted(tmp_path: Path) -> None:
    write(tmp_path, CARD)
    (tmp_path / "adapter.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UsageError, match=r"adapter.py is Python code that would run here; .*--trust-remote-code"):
        load(f"worker:{tmp_path}")
    assert not (tmp_path / "ran").exists()


def test_an_environment_that_is_not_built_is_named(tmp_path: Path) -> None:
    write(tmp_path, CARD)
    with pytest.raises(
        MissingData, match=f"environment of old is not built; build it with `glmbench env build {tmp_path}`"
    ):
        load(f"worker:{tmp_path}", trust_remote_code=True)


def test_workers_have_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no revisions"):
        load("worker:folder@main")
