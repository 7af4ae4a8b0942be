"""Base codes A, C, G, T = 0, 1, 2, 3 and N = 4, and an explicit policy for every other letter.

U is read as T. Gaps, blanks and all other letters are refused with their position. What the policy changed is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from glmbench.errors import DataError
from glmbench.sequences.typing import Codes, Integers

BASES = "ACGT"
LETTERS = BASES + "N"
N = 4
"""The code of an unknown base."""

AMBIGUITY_CODES = "RYSWKMBDHV"
"""IUPAC letters that stand for two or three bases (N, for all four, is counted by itself)."""

_AMINO_ACIDS_ONLY = "EFILPQ"
"""Letters of proteins that are no nucleotide code."""

_LOWER_CASE_BIT = 0x20


@dataclass(frozen=True, slots=True)
class AlphabetPolicy:
    """What happens to letters other than upper-case A, C, G, T.

    Attributes:
        ambiguous: N and the other IUPAC ambiguity codes become code 4 ("n"), or are an error ("refuse").
        lower_case: soft-masked bases are read as their upper case ("upper"), become code 4 ("n"), or are an error
            ("refuse").
    """

    ambiguous: Literal["n", "refuse"] = "n"
    lower_case: Literal["upper", "n", "refuse"] = "upper"


DEFAULT_POLICY = AlphabetPolicy()


@dataclass(frozen=True, slots=True)
class AlphabetCounts:
    """How many letters of each kind were read, of either case unless said otherwise.

    Attributes:
        bases: A, C, G, T, U.
        n: N.
        iupac: the other ambiguity codes.
        uracil: U, also counted in `bases`.
        lower_case: lower-case letters, also counted by their kind; under `lower_case="n"` these became code 4.
    """

    bases: int = 0
    n: int = 0
    iupac: int = 0
    uracil: int = 0
    lower_case: int = 0

    def __add__(self, other: AlphabetCounts) -> AlphabetCounts:
        return AlphabetCounts(
            self.bases + other.bases,
            self.n + other.n,
            self.iupac + other.iupac,
            self.uracil + other.uracil,
            self.lower_case + other.lower_case,
        )


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The codes of several sequences, one after another; they may differ in length.

    Attributes:
        codes: uint8 (total bases,).
        offsets: int64 (sequences + 1,); sequence i is `codes[offsets[i]:offsets[i + 1]]`.
        counts: the letters that were read, over the whole batch.
    """

    codes: Codes
    offsets: Integers
    counts: AlphabetCounts = AlphabetCounts()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Codes:
        index = range(len(self))[index]
        return self.codes[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> Integers:
        """int64 (sequences,), in bases."""
        return np.diff(self.offsets)

    def matrix(self, width: int | None = None) -> Codes:
        """The batch as uint8 (sequences, width), shorter sequences filled with N at their end.

        Args:
            width: number of columns; None for the longest sequence.

        Raises:
            DataError: a sequence is longer than `width`; nothing is cut here.
        """
        lengths = self.lengths
        columns = int(lengths.max(initial=0)) if width is None else width
        require_width(lengths, columns)
        if lengths.min(initial=columns) == columns:
            return self.codes.reshape(len(self), columns)
        filled = np.full((len(self), columns), N, dtype=np.uint8)
        filled[np.arange(columns) < lengths[:, None]] = self.codes
        return filled


def require_width(lengths: Integers, width: int) -> None:
    """Refuse sequences that are longer than a table is wide.

    Raises:
        DataError: there is one; nothing is cut silently.
    """
    if lengths.max(initial=0) > width:
        at = int(lengths.argmax())
        raise DataError(f"sequence {at} has {lengths[at]} bases, more than the {width} wanted; cut the sequences first")


def flatten(sequences: EncodedBatch | Codes) -> tuple[Codes, Integers]:
    """The flat codes and the offsets (as in `EncodedBatch`) of a batch, of codes (n, length), or of one sequence."""
    if isinstance(sequences, EncodedBatch):
        return sequences.codes, sequences.offsets
    matrix = np.atleast_2d(sequences)
    rows, width = matrix.shape
    return np.ascontiguousarray(matrix).reshape(-1), np.arange(rows + 1, dtype=np.int64) * width


def encode_batch(sequences: Sequence[str], policy: AlphabetPolicy = DEFAULT_POLICY) -> EncodedBatch:
    """Encode many sequences in one pass.

    Raises:
        DataError: a letter is no nucleotide code, or one that `policy` refuses; the message names letter, sequence
            (counted from 0) and position (0-based).
    """
    offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences)), out=offsets[1:])
    # "?" for letters outside ASCII keeps one byte a letter; no alphabet has "?", so it is refused below.
    letters = np.frombuffer("".join(sequences).encode("ascii", errors="replace"), dtype=np.uint8)
    try:
        codes, counts = encode_letters(letters, policy)
    except RefusedLetterError as refused:
        index = int(np.searchsorted(offsets, refused.position, side="right")) - 1
        position = refused.position - int(offsets[index])
        letter = sequences[index][position]
        raise DataError(f"sequence {index}: {_refusal(letter, position, refused.why)}") from None
    return EncodedBatch(codes, offsets, counts)


