"""Networks that predict one base from a window on its left, or from both of its sides: GenomeNet's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import UsageError
from glmbench.models.huggingface.encoder import HuggingFaceModel, Settings
from glmbench.models.model import ModelCard, Reach
from glmbench.progress import progress
from glmbench.sequences.alphabet import BASES, N
from glmbench.sequences.typing import Codes

if TYPE_CHECKING:
    from glmbench.models.huggingface.network import LoadedNetwork

_WINDOWS = 512
"""In one pass."""
_TOGETHER = 32_768
"""Questions whose windows are cut together."""
_CODES = np.full(256, N, dtype=np.uint8)
_CODES[[ord(base) for base in BASES]] = range(4)


class FlankLanguageModel(HuggingFaceModel):
    """A network such as `networks.genomenet.GenomeNetForBasePrediction`: `PredictsBases` and `ScoresSequences`.

    It reads `context` bases left of the asked one (`end`), or half of them on either side (`middle`); nothing stands
    beyond the sequence's ends. Sequences may have any length. As in the frozen evaluation, a stateful network, too,
    starts at each window.
    """

    def __init__(
        self, network: LoadedNetwork, tokenizer: Any, config: Any, settings: Settings, card: ModelCard
    ) -> None:
        super().__init__(network, tokenizer, config, settings, card)
        sizes = (config.flank, config.flank) if config.position == "middle" else (config.context, 0)
        self._left, self._right = int(sizes[0]), int(sizes[1])
        nothing = next(index for index in range(5) if index not in config.base_ids)  # any other id is a row of zeros
        self._ids = np.array([*config.base_ids, nothing], dtype=np.int64)
        self._flanks = cast(Any, network.flanks).to(self._device)
        self._windows = 0

    @property
    def reach(self) -> Reach:
        """`left` of networks whose base stands at the end, `both` of those whose base stands in the middle."""
        return "both" if self._right else "left"

    @property
    def passes(self) -> int:
        """Token rows and windows that went through the network since it was loaded."""
        return super().passes + self._windows

    def fill(self, sequences: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        """Log probabilities of hidden bases, float32 (n, 4); see `model.PredictsBases.fill`. One window a base.

        Raises:
            DataError: a position lies outside its sequence.
        """
        from glmbench.models.huggingface.questions import check_questions

        check_questions(sequences, positions)
        codes = {text: _codes(text, self._left, self._right) for text in set(sequences)}
        known: dict[bytes, int] = {}
        answers: list[NDArray[np.float32]] = []
        picks = np.empty(len(sequences), dtype=np.int64)
        with progress("bases from their flanks", total=len(sequences)) as bar:
            for start in range(0, len(sequences), _TOGETHER):
                part = range(start, min(start + _TOGETHER, len(sequences)))
                new = []
                for index in part:
                    window = codes[sequences[index]][positions[index] :][: self._left + 1 + self._right].copy()
                    window[self._left] = N
                    key = blake2b(window.tobytes(), digest_size=16).digest()
                    if key not in known:
                        known[key] = len(known)
                        new.append(window if self._right else window[: self._left])
                    picks[index] = known[key]
                answers += self._answers(new)
                bar.advance(len(part))
        return np.concatenate(answers)[picks] if answers else np.empty((0, 4), dtype=np.float32)

    def scan(self, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log probabilities of all bases, float32 (length, 4) each: `fill` at every one, a window each.

        No base is looked at in its own window, so that nothing is given away with reach `both`, either.
        """
        lengths = [len(sequence) for sequence in sequences]
        repeated = [sequence for sequence, length in zip(sequences, lengths, strict=True) for _ in range(length)]
        log_p = self.fill(repeated, [position for length in lengths for position in range(length)])
        return np.split(log_p, np.cumsum(lengths)[:-1]) if lengths else []

    def log_likelihood(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log likelihoods (reach `left`) or pseudo-log-likelihoods (`both`) in nats, float64 (batch,).

        Sums over the known bases; see `model.ScoresSequences.log_likelihood`.
        """
        sums = np.zeros(len(sequences))
        for index, (sequence, log_p) in enumerate(zip(sequences, self.scan(sequences), strict=True)):
            bases = _codes(sequence, 0, 0)
            at = np.flatnonzero(bases != N)
            sums[index] = log_p[at, bases[at]].sum(dtype=np.float64)
        return sums

    def layers(self) -> tuple[str, ...]:
        """Numbers of the convolution blocks and LSTM layers, from "1"; "0", the one-hot bases, is no layer."""
        return super().layers()[1:]

    @contextmanager
    def clamped(self, layer: str, unit: int, value: float) -> Iterator[None]:
        """Within the context, a unit of a layer has this value at every place, and what follows comes of it.

        Of networks that read both sides the units of the left side come first.

        Raises:
            UsageError: there is no such layer or unit.
        """
        number = self._layer(layer)
        body: Any = self._network.body
        sides = [side for side in (body.left, body.right) if side is not None]
        widths = [*self._config.filters, *self._config.units]
        index = number if number == -1 else number - 1
        if not 0 <= unit < len(sides) * widths[index]:
            raise UsageError(
                f"{self._card.reference}: layer {layer} has units 0 to {len(sides) * widths[index] - 1}, got {unit}"
            )
        side, own = divmod(unit, widths[index])
        parts = [*sides[side].blocks, *sides[side].lstms]

        def hold(_: Any, __: Any, output: Any) -> Any:
            if isinstance(output, tuple):  # an LSTM's: (batch, places, units), and what it goes on with
                states = output[0].clone()
                states[..., own] = value
                return (states, *output[1:])
            maps = output.clone()  # a block's: (batch, units, places)
            maps[:, own] = value
            return maps

        with parts[index].register_forward_hook(hold):
            yield

    def _answers(self, windows: Sequence[Codes]) -> list[NDArray[np.float32]]:
        """Log probabilities (n, 4) of windows, batch by batch."""
        import torch

        out = []
        for start in range(0, len(windows), _WINDOWS):
            ids = torch.from_numpy(self._ids[np.stack(windows[start : start + _WINDOWS])]).to(self._device)
            with torch.inference_mode(), self._precision.matmuls(), self._precision.forward(self._device):
                log_p = self._flanks.base_log_probabilities(ids).float().cpu().numpy()
            self._check_finite(log_p)
            out.append(log_p)
            self._windows += len(ids)
        return out


def _codes(sequence: str, left: int, right: int) -> Codes:
    """Base codes of any letters, uint8 (left + length + right,), with N at both ends."""
    letters = np.frombuffer(sequence.upper().encode("ascii", errors="replace"), dtype=np.uint8)
    return np.pad(_CODES[letters], (left, right), constant_values=N)
