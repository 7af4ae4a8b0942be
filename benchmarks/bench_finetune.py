"""Fine-tuning on sequences of mixed lengths, against `transformers.Trainer` with the settings of DNABERT-2's script.

The script tokenizes the whole data set and pads it to one length (`max_length`), which its collator never shortens.
Both sides see the same batches in the same order, so that their losses can be compared step by step.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    Trainer,
    TrainingArguments,
)

from bench_embedding import _save_tokenizer
from glmbench.methods.judging import batch_loss
from glmbench.models.fitted.target import Target
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.registry import load
from glmbench.networks.quiet import quiet
from glmbench.training.batches import InMemoryBatches
from glmbench.training.loop import Plan, train
from glmbench.training.optimiser import adamw
from glmbench.training.precision import Format
from glmbench.training.schedule import Schedule
from harness import Measurement, race

EXAMPLES, BATCH, LONGEST, SEED = 160, 32, 128, 0
LEARNING_RATE, DECAY = 3e-5, 0.01
LAYERS = 4
"""BERT-mini (arXiv 1908.08962). Deeper networks gain less, as only the last layer is cut short."""
LIMITS: dict[Format, float] = {"fp32": 1e-4, "bf16": 5e-2}


class Ours:
    """One epoch per call with `glmbench.training`, on the batches of `methods.finetune`."""

    def __init__(self, module: nn.Module, batches: InMemoryBatches, precision: Format) -> None:
        self.module, self.batches = module, batches
        self.optimiser = adamw(module, lr=LEARNING_RATE, weight_decay=DECAY)
        self.plan = Plan(len(batches), Schedule("constant"), precision=precision)

    def __call__(self) -> list[float]:
        loss = batch_loss(Target("classes", outputs=2))
        return list(train(self.module, self.batches, loss, self.optimiser, self.plan, seed=SEED).losses)


class Theirs:
    """One epoch per call with `transformers.Trainer`: rows padded to one length, AdamW, clipped gradients, fp32."""

    def __init__(self, network: Any, rows: list[dict[str, torch.Tensor]], folder: Path) -> None:
        self.losses: list[float] = []
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            weight_decay=DECAY,
            lr_scheduler_type="constant",
            optim="adamw_torch",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=SEED,
        )
        self.trainer = _InOrder(network, arguments, train_dataset=rows)

    def __call__(self) -> list[float]:
        with quiet(), redirect_stdout(StringIO()):
            self.trainer.train()
        return [line["loss"] for line in self.trainer.state.log_history if "loss" in line]


class _InOrder(Trainer):
    """Takes the rows in the order in which they are given."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)


def _sequences() -> list[str]:
    """Of 200 to 500 bp, as peaks and promoters of mixed widths are."""
    rng = np.random.default_rng(SEED)
    return ["".join(rng.choice(list("ACGT"), int(length))) for length in rng.integers(200, 501, EXAMPLES)]


def _candidates(folder: Path, sequences: Sequence[str], precision: Format) -> tuple[Ours, Theirs, float]:
    vocabulary = _save_tokenizer(folder)
    torch.manual_seed(SEED)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = {"hidden_size": 256, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 1024}
    with quiet():
        BertForMaskedLM(BertConfig(vocab_size=vocabulary, pad_token_id=3, **sizes, **none)).save_pretrained(folder)
        network: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model = load(f"hf:{folder}?max_tokens={LONGEST}&overflow=truncate")
    assert isinstance(model, HuggingFaceModel)
    module, collate = model.trainable(2, seed=SEED)
    network.load_state_dict(module.network.state_dict())
    labels = np.array([sequence.count("G") > len(sequence) / 4 for sequence in sequences]).astype(np.int64)
    encoded = collate.limited(LONGEST, "truncate", 0.0).encode(sequences)
    batches = InMemoryBatches(collate, encoded, labels, batch_size=BATCH, seed=SEED)
    inputs = AutoTokenizer.from_pretrained(folder)(
        list(sequences), padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt"
    )
    order = [int(row) for rows in batches.order(0) for row in rows]
    rows = [
        {name: values[row] for name, values in inputs.items()} | {"labels": torch.tensor(labels[row])} for row in order
    ]
    real = float(encoded.lengths.mean() / LONGEST)
    return Ours(module, batches, precision), Theirs(network, rows, folder / "trainer"), real


def measure(precision: Format = "fp32", name: str = "finetune") -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a shared machine two threads wait for each other, and the ratio is theirs
    try:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs, real = _candidates(Path(folder) / "bert", _sequences(), precision)
        got, wanted = np.array(ours()), np.array(theirs())
        difference = float(np.max(np.abs(got - wanted) / wanted))
        assert difference < LIMITS[precision], f"losses of the first {len(got)} steps differ by {difference:.1e}"
        return race(
            name,
            ours,
            theirs,
            amount=EXAMPLES,
            rounds=3,
            unit="sequences/s",
            what_is_theirs=f"transformers.Trainer, BertForSequenceClassification in fp32, rows padded to {LONGEST}",
            clock=time.process_time,
            note=f"CPU seconds, one thread each; {LAYERS} layers, 256 features, {real:.0%} of the padded tokens are "
            f"real, ours in {precision}; losses of the first {len(got)} steps differ by at most {difference:.1e} of "
            "their value",
        )
    finally:
        torch.set_num_threads(threads)
