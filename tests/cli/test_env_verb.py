from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glmbench.cli import app
from glmbench.errors import GlmbenchError, UsageError
from wheels import use_only

CARD = """
name = "tiny-model"
adapter = "adapter.py"
class = "Model"
[environment]
packages = ["tiny<2"]
"""


def run(*words: object) -> str:
    """Standard output of `glmbench env …`; errors meant for people are raised."""
    done = CliRunner().invoke(app, ["env", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "cache"))
    use_only(tmp_path / "wheels", monkeypatch)
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "card.toml").write_text(CARD)
    (tmp_path / "card" / "adapter.py").write_text("")
    return tmp_path / "card"


def test_build_list_and_remove(card: Path, tmp_path: Path) -> None:
    assert run("ls") == f"no environments in {tmp_path / 'cache' / 'environments'}\n"
    built = json.loads(run("build", card, "--json"))
    assert (built["name"], built["packages"]) == ("tiny-model", ["numpy==1.0", "tiny==1.0"])
    assert run("build", f"worker:{card}/card.toml").startswith("tiny-model: Python 3.")  # nothing is done again
    row = run("ls").strip().splitlines()[-1].split()
    assert (row[0], row[2]) == (Path(built["folder"]).name, "tiny<2")
    assert json.loads(run("ls", "--json")) == built
    assert run("remove", "tiny-model") == f"removed: {built['folder']}\n"
    assert not Path(built["folder"]).exists()
    with pytest.raises(UsageError, match="no environment 'tiny-model'; built are: none"):
        run("remove", "tiny-model")


def test_what_cannot_be_built(card: Path) -> None:
    with pytest.raises(GlmbenchError, match="no such card"):
        run("build", card / "elsewhere.toml")
    file = card / "card.toml"
    file.write_text(CARD.replace("tiny<2", "tiny>=3"))
    with pytest.raises(GlmbenchError, match="No matching distribution"):
        run("build", file)
    file.write_text(CARD.partition("[environment]")[0])
    with pytest.raises(UsageError, match=r"the card names no \[environment\]"):
        run("build", file)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['glmbench', 'env', 'build', '--help']\n"
        "from glmbench.cli import main\n"
        "try: main()\n"
        "finally: print('@', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "--again" in done.stdout
    modules = set(done.stderr.rpartition("@")[2].split())
    assert modules.isdisjoint({"torch", "transformers", "numba", "numpy", "polars"})
