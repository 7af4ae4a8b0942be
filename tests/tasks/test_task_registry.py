import subprocess
import sys
from pathlib import Path

import pytest

from glmbench.errors import UsageError
from glmbench.storage.fetch import Access
from glmbench.tasks.registry import cards, find, names, open_task, versions

CARD = """
name = "mine/one"
title = "One"
metric = "mcc"
metrics = ["mcc"]

[[files]]
split = "test"
path = "one.csv"

[versions.2]
title = "One, again"
"""


def test_names_are_sorted_and_their_cards_are_of_that_name() -> None:
    assert list(names()) == sorted(set(names()))
    for card in cards():
        assert card.name in names()
        assert find(card.reference) == card
    assert find("gue/tf/0").version == 1


def test_versions_share_what_they_do_not_change() -> None:
    first, second = versions("genemask/prom-core")
    assert (first.version, second.version) == (1, 2)
    assert first.files == second.files
    assert first.derivation is None
    assert second.derivation is not None
    assert second.derivation.rule == "grouped-by-parent"
    assert (first.unit, second.unit) == ("example", "parent")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("genemask/promcore", "genemask/prom-core"),
        ("gue/prom_core_tata", "gue/prom/prom_core_tata"),
        ("gue/tf/9", "gue/tf/4"),
        ("covid", "gue/virus/covid"),
    ],
)
def test_an_unknown_name_says_which_come_close(asked: str, meant: str) -> None:
    with pytest.raises(UsageError, match=meant):
        find(asked)
    with pytest.raises(UsageError, match=meant):
        open_task(asked, Access(offline=True))


def test_an_unknown_version_says_which_there_are() -> None:
    with pytest.raises(UsageError, match=r"no version 3 of gue/tf/0; there is gue/tf/0@1, gue/tf/0@2"):
        find("gue/tf/0@3")


@pytest.mark.parametrize(
    "reference", ["", "@2", "../../etc/absent", "./absent.csv", "absent.tsv", "absent.toml", "a@b"]
)
def test_what_is_no_task_is_a_usage_error(reference: str) -> None:
    with pytest.raises(UsageError):
        open_task(reference, Access(offline=True))


def test_each_kind_of_reference_opens_its_kind_of_task(tmp_path: Path) -> None:
    access = Access(tmp_path / "cache", offline=True)
    assert open_task("gue/tf/0", access).card == find("gue/tf/0")
    assert type(open_task("gue/tf/0", access)).__name__ == "TableTask"
    derived = open_task("genemask/prom-core@2", access)
    assert type(derived).__name__ == "DerivedTask"
    assert derived.card.reference == "genemask/prom-core@2"
    assert derived.splits() == open_task("genemask/prom-core", access).splits()
    assert type(open_task("sim/promoter", access)).__name__ == "SimulatedTask"


def test_a_table_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.csv").write_text("sequence,label,split\nACGT,0,train\nGGCC,1,test\n")
    monkeypatch.chdir(tmp_path)
    for reference in ("./my.csv", "my.csv", str(tmp_path / "my.csv")):
        assert open_task(reference, Access(offline=True)).load("test")["sequence"].to_list() == ["GGCC"]


def test_a_card_of_ones_own_reads_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(CARD)
    (tmp_path / "one.csv").write_text("sequence,label\nACGT,0\nGGCC,1\n")
    reference = str(tmp_path / "one.toml")
    task = open_task(reference, Access(tmp_path / "cache", offline=True))
    assert task.card.reference == "mine/one@1"
    assert task.load("test").height == 2
    assert not (tmp_path / "cache").exists()
    assert open_task(f"{reference}@2", Access(offline=True)).card.title == "One, again"
    before = task.data_hash()
    (tmp_path / "one.csv").write_text("sequence,label\nACGT,1\nGGCC,0\n")
    assert open_task(reference, Access(offline=True)).data_hash() != before


@pytest.mark.parametrize(
    "text", ["name = ", "name = 'a'", "name = 'a'\ntitle = 't'\nmetric = 'm'\nmetrics = []\nodd = 1"]
)
def test_a_card_that_is_none_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.toml").write_text(text)
    with pytest.raises(UsageError, match="is not a task card"):
        open_task(str(tmp_path / "one.toml"), Access(offline=True))


def test_listing_cards_imports_nothing_heavy() -> None:
    code = (
        "import sys; from glmbench.tasks.registry import cards; assert cards()\n"
        "print(sorted({'numpy', 'polars', 'torch', 'sklearn', 'numba', 'http', 'urllib.request'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
