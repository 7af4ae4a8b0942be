from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmbench.errors import UsageError
from glmbench.models.reference import ModelReference, Options, parse_reference


@pytest.mark.parametrize(
    ("text", "scheme", "locator", "revision", "options"),
    [
        ("kmer:5", "kmer", "5", None, {}),
        ("kmer:1-4", "kmer", "1-4", None, {}),
        ("onehot-cnn", "onehot-cnn", "", None, {}),
        ("hf:org/name", "hf", "org/name", None, {}),
        ("hf:org/name@v1.0", "hf", "org/name", "v1.0", {}),
        ("hf:org/name@main?pool=max&layer=-2", "hf", "org/name", "main", {"layer": "-2", "pool": "max"}),
        ("hf:/data/me@home/my model", "hf", "/data/me@home/my model", None, {}),
        ("hf:./model@2", "hf", "./model@2", None, {}),
        ("hf:~/models/a@b?layer=3", "hf", "~/models/a@b", None, {"layer": "3"}),
        ("hf:/odd?name/model", "hf", "/odd?name/model", None, {}),
        ("hf:C:/models/x", "hf", "C:/models/x", None, {}),
        ("h5:model.hdf5?position=end", "h5", "model.hdf5", None, {"position": "end"}),
    ],
)  # fmt: skip
def test_parts_of_a_reference(
    text: str, scheme: str, locator: str, revision: str | None, options: dict[str, str]
) -> None:
    assert parse_reference(text) == ModelReference(scheme, locator, revision, options)


def test_canonical_form_sorts_options_and_ignores_their_order() -> None:
    first, second = (parse_reference(f"hf:org/name@main?{pairs}") for pairs in ("pool=max&layer=2", "layer=2&pool=max"))
    assert str(first) == str(second) == "hf:org/name@main?layer=2&pool=max"


@settings(max_examples=50, deadline=None)
@given(
    locator=st.from_regex(r"(/[a-z @.]{1,6}){1,3}[a-z]", fullmatch=True),
    options=st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), st.text(min_size=1, max_size=6), max_size=3),
)
def test_canonical_form_is_read_back_as_the_same_reference(locator: str, options: dict[str, str]) -> None:
    reference = ModelReference("hf", locator, None, options)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "kmer:", ":5", "/data/model", "models/x", "KMER:5"])
def test_malformed_references_are_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="kmer:5"):
        parse_reference(text)


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="'layer' twice"):
        parse_reference("hf:x?layer=1&layer=2")


def test_options_are_typed_and_unknown_ones_refused_with_the_near_one() -> None:
    options = Options(parse_reference("hf:x?layer=-2&pol=max"))
    assert options.integer("layer", -1) == -2
    assert options.choice("pool", "mean", ("mean", "max")) == "mean"
    with pytest.raises(UsageError, match=r"unknown option 'pol'.*did you mean pool"):
        options.finish()


def test_options_of_the_wrong_type_are_refused() -> None:
    options = Options(parse_reference("hf:x?layer=two&pool=maen&seed=-1"))
    with pytest.raises(UsageError, match="'two', wanted an integer"):
        options.integer("layer", -1)
    with pytest.raises(UsageError, match="at least 0"):
        options.integer("seed", 0, least=0)
    with pytest.raises(UsageError, match="did you mean mean"):
        options.choice("pool", "mean", ("mean", "max"))
