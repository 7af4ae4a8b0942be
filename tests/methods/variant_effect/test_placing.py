from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glmbench.genomes.reference_genome import GenomeInMemory
from glmbench.genomes.variants import Change
from glmbench.methods.variant_effect.placing import Placed, place, window_start

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
    assert (short.start, short.reference, short.alternative) == (3, SEQUENCE[3:10], SEQUENCE[:7])


def test_an_insertion_at_the_end_is_whole_in_its_window() -> None:
    last = place(Change(100, "", "TTTT"), "c", GENOME, 16, "centred")
    assert (last.start, last.reference, last.alternative) == (84, SEQUENCE[84:], SEQUENCE[88:] + "TTTT")
    near = place(Change(98, "", "TTTT"), "c", GENOME, 16, "centred")
    assert near.alternative == SEQUENCE[88:98] + "TTTT" + SEQUENCE[98:]
    shared = place(Change(43, "", "T" * 8), "c", GENOME, 16, "shared")
    assert (shared.start, shared.offset) == (32, 11)  # five bases follow
    assert shared.alternative == SEQUENCE[40:43] + "T" * 8 + SEQUENCE[43:48]


def test_a_deletion_that_makes_the_contig_shorter_than_the_window() -> None:
    """Both windows are as long as what is left: the reference one around the change, 7 and 14 bases."""
    first = place(Change(0, SEQUENCE[:3], ""), "short", GENOME, 16, "shared")
    assert (first.start, first.reference, first.alternative) == (0, SEQUENCE[:7], SEQUENCE[3:10])
    middle = place(Change(4, SEQUENCE[4:7], ""), "short", GENOME, 16, "centred")
    assert (middle.start, middle.reference, middle.alternative) == (2, SEQUENCE[2:9], SEQUENCE[:4] + SEQUENCE[7:10])
    other = GenomeInMemory({"c": SEQUENCE[:17]})
    nearly = place(Change(8, SEQUENCE[8:11], ""), "c", other, 16, "centred")
    assert (nearly.start, len(nearly.reference)) == (2, 14)
    assert nearly.alternative == SEQUENCE[:8] + SEQUENCE[11:17]


def test_a_repeat_that_is_longer_than_the_window() -> None:
    genome = GenomeInMemory({"c": "ACGT" + "A" * 50})
    assert place(Change(20, "A", ""), "c", genome, 16, "centred") == "same_in_window"
    assert place(Change(20, "", "AA"), "c", genome, 16, "centred") == "same_in_window"
    assert place(Change(20, "", "AT"), "c", genome, 16, "centred").alternative == "A" * 9 + "T" + "A" * 6


def test_a_short_contig_is_its_own_window() -> None:
    placed = place(Change(9, SEQUENCE[9], "N"), "short", GENOME, 16, "shared")
    assert (placed.reference, placed.alternative) == (SEQUENCE[:10], SEQUENCE[:9] + "N")
    insertion = place(Change(10, "", "NN"), "short", GENOME, 16, "shared")
    assert insertion.alternative == SEQUENCE[2:10] + "NN"
    assert place(Change(3, "", "NNNNNN"), "short", GENOME, 16, "shared") == "too_long"


@pytest.mark.parametrize("change", [Change(20, SEQUENCE[20:29], ""), Change(20, "", "A" * 9)])
def test_long_alleles_have_no_window(change: Change) -> None:
    assert place(change, "c", GENOME, 16, "centred") == "too_long"
    assert isinstance(place(change, "c", GENOME, 20, "centred"), Placed)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(4, 40), st.sampled_from(["centred", "shared"]), st.integers(2, 60))
def test_both_windows_are_as_long_and_differ_by_the_change(
    data: st.DataObject, width: int, placing: str, length: int
) -> None:
    """Wherever the change lies, on contigs longer and shorter than the window."""
    contig = data.draw(st.sampled_from([SEQUENCE, "ACGT" * 15]))[:length]
    start = data.draw(st.integers(0, length))
    size = data.draw(st.integers(0, min(width // 2, length - start)))
    ref = contig[start : start + size]
    alt = data.draw(st.text("ACGT", min_size=0 if size else 1, max_size=width // 2).filter(lambda text: text != ref))
    change = Change(start, ref, alt)
    placed = place(change, "c", GenomeInMemory({"c": contig}), width, placing)
    if placed == "too_long":
        assert max(size, len(alt)) > length // 2
        return
    haplotype = contig[:start] + alt + contig[start + size :]
    wanted = min(width, length, len(haplotype))
    if placed == "same_in_window":
        assert any(
            contig[at:][:wanted] == haplotype[other:][:wanted] for at in range(length) for other in range(length)
        )
        return
    assert placed.reference != placed.alternative
    assert len(placed.reference) == len(placed.alternative) == wanted
    assert contig[placed.start :].startswith(placed.reference)
    assert placed.reference[placed.offset :].startswith(ref)
    shift = abs(size - len(alt))
    begins = [at for at in range(placed.start - shift, placed.start + shift + 1) if 0 <= at <= start]
    assert any(haplotype[at:][:wanted] == placed.alternative and start + len(alt) <= at + wanted for at in begins)


@given(st.data(), st.integers(4, 40), st.sampled_from(["centred", "shared"]))
def test_the_change_is_in_its_window_near_the_middle(data: st.DataObject, width: int, placing: str) -> None:
    start = data.draw(st.integers(0, 99))
    size = data.draw(st.integers(0, min(width // 2, 100 - start)))
    alt = data.draw(st.text("N", min_size=0 if size else 1, max_size=width // 2))
    placed = place(Change(start, SEQUENCE[start : start + size], alt), "c", GENOME, width, placing)
    assume(isinstance(placed, Placed))
    away = abs(start + size // 2 - (placed.start + width // 2))
    at_edge = placed.start == 0 or placed.start + width == 100
    assert at_edge or away <= (0 if placing == "centred" else width / 4)
