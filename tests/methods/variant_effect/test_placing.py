from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.genomes.variants import Change
from glmbench.methods.variant_effect.placing import place, window_start

SEQUENCE = "".join("ACGT"[(i * i + i // 3) % 4] for i in range(100))
GENOME = GenomeInMemory({"c": SEQUENCE, "short": SEQUENCE[:10]})


@pytest.mark.parametrize(
    ("start", "placing", "wanted"),
    [
        (50, "centred", 42),
        (3, "centred", 0),
        (8, "centred", 0),
        (9, "centred", 1),
        (99, "centred", 84),
        (50, "shared", 40),
        (51, "shared", 40),
        (52, "shared", 48),
        (44, "shared", 40),
        (43, "shared", 32),
        (2, "shared", 0),
        (99, "shared", 84),
    ],
)
def test_windows_by_hand(start: int, placing: str, wanted: int) -> None:
    """Width 16 on 100 bases: the middle is base 8, the grid 8, a quarter 4."""
    assert window_start(Change(start, "A", "C"), 100, 16, placing) == wanted


def test_an_snv() -> None:
    placed = place(Change(50, SEQUENCE[50], "N"), "c", GENOME, 16, "centred")
    assert placed.offset == 8
    assert placed.reference == SEQUENCE[42:58]
    assert placed.alternative == SEQUENCE[42:50] + "N" + SEQUENCE[51:58]


def test_indels_keep_the_width() -> None:
    deletion = place(Change(50, SEQUENCE[50:53], ""), "c", GENOME, 16, "centred")
    assert deletion.alternative == SEQUENCE[deletion.start : 50] + SEQUENCE[53 : deletion.start + 16 + 3]
    insertion = place(Change(50, "", "NNN"), "c", GENOME, 16, "centred")
    assert insertion.reference == SEQUENCE[42:58]
    assert insertion.alternative == SEQUENCE[42:50] + "NNN" + SEQUENCE[50:55]


def test_a_deletion_at_the_end_is_made_up_for_at_the_start() -> None:
    last = place(Change(97, SEQUENCE[97:100], ""), "c", GENOME, 16, "centred")
    assert (last.start, last.reference, last.alternative) == (84, SEQUENCE[84:], SEQUENCE[81:97])
    near = place(Change(95, SEQUENCE[95:98], ""), "c", GENOME, 16, "centred")
    assert near.alternative == SEQUENCE[81:95] + SEQUENCE[98:]
    short = place(Change(7, SEQUENCE[7:10], ""), "short", GENOME, 16, "centred")
    assert (short.reference, short.alternative) == (SEQUENCE[:10], SEQUENCE[:7])


def test_a_short_contig_is_its_own_window() -> None:
    placed = place(Change(9, SEQUENCE[9], "N"), "short", GENOME, 16, "shared")
    assert (placed.reference, placed.alternative) == (SEQUENCE[:10], SEQUENCE[:9] + "N")
    insertion = place(Change(10, "", "NN"), "short", GENOME, 16, "shared")
    assert insertion.alternative == SEQUENCE[:10]


@pytest.mark.parametrize("change", [Change(20, SEQUENCE[20:29], ""), Change(20, "", "A" * 9)])
def test_long_alleles_have_no_window(change: Change) -> None:
    assert place(change, "c", GENOME, 16, "centred") is None
    assert place(change, "c", GENOME, 20, "centred") is not None


@given(st.data(), st.integers(4, 40), st.sampled_from(["centred", "shared"]))
def test_the_change_is_in_its_window_near_the_middle(data: st.DataObject, width: int, placing: str) -> None:
    start = data.draw(st.integers(0, 99))
    size = data.draw(st.integers(0, min(width // 2, 100 - start)))
    alt = data.draw(st.text("ACGT", min_size=0 if size else 1, max_size=width // 2))
    placed = place(Change(start, SEQUENCE[start : start + size], alt), "c", GENOME, width, placing)
    assert placed is not None
    assert len(placed.reference) == width
    assert SEQUENCE[placed.start :].startswith(placed.reference)
    assert len(placed.alternative) == width
    haplotype = SEQUENCE[:start] + alt + SEQUENCE[start + size :]
    lost = max(0, size - len(alt))
    assert placed.alternative in (haplotype[placed.start - shift :][:width] for shift in range(lost + 1))
    away = abs(start + size // 2 - (placed.start + width // 2))
    at_edge = placed.start == 0 or placed.start + width == 100
    assert at_edge or away <= (0 if placing == "centred" else width / 4)
