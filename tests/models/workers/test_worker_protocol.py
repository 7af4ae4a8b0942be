from __future__ import annotations

import ast
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glmbench.models.workers import protocol
from glmbench.models.workers.protocol import FrameError

ARRAYS = st.dictionaries(
    st.text(max_size=8),
    st.sampled_from(protocol.DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    ),
    max_size=4,
)
HEADERS = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key != "arrays"),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False), st.lists(st.text())),
    max_size=5,
)


def reader(data: bytes) -> Any:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        piece = stream.read(size)
        if len(piece) < size:
            raise EOFError
        return piece

    return read


def frame(header: bytes, payload: bytes = b"", *, magic: bytes = b"glmw", announced: int | None = None) -> bytes:
    size = len(payload) if announced is None else announced
    return struct.pack("<4sIQ", magic, len(header), size) + header + payload


@given(header=HEADERS, arrays=ARRAYS)
@settings(max_examples=60, deadline=None)
def test_a_frame_comes_back(header: dict[str, Any], arrays: dict[str, Any]) -> None:
    read = reader(b"".join(protocol.encode(header, arrays)) * 2)
    for _ in range(2):  # the next frame begins where the last one ended
        found = protocol.read_frame(read)
        assert found.header == header
        assert list(found.arrays) == list(arrays)
        for name, array in arrays.items():
            assert found.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(found.arrays[name], array)


def test_the_bytes_of_a_frame() -> None:
    """By hand: prefix, header, one array of 4 bytes padded to 8."""
    data = b"".join(protocol.encode({"id": 1}, {"x": np.array([1.0], dtype="<f4")}))
    header = json.dumps({"id": 1, "arrays": [["x", "<f4", [1]]]}).encode()
    assert data == frame(header, b"\x00\x00\x80\x3f\x00\x00\x00\x00")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=6))
@settings(max_examples=40, deadline=None)
def test_sequences_come_back(sequences: list[str]) -> None:
    assert protocol.unpack_sequences(protocol.pack_sequences(sequences)) == sequences


WHOLE = b"".join(protocol.encode({"id": 1}, {"x": np.arange(5, dtype="<i8")}))


@pytest.mark.parametrize("size", [0, 3, 15, 16, 20, len(WHOLE) - 1])
def test_a_truncated_frame_ends(size: int) -> None:
    with pytest.raises(EOFError):
        protocol.read_frame(reader(WHOLE[:size]))


def described(*arrays: Any) -> bytes:
    return json.dumps({"arrays": list(arrays)}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"HTTP/1.1 404 Not Found\r\n", "begins with b'HTTP'"),
        (frame(b"{}", magic=b"GLMW"), "begins with"),
        (struct.pack("<4sIQ", b"glmw", 2**31, 0), "a header has 2147483648 bytes"),
        (struct.pack("<4sIQ", b"glmw", 2, 2**63), "arrays have 9223372036854775808 bytes"),
        (frame(b"\xff\xfe"), "no JSON"),
        (frame(b"{'id': 1}"), "no JSON"),
        (frame(b"[" * 100_000), "no JSON"),
        (frame(b"[]"), "no JSON object"),
        (frame(b"{}"), "which arrays"),
        (frame(b'{"arrays": {}}'), "which arrays"),
        (frame(described(["x", "<f4"])), "otherwise than"),
        (frame(described(["x", "<f4", [1]], ["x", "<f4", [1]])), "that of another"),
        (frame(described([3, "<f4", [1]])), "no name"),
        (frame(described(["x", "|O", [1]])), "wanted one of"),
        (frame(described(["x", ["<f4"], [1]])), "wanted one of"),
        (frame(described(["x", "<f4", [-1]])), "shape"),
        (frame(described(["x", "<f4", [1.5]])), "shape"),
        (frame(described(["x", "<f4", [True]])), "shape"),
        (frame(described(["x", "<f4", []])), "shape"),
        (frame(described(["x", "<f4", [1] * 9])), "shape"),
        (frame(described(["x", "<f4", "4"])), "shape"),
        (frame(described(["x", "<f4", [2**62, 2**62]])), "bytes are described"),
        (frame(described(["x", "<f4", [4]]), bytes(8)), "arrays of 16 bytes are described, 8 bytes"),
        (frame(described(), bytes(8)), "arrays of 0 bytes are described"),
    ],
)
def test_hostile_frames_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        protocol.read_frame(reader(data))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_no_frame(noise: bytes) -> None:
    with pytest.raises((FrameError, EOFError)):
        protocol.read_frame(reader(noise))
    with pytest.raises((FrameError, EOFError)):
        protocol.read_frame(reader(WHOLE[:16] + noise))


def test_what_does_not_fit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(FrameError, match=r"is \|O"):
        protocol.encode({}, {"x": np.array([{}])})
    with pytest.raises(FrameError, match="is >f4"):
        protocol.encode({}, {"x": np.ones(1, dtype=">f4")})
    with pytest.raises(FrameError, match="a header has"):
        protocol.encode({"text": "A" * (1 << 20)})


@pytest.mark.parametrize("name", ["protocol.py", "server.py"])
def test_what_runs_elsewhere_is_old_python_and_imports_nothing_of_ours(name: str) -> None:
    source = Path(protocol.__file__).with_name(name).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imports = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert "glmbench" not in imports
    assert "__future__" in imports  # annotations of newer Pythons are then never evaluated
    assert not {"strict", "removeprefix", "removesuffix", "is_relative_to", "tomllib"} & {
        word
        for line in source.splitlines()
        for word in line.replace("=", " ").replace("(", " ").replace(".", " ").split()
    }
