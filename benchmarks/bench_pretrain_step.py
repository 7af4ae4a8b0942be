"""A step of masked pre-training: packed rows, head where it is asked; against rows padded to 512, head everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM as TransformersBert

from bench_uniform_masking import SPECIAL, VOCABULARY, K
from glmbench.networks.masked_lm import masked_lm_config, new_masked_lm
from glmbench.networks.packing import Packing
from glmbench.networks.sizes import EncoderSizes
from glmbench.pretraining.losses import NO_LABEL, MaskedModel, token_loss
from glmbench.pretraining.objectives.corruption import Corruption
from glmbench.pretraining.objectives.objective import Masked
from glmbench.pretraining.objectives.uniform import UniformMasking
from glmbench.tokenizers.tokenizer import Tokens, with_ends
from glmbench.training.batches import Batch
from glmbench.training.loop import Plan, train
from glmbench.training.optimiser import adamw
from glmbench.training.precision import Format
from glmbench.training.schedule import Schedule
from harness import Measurement, race

SEQUENCES, LONGEST, RATE, SEED = 42, 512, 0.15, 0
LEARNING_RATE, DECAY, CLIP = 1e-4, 0.01, 1.0
SIZES = EncoderSizes("bert", 6, 256, 4, 1024, VOCABULARY, learned_positions=LONGEST)
STEPS_COMPARED = 2
LIMITS: dict[Format, float] = {"fp32": 1e-4, "bf16": 2e-2}


@dataclass(frozen=True)
class OneBatch:
    """The same batch again and again (`training.batches.Batches`): what is timed is the step alone."""

    batch: Batch

    def __len__(self) -> int:
        return 1

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        yield from [self.batch][start::every]

    def content_hash(self) -> str:
        return ""


class Ours:
    """One step per call with `glmbench.training`."""

    def __init__(self, network: Any, batch: Batch, precision: Format) -> None:
        self.module, self.batches = MaskedModel(network), OneBatch(batch)
        self.optimiser = adamw(self.module, lr=LEARNING_RATE, weight_decay=DECAY)
        self.plan = Plan(1, Schedule("constant"), precision=precision, clip_norm=CLIP)

    def __call__(self) -> float:
        return train(self.module, self.batches, token_loss, self.optimiser, self.plan, seed=SEED).losses[0]


class Theirs:
    """One step per call, as the tutorials do it: every row padded, logits of every token, labels of a few."""

    def __init__(self, network: TransformersBert, ids: Tensor, mask: Tensor, labels: Tensor) -> None:
        self.network, self.inputs = network.train(), {"input_ids": ids, "attention_mask": mask, "labels": labels}
        matrices = [p for p in network.parameters() if p.ndim > 1]
        vectors = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)

    def __call__(self) -> float:
        self.optimiser.zero_grad()
        loss = self.network(**self.inputs).loss
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        return float(loss.item())


def ragged_tokens() -> Tokens:
    """6-mers of random sequences of lognormal lengths: quantiles with a mean of 97 tokens, [CLS] and [SEP] included."""
    rng, quantiles = np.random.default_rng(SEED), (np.arange(SEQUENCES) + 0.5) / SEQUENCES
    normal = [NormalDist().inv_cdf(share) for share in rng.permutation(quantiles)]
    lengths = np.clip(np.exp(4.4 + 0.6 * np.array(normal)), 16, LONGEST).astype(np.int64) - 2
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    starts = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)).astype(np.int32)
    ids = rng.integers(VOCABULARY - 4**K, VOCABULARY, offsets[-1]).astype(np.int32)
    return with_ends(Tokens(ids, offsets, starts, starts + K), SPECIAL)


def padded(tokens: Tokens, masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and labels, int64 (sequences, 512)."""
    real = np.arange(LONGEST) < tokens.lengths[:, None]
    labels_in_row = np.full(len(tokens.ids), NO_LABEL)
    labels_in_row[masked.positions] = masked.targets
    ids, labels = np.full(real.shape, SPECIAL.pad), np.full(real.shape, NO_LABEL)
    ids[real], labels[real] = masked.ids, labels_in_row
    return torch.from_numpy(ids), torch.from_numpy(real.astype(np.int64)), torch.from_numpy(labels)


def candidates(precision: Format) -> tuple[Ours, Theirs, Tokens]:
    """Both from equal weights, on equal sequences under one mask."""
    tokens = ragged_tokens()
    masked = UniformMasking(Corruption(SPECIAL, VOCABULARY), RATE).mask(tokens, np.random.default_rng(SEED))
    inputs = (
        torch.from_numpy(masked.ids).long(),
        Packing.from_offsets(tokens.offsets),
        torch.from_numpy(masked.positions),
    )
    batch = Batch(inputs, torch.from_numpy(masked.targets).long(), size=len(tokens.ids))
    config = masked_lm_config(SIZES, pad=SPECIAL.pad)
    network, twin = new_masked_lm(config, seed=SEED), TransformersBert(config)
    twin.load_state_dict(network.state_dict())
    return Ours(network, batch, precision), Theirs(twin, *padded(tokens, masked)), tokens


def measure(precision: Format = "fp32", name: str = "pretrain_step") -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a shared machine two threads wait for each other, and the ratio is theirs
    try:
        ours, theirs, tokens = candidates(precision)
        got, wanted = ([step() for _ in range(STEPS_COMPARED)] for step in (ours, theirs))
        difference = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
        assert difference < LIMITS[precision], f"losses of the first {STEPS_COMPARED} steps: {got} and {wanted}"
        return race(
            name,
            ours,
            theirs,
            amount=len(tokens.ids),
            rounds=5,
            unit="useful tokens/CPU s",
            what_is_theirs="transformers.BertForMaskedLM in fp32 on rows padded to 512, torch.optim.AdamW",
            note=f"BERT of 6 layers and 256 features, vocabulary {VOCABULARY:,}, {len(tokens)} sequences with "
            f"{len(tokens.ids):,} tokens, ours in {precision}, one thread each; losses of the first {STEPS_COMPARED} "
            f"steps differ by at most {difference:.1e}",
            clock=time.process_time,
        )
    finally:
        torch.set_num_threads(threads)
