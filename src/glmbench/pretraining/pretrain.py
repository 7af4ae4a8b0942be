"""`pretrain`: from genomes to a folder that transformers opens. The parts do the work; this puts them in order.

While a training runs, `OUT.training` beside the folder-to-be holds tokenizer, checkpoint, log and snapshots.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from glmbench.environment import environment
from glmbench.errors import UsageError
from glmbench.pretraining import folder as folders
from glmbench.pretraining.bits_per_base import (
    FROZEN,
    BitsPerBase,
    FrozenEvaluation,
    HiddenBases,
    describe,
    hide_bases,
    measure,
)
from glmbench.pretraining.corpus import Corpus, Source, build_corpus, describe_request
from glmbench.pretraining.held_out import HeldOut
from glmbench.pretraining.learner import Learner, make_learner, sample_tokens
from glmbench.pretraining.markov_baseline import Reach, best_order, markov_baselines
from glmbench.pretraining.objectives.span_corruption import SENTINELS
from glmbench.pretraining.recipe import Recipe, TrainingPart, sized
from glmbench.sequences.alphabet import BASES, N
from glmbench.storage.atomic import atomic_folder, write_text
from glmbench.storage.cache import cache_folder
from glmbench.storage.hashing import sha256_json
from glmbench.tokenizers.tokenizer import Tokenizer, describe_settings

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from transformers import PreTrainedModel

    from glmbench.training.loop import TrainingRecord

Made = TypeVar("Made")

WHILE_TRAINING = FrozenEvaluation(windows=64)
"""Enough to see progress by, at an eighth of the time."""
TRAINED_ON = 200_000_000
"""Bases of a corpus that a tokenizer is trained on at most."""


def pretrain(
    sources: Sequence[Path | Source],
    out: Path,
    recipe: Recipe,
    *,
    held_out: HeldOut = HeldOut(),  # noqa: B008 (frozen)
    corpus_folder: Path | None = None,
    snapshots: bool = False,
) -> dict[str, Any] | None:
    """Pre-train a network and measure it on what was held out. Given again, it goes on where it was interrupted.

    Args:
        sources: FASTA or GenBank files, or folders of them.
        out: the finished model's folder; appears whole or not at all.
        recipe: everything that decides the weights.
        held_out: what is never trained on, and evaluated on.
        corpus_folder: where the corpus is kept, to be shared by many trainings; None: in the cache.
        snapshots: also keep the model of every evaluation, as `out/snapshots/step-…`.

    Returns:
        What `out/pretraining.json` holds; None on all processes but the first of several.

    Raises:
        UsageError: `out` is there already, or is being made by another process; the recipe does not fit together.
        DataError: the genomes cannot be trained on.
        DivergenceError: the training diverged; the last checkpoint is kept.
        CheckpointError: what was interrupted had another recipe.
    """
    from glmbench.training import distributed
    from glmbench.training.device import preferred_device

    with distributed.process_group(), _claimed(out, first=distributed.first()) as work:
        corpus = _first_then_all(lambda: open_sources(sources, held_out, corpus_folder))
        tokenizer = _first_then_all(lambda: make_tokenizer(recipe, corpus, work / "tokenizer"))
        network, recipe, tokens_per_crop = _prepared(recipe, corpus, tokenizer)
        cast(Any, network).to(preferred_device())
        learner = make_learner(recipe, corpus, tokenizer, network)
        record = _train(learner, recipe, corpus, tokenizer, work, snapshots=snapshots)
        if not distributed.first():
            return None
        quality, positions = _quality(learner, recipe, corpus, tokenizer)
        report = _report(learner, recipe, corpus, tokenizer, record, quality, tokens_per_crop)
        with atomic_folder(out) as temporary:
            folders.save_model(temporary, network, tokenizer, folders.model_card(out.name, report))
            (temporary / folders.REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
            (temporary / "README.md").write_text(folders.readme(out.name, report), encoding="utf-8")
            shutil.copy(work / folders.LOG, temporary / folders.LOG)
            if positions is not None:
                positions.positions.write_parquet(temporary / folders.POSITIONS)
            if (work / "snapshots").is_dir():
                shutil.copytree(work / "snapshots", temporary / "snapshots")
        shutil.rmtree(work)
        return report


def plan(
    sources: Sequence[Path | Source],
    recipe: Recipe,
    *,
    held_out: HeldOut = HeldOut(),  # noqa: B008 (frozen)
    corpus_folder: Path | None = None,
) -> dict[str, Any]:
    """What `pretrain` would do: sizes, steps, tokens and floating-point operations. Builds corpus and tokenizer.

    Raises:
        UsageError, DataError: as `pretrain`.
    """
    corpus = open_sources(sources, held_out, corpus_folder)
    tokenizer = make_tokenizer(recipe, corpus, None)
    network, recipe, tokens_per_crop = _prepared(recipe, corpus, tokenizer)
    learner = make_learner(recipe, corpus, tokenizer, network)
    steps, per_step = _steps(recipe), tokens_per_crop * recipe.data.batch
    bases = recipe.data.crop * recipe.data.batch * steps
    flops = _flops_per_step(network, recipe, tokens_per_crop, learner.hidden.tokens if learner.hidden else 1.0)
    return {
        "training_bases": corpus.training_bases,
        "species": sorted(set(corpus.species)),
        "tokenizer": tokenizer.name,
        "vocabulary": len(tokenizer.vocabulary),
        "network": recipe.network.name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "objective": learner.objective,
        "hidden": asdict(learner.hidden) if learner.hidden else {},
        "steps": steps,
        "lr": recipe.training.lr,
        "tokens_per_step": round(per_step),
        "tokens": round(per_step * steps),
        "bases": bases,
        "epochs": round(bases / corpus.training_bases, 2),
        "flops_per_step": flops,
        "flops": None if flops is None else flops * steps,
    }


def open_sources(sources: Sequence[Path | Source], held_out: HeldOut, corpus_folder: Path | None) -> Corpus:
    """The corpus of these sources: in its own folder, or in the cache under a hash of what it is made from."""
    if corpus_folder is None:
        request = describe_request(sources, held_out=held_out)
        corpus_folder = cache_folder() / "corpora" / sha256_json(request)[:16]
    return build_corpus(sources, corpus_folder, held_out=held_out)


def make_tokenizer(recipe: Recipe, corpus: Corpus, keep: Path | None) -> Tokenizer:
    """The recipe's tokenizer, trained on the training stretches if it must be; kept in the cache and in `keep`."""
    from glmbench.tokenizers.choices import ToTrain, parse_tokenizer, train_tokenizer
    from glmbench.tokenizers.saving import load_tokenizer

    if keep is not None and keep.is_dir():
        return load_tokenizer(keep)
    chosen = parse_tokenizer(recipe.tokenizer)
    if isinstance(chosen, ToTrain):
        cached = cache_folder() / "tokenizers" / sha256_json([corpus.content_hash(), chosen.name, TRAINED_ON])[:16]
        if not cached.is_dir():
            trained = train_tokenizer(chosen, sample_bases(corpus, TRAINED_ON))
            with atomic_folder(cached) as temporary:
                trained.save(temporary)
        chosen = load_tokenizer(cached)
    if keep is not None:
        with atomic_folder(keep) as temporary:
            chosen.save(temporary)
    return chosen


