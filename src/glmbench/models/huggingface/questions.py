"""Questions about single bases: what of them, and of their answers, is refused."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glmbench.errors import DataError, Unsupported
from glmbench.models.huggingface.reader import Reader
from glmbench.models.huggingface.spans import Tokenized


def check_questions(sequences: Sequence[str], positions: Sequence[int]) -> None:
    """Refuse positions that are none.

    Raises:
        DataError: a position lies outside its sequence, or there is not one a sequence.
    """
    if len(sequences) != len(positions):
        raise DataError(f"{len(sequences)} sequences and {len(positions)} positions; want one position a sequence")
    for index, (sequence, position) in enumerate(zip(sequences, positions, strict=True)):
        if not 0 <= position < len(sequence):
            raise DataError(
                f"position {position} lies outside sequence {index}, of {len(sequence)} bp; positions are 0-based"
            )


def too_long(length: int, tokens: int, room: int) -> str:
    """What to say of a sequence whose bases are asked for and that does not fit."""
    return (
        f"a sequence has {length} bp, {tokens} tokens; the model reads {room} at most; add ?overflow=window to its "
        "reference to have every base predicted from the part of the sequence around (or before) it, or give shorter "
        "sequences"
    )


def check_whole(reader: Reader, tokenized: Sequence[Tokenized]) -> None:
    """Refuse sequences that do not fit: of what is cut off nothing could be said.

    Raises:
        Unsupported: there is one.
    """
    for whole in tokenized:
        if reader.room is not None and len(whole.ids) > reader.room:
            raise Unsupported(too_long(int(whole.ends[-1]), len(whole.ids), reader.room))


def checked(logits: Tensor) -> Tensor:
    """The same.

    Raises:
        DataError: there are rows that say nothing: with NaN or infinity, or with no possible token.
    """
    if len(logits) and not torch.isfinite(logits.amax(dim=1)).all():
        raise DataError("the model gives logits that are NaN or infinite; try ?precision=fp32, or another checkpoint")
    return logits
