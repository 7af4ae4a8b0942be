import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.tasks.kmer_joined import decode_kmers


def joined(sequence: str, k: int) -> str:
    return " ".join(sequence[i : i + k] for i in range(len(sequence) - k + 1))


def test_by_hand() -> None:
    assert decode_kmers(["ACG CGT GTT", "NNA"], 3, "f") == ["ACGTT", "NNA"]
    assert decode_kmers([], 6, "f") == []


@given(
    st.integers(1, 7).flatmap(
        lambda k: st.tuples(st.just(k), st.lists(st.text("ACGTN", min_size=k, max_size=40), min_size=1, max_size=5))
    )
)
def test_joining_and_decoding_is_the_identity(case: tuple[int, list[str]]) -> None:
    k, sequences = case
    assert decode_kmers([joined(sequence, k) for sequence in sequences], k, "f") == sequences


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not 3-mers"),
        ("ACG  CGT", "not 3-mers"),
        ("ACGT CGTA", "not 3-mers"),
        ("AC GTA CG", "not 3-mers"),
        ("ACG CGT ", "not 3-mers"),
        ("ACGACGCG", "not 3-mers"),
        ("ACGTCGT", "not 3-mers"),
        ("ACG CTT", "do not share 2 letters"),
        ("ACG CGT TTT", "do not share 2 letters"),
    ],
)
def test_what_is_not_overlapping_kmers_is_refused_with_its_row(text: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as raised:
        decode_kmers(["ACG CGT", text, "TTT TTT"], 3, "some.tsv")
    assert "some.tsv" in str(raised.value)
    assert "row 1 (line 3)" in str(raised.value)


def test_rows_are_not_compared_with_each_other() -> None:
    assert decode_kmers(["AAA", "CCC CCC"], 3, "f") == ["AAA", "CCCC"]
