"""The study of docs/study.md: which masking and which tokenizer, at the size two processor cores allow.

    python studies/pretraining.py train  --data ../shared/data --out study --jobs 2
    python studies/pretraining.py score  --data ../shared/data --out study --jobs 2
    python studies/pretraining.py tables --out study

Every step does what is missing, so each command may be interrupted and given again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

Scores = dict[tuple[str, str, int], list[float]]
"""Scores over draws by model, task and step."""

SEEDS = (1, 2, 3)
STEPS, CROP, BATCH, DEPTH, RATE = 400, 256, 8, 2, 2e-3
SNAPSHOTS = 5
"""Models that are kept along the way, where the score against steps is wanted."""
LATEST = 240
"""Step of the last snapshot that is scored; the finished models are."""
TOKENS, NUCLEOTIDES = 0.15, 0.05
"""Shares that are hidden, of tokens or of nucleotides: the two budgets."""
MASKINGS = (
    "uniform",
    "contiguous",
    "genemask",
    "genemask-released-2025-03",
    "random-spans",
    "genemask-permuted",
    "genemask-inverse",
    "genemask-frequency",
)
TOKENIZERS = ("character", "kmer:6", "bpe:256", "bpe:4096", "bpe:32768")
FEW_SHOT = ("gpra.csv", "ecoli.csv", "genemask/prom-core", "genemask/splice-40", "gue/tf/0")
"""The first two are of species in the corpus, the others out of domain."""


@dataclass(frozen=True)
class Arm:
    """One way to pre-train; each seed makes one model of it."""

    name: str
    tokenizer: str = "kmer:6"
    objective: str = "contiguous"
    hide: float = TOKENS
    of: str = "tokens"
    steps: int = STEPS
    human: bool = False
    """With 3 Mb of human chromosome 1 in the corpus."""
    snapshots: bool = False


def arms(out: Path) -> list[Arm]:
    """All arms; those at equal FLOPs once `train` has written how many steps they have."""
    by_tokens = [Arm(f"a-tokens-{m}", objective=m, snapshots=m in ("contiguous", "genemask")) for m in MASKINGS]
    by_bases = [Arm(f"a-bases-{m}", objective=m, hide=NUCLEOTIDES, of="nucleotides") for m in MASKINGS]
    human = [Arm(f"a-human-{m}", objective=m, human=True) for m in ("contiguous", "genemask")]
    tokenizers = [Arm(f"b-bases-{t.replace(':', '-')}", t, "uniform") for t in TOKENIZERS]
    equal = json.loads((out / "steps.json").read_text()) if (out / "steps.json").is_file() else {}
    flops = [Arm(f"b-flops-{t.replace(':', '-')}", t, "uniform", steps=equal[t]) for t in TOKENIZERS if t in equal]
    return [*by_tokens, *tokenizers, *by_bases, *flops, *human]


def sources(data: Path, human: bool) -> list[str]:
    """The corpus: yeast and ten prokaryotes and an archaeon, and perhaps a piece of human chromosome 1."""
    genomes = [str(data / "genomes/PRO"), str(data / "genomes/EUK/Saccharomyces_cerevisiae_S288C.fna.gz")]
    return [*genomes, *(str(p) for p in sorted((data / "dripc_hela_hg19").glob("*.fa*")) if human)]


def pretrain_command(arm: Arm, seed: int, data: Path, out: Path) -> list[str]:
    """What makes one model."""
    return [
        "glmbench", "pretrain", *sources(data, arm.human), "--out", str(out / "models" / f"{arm.name}-s{seed}"),
        "--tokenizer", arm.tokenizer, "--network", "dnabert2", "--depth", str(DEPTH), "--objective", arm.objective,
        "--hide", str(arm.hide), "--of", arm.of, "--crop", str(CROP), "--batch", str(BATCH), "--steps", str(arm.steps),
        "--lr", str(RATE), "--seed", str(seed), *(["--snapshots"] if arm.snapshots else []),
        "--set", f"training.evaluate_every={arm.steps // SNAPSHOTS if arm.snapshots else arm.steps}",
    ]  # fmt: skip


def train(data: Path, out: Path, jobs: int) -> None:
    """Pre-train what is missing."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "steps.json").is_file():
        (out / "steps.json").write_text(json.dumps(equal_flops(data, out), indent=1))
    wanted = [(arm, seed) for seed in SEEDS for arm in arms(out)]
    missing = [(a, s) for a, s in wanted if not (out / "models" / f"{a.name}-s{s}" / "pretraining.json").is_file()]
    print(f"{len(missing)} of {len(wanted)} models are missing", flush=True)
    run_all((pretrain_command(arm, seed, data, out) for arm, seed in missing), jobs)


