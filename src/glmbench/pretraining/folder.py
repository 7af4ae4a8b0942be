"""What a pre-training leaves behind: a Hugging Face style folder that any program of the field opens.

| file | holds |
|---|---|
| `config.json`, `model.safetensors` | the network |
| `tokenizer.json`, `tokenizer_config.json` … | the tokenizer |
| `glmbench.json` | the card that `glmbench run` shows beside scores: name, pre-training data |
| `pretraining.json` | recipe, corpus manifest, cost, quality, environment |
| `bits_per_base.parquet` | log probabilities of every base that the frozen evaluation hid |
| `log.jsonl` | loss, rate and throughput of the steps |
| `README.md` | all of it in words |
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars.exceptions import PolarsError

from glmbench.errors import DataError
from glmbench.pretraining.bits_per_base import BitsPerBase
from glmbench.pretraining.preparation import Prepared
from glmbench.pretraining.workspace import SNAPSHOTS
from glmbench.storage.atomic import atomic_folder
from glmbench.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REPORT = "pretraining.json"
LOG = "log.jsonl"
POSITIONS = "bits_per_base.parquet"


def save_model(folder: Path, network: PreTrainedModel, tokenizer: Tokenizer, card: Mapping[str, Any]) -> None:
    """Network, tokenizer and card: what `hf:FOLDER` needs, on any machine. The folder must be there."""
    from glmbench.networks.masked_lm import any_backend
    from glmbench.networks.quiet import quiet

    with quiet(), any_backend(network):
        network.save_pretrained(folder)
    tokenizer.save(folder)
    (folder / "glmbench.json").write_text(json.dumps(card, indent=1), encoding="utf-8")


@contextmanager
def written(what: str, folder: Path, work: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder`, whole or not at all.

    Raises:
        DataError: it cannot be written; what to do about it, and that the training in `work` can be gone on with.
    """
    from safetensors import SafetensorError

    try:
        with atomic_folder(folder) as temporary:
            yield temporary
    except (OSError, SafetensorError, PolarsError) as error:  # no room: each library has its own
        raise DataError(
            f"{what} cannot be written to {folder} ({error}); make room on the disk and give the same command again: "
            f"it goes on from the last checkpoint, which stays in {work}"
        ) from error


def save_finished(
    out: Path, work: Path, prepared: Prepared, report: Mapping[str, Any], trained: BitsPerBase | None
) -> None:
    """Write the finished model to `out`, whole or not at all, and remove its workspace.

    Raises:
        DataError: it cannot be written; the workspace stays.
    """
    with written("the trained model", out, work) as temporary:
        save_model(temporary, prepared.network, prepared.tokenizer, model_card(out.name, report))
        (temporary / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        (temporary / "README.md").write_text(readme(out.name, report), encoding="utf-8")
        if (work / LOG).is_file():
            shutil.copy(work / LOG, temporary / LOG)
        if trained is not None:
            trained.positions.write_parquet(temporary / POSITIONS)
        if (work / SNAPSHOTS).is_dir():
            shutil.copytree(work / SNAPSHOTS, temporary / SNAPSHOTS)
    shutil.rmtree(work)


def model_card(name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `glmbench.json`. A species that was held out whole is none that the model has seen."""
    corpus = report["corpus"]
    seen = {file["species"] for file in corpus["files"] if file["held_out"] < file["bases"]}
    return {
        "name": name,
        "description": report["recipe"]["description"] or f"{report['network']['name']} pre-trained by glmbench",
        "pretraining": {
            "species": sorted(seen),
            "bases": corpus["training_bases"],
            "held_out": corpus["held_out"],
            "manifest_sha256": corpus["sha256"],
            "objective": report["objective"],
            "steps": report["steps"],
            "seed": report["recipe"]["training"]["seed"],
        },
    }


def readme(name: str, report: Mapping[str, Any]) -> str:
    """The model card in words, with the header that the hub reads."""
    corpus, training, quality = report["corpus"], report["recipe"]["training"], report["quality"]
    lines = [
        "---",
        "library_name: transformers",
        "tags: [genomics, dna, glmbench]",
        "---",
        "",
        f"# {name}",
        "",
        f"{report['recipe']['description'] or 'A genomic language model.'} Pre-trained and measured by glmbench "
        f"{report['environment']['glmbench']}.",
        "",
        f"- **Network**: {report['network']['name']}, {report['network']['parameters']:,} weights.",
        f"- **Tokenizer**: {report['tokenizer']['name']}, {report['tokenizer']['vocabulary']:,} tokens, "
        f"{report['tokenizer']['bases_per_token']:.2f} bases a token on the corpus.",
        f"- **Objective**: `{report['objective']['name']}`{_hidden(report)}.",
        f"- **Data**: {corpus['training_bases']:,} bases of {', '.join(corpus['species'])}; letters: "
        f"{corpus['policy']}; "
        f"held out: {corpus['held_out']}.",
        f"- **Training**: {report['steps']:,} steps, seed {training['seed']}, "
        f"{report['cost']['units']:,} tokens, {report['cost']['bases']:,} bases, {report['cost']['wall_s']:,.0f} s.",
        f"- **Cost**: {_cost(report)}.",
        "",
        "## Quality",
        "",
        "Bits per base of the same hidden bases on held-out sequence (2 is a guess; lower is better).",
        "",
        "| model | bits per base | accuracy |",
        "|---|--:|--:|",
        *(f"| {row['model']} | {row['bits_per_base']:.4f} | {row['accuracy']:.3f} |" for row in quality),
        "",
        "## Use",
        "",
        "```python",
        "import glmbench  # registers its architectures with transformers",
        "from transformers import AutoModel, AutoTokenizer",
        "",
        'model = AutoModel.from_pretrained("FOLDER")',
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        "```",
        "",
        "```bash",
        "glmbench run --suite genemask --model hf:FOLDER",
        "```",
        "",
        "## Corpus",
        "",
        "| file | species | bases | sha256 |",
        "|---|---|--:|---|",
        *(f"| {f['name']} | {f['species']} | {f['bases']:,} | `{f['sha256'][:16]}…` |" for f in corpus["files"]),
        "",
    ]
    return "\n".join(lines)


def _cost(report: Mapping[str, Any]) -> str:
    cost = report["cost"]
    words = [
        f"{cost['units_per_s'] or 0:,.0f} tokens a second end to end",
        f"{cost['model_units_per_s'] or 0:,.0f} without waiting for batches",
        f"{cost['peak_memory_mb']:,.0f} MB at most",
    ]
    if cost["flop_utilisation"] is not None:
        words.append(f"{cost['flop_utilisation']:.1%} of what the device reaches in matrix products")
    if cost["seconds_to_order_0"] is not None:
        words.append(f"below the order-0 Markov model after {cost['seconds_to_order_0']:,.1f} s")
    return "; ".join(words)


def _hidden(report: Mapping[str, Any]) -> str:
    """What is hidden, by each objective where there are several."""
    several = len(report["hidden"]) > 1
    return "".join(
        f"; {name + ' hides' if several else 'hidden:'} {shares['tokens']:.1%} of tokens, "
        f"{shares['nucleotides']:.1%} of nucleotides"
        for name, shares in report["hidden"].items()
    )
