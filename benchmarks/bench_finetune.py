"""Fine-tuning on sequences of mixed lengths: batches of like length, against all rows padded to one length."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForMaskedLM

from bench_embedding import _save_tokenizer
from glmbench.methods.target import Target
from glmbench.methods.training import batch_loss
from glmbench.models.huggingface.encoder import HuggingFaceModel
from glmbench.models.registry import load
from glmbench.networks.quiet import quiet
from glmbench.training.batches import InMemoryBatches
from glmbench.training.loop import Plan, train
from glmbench.training.optimiser import adamw
from glmbench.training.precision import Format
from glmbench.training.schedule import Schedule
from harness import Measurement, race

EXAMPLES, BATCH, LONGEST, SEED = 96, 32, 128, 0
LEARNING_RATE, DECAY = 3e-5, 0.01
LIMITS: dict[Format, float] = {"fp32": 1e-4, "bf16": 5e-2}


class Ours:
    """One epoch per call with `glmbench.training`, on the batches of `methods.finetune`."""

    def __init__(self, module: nn.Module, batches: InMemoryBatches, precision: Format) -> None:
        self.module, self.batches = module, batches
        self.optimiser = adamw(module, lr=LEARNING_RATE, weight_decay=DECAY)
        self.plan = Plan(len(batches), Schedule("constant"), precision=precision)

    def __call__(self) -> list[float]:
        loss = batch_loss(Target(outputs=2))
        return list(train(self.module, self.batches, loss, self.optimiser, self.plan, seed=SEED).losses)


class Theirs:
    """One epoch per call as the reference script does it: all rows padded to one length, AdamW, clipped gradients."""

    def __init__(self, network: Any, inputs: dict[str, torch.Tensor], labels: torch.Tensor, order: list[Any]) -> None:
        self.network, self.inputs, self.labels, self.order = network, inputs, labels, order
        matrices = [p for p in network.parameters() if p.ndim > 1]
        vectors = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)

    def __call__(self) -> list[float]:
        self.network.train()
        losses = []
        for rows in self.order:
            self.optimiser.zero_grad()
            logits = self.network(**{name: values[rows] for name, values in self.inputs.items()}).logits
            loss = functional.cross_entropy(logits, self.labels[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            losses.append(loss.item())
        return losses


def _sequences() -> list[str]:
    """Of 200 to 500 bp, as peaks and promoters of mixed widths are."""
    rng = np.random.default_rng(SEED)
    return ["".join(rng.choice(list("ACGT"), int(length))) for length in rng.integers(200, 501, EXAMPLES)]


def _candidates(folder: Path, sequences: Sequence[str], precision: Format) -> tuple[Ours, Theirs, float]:
    vocabulary = _save_tokenizer(folder)
    torch.manual_seed(SEED)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024}
    with quiet():
        BertForMaskedLM(BertConfig(vocab_size=vocabulary, pad_token_id=3, **sizes, **none)).save_pretrained(folder)
        network: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model = load(f"hf:{folder}?max_tokens={LONGEST}&overflow=truncate")
    assert isinstance(model, HuggingFaceModel)
    module, collate = model.trainable(2, seed=SEED)
    network.load_state_dict(module.network.state_dict())
    labels = np.array([sequence.count("G") > len(sequence) / 4 for sequence in sequences]).astype(np.int64)
    encoded = collate.limited(LONGEST, truncate=True).encode(sequences)
    batches = InMemoryBatches(collate, encoded, labels, batch_size=BATCH, seed=SEED)
    inputs = AutoTokenizer.from_pretrained(folder)(
        list(sequences), padding="max_length", max_length=LONGEST, truncation=True, return_tensors="pt"
    )
    order = [torch.from_numpy(rows) for rows in batches.order(0)]
    real = float(encoded.lengths.mean() / LONGEST)
    return Ours(module, batches, precision), Theirs(network, dict(inputs), torch.from_numpy(labels), order), real


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
            what_is_theirs=f"transformers BertForSequenceClassification in fp32, rows padded to {LONGEST}, AdamW",
            note=f"6 layers, 256 features, {real:.0%} of the padded tokens are real, ours in {precision}, one thread "
            f"each; losses of the first {len(got)} steps differ by at most {difference:.1e} of their value",
        )
    finally:
        torch.set_num_threads(threads)
