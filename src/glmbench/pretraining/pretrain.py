"""`pretrain`: from genomes to a folder that transformers opens. The parts do the work; this puts them in order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from glmbench.errors import DataError
from glmbench.pretraining import workspace
from glmbench.pretraining.corpus import Corpus, Source
from glmbench.pretraining.folder import LOG, save_finished, save_model, written
from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.optimisation import make_optimiser, make_plan
from glmbench.pretraining.preparation import Prepared, make_tokenizer, open_sources, prepare
from glmbench.pretraining.quality import evaluation, measure_quality
from glmbench.pretraining.recipe import Recipe
from glmbench.pretraining.report import make_report
from glmbench.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import nn

    from glmbench.training.loop import TrainingRecord

Made = TypeVar("Made")


def pretrain(
    sources: Sequence[Path | Source],
    out: Path,
    recipe: Recipe,
    *,
    held_out: HeldOut = HeldOut(),
    corpus_folder: Path | None = None,
    snapshots: bool = False,
    checkpoint_every: float = 60.0,
) -> dict[str, Any] | None:
    """Pre-train a network and measure it on what was held out. Given again, it goes on where it was interrupted.

    Args:
        sources: FASTA or GenBank files, or folders of them.
        out: the finished model's folder; appears whole or not at all. Until then the training lives in `out.training`.
        recipe: everything that decides the weights.
        held_out: what is never trained on, and evaluated on.
        corpus_folder: where the corpus is kept, to be shared by many trainings; None: in the cache.
        snapshots: also keep the model of every evaluation, as `out/snapshots/step-…`.
        checkpoint_every: seconds between checkpoints: what a crash costs at most. 0: after every step.

    Returns:
        What `out/pretraining.json` holds; None on all processes but the first of several.

    Raises:
        UsageError: `out` is there already, or is being made by another command; the recipe does not fit together; what
            was interrupted was of another recipe or corpus.
        DataError: the genomes cannot be trained on, or the model cannot be written.
        Unsupported: the objective cannot work with the tokenizer, or the precision with the device.
        DivergenceError: the training diverged; the last checkpoint is kept.
        CheckpointError: the checkpoint of what was interrupted is damaged.
    """
    from glmbench.training import distributed

    with distributed.process_group(), workspace.claimed(out, first=distributed.first()) as work:

        def read() -> tuple[Corpus, Tokenizer]:
            corpus = open_sources(sources, held_out, corpus_folder)
            if distributed.first():
                workspace.enter(work, recipe, corpus)
            return corpus, make_tokenizer(recipe, corpus, work / workspace.TOKENIZER)

        prepared = prepare(recipe, *_first_then_all(read))
        record = _train(prepared, out, work, snapshots=snapshots, checkpoint_every=checkpoint_every)
        if not distributed.first():
            return None
        quality = measure_quality(prepared)
        report = make_report(prepared, record, quality, work / LOG)
        save_finished(out, work, prepared, report, None if quality is None else quality.trained)
        return report


def _first_then_all(make: Callable[[], Made]) -> Made:
    """Let the first process make something that it keeps on disk, then the others, which find it there."""
    from glmbench.training import distributed

    if distributed.first():
        made = make()
        distributed.wait_for_all()
        return made
    distributed.wait_for_all()
    return make()


def _train(prepared: Prepared, out: Path, work: Path, *, snapshots: bool, checkpoint_every: float) -> TrainingRecord:
    from glmbench.training import distributed
    from glmbench.training.loop import train

    learner, part = prepared.learner, prepared.recipe.training
    evaluate = learner.perplexity or evaluation(prepared)
    keeper = _Snapshots(prepared, out.name, work) if snapshots and distributed.first() else None
    return train(
        learner.module,
        learner.batches,
        learner.loss,
        make_optimiser(learner.module, part),
        make_plan(part, prepared.network.device, may_rise=learner.becomes_harder),
        seed=part.seed,
        evaluate=evaluate if keeper is None or evaluate is None else keeper.noting(evaluate),
        observe=_all_told([learner.observe, None if keeper is None else keeper.observe]),
        checkpoint=work / workspace.CHECKPOINT,
        checkpoint_every=checkpoint_every,
        log=work / LOG,
        ahead=2,
        description="pre-training",
        score_name="perplexity" if learner.perplexity else "bits/base",
        unit="tokens",
    )


def _all_told(listeners: Sequence[Callable[[Sequence[float]], None] | None]) -> Callable[[Sequence[float]], None]:
    """Tells all who want to know of the evaluations so far."""

    def observe(scores: Sequence[float]) -> None:
        for listener in listeners:
            if listener is not None:
                listener(scores)

    return observe


class _Snapshots:
    """Keeps the model of every evaluation.

    The scores so far are also told when an interrupted training goes on. The network then has the weights of a
    checkpoint, which may be of a later step than the last evaluation: only what was evaluated just now is kept.
    """

    def __init__(self, prepared: Prepared, name: str, work: Path) -> None:
        self._prepared, self._name, self._work = prepared, name, work
        self._just_evaluated = False

    def noting(self, evaluate: Callable[[nn.Module], float]) -> Callable[[nn.Module], float]:
        """The same evaluation, after which a snapshot is due."""

        def evaluated(module: nn.Module) -> float:
            score = evaluate(module)
            self._just_evaluated = True
            return score

        return evaluated

    def observe(self, scores: Sequence[float]) -> None:
        """Write the network as it is, if it was evaluated just now; a full disk costs the snapshot, with a warning."""
        due, self._just_evaluated = self._just_evaluated, False
        training = self._prepared.recipe.training
        step = min(len(scores) * (training.evaluate_every or 1), self._prepared.steps)
        folder = self._work / workspace.SNAPSHOTS / f"step-{step:08d}"
        if not due or folder.exists():
            return
        card = {"name": f"{self._name}, step {step}", "pretraining": {"steps": step, "seed": training.seed}}
        try:
            with written("a snapshot", folder, self._work) as temporary:
                save_model(temporary, self._prepared.network, self._prepared.tokenizer, card)
        except DataError as error:
            print(
                f"glmbench: the snapshot of step {step} is left out, and the training goes on: {error.__cause__}",
                file=sys.stderr,
            )
