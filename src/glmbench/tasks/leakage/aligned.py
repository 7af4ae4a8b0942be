"""Parents and their children: rows equal at many of the same offsets, without gaps.

Promoter sets whose negatives are positives with some windows overwritten by random bases (GeneMask's Prom-core and
Prom-300: 12 of 20 windows) keep their parent recognisable: unrelated 70-mers of Prom-core agree at fewer than 40
offsets, parent and child at about 50.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from glmbench.errors import DataError
from glmbench.progress import progress
from glmbench.sequences.alphabet import N, encode_batch
from glmbench.tasks.card import TaskCard
from glmbench.tasks.task import is_paired

_Words = NDArray[np.uint64]
_Integers = NDArray[np.int64]


class AlignedIdentity(BaseModel):
    """The rule: at least `min_identity` of the `length` bases are equal at equal offsets.

    Only rows of exactly `length` bases can be partners. A letter beyond A, C, G, T equals nothing, itself included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_identity: PositiveInt
    length: PositiveInt


def read_rule(stated: object, card: TaskCard) -> AlignedIdentity | None:
    """The rule in what a card says, as its `leakage.parent_child`; None for None.

    Raises:
        DataError: what the card says is no rule.
    """
    if stated is None:
        return None
    try:
        return AlignedIdentity.model_validate(stated)
    except ValidationError as error:
        wanted = "want min_identity and length, whole numbers of bases"
        raise DataError(f"the card of {card.reference} has {stated} as its parent-child rule; {wanted}") from error


def parent_child(a: pl.DataFrame, b: pl.DataFrame | None = None, *, rule: AlignedIdentity) -> pl.DataFrame:
    """Rows of b (without b: later rows of a) that the rule pairs with a row of a; exact copies are pairs too.

    Args:
        a: examples, see `tasks.task`.
        b: other examples.
        rule: when two rows are parent and child.

    Returns:
        Partners: the columns a, b (ids) and identity (equal bases); the partner is the one with the highest identity,
        of equals the first.

    Raises:
        DataError: the rows are pairs of sequences.
    """
    a = _of_length(a, rule)
    other = a if b is None else _of_length(b, rule)
    best = np.zeros(other.height, dtype=np.int64)
    partner = np.zeros(other.height, dtype=np.int64)
    for row, start, identity in _identities(_planes(a, rule), _planes(other, rule), later_only=b is None):
        better = np.flatnonzero(identity > best[start:]) + start
        best[better] = identity[better - start]
        partner[better] = row
    found = np.flatnonzero(best >= rule.min_identity)
    return pl.DataFrame({"a": a["id"].gather(partner[found]), "b": other["id"].gather(found), "identity": best[found]})


def families(rows: pl.DataFrame, rule: AlignedIdentity) -> pl.Series:
    """The family of every row: connected components of the pairs under the rule, each named by the id of its first row.

    Returns:
        The column `family`, String, in the order of `rows`; a row without relatives is a family by itself.

    Raises:
        DataError: the rows are pairs of sequences.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = np.flatnonzero((rows["sequence"].str.len_chars() == rule.length).to_numpy())
    planes = _planes(_of_length(rows, rule), rule)
    first, second = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for row, start, identity in _identities(planes, planes, later_only=True):
        related = np.flatnonzero(identity >= rule.min_identity) + start
        first.append(np.full(related.size, row))
        second.append(related)
    ends = (places[np.concatenate(first)], places[np.concatenate(second)])
    graph = coo_array((np.ones(ends[0].size, dtype=np.int8), ends), shape=(rows.height, rows.height))
    _, component = connected_components(graph, directed=False)
    return rows.select(family=pl.col("id").first().over(pl.Series(component)))["family"]


@dataclass(frozen=True)
class _Planes:
    """Rows as bits, uint64 (words, rows): the two bits of each base code, and whether the base is known."""

    high: _Words
    low: _Words
    known: _Words


def _of_length(rows: pl.DataFrame, rule: AlignedIdentity) -> pl.DataFrame:
    if is_paired(rows):
        raise DataError("the parent–child rule is of single sequences, and these are pairs; take it out of the card")
    return rows.filter(pl.col("sequence").str.len_chars() == rule.length)


def _planes(rows: pl.DataFrame, rule: AlignedIdentity) -> _Planes:
    codes = encode_batch(rows["sequence"].to_list()).codes.reshape(rows.height, rule.length)
    return _Planes(_bits((codes & 2) > 0), _bits((codes & 1) > 0), _bits(codes != N))


def _bits(flags: NDArray[np.bool_]) -> _Words:
    """Pack flags, (rows, length), into uint64 (words, rows); what is beyond the length is 0."""
    padded = np.zeros((flags.shape[0], -(-flags.shape[1] // 64) * 64), dtype=np.bool_)
    padded[:, : flags.shape[1]] = flags
    # Words first: then the loop over the few words is the outer one, and the inner one runs over the rows.
    return np.ascontiguousarray(np.packbits(padded, axis=1).view(np.uint64).T)


def _identities(a: _Planes, b: _Planes, *, later_only: bool) -> Iterator[tuple[int, int, _Integers]]:
    """For each row of a: its number, a start, and how many bases each row of b from that start on shares with it."""
    rows = a.high.shape[1]
    with progress("aligned identity", total=rows) as bar:
        for row in range(rows):
            start = row + 1 if later_only else 0
            differ = (b.high[:, start:] ^ a.high[:, row, None]) | (b.low[:, start:] ^ a.low[:, row, None])
            equal = ~differ & b.known[:, start:] & a.known[:, row, None]
            yield row, start, np.bitwise_count(equal).sum(axis=0, dtype=np.int64)
            bar.advance()
