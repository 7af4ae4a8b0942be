"""Networks as predictors of hidden bases: masked language models over tokens, and networks that read flanks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glmbench.networks.packing import PackedLanguageModel, Packing
from glmbench.pretraining.bits_per_base import HiddenBases
from glmbench.sequences.alphabet import N
from glmbench.sequences.typing import Integers
from glmbench.tokenizers.tokenizer import Tokenizer, Tokens, token_bases, with_ends

_TOKENS = 8_192
"""In one pass of a network: the logits of its masked tokens stay within a few hundred megabytes."""
_CUT_BLINDLY = ("character", "kmer", "blocks")
"""Kinds of tokenizers whose tokens begin and end where they do whatever the bases are."""
_FLANKS = 512
"""Windows of flanks in one pass."""


class MaskedTokens:
    """A masked language model: every token that covers a hidden base is masked, all of a window in one pass.

    The probability of a base is the sum over the tokens that have this base at this place, normalised over the four
    bases; tokens that do not reach the place count for none. Where several tokens cover the base (overlapping k-mers)
    the probabilities that they give are averaged, which gives a proper prediction again.

    Where tokens begin and end depends, for BPE and unigram, on the hidden base itself, and gives it away: on real
    genomes even a network that has learned nothing gains more than 0.1 bits from it. So windows are cut four times,
    with A, C, G and T at the hidden places, and each base is asked for amid the tokens that it would itself lead to:
    p(b) is in proportion to the probability of b where the window was cut with b. The truth is never looked at.

    Args:
        network: any packed language model; a module is asked in evaluation mode.
        tokenizer: cuts the windows.
        cut: `blind`, as said; `true` cuts with the true base in place, to see how much that gives away.
        tokens: in one pass.
    """

    def __init__(
        self,
        network: PackedLanguageModel,
        tokenizer: Tokenizer,
        *,
        cut: Literal["blind", "true"] = "blind",
        tokens: int = _TOKENS,
    ) -> None:
        self.network, self.tokenizer, self.cut, self.tokens = network, tokenizer, cut, tokens

    def log_probabilities(self, hidden: HiddenBases) -> NDArray[np.float64]:
        """See `bits_per_base.BasePredictor`."""
        if self.cut == "true":
            return self._as_cut(hidden)
        if self.tokenizer.kind in _CUT_BLINDLY:
            return self._as_cut(hidden.with_all(0))
        own = np.stack([self._as_cut(hidden.with_all(base))[:, base] for base in range(4)], axis=1)
        probabilities: NDArray[np.float64] = own - np.logaddexp.reduce(own, axis=1, keepdims=True)
        return probabilities

    def _as_cut(self, hidden: HiddenBases) -> NDArray[np.float64]:
        """The same where the tokens' borders are those of the windows as they are."""
        special = self.tokenizer.special
        tokens = with_ends(self.tokenizer.encode(hidden.windows), special)
        first, number = covering_tokens(tokens, hidden)
        before = np.cumsum(number) - number
        base = np.repeat(np.arange(len(number)), number)
        covering = first[base] + np.arange(len(base)) - before[base]
        ids = tokens.ids.astype(np.int64)
        ids[covering] = special.mask
        places = hidden.position[base] - tokens.starts[covering]
        bases = torch.from_numpy(token_bases(self.tokenizer))
        each = np.empty((len(base), 4))
        with _inference(self.network):
            for windows in _by_length(tokens.lengths, self.tokens):
                asked = np.flatnonzero(np.isin(hidden.window[base], windows))
                row = _rows(tokens, windows)
                logits = self._logits(ids[row], tokens.lengths[windows], _places_of(covering[asked], row))
                each[asked] = base_log_probabilities(logits, torch.from_numpy(places[asked]), bases).numpy()
        mean: NDArray[np.float64] = np.logaddexp.reduceat(each, before, axis=0) - np.log(number)[:, None]
        return mean

    def _logits(self, ids: NDArray[np.int64], lengths: Integers, masked: Integers) -> Tensor:
        device = _device(self.network)
        packing = Packing.from_offsets(np.concatenate(([0], np.cumsum(lengths)))).to(device)
        states = self.network.packed_states(
            torch.from_numpy(ids).to(device), packing, torch.from_numpy(masked).to(device)
        )
        return self.network.head(states).float().cpu()