def equal_flops(data: Path, out: Path) -> dict[str, int]:
    """Steps at which each tokenizer has used the FLOPs that characters use in `STEPS`."""
    flops = {}
    for tokenizer in TOKENIZERS:
        command = [*pretrain_command(Arm("plan", tokenizer, "uniform"), 1, data, out), "--plan", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        flops[tokenizer] = json.loads(done.stdout)["flops_per_step"]
    return {tokenizer: round(STEPS * flops["character"] / used) for tokenizer, used in flops.items()}


def run_all(commands: Iterable[list[str]], jobs: int) -> None:
    """Run commands side by side, each on its share of the cores; a failure is told and the others go on."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}

    def run(command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            print(f"FAILED {' '.join(command)}\n{done.stderr[-2000:]}", file=sys.stderr, flush=True)
        else:
            print(f"done {command[-1]} {Path(command[command.index('--out') + 1]).name if '--out' in command else ''}",
                  flush=True)  # fmt: skip

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, commands))


def write_tables(data: Path, out: Path) -> None:
    """The two regulation sets as tables with a header."""
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gpra.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sequence", "expression"))
        with gzip.open(data / "gpra/Random_testdata_complex_media.csv.gz", "rt") as rows:
            for row in csv.DictReader(rows):
                writer.writerow((row["0"], row["Measured Expression"]))
    with (folder / "ecoli.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sequence", "expression", "split"))
        for split in ("train", "test"):
            name = f"ecoli_promoter_mpra/tss_expression_model_format_{split}_genome_split.txt.gz"
            with gzip.open(data / name, "rt") as rows:
                for sequence, value in csv.reader(rows, delimiter="\t"):
                    # The measurements span five orders of magnitude.
                    writer.writerow((sequence, math.log10(max(float(value), 1e-3)), split))


def score(data: Path, out: Path, jobs: int) -> None:
    """Few-shot scores of every model, its snapshots, one random twin a tokenizer, and k-mers."""
    write_tables(data, out)
    models = [f"hf:{path.parent}" for path in sorted((out / "models").glob("*/pretraining.json"))]
    early = [
        path for path in sorted((out / "models").glob("*/snapshots/*/config.json")) if step_of(path.parent) <= LATEST
    ]
    models += [f"hf:{path.parent}" for path in early]
    models += [f"random:{out}/models/b-bases-{t.replace(':', '-')}-s1" for t in TOKENIZERS]
    tasks = [str(out / "tables" / name) if name.endswith(".csv") else name for name in FEW_SHOT]
    run_all(list(score_commands([*models, "kmer:5"], tasks, data, out)), jobs)


def step_of(snapshot: Path) -> int:
    """Of a folder called `step-00000080`."""
    return int(snapshot.name.rpartition("-")[2])


def score_commands(models: list[str], tasks: list[str], data: Path, out: Path) -> Iterator[list[str]]:
    """One command for every few models: any number of processes may share a store."""
    shared = ["--budget", "100", "--seeds", "3", "--limit", "500", "--no-controls", "--store", str(out / "store")]
    for start in range(0, len(models), 4):
        chosen = [text for model in models[start : start + 4] for text in ("--model", model)]
        named = [text for task in tasks for text in ("--task", task)]
        yield ["glmbench", "run", *named, *chosen, *shared, "--mirror", str(data), "--offline"]


PARTS = {
    "a-tokens": "15 % of tokens hidden",
    "a-bases": "5 % of nucleotides hidden",
    "b-bases": "equal bases",
    "b-flops": "equal FLOPs",
    "a-human": "with human sequence",
}


def tables(out: Path) -> None:
    """Print the tables of docs/study.md: mean over seeds with its 95 % interval."""
    scores = few_shot_scores(out)
    for part, title in PARTS.items():
        print(f"\n### {title}\n")
        print("| arm | steps | hidden tokens | hidden nt | bits/base | " + " | ".join(FEW_SHOT) + " |")
        print("|---|--:|--:|--:|--:|" + "--:|" * len(FEW_SHOT))
        for arm in (arm for arm in arms(out) if arm.name.startswith(part)):
            reports = [json.loads(path.read_text()) for path in reports_of(arm, out)]
            if reports:
                print(row(arm.name.removeprefix(f"{part}-"), arm, reports, scores))
    print("\n### controls\n")
    for model in sorted({model for model, _, _ in scores if model.startswith(("random:", "kmer"))}):
        few = [f"{mean(values):.3f}" if (values := scores.get((model, task, 0))) else "–" for task in FEW_SHOT]
        print(f"| {model.rpartition('/')[2]} | " + " | ".join(few) + " |")
    print("\n### few-shot score against steps\n")
    for name in ("a-tokens-contiguous", "a-tokens-genemask"):
        steps = sorted({step for model, _, step in scores if model.startswith(f"{name}-s") and step})
        for step in steps:
            few = [with_interval(values_of(scores, name, task, step), 3) for task in FEW_SHOT]
            print(f"| {name} | {step} | " + " | ".join(few) + " |")


def row(label: str, arm: Arm, reports: list[dict[str, Any]], scores: Scores) -> str:
    """A line of a table: what was hidden, bits per base, few-shot scores."""
    hidden = [f"{mean(report['hidden'][what] for report in reports):.3f}" for what in ("tokens", "nucleotides")]
    bits = with_interval([report["quality"][0]["bits_per_base"] for report in reports], 4)
    few = [with_interval(values_of(scores, arm.name, task), 3) for task in FEW_SHOT]
    return "| " + " | ".join([label, str(arm.steps), *hidden, bits, *few]) + " |"


def reports_of(arm: Arm, out: Path) -> list[Path]:
    """Reports of the seeds that are done."""
    paths = [out / "models" / f"{arm.name}-s{seed}" / "pretraining.json" for seed in SEEDS]
    return [path for path in paths if path.is_file()]


def few_shot_scores(out: Path) -> Scores:
    """Scores over the draws of labelled rows by (model folder or reference, task, step; 0: the finished model)."""
    from glmbench import Store

    found: Scores = {}
    for result in Store(out / "store").results():
        scheme, _, locator = result.job.model.partition(":")
        path = Path(locator)
        step = step_of(path) if path.parent.name == "snapshots" else 0
        model = result.job.model if scheme != "hf" else (path.parents[1] if step else path).name
        task = next((t for t in FEW_SHOT if t.removesuffix(".csv") in result.job.task), result.job.task)
        main = "spearman" if task.endswith(".csv") else "mcc" if task.startswith("gue") else "accuracy"
        found.setdefault((model, task, step), []).append(result.metrics[main])
    return found


def values_of(scores: Scores, arm: str, task: str, step: int = 0) -> list[float]:
    """One value a pre-training seed: the mean over draws."""
    return [mean(scores[key]) for seed in SEEDS if (key := (f"{arm}-s{seed}", task, step)) in scores]


def with_interval(values: list[float], digits: int) -> str:
    """Mean over pre-training seeds ± half its 95 % interval by Student's t."""
    from scipy.stats import t

    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else "–"
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):.{digits}f} ± {half:.{digits}f}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "score", "tables"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.step == "tables":
        tables(given.out)
    else:
        {"train": train, "score": score}[given.step](given.data, given.out, given.jobs)


if __name__ == "__main__":
    main()
