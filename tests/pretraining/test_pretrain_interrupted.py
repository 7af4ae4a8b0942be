"""A pre-training that is killed, or whose disk fills, goes on to the very same weights; another recipe does not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from interrupted import happens_at_second_evaluation, interruptible
from small_training import HELD_OUT, recipe, write_genome

from glmbench.errors import UsageError
from glmbench.pretraining import pretrain as module
from glmbench.pretraining import workspace
from glmbench.pretraining.folder import LOG
from glmbench.pretraining.preparation import make_tokenizer, open_sources
from glmbench.pretraining.pretrain import pretrain
from glmbench.pretraining.recipe import Recipe, changed


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_genome(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="module")
def expected(genome: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without an interruption."""
    out = tmp_path_factory.mktemp("expected") / "model"
    pretrain([genome], out, interruptible(), held_out=HELD_OUT)
    return out


def in_a_process(genome: Path, out: Path, what: str) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).with_name("interrupted.py")
    call = [sys.executable, str(program), str(genome), str(out), what, str(torch.get_num_threads())]
    return subprocess.run(call, cwd=program.parent, capture_output=True, text=True, timeout=600, check=False)


def stops(monkeypatch: pytest.MonkeyPatch, genome: Path, out: Path, chosen: Recipe) -> None:
    """Begin a training that fails in its second evaluation."""

    def fail() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluation", module.evaluation)  # put back what the next line changes
        happens_at_second_evaluation(fail)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrain([genome], out, chosen, held_out=HELD_OUT, checkpoint_every=0.0)


def goes_on_as_expected(genome: Path, out: Path, expected: Path) -> None:
    pretrain([genome], out, interruptible(), held_out=HELD_OUT)
    assert (out / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    losses = [[json.loads(line)["loss"] for line in (f / LOG).read_text().splitlines()] for f in (out, expected)]
    assert losses[0] == losses[1]
    assert not out.with_name("model.training").exists()


def test_kill_9(genome: Path, expected: Path, tmp_path: Path) -> None:
    done = in_a_process(genome, tmp_path / "model", "kill")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "model").exists()
    assert workspace.last_step(tmp_path / "model.training") == 5
    goes_on_as_expected(genome, tmp_path / "model", expected)


def test_a_disk_that_fills(genome: Path, expected: Path, tmp_path: Path) -> None:
    done = in_a_process(genome, tmp_path / "model", "fill")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert any("the checkpoint of step 6 cannot be written" in line for line in said)
    assert said[-1].startswith(f"DataError: the trained model cannot be written to {tmp_path / 'model'} (")
    assert "it goes on from the last checkpoint" in said[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["model.training"]
    assert workspace.last_step(tmp_path / "model.training") == 5
    goes_on_as_expected(genome, tmp_path / "model", expected)


def test_going_on_keeps_no_snapshot_of_an_evaluation_that_was_before(
    genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    stops(monkeypatch, genome, out, interruptible())  # evaluated after step 3, the checkpoint is of step 5
    pretrain([genome], out, interruptible(), held_out=HELD_OUT, snapshots=True)
    assert sorted(path.name for path in (out / "snapshots").iterdir()) == ["step-00000006", "step-00000008"]


def test_a_snapshot_without_room_is_left_out_with_a_warning(
    genome: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save, calls = module.save_model, []

    def once_full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise OSError(ENOSPC, "No space left on device")
        save(*args)

    monkeypatch.setattr(module, "save_model", once_full)
    pretrain([genome], tmp_path / "model", interruptible(), held_out=HELD_OUT, snapshots=True)
    said = capsys.readouterr().err
    assert "the snapshot of step 3 is left out, and the training goes on: " in said
    assert "No space left on device" in said
    names = sorted(path.name for path in (tmp_path / "model" / "snapshots").iterdir())
    assert names == ["step-00000006", "step-00000008"]
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "model", expected)]
    assert weights[0] == weights[1]


def test_another_recipe_is_told_from_the_interrupted_one(
    genome: Path, expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    stops(monkeypatch, genome, out, interruptible())
    others = {
        r"tokenizer was 'kmer:3', now is 'character'": {"tokenizer": "character", "objective.name": "uniform"},
        r"training.lr was 0.003, now is 0.1; ask": {"training.lr": 0.1},
    }
    for message, changes in others.items():
        with pytest.raises(UsageError, match=f"interrupted training, at step 5, of something else: .*{message}"):
            pretrain([genome], out, changed(interruptible(), changes), held_out=HELD_OUT)
    longer = tmp_path / "longer"
    longer.mkdir()
    with pytest.raises(UsageError, match="the genomes, or what is held out of them, are others"):
        pretrain([write_genome(longer, 21_000)], out, interruptible(), held_out=HELD_OUT)
    assert workspace.last_step(tmp_path / "model.training") == 5
    goes_on_as_expected(genome, out, expected)


def test_before_its_first_checkpoint_a_training_may_become_another(genome: Path, tmp_path: Path) -> None:
    work = workspace.folder_of(tmp_path / "model")  # as a training by BPE leaves it that is killed early
    work.mkdir()
    corpus, chosen = open_sources([genome], HELD_OUT, None), recipe("bpe:64")
    workspace.enter(work, chosen, corpus)
    assert make_tokenizer(chosen, corpus, work / workspace.TOKENIZER).kind == "bpe"
    report = pretrain([genome], tmp_path / "model", recipe("kmer:3"), held_out=HELD_OUT)
    assert report is not None
    assert report["tokenizer"]["name"] == "kmer-3"
    assert not work.exists()


def test_a_folder_that_is_there_or_being_made_is_refused(genome: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.with_name("model.training").mkdir()
    with (
        FileLock(tmp_path / "model.training" / "lock"),
        pytest.raises(UsageError, match=r"another command is pre-training into .*model; wait for it"),
    ):
        pretrain([genome], out, recipe(), held_out=HELD_OUT)
    out.mkdir()
    with pytest.raises(UsageError, match="model is there already; choose another --out"):
        pretrain([genome], out, recipe(), held_out=HELD_OUT)