def sample_bases(corpus: Corpus, most: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Training stretches with an N between them, uint8; of a larger corpus evenly spaced pieces of 10 kb."""
    between = np.array([N], dtype=np.uint8)
    whole = corpus.training_bases <= most
    share = 1.0 if whole else most / corpus.training_bases
    pieces: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
    for codes in corpus.codes(corpus.training):
        cuts = [codes] if whole else [codes[i : i + int(10_000 * share)] for i in range(0, len(codes), 10_000)]
        for cut in cuts:
            pieces += [np.asarray(cut), between]
    return np.concatenate(pieces)


@contextmanager
def _claimed(out: Path, *, first: bool) -> Iterator[Path]:
    """The folder of a training in progress, which one command at a time may use.

    Raises:
        UsageError: the model is there already, or another process is making it.
    """
    from filelock import FileLock, Timeout

    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out, or remove it to train again")
    work = out.with_name(f"{out.name}.training")
    if not first:
        yield work
        return
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield work
    except Timeout:
        raise UsageError(f"another process is pre-training into {out}; wait for it, or choose another --out") from None


def _first_then_all(make: Callable[[], Made]) -> Made:
    """Let the first process make something that it keeps on disk, then the others, which find it there."""
    from glmbench.training import distributed

    if distributed.first():
        made = make()
        distributed.wait_for_all()
        return made
    distributed.wait_for_all()
    return make()


def _quality(
    learner: Learner, recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer
) -> tuple[list[dict[str, Any]], BitsPerBase | None]:
    """Bits per base on the frozen hidden bases: the network, its twin before training, Markov models of the corpus."""
    from glmbench.training.precision import resolve

    if learner.predictor is None:
        return [], None
    hidden = hide_bases(corpus)
    twin = fresh_network(recipe, tokenizer)
    cast(Any, twin).to(learner.network.device)
    with resolve("fp32", learner.network.device).matmuls():
        trained = measure(learner.predictor(learner.network), hidden)
        untrained = measure(learner.predictor(twin), hidden)
    rows = [_row("this model", trained), _row("the same before training", untrained)]
    return rows + _markov_rows(corpus, hidden), trained


def _markov_rows(corpus: Corpus, hidden: HiddenBases) -> list[dict[str, Any]]:
    """Order 0 and the best orders, one-sided and two-sided; kept in the cache, since many trainings share a corpus."""
    kept = cache_folder() / "markov" / f"{sha256_json([corpus.content_hash(), hidden.content_hash()])[:16]}.json"
    if kept.is_file():
        return list(json.loads(kept.read_text(encoding="utf-8")))
    baselines = markov_baselines(corpus, hidden)
    rows = [_row("order-0 Markov", baselines[0, "left"])]
    reaches: dict[Reach, str] = {"left": "left context", "both": "both sides"}
    for reach, words in reaches.items():
        order = best_order(baselines, reach)
        rows.append(_row(f"order-{order} Markov, {words}", baselines[order, reach]))
    write_text(kept, json.dumps(rows))
    return rows


def _row(model: str, result: BitsPerBase) -> dict[str, Any]:
    low, high = result.interval
    return {
        "model": model,
        "bits_per_base": result.value,
        "low": low,
        "high": high,
        "accuracy": result.accuracy,
        "positions": result.positions.height,
        "windows": result.positions["window"].n_unique(),
        "by_species": result.by_species().to_dicts(),
    }


def _report(
    learner: Learner,
    recipe: Recipe,
    corpus: Corpus,
    tokenizer: Tokenizer,
    record: TrainingRecord,
    quality: list[dict[str, Any]],
    tokens_per_crop: float,
) -> dict[str, Any]:
    parameters = sum(p.numel() for p in learner.network.parameters())
    hidden = asdict(learner.hidden) if learner.hidden else {}
    flops = _flops_per_step(learner.network, recipe, tokens_per_crop, hidden.get("tokens", 1.0))
    return {
        "recipe": recipe.model_dump(mode="json"),
        "network": {"name": recipe.network.name, "parameters": parameters, "flops_per_step": flops},
        "tokenizer": describe_settings(tokenizer) | {"bases_per_token": record.cost.bases / max(record.cost.units, 1)},
        "objective": learner.objective,
        "hidden": hidden,
        "corpus": _corpus_record(corpus),
        "steps": record.steps,
        "losses": {"first": record.losses[:1], "last": record.losses[-1:]},
        "evaluations": [list(evaluation) for evaluation in record.evaluations],
        "precision": asdict(record.precision),
        "cost": asdict(record.cost),
        "evaluation": describe(FROZEN, hide_bases(corpus)) if quality else {},
        "quality": quality,
        "notes": [*corpus.notes, *_notes(learner, recipe)],
        "environment": environment(),
    }


def _corpus_record(corpus: Corpus) -> dict[str, Any]:
    manifest = corpus.manifest
    keep = {"name": "name", "species": "species", "bases": "known", "held_out": "held_out", "sha256": "sha256"}
    files = [{ours: file[theirs] for ours, theirs in keep.items()} for file in manifest["files"]]
    return {
        "sha256": corpus.content_hash(),
        "species": sorted(set(corpus.species)),
        "training_bases": corpus.training_bases,
        "held_out": manifest["request"]["held_out"],
        "policy": manifest["request"]["policy"],
        "files": files,
    }


def _notes(learner: Learner, recipe: Recipe) -> list[str]:
    notes = []
    if learner.predictor is None:
        notes.append(f"bits per base are not defined for {recipe.network.name}: its decoder writes tokens, not bases")
    return notes


def _prepared(recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer) -> tuple[PreTrainedModel, Recipe, float]:
    """A network with fresh weights, the recipe with nothing left to derive, and the tokens of a crop."""
    tokens = sample_tokens(recipe, corpus, tokenizer)
    network = fresh_network(recipe, tokenizer)
    tokens_per_crop = len(tokens.ids) / len(tokens)
    complete = sized(
        recipe,
        width=int(getattr(network.config, "hidden_size", 768)),
        parameters=sum(p.numel() for p in network.parameters()),
        tokens_per_crop=tokens_per_crop,
    )
    return network, complete, tokens_per_crop


def fresh_network(recipe: Recipe, tokenizer: Tokenizer) -> PreTrainedModel:
    """The recipe's network before any training: always the same weights for one seed."""
    from glmbench.networks.choices import Vocabulary, make_network

    special, names = tokenizer.special, tokenizer.vocabulary
    bases = tuple(names.index(base) for base in BASES) if tokenizer.kind == "character" else None
    vocabulary = Vocabulary(
        len(names), special.pad, special.cls if special.sep is None else special.sep, cast(Any, bases)
    )
    return make_network(
        recipe.network.name,
        vocabulary,
        depth=recipe.network.depth,
        sizes=recipe.network.sizes,
        attention=recipe.network.attention,
        middle=recipe.objective.name == "middle-base",
        sentinels=SENTINELS,
        seed=recipe.training.seed,
    )


def _steps(recipe: Recipe) -> int:
    assert recipe.training.steps is not None  # `sized` has set it
    return recipe.training.steps


def _flops_per_step(network: PreTrainedModel, recipe: Recipe, tokens_per_crop: float, hidden: float) -> float | None:
    """Operations of an optimiser step, counted from the sizes; None for networks without such a count."""
    from glmbench.networks.sizes import sizes_of, training_flops_per_token

    try:
        sizes = sizes_of(network.config.to_dict())
    except UsageError:
        return None
    per_token = training_flops_per_token(sizes, round(tokens_per_crop), predicted=hidden)
    return per_token * tokens_per_crop * recipe.data.batch


def _train(
    learner: Learner, recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, work: Path, *, snapshots: bool
) -> TrainingRecord:
    from glmbench.training.guard import Guard
    from glmbench.training.loop import train
    from glmbench.training.plan import Plan
    from glmbench.training.precision import fast_bf16
    from glmbench.training.schedule import Schedule

    part, steps = recipe.training, _steps(recipe)
    device = next(learner.module.parameters()).device
    made = Plan(
        steps=steps,
        schedule=Schedule(part.schedule, warmup=round(part.warmup * steps)),
        precision=part.precision if part.precision != "auto" else "bf16" if fast_bf16(device) else "fp32",
        clip_norm=part.clip_norm,
        evaluate_every=part.evaluate_every,
        accumulate=part.accumulate,
        keep="last",
        guard=Guard(),
        compile=part.compile,
    )
    return train(
        learner.module,
        learner.batches,
        learner.loss,
        _optimiser(learner.module, part),
        made,
        seed=part.seed,
        evaluate=learner.perplexity or _evaluation(learner, corpus),
        observe=_observer(learner, recipe, tokenizer, work / "snapshots" if snapshots else None),
        checkpoint=work / "checkpoint",
        log=work / folders.LOG,
        ahead=2,
        description="pre-training",
        score_name="perplexity" if learner.perplexity else "bits/base",
        unit="tokens",
    )


def _evaluation(learner: Learner, corpus: Corpus) -> Callable[[nn.Module], float] | None:
    """Bits per base on a part of the frozen evaluation."""
    predictor = learner.predictor
    if predictor is None:
        return None
    hidden = hide_bases(corpus, WHILE_TRAINING)
    return lambda _: measure(predictor(learner.network), hidden).value


def _observer(
    learner: Learner, recipe: Recipe, tokenizer: Tokenizer, snapshots: Path | None
) -> Callable[[Sequence[float]], None]:
    """Tells the objective of evaluations, and keeps the model that was evaluated where snapshots are wanted."""
    from glmbench.training import distributed

    def observe(scores: Sequence[float]) -> None:
        if learner.observe is not None:
            learner.observe(scores)
        step = min(len(scores) * (recipe.training.evaluate_every or 1), _steps(recipe))
        if snapshots is not None and distributed.first():
            with atomic_folder(snapshots / f"step-{step:08d}") as temporary:
                card = {"name": f"step {step}", "pretraining": {"steps": step, "seed": recipe.training.seed}}
                folders.save_model(temporary, learner.network, tokenizer, card)

    return observe


def _optimiser(module: nn.Module, part: TrainingPart) -> Optimizer:
    from glmbench.training.optimiser import adafactor, adam, adamw

    assert part.lr is not None  # `sized` has set it
    if part.optimiser == "adafactor":
        return adafactor(module, lr=part.lr)
    if part.optimiser == "adam":
        return adam(module, lr=part.lr, betas=part.betas, eps=part.eps)
    return adamw(
        module,
        lr=part.lr,
        weight_decay=part.weight_decay,
        betas=part.betas,
        eps=part.eps,
        decay=part.decay,
        coupling=part.coupling,
    )
