from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from glmbench.errors import GlmbenchError, MissingData, UsageError
from glmbench.models.workers import environment, interpreters
from glmbench.models.workers.environment import Environment
from wheels import use_only

TINY = Environment(packages=("tiny<2",))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "cache"))
    use_only(tmp_path / "wheels", monkeypatch)


def test_build_find_list_and_remove() -> None:
    assert environment.find(TINY, "one") is None
    assert environment.installed() == []
    with pytest.raises(MissingData, match="the private environment of one is not built; build it with `do this`"):
        environment.require(TINY, "one", "do this")
    folder = environment.build(TINY, "one")
    found = environment.require(TINY, "one", "")
    assert (found.folder, environment.installed()) == (folder, [found])
    assert found.manifest.packages == ("numpy==1.0", "tiny==1.0")
    assert found.manifest.python == ".".join(map(str, sys.version_info[:3]))
    code = "import tiny, sys; print(tiny.version, 'pydantic' in sys.modules); import pydantic"
    run = subprocess.run([found.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["1.0", "False"]
    assert "No module named 'pydantic'" in run.stderr  # nothing of ours is seen
    with pytest.raises(UsageError, match=f"no environment 'two'; built are: {folder.name}"):
        environment.remove("two")
    assert environment.remove("one") == [folder]
    assert not folder.exists()
    assert environment.installed() == []


def test_the_hash_is_of_what_is_asked_for() -> None:
    hashes = {
        Environment(packages=packages, constraints=constraints, python=python).content_hash()
        for packages, constraints, python in [
            (("a", "b"), (), None),
            (("b", "a"), (), None),
            (("a",), ("b",), None),
            (("a", "b"), (), ">=3.9"),
        ]
    }
    assert len(hashes) == 3
    assert Environment(packages=("tiny<2",)).content_hash() == TINY.content_hash()
    assert environment.folder_of(TINY, "one").name.startswith("one-")


def test_a_constraint_holds_for_what_comes_along() -> None:
    held = Environment(packages=("wants",), constraints=("tiny<2",))
    environment.build(held, "wants")
    assert "tiny==1.0" in environment.require(held, "wants", "").manifest.packages


def test_what_pip_cannot_install_leaves_nothing() -> None:
    wanted = Environment(packages=("tiny==3",))
    with pytest.raises(GlmbenchError, match=r"pip cannot install tiny==3; its last words:\n(.|\n)*No matching distr"):
        environment.build(wanted, "bad")
    assert not environment.folder_of(wanted, "bad").exists()
    assert environment.installed() == []


def test_what_a_killed_builder_left_is_cleared_away() -> None:
    folder = environment.folder_of(TINY, "one")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half a file")
    (folder / "glmbench-environment.json").write_text('{"name": "one"')
    assert environment.find(TINY, "one") is None
    assert environment.installed() == []
    environment.build(TINY, "one")
    assert environment.find(TINY, "one") is not None


def test_of_two_builders_one_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    fill = environment._fill

    def counting(*arguments: object) -> None:
        built.append("one")
        fill(*arguments)

    monkeypatch.setattr(environment, "_fill", counting)
    threads = [threading.Thread(target=environment.build, args=(TINY, "one")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["one"]
    (environment.folder_of(TINY, "one") / "bin" / "python").unlink()  # as when the Python it was made with is updated
    assert environment.find(TINY, "one") is None
    environment.build(TINY, "one")
    assert built == ["one", "one"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"packages": ["--index-url=http://elsewhere"]}, "'--index-url=http://elsewhere' is no requirement"),
        ({"packages": ["torch=1"]}, "'torch=1' is no requirement"),
        ({"packages": ["torch"], "constraints": ["-r x"]}, "'-r x' is no requirement"),
        ({"packages": ["torch"], "python": "3.8"}, "'3.8' is no constraint on versions"),
        ({"packages": ["torch"], "pip": "x"}, "Extra inputs"),
        ({}, "Field required"),
    ],
)
def test_what_is_no_environment(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Environment.model_validate(fields)


def test_a_python_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(GlmbenchError, match=r"no Python <3.8 is here, only .* \(3\.\d+\.\d+\); install one"):
        environment.build(Environment(packages=("tiny",), python="<3.8"), "old")
    with pytest.raises(GlmbenchError, match=r"only /nowhere/python \(does not run\)"):
        environment.build(TINY, "old", python=Path("/nowhere/python"))


def test_ours_is_taken_if_it_fits_else_one_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreters.find_python(">=3.11")[0] == Path(sys.executable)
    for name, line in (("python3.9", "echo 3.9.7"), ("python3.10", "exit 1"), ("python3.8", "echo 3.8.1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert interpreters.find_python(">=3.8,<3.11") == (tmp_path / "python3.9", "3.9.7")
    assert interpreters.find_python("==3.8.*") == (tmp_path / "python3.8", "3.8.1")


def test_what_leads_to_our_packages_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in interpreters.OURS:
        monkeypatch.setenv(name, "somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    variables = interpreters.clean_variables()
    assert not set(interpreters.OURS) & set(variables)
    assert (variables["OMP_NUM_THREADS"], variables["PYTHONNOUSERSITE"]) == ("1", "1")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(GlmbenchError, match=r"cannot write .*file.*: Not a directory; .* GLMBENCH_CACHE"):
        environment.build(TINY, "one")
