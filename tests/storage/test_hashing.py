import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.storage.hashing import (
    canonical_json,
    git_blob_file,
    sha256_bytes,
    sha256_file,
    sha256_json,
    sha256_strings,
)

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_known_digest_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_bytes(b"") == sha256_file(tmp_path / "empty") == EMPTY


@given(st.binary(max_size=300_000))
def test_a_file_and_its_bytes_have_one_hash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hashed"
    path.write_bytes(data)
    assert sha256_file(path) == sha256_bytes(data)


def test_git_blob_id_of_a_known_file(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    assert git_blob_file(path) == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_git_blob_id_is_what_git_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10_000)
    try:
        said = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("git is not installed")
    assert git_blob_file(path) == said.strip()


def test_boundaries_between_strings_count() -> None:
    assert sha256_strings(["AC", "GT"]) != sha256_strings(["ACG", "T"])
    assert sha256_strings(["", "A"]) != sha256_strings(["A", ""])
    assert sha256_strings(iter(["AC"])) == hashlib.sha256(b"\x02" + b"\x00" * 7 + b"AC").hexdigest()


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None, "é"]}) == '{"a":[1.5,null,"é"],"b":1}'
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json([1, 2]) != sha256_json([2, 1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_without_a_form_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"score": value})
