"""Arrays from a worker, checked: a model that runs elsewhere may still return nonsense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glmbench.errors import DataError
from glmbench.models.model import States

Arrays = Mapping[str, Any]

_SUM_TOLERANCE = 1e-3


def matrix(name: str, method: str, arrays: Arrays, count: int, width: int | None = None) -> NDArray[np.float32]:
    """Finite float32 of shape (count, width); without `width`, (count, any).

    Raises:
        DataError: the array has another shape or dtype, or values that are NaN or infinite.
    """
    values = _array(name, method, arrays, "values", "<f4")
    if values.ndim != 2 or len(values) != count or width not in (None, values.shape[1]):
        wanted = f"({count}, {'dim' if width is None else width})"
        raise DataError(
            f"model {name!r}: {method} returned shape {values.shape} for {count} sequences, wanted {wanted}"
        )
    _refuse_not_finite(name, method, values)
    return values


def vector(name: str, method: str, arrays: Arrays, count: int) -> NDArray[np.float64]:
    """Finite float64 of shape (count,).

    Raises:
        DataError: as `matrix`.
    """
    values: NDArray[np.float64] = _array(name, method, arrays, "values", "<f8")
    if values.shape != (count,):
        raise DataError(
            f"model {name!r}: {method} returned shape {values.shape} for {count} sequences, wanted ({count},)"
        )
    _refuse_not_finite(name, method, values)
    return values


def distributions(name: str, method: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same log probabilities (n, 4), every row of which sums to 1.

    Raises:
        DataError: one does not.
    """
    sums = np.exp(values.astype(np.float64)).sum(axis=1)
    if (apart := np.abs(sums - 1).max(initial=0.0)) > _SUM_TOLERANCE:
        raise DataError(
            f"model {name!r}: {method} returned rows whose probabilities sum to 1 ± {apart:.2g}; wanted natural "
            "logarithms of probabilities of A, C, G, T"
        )
    return values


def per_base(name: str, arrays: Arrays, sequences: Sequence[str]) -> list[NDArray[np.float32]]:
    """Log probabilities (length, 4) of each sequence.

    Raises:
        DataError: as `matrix`; or the rows are not as many as bases.
    """
    lengths = [len(sequence) for sequence in sequences]
    if _counts(name, "scan", arrays, len(sequences)) != lengths:
        raise DataError(f"model {name!r}: scan returned other numbers of rows than the sequences have bases")
    values = distributions(name, "scan", matrix(name, "scan", arrays, sum(lengths), 4))
    return np.split(values, np.cumsum(lengths)[:-1])


def states(name: str, arrays: Arrays, sequences: Sequence[str]) -> list[States]:
    """States of each sequence.

    Raises:
        DataError: as `matrix`; or spans that lie outside their sequence.
    """
    counts = _counts(name, "states", arrays, len(sequences))
    values = matrix(name, "states", arrays, sum(counts))
    starts, ends = (_array(name, "states", arrays, column, "<i8") for column in ("starts", "ends"))
    if starts.shape != (sum(counts),) or ends.shape != starts.shape:
        raise DataError(f"model {name!r}: states returned {starts.shape} starts, wanted one per row of values")
    lengths = np.repeat([len(sequence) for sequence in sequences], counts)
    inside = (starts >= 0) & (starts <= ends) & (ends <= lengths)
    if not (inside | ((starts == -1) & (ends == -1))).all():
        raise DataError(f"model {name!r}: states returned spans outside their sequence (-1 is for special tokens)")
    cuts = np.cumsum(counts)[:-1]
    return [
        States(*parts) for parts in zip(*(np.split(column, cuts) for column in (values, starts, ends)), strict=True)
    ]


def _counts(name: str, method: str, arrays: Arrays, sequences: int) -> list[int]:
    counts = _array(name, method, arrays, "counts", "<i8")
    if counts.shape != (sequences,) or (counts < 0).any():
        raise DataError(f"model {name!r}: {method} answered for {len(counts)} of {sequences} sequences")
    listed: list[int] = counts.tolist()
    return listed


def _array(name: str, method: str, arrays: Arrays, column: str, dtype: str) -> NDArray[Any]:
    if column not in arrays or arrays[column].dtype.str != dtype:
        found = ", ".join(f"{key} {array.dtype}" for key, array in arrays.items()) or "no array"
        raise DataError(f"model {name!r}: {method} was answered by {found}, wanted {column} {np.dtype(dtype)}")
    array: NDArray[Any] = arrays[column]
    return array


def _refuse_not_finite(name: str, method: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise DataError(f"model {name!r}: {method} returned {bad} values that are NaN or infinite")
