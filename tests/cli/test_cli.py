from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from frame_task import write_table
from glmbench import cli
from glmbench.tasks.registry import names

VERBS = ("ls", "show", "get", "check", "plan", "run", "compare", "report", "cite", "npmi", "doctor")
HEAVY = ("torch", "transformers", "sklearn", "scipy", "numba", "altair", "vl_convert", "polars", "pandas", "jinja2")


def glmbench(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "glmbench", *words], capture_output=True, text=True, cwd=cwd, check=False
    )


def imported_by(*words: str) -> set[str]:
    """Top-level packages in `sys.modules` when the command ends."""
    code = (
        "import sys; sys.argv = ['glmbench', *sys.argv[1:]]\n"
        "from glmbench.cli import main\n"
        "try: main()\n"
        "finally: print('\\n@', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    return set(done.stderr.rpartition("@")[2].split())


@pytest.mark.parametrize("words", [("--help",), *((verb, "--help") for verb in VERBS)])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    modules = imported_by(*words)
    assert "typer" in modules
    assert modules.isdisjoint({*HEAVY, "numpy"})


def test_ls_imports_nothing_heavy() -> None:
    assert imported_by("ls", "tasks").isdisjoint(HEAVY)


def test_every_verb_says_what_it_does() -> None:
    out = glmbench("--help").stdout
    assert all(f"  {verb} " in out for verb in VERBS)


def test_ls_lists_every_task() -> None:
    rows = json.loads(glmbench("ls", "tasks", "--json").stdout)
    assert [row["name"] for row in rows] == list(names())
    for what in ("models", "suites", "methods", "metrics"):
        assert json.loads(glmbench("ls", what, "--json").stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "nonsense"),
        ("show", "gue/tf/99"),
        ("run", "-m", "kmer:3", "-t", "no/such"),
        ("run", "-m", "nosuch:3", "-t", "sim/promoter"),
        ("run",),
        ("run", "-m", "kmer:3", "-t", "sim/promoter", "--budget", "many"),
        ("run", "-m", "kmer:3", "-t", "sim/promoter", "--precision", "fp8"),
        ("run", "--no-such-option"),
        ("compare", "--store", "nowhere"),
    ],
)
def test_what_cannot_be_understood_exits_with_2_and_without_a_trace(words: tuple[str, ...], tmp_path: Path) -> None:
    done = glmbench(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_run_compare_report_on_a_table_of_ones_own(tmp_path: Path) -> None:
    table, store = str(write_table(tmp_path / "mine")), str(tmp_path / "store")
    done = glmbench("run", "-t", table, "-m", "kmer:1", "-m", "kmer:3", "--no-controls", "--store", store, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["model"] for line in lines] == ["kmer:1", "kmer:3"]
    assert {(line["task"], line["version"]) for line in lines} == {("mine", 1)}
    wanted = {"task", "model", "method", "budget", "seed", "metrics", "ci", "cost", "status"}
    assert wanted <= lines[0].keys()
    assert done.stderr == ""  # no progress bar in a pipe

    compared = glmbench("compare", "kmer:1", "kmer:3", "--store", store, "--json")
    (pair,) = [json.loads(line) for line in compared.stdout.splitlines()]
    assert {pair["a"], pair["b"]} == {"kmer:1", "kmer:3"}
    assert pair["low"] <= pair["estimate"] <= pair["high"]
    assert "rank" in glmbench("compare", "--store", store).stdout

    made = glmbench("report", "--store", store, "--out", str(tmp_path / "report"), "--json")
    assert made.returncode == 0, made.stderr
    page = Path(json.loads(made.stdout)["page"])
    assert "kmer:3" in page.read_text()


def test_plan_runs_nothing_and_says_what_is_left(tmp_path: Path) -> None:
    table, store = str(write_table(tmp_path / "mine")), tmp_path / "store"
    common = ("-t", table, "-m", "kmer:1", "--no-controls", "--store", str(store))
    (line,) = map(json.loads, glmbench("plan", *common, "--json").stdout.splitlines())
    assert (line["jobs"], line["done"], line["train_rows"]) == (1, 0, 120)
    assert line["seconds"] > 0
    assert not (store / "results").exists()
    assert glmbench("run", *common).returncode == 0
    (line,) = map(json.loads, glmbench("plan", *common, "--json").stdout.splitlines())
    assert (line["jobs"], line["done"], line["seconds"]) == (1, 1, 0)


def test_absent_data_are_a_skip_and_no_failure(tmp_path: Path) -> None:
    words = ("run", "-t", "gue/EMP/H3", "-m", "kmer:3", "--no-controls", "--offline", "--store", str(tmp_path / "s"))
    done = glmbench(*words, "--json")
    assert done.returncode == 0
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["status"] == "skip"
    assert "glmbench get gue/EMP/H3" in line["reason"]


def test_a_failed_job_exits_with_1_and_the_others_are_done(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text('{"model_type": "bert", "hidden_size": "x"}')
    table, store = str(write_table(tmp_path / "mine")), str(tmp_path / "s")
    done = glmbench("run", "-t", table, "-m", f"hf:{checkpoint}", "-m", "kmer:3", "--no-controls", "--store", store)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "FAILED" in done.stdout
    assert "kmer:3" in done.stdout


def test_a_table_that_cannot_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "mine")
    rows = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([*rows, "ACGTACGT,"]))  # a label is missing
    done = glmbench("run", "-t", str(folder), "-m", "kmer:3", "--no-controls", "--store", str(tmp_path / "s"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "train.csv" in done.stderr


def test_check_prints_findings_as_json(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "mine")
    copied = (folder / "train.csv").read_text().splitlines()[1]
    with (folder / "test.csv").open("a") as file:
        file.write(copied + "\n")
    found = json.loads(glmbench("check", str(folder), "--json").stdout)
    copies = [f for f in found if (f["kind"], f["a"], f["b"]) == ("exact-duplicate", "train", "test")]
    assert [(f["count"], f["of"]) for f in copies] == [(1, 61)]


def test_cite_prints_each_entry_once() -> None:
    out = glmbench("cite", "genemask", "genemask/prom-core", "genemask/splice-40").stdout
    assert out.count("@software{glmbench") == 1
    assert out.count("GeneMask") >= 1
    assert out.count("@inproceedings{roy2023genemask") == 1


def test_doctor_tries_a_model() -> None:
    done = glmbench("doctor", "-m", "kmer:3", "--json")
    assert done.returncode == 0, done.stdout
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert found["embed: shape"]["found"].startswith("(4, 64)")
    assert found["embed: deterministic"] == {"what": "embed: deterministic", "found": "yes", "ok": True}


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    assert warnings.formatwarning("a field is odd", UserWarning, "file.py", 7) == "glmbench: a field is odd\n"


def test_get_from_a_mirror_and_without_one(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMBENCH_CACHE", str(tmp_path))
    missing = glmbench("get", "gue/mouse/2", "--offline", "--json")
    assert missing.returncode == 1
    assert {json.loads(line)["status"] for line in missing.stdout.splitlines()} == {"missing"}
    got = glmbench("get", "gue/mouse/2", "--mirror", str(shared_data), "--offline", "--json")
    assert got.returncode == 0
    assert {json.loads(line)["status"] for line in got.stdout.splitlines()} == {"verified"}
