"""From logits over tokens to probabilities of bases."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glmbench.pretraining.base_predictors import base_log_probabilities
from glmbench.sequences.typing import Integers

_LITTLE = 1e-30
"""Sums of probabilities, relative to the most probable token, below which single precision is not trusted."""


class BaseReadout:
    """Sums up the probabilities of tokens that have the same base at the same place.

    The numbers are those of `pretraining.base_predictors.base_log_probabilities`, by products of matrices and where the
    logits are, which takes a tenth of the time with k-mers.

    Args:
        bases: int8 (vocabulary, longest token), see `token_bases.token_bases`.
        changed: int64 (vocabulary, longest token, 4), see `token_bases.one_base_changed`: if given, a token's other
            bases are taken as known, where it has no unknown ones.
    """

    def __init__(self, bases: NDArray[np.int8], changed: Integers | None = None) -> None:
        self._bases, self._changed = bases, changed
        self._members: dict[tuple[int, torch.device], Tensor] = {}

    def at(self, logits: Tensor, places: Integers, ids: Integers) -> NDArray[np.float64]:
        """Log probabilities of A, C, G, T at one place of each token, in nats, float64 (n, 4).

        Where no token of the vocabulary has a base at that place, all four are alike.

        Args:
            logits: float32 (n, vocabulary), on any device.
            places: int64 (n,), 0-based from the token's first base.
            ids: int64 (n,), the tokens whose other bases are known; with `changed` only.
        """
        out = np.full((len(places), 4), -np.log(4))
        weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()
        for place in np.unique(places[places < self._bases.shape[1]]).tolist():
            rows = np.flatnonzero(places == place)
            out[rows] = self._sums(logits, weights, rows, place)
        if self._changed is not None:
            self._condition(out, logits, places, ids)
        return out

    def every(self, logits: Tensor, widths: Integers, ids: Integers) -> tuple[Integers, Integers, NDArray[np.float64]]:
        """The same at all places of tokens: token and place, int64 (m,), and log probabilities, float64 (m, 4).

        Args:
            logits: float32 (n, vocabulary).
            widths: int64 (n,), bases of each token.
            ids: as in `at`.
        """
        token = np.repeat(np.arange(len(widths)), widths)
        place = np.arange(len(token)) - np.repeat(np.cumsum(widths) - widths, widths)
        out = np.full((len(token), 4), -np.log(4))
        weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()
        for at in range(min(int(widths.max(initial=0)), self._bases.shape[1])):
            out[place == at] = self._sums(logits, weights, np.flatnonzero(widths > at), at)
        if self._changed is not None:
            for at in range(int(widths.max(initial=0))):
                rows, these = np.flatnonzero(widths > at), np.flatnonzero(place == at)
                part = out[these]
                self._condition(part, logits, np.full(len(rows), at), ids[rows], rows)
                out[these] = part
        return token, place, out

    def _sums(self, logits: Tensor, weights: Tensor, rows: Integers, place: int) -> NDArray[np.float64]:
        """Log probabilities (rows, 4) at one place of some tokens."""
        members = self._consistent(place, logits)
        every = len(rows) == len(logits)
        chosen = torch.from_numpy(rows).to(logits.device)
        sums = ((weights if every else weights[chosen])[:, : len(members)] @ members).cpu().double()
        there = members.any(dim=0).cpu()
        if not there.any():
            return np.full((len(rows), 4), -np.log(4))
        out = torch.log_softmax(sums.log(), dim=1).numpy()
        small = np.flatnonzero(((sums < _LITTLE) & there).any(dim=1).numpy())
        if len(small):
            exact = logits[chosen[torch.from_numpy(small).to(logits.device)]].cpu()
            at = torch.full((len(small),), place, dtype=torch.int64)
            out[small] = base_log_probabilities(exact, at, torch.from_numpy(self._bases)).numpy()
        return out

    def _consistent(self, place: int, like: Tensor) -> Tensor:
        """Which tokens have which base at a place, as 0 and 1, float32 (vocabulary, 4)."""
        key = (place, like.device)
        if key not in self._members:
            ones = self._bases[:, place, None] == np.arange(4)
            self._members[key] = torch.from_numpy(ones.astype(np.float32)).to(like.device)
        return self._members[key]

    def _condition(
        self,
        out: NDArray[np.float64],
        logits: Tensor,
        places: Integers,
        ids: Integers,
        rows: Integers | None = None,
    ) -> None:
        """Put p(base | the token's other bases) into `out` where these are known; `rows` of the logits, else all."""
        assert self._changed is not None
        width = self._changed.shape[1]
        candidates = self._changed[ids, np.minimum(places, width - 1)]  # (n, 4)
        full = np.flatnonzero((candidates >= 0).all(axis=1) & (places < width))
        of_logits = full if rows is None else rows[full]
        chosen = logits[torch.from_numpy(of_logits).to(logits.device)]
        four = chosen.gather(1, torch.from_numpy(candidates[full]).to(logits.device))
        out[full] = torch.log_softmax(four.cpu().double(), dim=1).numpy()
