"""Training the one-hot CNN: our loop and channels-last module against the usual Conv1d loop, from the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from glmbench.models.onehot_cnn import OneHotCollate
from glmbench.networks.configs import OneHotCNNConfig
from glmbench.networks.onehot_cnn import OneHotCNN
from glmbench.training.batches import Batch, Encoded, InMemoryBatches
from glmbench.training.loop import Plan, train
from glmbench.training.optimiser import adamw
from glmbench.training.schedule import Schedule
from harness import Measurement, race

EXAMPLES, LENGTH, BATCH, SEED = 512, 300, 128, 0
LEARNING_RATE, DECAY = 1e-4, 0.01  # at larger rates AdamW magnifies rounding where a gradient is nearly zero
CONFIG = OneHotCNNConfig(channel_dropout=0.0, dropout=0.0)


class Conv1dCNN(nn.Module):
    """The same network as one would write it."""

    def __init__(self, twin: OneHotCNN) -> None:
        super().__init__()
        sizes = list(zip((4, *CONFIG.channels[:-1]), CONFIG.channels, CONFIG.kernels, strict=True))
        self.convolutions = nn.ModuleList(nn.Conv1d(i, o, k, padding="same") for i, o, k in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm1d(o) for _, o, _ in sizes)
        self.head = nn.Linear(2 * CONFIG.channels[-1], CONFIG.outputs)
        state = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
        kernels = {name: tensor[:, :, 0].contiguous() for name, tensor in state.items() if name.startswith("conv")}
        self.load_state_dict(state | kernels, strict=False)
        for convolution in self.convolutions:  # the usual bias, which batch norm subtracts again
            nn.init.zeros_(convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = functional.relu(norm(convolution(x)))
            if layer < len(self.convolutions) - 1:
                x = functional.max_pool1d(x, CONFIG.pool, ceil_mode=True)
        return self.head(torch.cat((x.amax(2), x.mean(2)), dim=1))


class Ours:
    """One epoch per call with `glmbench.training`."""

    def __init__(self, module: OneHotCNN, batches: InMemoryBatches, precision: Literal["fp32", "bf16"]) -> None:
        self.module, self.batches = module, batches
        self.optimiser = adamw(module, lr=LEARNING_RATE, weight_decay=DECAY)
        self.plan = Plan(len(batches), Schedule("constant"), precision=precision, clip_norm=None)

    def __call__(self) -> list[float]:
        return list(train(self.module, self.batches, _loss, self.optimiser, self.plan, seed=SEED).losses)


class Theirs:
    """One epoch per call, as the tutorials do it: Conv1d, TensorDataset and DataLoader, AdamW."""

    def __init__(self, module: Conv1dCNN, codes: Tensor, labels: Tensor, order: list[int]) -> None:
        self.module = module
        one_hot = functional.one_hot(codes.long(), 4).float().permute(0, 2, 1).contiguous()
        self.loader = DataLoader(TensorDataset(one_hot, labels), batch_size=BATCH, sampler=order)
        matrices = [p for p in module.parameters() if p.ndim > 1]
        vectors = [p for p in module.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)

    def __call__(self) -> list[float]:
        self.module.train()
        losses = []
        for x, labels in self.loader:
            self.optimiser.zero_grad()
            loss = functional.cross_entropy(self.module(x), labels)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.item())
        return losses


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(module(*batch.inputs).float(), batch.targets)


def candidates(precision: Literal["fp32", "bf16"]) -> tuple[Ours, Theirs]:
    """Both from equal weights, on equal data in equal order."""
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 4, (EXAMPLES, LENGTH), dtype=np.uint8)
    labels = (np.count_nonzero(codes % 3 == 0, axis=1) > LENGTH / 2).astype(np.int64)
    encoded = Encoded(codes.reshape(-1), np.arange(EXAMPLES + 1) * LENGTH)
    batches = InMemoryBatches(OneHotCollate(), encoded, labels, batch_size=BATCH, seed=SEED)
    torch.manual_seed(SEED)
    module = OneHotCNN(replace(CONFIG))
    order = np.concatenate(batches.order(0)).tolist()
    theirs = Theirs(Conv1dCNN(module), torch.from_numpy(codes), torch.from_numpy(labels), order)
    return Ours(module, batches, precision), theirs


def measure(precision: Literal["fp32", "bf16"] = "fp32", name: str = "cnn_training") -> Measurement:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a shared machine two threads wait for each other, and the ratio is theirs
    try:
        ours, theirs = candidates(precision)
        got, wanted = np.array(ours() + ours() + ours()), np.array(theirs() + theirs() + theirs())
        difference = float(np.max(np.abs(got - wanted) / wanted))
        limit = {"fp32": 1e-4, "bf16": 5e-2}[precision]
        assert difference < limit, f"losses of the first {len(got)} steps differ by {difference:.1e}"
        return race(
            name,
            ours,
            theirs,
            amount=EXAMPLES,
            rounds=15,
            unit="sequences/s",
            what_is_theirs="eager Conv1d in fp32, TensorDataset and DataLoader, torch.optim.AdamW",
            note=f"{LENGTH} bp, batches of {BATCH}, ours in {precision}, one thread each; losses of the first "
            f"{len(got)} steps differ by at most {difference:.1e} of their value",
        )
    finally:
        torch.set_num_threads(threads)