def covering_tokens(tokens: Tokens, hidden: HiddenBases) -> tuple[Integers, Integers]:
    """The first token (index into `tokens.ids`) over each hidden base, and how many in a row cover it."""
    width = int(hidden.windows.lengths.max()) + 1
    sequence = np.repeat(np.arange(len(tokens)), tokens.lengths) * width
    asked = hidden.window * width + hidden.position
    # Starts and ends both rise within a sequence, those of [CLS] and [SEP] included.
    first = np.searchsorted(sequence + tokens.ends, asked, side="right")
    last = np.searchsorted(sequence + tokens.starts, asked, side="right") - 1
    return first, last - first + 1


def base_log_probabilities(logits: Tensor, places: Tensor, bases: Tensor) -> Tensor:
    """Log probabilities of A, C, G, T at one place of each token, in nats, float64 (n, 4).

    Args:
        logits: float (n, vocabulary).
        places: int64 (n,), 0-based from the token's first base.
        bases: int8 (vocabulary, longest token), see `tokenizers.tokenizer.token_bases`.
    """
    sums = torch.full((len(logits), 4), -torch.inf, dtype=torch.float64)
    for place in torch.unique(places).tolist():
        rows = torch.nonzero(places == place).squeeze(1)
        at_place = logits[rows]
        for base in range(4):
            consistent = torch.nonzero(bases[:, place] == base).squeeze(1)
            if len(consistent):
                sums[rows, base] = torch.logsumexp(at_place[:, consistent], dim=1).double()
    return torch.log_softmax(sums, dim=1)


class ReadsWindows(Protocol):
    """A network that predicts one base of each window, such as `networks.genomenet.GenomeNetForBasePrediction`."""

    def base_log_probabilities(self, input_ids: Tensor) -> Tensor:
        """Log probabilities of A, C, G, T in nats, float (n, 4), of ids, int64 (n, length)."""


class Flanks:
    """A network that reads the bases left of the asked one, or both sides of it, one token a base.

    It sees nothing beyond the evaluation's windows: there, tokens of N stand. Of other hidden bases of a window it sees
    the truth, which masked language models do not; one base in 32 is hidden.

    Args:
        network: takes windows of `left` bases, or of `left`, one N for the asked base, and `right`.
        base_ids: token ids of A, C, G, T, N.
        left: bases to the left.
        right: bases to the right; 0 for networks that read from the left only.
    """

    def __init__(self, network: ReadsWindows, base_ids: tuple[int, int, int, int, int], left: int, right: int) -> None:
        self.network, self.left, self.right = network, left, right
        self._ids = np.asarray(base_ids, dtype=np.int64)

    def log_probabilities(self, hidden: HiddenBases) -> NDArray[np.float64]:
        """See `bits_per_base.BasePredictor`."""
        windows = hidden.around(self.left, self.right)
        windows[:, self.left] = N
        read = windows if self.right else windows[:, : self.left]
        out = np.empty((len(read), 4))
        device = _device(self.network)
        with _inference(self.network):
            for start in range(0, len(read), _FLANKS):
                ids = torch.from_numpy(self._ids[read[start : start + _FLANKS]]).to(device)
                out[start : start + _FLANKS] = self.network.base_log_probabilities(ids).double().cpu().numpy()
        return out


def _by_length(lengths: Integers, tokens: int) -> Iterator[Integers]:
    """Windows of similar length together, so many that they have about `tokens` tokens."""
    order = np.argsort(lengths, kind="stable")
    batch = (np.cumsum(lengths[order]) - 1) // tokens
    for number in np.unique(batch):
        yield np.sort(order[batch == number])


def _rows(tokens: Tokens, windows: Integers) -> Integers:
    """Indices of all tokens of the given windows, one window after another."""
    return np.concatenate([np.arange(tokens.offsets[w], tokens.offsets[w + 1]) for w in windows.tolist()])


def _places_of(values: Integers, ascending: Integers) -> Integers:
    """Where each value stands in an ascending array that holds it."""
    return np.searchsorted(ascending, values)


def _device(network: object) -> torch.device:
    if isinstance(network, nn.Module):
        return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return torch.device("cpu")


@contextmanager
def _inference(network: object) -> Iterator[None]:
    """Without gradients, and a module in evaluation mode."""
    modules = [network] if isinstance(network, nn.Module) and network.training else []
    for module in modules:
        module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in modules:
            module.train()
