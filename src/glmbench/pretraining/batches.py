"""Batches of a corpus under an objective: what each family of networks is shown and asked in a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.networks.packing import Packing
from glmbench.pretraining.crops import BaseCrops, CropBatch, Crops
from glmbench.pretraining.losses import NO_LABEL
from glmbench.pretraining.objectives.fractions import Realised, realised
from glmbench.pretraining.objectives.objective import Masked, MaskingObjective, Situation
from glmbench.pretraining.objectives.span_corruption import Corrupted, SpanCorruption
from glmbench.storage.hashing import sha256_json
from glmbench.tokenizers.tokenizer import Tokens
from glmbench.training.batches import Batch

_ENOUGH = 100_000
"""Tokens by which shares that are hidden are measured."""


class MaskedCrops:
    """Batches of crops under a masking objective (`training.batches.Batches`).

    Args:
        crops: where sequences come from.
        objective: hides tokens.
        seed: of the masks.
        steps: optimiser steps of the training, for curricula.
        per_step: batches that make one optimiser step.
    """

    def __init__(
        self, crops: Crops, objective: MaskingObjective, *, seed: int, steps: int = 1, per_step: int = 1
    ) -> None:
        self.crops, self.objective, self.seed = crops, objective, seed
        self.steps, self.per_step = steps, per_step
        self._perplexities: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.crops)

    def observe(self, perplexities: Sequence[float]) -> None:
        """Take note of all evaluations so far, for curricula."""
        self._perplexities = tuple(perplexities)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        for index in range(start, len(self), every):
            tokens, masked, bases = self._masked(number, index)
            inputs = (
                torch.from_numpy(masked.ids).to(torch.int64),
                Packing.from_offsets(tokens.offsets),
                torch.from_numpy(masked.positions),
            )
            targets = torch.from_numpy(masked.targets).to(torch.int64)
            yield Batch(inputs, targets, size=len(tokens.ids), bases=bases)

    def content_hash(self) -> str:
        """See `Batches.content_hash`."""
        return sha256_json([self.crops.content_hash(), self.objective.settings(), self.seed, self.steps])

    def hidden(self, objective: MaskingObjective | None = None) -> Realised:
        """Shares of tokens and nucleotides hidden in the first batches, about a hundred thousand tokens of them.

        Args:
            objective: by another than its own, for the parts of a curriculum.
        """
        batches = (self._masked(*divmod(number, len(self)), objective) for number in count())
        return _mean_hidden((tokens, masked.positions) for tokens, masked, _ in batches)

    def _masked(self, epoch: int, index: int, objective: MaskingObjective | None = None) -> tuple[Tokens, Masked, int]:
        crops = self.crops.batch(epoch, index)
        step = (epoch * len(self) + index) // self.per_step
        rng = np.random.default_rng([self.seed, epoch, index, 1])
        situation = Situation(step, self.steps, self._perplexities)
        masked = (objective or self.objective).mask(crops.tokens, rng, situation)
        return crops.tokens, masked, crops.bases


class CorruptedCrops:
    """Batches of crops under span corruption, padded to their longest row as transformers' T5 wants them."""

    def __init__(self, crops: Crops, objective: SpanCorruption, *, seed: int) -> None:
        self.crops, self.objective, self.seed = crops, objective, seed

    def __len__(self) -> int:
        return len(self.crops)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        for index in range(start, len(self), every):
            crops, corrupted = self._corrupted(number, index)
            ids, mask = _padded(corrupted.encoder_ids, corrupted.encoder_offsets, self.objective.special.pad)
            labels, _ = _padded(corrupted.decoder_ids, corrupted.decoder_offsets, NO_LABEL)
            targets = torch.from_numpy(corrupted.decoder_ids).to(torch.int64)
            yield Batch((ids, mask, labels), targets, size=len(crops.tokens.ids), bases=crops.bases)

    def content_hash(self) -> str:
        """See `Batches.content_hash`."""
        return sha256_json([self.crops.content_hash(), self.objective.settings(), self.seed])

    def hidden(self) -> Realised:
        """Shares of tokens and nucleotides that the first batches hide, about a hundred thousand tokens of them."""
        batches = (self._corrupted(*divmod(number, len(self))) for number in count())
        return _mean_hidden((crops.tokens, corrupted.hidden) for crops, corrupted in batches)

    def _corrupted(self, epoch: int, index: int) -> tuple[CropBatch, Corrupted]:
        crops = self.crops.batch(epoch, index)
        return crops, self.objective.corrupt(crops.tokens, np.random.default_rng([self.seed, epoch, index, 1]))


class BaseWindows:
    """Windows of single bases for the GenomeNet networks: one base of each is asked about.

    Args:
        crops: windows of `context` + 1 bases, all of one length.
        base_ids: token ids of A, C, G, T.
        middle: ask about the base in the middle, of windows with an odd number; else about the last.
    """

    def __init__(self, crops: BaseCrops, base_ids: Sequence[int], *, middle: bool) -> None:
        self.crops, self.middle = crops, middle
        self._ids = np.asarray(base_ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.crops)

    def epoch(self, number: int, *, start: int = 0, every: int = 1) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        for index in range(start, len(self), every):
            codes = self.crops.windows(number, index)
            asked = codes.shape[1] // 2 if self.middle else codes.shape[1] - 1
            seen = codes if self.middle else codes[:, :-1]
            targets = torch.from_numpy(codes[:, asked].astype(np.int64))
            yield Batch((torch.from_numpy(self._ids[seen]),), targets, size=codes.size, bases=codes.size)

    def content_hash(self) -> str:
        """See `Batches.content_hash`."""
        return sha256_json([self.crops.content_hash(), self._ids.tolist(), self.middle])


def _padded(values: NDArray[np.int32], offsets: NDArray[np.int64], fill: int) -> tuple[Tensor, Tensor]:
    """Rows (batch, longest) filled on the right, and which entries are real, both int64."""
    lengths = np.diff(offsets)
    real = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    rows = np.full(real.shape, fill, dtype=np.int64)
    rows[real] = values
    return torch.from_numpy(rows), torch.from_numpy(real.astype(np.int64))


def _mean_hidden(batches: Iterable[tuple[Tokens, NDArray[np.int64]]]) -> Realised:
    """The mean over batches, of which no more are drawn than it takes."""
    found: list[Realised] = []
    seen = 0
    for tokens, positions in batches:
        found.append(realised(tokens, positions))
        seen += len(tokens.ids)
        if seen >= _ENOUGH:
            break
    return Realised(*(float(np.mean([getattr(share, name) for share in found])) for name in ("tokens", "nucleotides")))
