"""Position weight matrices: sampling, scanning, information content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glmbench.sequences.alphabet import BASES, decode
from glmbench.sequences.typing import Codes
from glmbench.simulation.chains import Floats, choose, cumulative_probabilities

_IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class PositionWeightMatrix:
    """Independent base distributions at the positions of a motif.

    Attributes:
        name: what annotations call an instance.
        probabilities: (length, 4), rows over A, C, G, T that sum to one; zeros are allowed.
    """

    name: str
    probabilities: Floats

    def __post_init__(self) -> None:
        table = np.array(self.probabilities, dtype=np.float64)
        if (
            table.ndim != 2
            or table.shape[1] != 4
            or (table < 0).any()
            or not np.allclose(table.sum(axis=1), 1, atol=1e-9)
        ):
            raise ValueError(
                f"matrix {self.name!r} needs rows of four probabilities that sum to 1, got shape {table.shape}"
            )
        table.flags.writeable = False
        object.__setattr__(self, "probabilities", table)

    def __len__(self) -> int:
        return int(self.probabilities.shape[0])

    @property
    def consensus(self) -> str:
        """The most probable base at each position."""
        return decode(self.probabilities.argmax(axis=1).astype(np.uint8))

    def information_content(self, background: Floats | None = None) -> float:
        """Relative entropy of the matrix to independent background bases (4,), in bits, summed over its positions.

        Without a background, uniform bases: the height of the motif's sequence logo.
        """
        reference = np.full(4, 0.25) if background is None else np.asarray(background)
        present = self.probabilities > 0
        ratio = np.divide(self.probabilities, reference, out=np.ones_like(self.probabilities), where=present)
        return float((self.probabilities * np.log2(ratio)).sum())

    def sharpened(self, power: float) -> PositionWeightMatrix:
        """The matrix with probabilities raised to `power` and normalised: above 1 nearer to the consensus."""
        raised = self.probabilities**power
        return PositionWeightMatrix(self.name, raised / raised.sum(axis=1, keepdims=True))

    def sample(self, rng: np.random.Generator, n: int) -> Codes:
        """Draw `n` instances, codes (n, length of the motif)."""
        cumulative = cumulative_probabilities(self.probabilities)
        uniform = rng.random((n, len(self)))
        columns = [choose(cumulative[None, column], uniform[:, column]) for column in range(len(self))]
        return np.stack(columns, axis=1)

    def scan(self, codes: Codes) -> Floats:
        """Log probability (n, length - motif + 1), in nats, of the window at each start; -inf where impossible."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.probabilities)
        windows = codes.shape[1] - len(self) + 1
        result = np.zeros((codes.shape[0], max(windows, 0)))
        for column in range(len(self)):
            result += logs[column][codes[:, column : column + result.shape[1]]]
        return result

    def log_odds(self, codes: Codes, background: Floats) -> Floats:
        """`scan` less the log probability of the window under independent bases (4,), in nats."""
        per_base = np.log(np.asarray(background))[codes]
        before = np.concatenate([np.zeros((codes.shape[0], 1)), per_base.cumsum(axis=1)], axis=1)
        scores = self.scan(codes)
        return np.asarray(scores - (before[:, len(self) :] - before[:, : scores.shape[1]]))


def matrix_from_consensus(name: str, consensus: str, percent: tuple[float, ...]) -> PositionWeightMatrix:
    """A matrix from an IUPAC consensus and the percentage of sites that agree with each of its letters.

    Where a letter allows several bases they share the percentage; the bases that it excludes share the rest.
    """
    rows = []
    for letter, agreement in zip(consensus, percent, strict=True):
        allowed: NDArray[np.bool_] = np.array([base in _IUPAC[letter] for base in BASES])
        excluded = max(int((~allowed).sum()), 1)
        rows.append(np.where(allowed, agreement / 100 / allowed.sum(), (1 - agreement / 100) / excluded))
    return PositionWeightMatrix(name, np.array(rows))