def encode(sequence: str | bytes, policy: AlphabetPolicy = DEFAULT_POLICY) -> Codes:
    """The codes of one sequence, uint8 (length,); `encode_batch` also counts what the policy did.

    Raises:
        DataError: as for `encode_batch`.
    """
    ascii_bytes = sequence.encode("ascii", errors="replace") if isinstance(sequence, str) else sequence
    try:
        return encode_letters(np.frombuffer(ascii_bytes, dtype=np.uint8), policy)[0]
    except RefusedLetterError as refused:
        letter = sequence[refused.position] if isinstance(sequence, str) else refused.letter
        raise DataError(_refusal(letter, refused.position, refused.why)) from None


def decode(codes: Codes) -> str:
    """The letters of codes 0..4; any shape is read row after row."""
    return np.frombuffer(LETTERS.encode(), dtype=np.uint8)[codes].tobytes().decode("ascii")


class RefusedLetterError(DataError):
    """A letter that the alphabet does not have or the policy refuses, at a 0-based position."""

    def __init__(self, letter: str, position: int, why: str) -> None:
        super().__init__(_refusal(letter, position, why))
        self.letter, self.position, self.why = letter, position, why


def _refusal(letter: str, position: int, why: str) -> str:
    return f"letter {letter!r} at position {position} (0-based) {why}"


def encode_letters(letters: Codes, policy: AlphabetPolicy, out: Codes | None = None) -> tuple[Codes, AlphabetCounts]:
    """Encode ASCII bytes and count them by kind.

    Args:
        letters: uint8 (length,), ASCII.
        policy: what to do with letters other than A, C, G, T.
        out: uint8 (length,) to write the codes to, apart from `letters`; None for a new array.

    Returns:
        Codes, uint8 (length,), and the counts.

    Raises:
        RefusedLetterError: at the first letter that has no code under `policy`.
    """
    from glmbench.sequences import letter_kernels

    codes = np.empty(letters.size, dtype=np.uint8) if out is None else out
    if not letter_kernels.encode_letters(letters, codes):
        return codes, AlphabetCounts(bases=letters.size)
    histogram = np.zeros(256, dtype=np.int64)
    letter_kernels.letter_histogram(letters, histogram)
    _refuse(letters, histogram, policy)
    if policy.lower_case == "n":
        codes[(letters & _LOWER_CASE_BIT) != 0] = N
    return codes, _counts(histogram)


def _count(histogram: Integers, letters: str) -> int:
    return int(sum(histogram[ord(letter)] for letter in letters + letters.lower()))


def _counts(histogram: Integers) -> AlphabetCounts:
    lower = (LETTERS + AMBIGUITY_CODES + "U").lower()
    return AlphabetCounts(
        bases=_count(histogram, BASES + "U"),
        n=_count(histogram, "N"),
        iupac=_count(histogram, AMBIGUITY_CODES),
        uracil=_count(histogram, "U"),
        lower_case=int(sum(histogram[ord(letter)] for letter in lower)),
    )


def _refuse(letters: Codes, histogram: Integers, policy: AlphabetPolicy) -> None:
    """Raise at the first letter for which the policy has no code."""
    known = BASES + "U" + ("N" + AMBIGUITY_CODES)
    allowed = known if policy.ambiguous == "n" else BASES + "U"
    if policy.lower_case != "refuse":
        allowed += allowed.lower()
    is_refused = np.ones(256, dtype=bool)
    is_refused[np.frombuffer(allowed.encode(), dtype=np.uint8)] = False
    if not histogram[is_refused].any():
        return
    position = int(np.argmax(is_refused[letters]))
    letter = chr(letters[position])
    why = "is no nucleotide code; remove gaps, blanks and other letters"
    if letter.upper() in _AMINO_ACIDS_ONLY:
        why = "is no nucleotide code but an amino acid; DNA was wanted, this looks like protein"
    if letter in known + known.lower():
        setting = "lower_case" if letter.islower() and policy.lower_case == "refuse" else "ambiguous"
        why = f'is refused by the alphabet policy ({setting}="refuse"); allow it there or clean the sequence'
    raise RefusedLetterError(letter, position, why)
