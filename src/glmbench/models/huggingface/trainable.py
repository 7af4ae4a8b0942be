"""A copy of a pre-trained network with a fresh head: what fine-tuning trains. `token_collate` makes its batches.

The head is the architecture's own for classification (BERT's pooler, ESM's dense layer). Decoders and architectures
without one get a linear layer on their last token, or on the mean over tokens. Rows are padded on the right, and a mask
says so: networks of ours take the padding out before their first layer, so that nothing is computed for it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from glmbench.errors import DataError
from glmbench.models.huggingface.keys import body_of
from glmbench.networks.quiet import quiet

if TYPE_CHECKING:
    from glmbench.models.huggingface.network import LoadedNetwork

_SPREAD = 0.02
"""Standard deviation of the weights of a fresh linear head, as in BERT."""


def make_trainable(loaded: LoadedNetwork, outputs: int, seed: int) -> TrainableNetwork:
    """A copy of the pre-trained body under a fresh head, on the CPU.

    Raises:
        DataError: the architecture's network with a head has another body than the checkpoint.
    """
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if loaded.make_classifier is None:
            return TrainableNetwork(PooledNetwork(loaded.body, outputs, last=loaded.decoder), frozenset({"head"}))
        network = loaded.make_classifier(outputs)
    body, _ = body_of(network)
    wanted = loaded.body.state_dict()
    left_out, too_many = body.load_state_dict(wanted, strict=False)
    odd = [name for name in (*left_out, *too_many) if not name.startswith("pooler.")]
    if odd:
        raise DataError(
            f"{type(network).__name__} has another body than {type(loaded.body).__name__}: {', '.join(odd[:3])} differ"
        )
    return TrainableNetwork(network, _fresh(network, body, left_out))


def _fresh(network: nn.Module, body: nn.Module, left_out: Sequence[str]) -> frozenset[str]:
    """Names of the modules of a network that are no part of the checkpoint."""
    at = next(name for name, module in network.named_modules() if module is body)
    beside = {name for name, module in network.named_children() if module is not body}
    return frozenset(beside | {f"{at}.{name.partition('.')[0]}" for name in left_out})


class TrainableNetwork(nn.Module):
    """A network with a classification head as batches of token ids see it.

    Args:
        network: called with `input_ids` and `attention_mask`; its output has `logits`.
        fresh: names of its modules whose weights are not pre-trained.
    """

    def __init__(self, network: nn.Module, fresh: frozenset[str]) -> None:
        super().__init__()
        self.network = network.requires_grad_(True)
        self.fresh = frozenset(f"network.{name}" for name in fresh)
        """Names of modules that are not pre-trained: the head."""
        accepted = signature(network.forward).parameters
        self._masks = network.masks if isinstance(network, PooledNetwork) else "attention_mask" in accepted
        types = getattr(getattr(network, "config", None), "type_vocab_size", 0) or 0
        self._kinds = "token_type_ids" in accepted and types > 1
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, kinds: Tensor | None = None, owners: Tensor | None = None
    ) -> Tensor:
        """Scores (batch, outputs).

        Args:
            ids: int64 (rows, length).
            mask: 0 at padding; None: no padding.
            kinds: token types, 1 in the second sequence of a pair; None, or a network without: all the same.
            owners: of rows that are windows, which sequence each is a part of, ascending, int64 (rows,): their scores
                are averaged. None: each row is a sequence.
        """
        scores = self._rows(ids, mask, kinds)
        if owners is None:
            return scores
        sequences = int(owners[-1]) + 1
        total = scores.new_zeros(sequences, scores.shape[1]).index_add(0, owners, scores)
        return total / torch.bincount(owners, minlength=sequences)[:, None]

    def _rows(self, ids: Tensor, mask: Tensor | None, kinds: Tensor | None) -> Tensor:
        typed = {} if kinds is None or not self._kinds else {"token_type_ids": kinds}
        if self._masks:
            return self._logits(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask, **typed)
        if mask is None:
            return self._logits(input_ids=ids, **typed)
        lengths = mask.sum(1)  # a network that knows no padding sees rows of one length at a time
        groups = [(lengths == length).nonzero()[:, 0] for length in sorted(set(lengths.tolist()))]
        scores = torch.cat([self._logits(input_ids=ids[rows, : int(lengths[rows[0]])]) for rows in groups])
        return scores[torch.cat(groups).argsort()]

    def _logits(self, **inputs: Tensor) -> Tensor:
        output: Any = self.network(**inputs, **self._fixed)
        return cast(Tensor, output[0] if isinstance(output, tuple) else output.logits)


@dataclass(frozen=True)
class _Scores:
    logits: Tensor


class PooledNetwork(nn.Module):
    """A body and a linear layer on its last token, or on the mean over its tokens."""

    def __init__(self, body: nn.Module, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.body = copy.deepcopy(body).cpu()
        self.head = nn.Linear(int(cast(Any, body).config.hidden_size), outputs)
        nn.init.normal_(self.head.weight, std=_SPREAD)
        nn.init.zeros_(self.head.bias)
        self._last = last
        accepted = signature(body.forward).parameters
        self.masks = "attention_mask" in accepted
        """Whether the body knows padding."""
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> _Scores:
        """Scores (batch, outputs)."""
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        masked = {"attention_mask": real} if self.masks else {}
        output: Any = self.body(input_ids=input_ids, **masked, **self._fixed)
        states = (output[0] if isinstance(output, tuple) else output.last_hidden_state).float()
        counts = real.sum(1)
        if self._last:
            pooled = states[torch.arange(len(states), device=states.device), counts - 1]
        else:
            pooled = (states * real[..., None]).sum(1) / counts[:, None]
        return _Scores(self.head(pooled))
