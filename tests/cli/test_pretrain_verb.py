"""`glmbench pretrain`: what it prints, and one clear line for everything that cannot be done."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from glmbench.cli import app
from glmbench.cli.pretrain_text import large, named
from glmbench.errors import DataError, GlmbenchError, UsageError
from glmbench.models.registry import load as load_model
from glmbench.pretraining import pretrain as module
from glmbench.tokenizers.kmer import KmerTokenizer

TINY = ["--tokenizer", "character", "--depth", "1", "--crop", "64", "--batch", "4", "--steps", "4",
        "--precision", "fp32", "--set", "training.evaluate_every=2"]  # fmt: skip


def run(*words: object) -> str:
    """Standard output of `glmbench pretrain …`; errors meant for people are raised."""
    done = CliRunner().invoke(app, ["pretrain", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def process(*words: object) -> subprocess.CompletedProcess[str]:
    """`python -m glmbench pretrain …`."""
    call = [sys.executable, "-m", "glmbench", "pretrain", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, timeout=600, check=False)


def letters(number: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), number))


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">a\n{letters(12_000)}\n>b\n{letters(4_000, 1)}\n")
    return path


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['glmbench', 'pretrain', '--help']\n"
        "from glmbench.cli import main\n"
        "try: main()\n"
        "finally: print('@', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "--checkpoint-every" in done.stdout
    modules = set(done.stderr.rpartition("@")[2].split())
    assert modules.isdisjoint({"torch", "transformers", "tokenizers", "numba", "numpy", "polars"})


def test_pretrain_says_how_good_and_what_next(genome: Path, tmp_path: Path) -> None:
    done = process(genome, "--out", tmp_path / "model", "--hold-out", "b", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("dnabert2: 71,241 weights, 4 steps, 1,056 tokens, 1,024 bases in ")
    assert "tokens/s end to end" in lines[1]
    assert "of this device's matrix products" in lines[1]
    assert lines[2] == "Bits per base of the same 120 hidden bases in 8 held-out windows"
    assert any(line.startswith("order-0 Markov ") for line in lines)
    assert lines[-1] == f"Next: glmbench run --suite genemask --model hf:{tmp_path / 'model'}"


def test_json(genome: Path, tmp_path: Path) -> None:
    out = run(genome, "--out", tmp_path / "model", "--hold-out", "b", *TINY, "--json")
    assert json.loads(out) == json.loads((tmp_path / "model" / "pretraining.json").read_text())


def test_plan(genome: Path, tmp_path: Path) -> None:
    words = (genome, "--out", tmp_path / "model", "--hold-out", "b", *TINY, "--plan")
    text = dict(line.split(maxsplit=1) for line in run(*words).splitlines())
    assert text["corpus"] == "12 k bases to train on, 4,000 held out"
    assert text["network"] == "dnabert2, 71.2 k weights"
    assert text["steps"] == "4 of 264 tokens, peak rate 0.0017"
    assert text["time"].startswith("about ")
    plan = json.loads(run(*words, "--json"))
    assert (plan["steps"], plan["tokens"], plan["species"]) == (4, 1_056, ["toy"])
    assert not list(tmp_path.iterdir())


def test_numbers_and_names_for_people() -> None:
    assert [large(n) for n in (0, 9_999, 10_000, 1_234_567, 2.5e12)] == ["0", "9,999", "10 k", "1.23 M", "2.5 T"]
    assert named(list("abcdef")) == "a, b, c, d, e, f"
    assert named(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_lower_case_is_read_and_noted(tmp_path: Path) -> None:
    (tmp_path / "low.fa").write_text(f">a\n{letters(6_000).lower()}\n>b\n{letters(2_000, 1).lower()}\n")
    out = run(tmp_path / "low.fa", "--out", tmp_path / "model", "--hold-out", "b", *TINY)
    assert "note: low.fa: all letters are lower case, so nothing is known of masked repeats" in out


def bad(folder: Path, name: str) -> Path:
    """A file that is no genome."""
    path = folder / f"{name}.fa"
    if name == "truncated":
        path = folder / "truncated.fa.gz"
        path.write_bytes(gzip.compress(f">a\n{letters(50_000)}\n".encode())[:-4_000])
        return path
    text = {
        "empty": "",
        "headers": ">a\n>b\n",
        "blank": f">a\n{'N' * 5_000}\n",
        "protein": ">p\nMKVLAAGIVGLLLAQWERTYIPASDFGHKLCVNM\n",
        "twice": f">a\n{letters(600)}\n>a\n{letters(600, 1)}\n",
        "short": f">a\n{letters(30)}\n",
        "prose": "this is no FASTA\n",
    }
    if name in text:
        path.write_text(text[name])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty"),
        ("headers", "no sequence|no base|empty"),
        ("blank", "no known base"),
        ("protein", "looks like protein|is this protein"),
        ("twice", "twice|more than once|duplicate"),
        ("truncated", "truncated"),
        ("absent", "there is no file or folder"),
        ("short", "no crop of 50 bases|holds out no"),
        ("prose", "FASTA|header"),
    ],
)
def test_what_is_no_genome_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    path = bad(tmp_path, name)
    with pytest.raises(GlmbenchError, match=message) as caught:
        run(path, "--out", tmp_path / "model", *TINY)
    assert path.name in str(caught.value) or name == "short"
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "model.training").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "nonsense"), "no recipe 'nonsense': want a TOML file or one of dnabert2, "),
        (("--set", "training.learning_rate=1"), "recipe after changes: training.learning_rate: Extra inputs"),
        (("--set", "nonsense.lr=1"), "there is no part 'nonsense'; parts are "),
        (("--set", "training.lr"), "want KEY=VALUE"),
        (("--lr", "-1"), "training.lr: Input should be greater than 0"),
        (("--precision", "fp8"), "training.precision: Input should be 'auto', 'fp32' or 'bf16'"),
        (("--tokenizer", "nonsense"), "is neither a path that exists nor a kind"),
        (("--objective", "genemask"), "hides runs of overlapping k-mers"),
        (("--objective", "next-base"), "does not go with network dnabert2"),
        (("--network", "genomenet-lstm", "--objective", "next-base", "--depth", "2"), "has no depth to choose"),
        (("--hold-out", "c"), "c"),
        (("--network", "dnabert", "--tokenizer", "kmer:6", "--crop", "600"), "has 512 positions: crop at most 514"),
    ],
)
def test_what_cannot_be_asked_is_one_line(words: tuple[str, ...], message: str, genome: Path, tmp_path: Path) -> None:
    with pytest.raises(GlmbenchError, match=message) as caught:
        run(genome, "--out", tmp_path / "model", *TINY, *words)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_broken_recipe_file_is_one_line(genome: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("tokenizer = [\n")
    with pytest.raises(UsageError, match=r"broken.toml is no TOML: "):
        run(genome, "--out", tmp_path / "model", "--recipe", tmp_path / "broken.toml")


def test_errors_have_exit_codes_and_no_trace(genome: Path, tmp_path: Path) -> None:
    wrong = process(genome, "--out", tmp_path / "model", *TINY, "--recipe", "nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("glmbench: no recipe 'nonsense'")
    assert wrong.stderr.count("\n") == 1
    (tmp_path / "n.fa").write_text(f">n\n{'N' * 500}\n")
    blank = process(tmp_path / "n.fa", "--out", tmp_path / "model", *TINY)
    assert blank.returncode == 1
    assert blank.stderr.count("\n") == 1


def test_a_finished_model_is_not_overwritten(genome: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match="is there already; choose another --out, or remove it"):
        run(genome, "--out", tmp_path / "model", *TINY)


def test_a_tokenizer_of_another_model_is_told_from_the_weights(genome: Path, tmp_path: Path) -> None:
    run(genome, "--out", tmp_path / "model", "--hold-out", "b", *TINY)
    KmerTokenizer(6).save(tmp_path / "model")
    with pytest.raises(DataError, match="the tokenizer has 4,101 tokens, the network 9; they are of different check"):
        load_model(f"hf:{tmp_path / 'model'}")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A shell that starts something in the background has it ignore Ctrl-C, the tests' own process as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("at", ["start", "step 2"])
def test_ctrl_c_says_how_to_go_on(at: str, genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluation(_: object) -> Callable[[object], float]:
        def interrupted(_: object) -> float:
            os.kill(os.getpid(), signal.SIGINT)
            return 2.0

        if at == "start":
            interrupted(None)
        return interrupted

    words = (genome, "--out", tmp_path / "model", "--hold-out", "b", *TINY, "--checkpoint-every", "0")
    monkeypatch.setattr(module, "evaluation", evaluation)
    done = CliRunner().invoke(app, ["pretrain", *map(str, words)])
    assert done.exit_code == 130
    said = "interrupted before the first checkpoint; the same command starts again"
    if at == "step 2":
        said = f"interrupted; {tmp_path / 'model.training'} keeps step 1, the same command goes on from there"
    assert done.stderr == f"glmbench: {said}\n"
