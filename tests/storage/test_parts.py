from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from glmbench.errors import DataError, GlmbenchError, UsageError
from glmbench.storage.parts import open_parts

TABLE = pl.DataFrame({"a": [1, 2]})


def with_a_chunk(out: Path) -> Path:
    """The folder of an interrupted request of width 3 with one finished chunk."""
    with open_parts(out, {"width": 3}) as parts:
        parts.keep(0, "d", {"rows": TABLE}, {"n": 2})
    return parts.folder


def test_a_chunk_is_found_by_what_it_was_computed_from(tmp_path: Path) -> None:
    with_a_chunk(tmp_path / "o.tsv")
    with open_parts(tmp_path / "o.tsv", {"width": 3}) as parts:
        assert parts.finished(0, "d") == {"n": 2}
        assert parts.finished(0, "e") is None
        assert parts.finished(1, "d") is None
        parts.count = 1
        assert pl.read_parquet(parts.tables("rows")[0]).equals(TABLE)


@pytest.mark.parametrize("name", ["000000.json", "000000.rows.parquet"])
@pytest.mark.parametrize("left", [None, b"", b"{", b"[]", b"null", b'{"digest": "d"}', b"\xff\x00"])
def test_a_damaged_chunk_is_computed_again(tmp_path: Path, name: str, left: bytes | None) -> None:
    folder = with_a_chunk(tmp_path / "o.tsv")
    (folder / "000001.json").write_text("{}")
    if left is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(left)
    with open_parts(tmp_path / "o.tsv", {"width": 3}) as parts:
        assert parts.finished(0, "d") is None


def test_who_may_write_an_output(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    with (
        open_parts(out, {"width": 3}),
        pytest.raises(UsageError, match="another process is writing"),
        open_parts(out, {"width": 4}),
    ):
        pass
    folder = with_a_chunk(out)
    with (
        pytest.raises(UsageError, match=r"work of another request \(different: width was 3, now is 4\)"),
        open_parts(out, {"width": 4}),
    ):
        pass
    out.touch()
    with pytest.raises(UsageError, match="exists already"), open_parts(out, {"width": 3}):
        pass
    out.unlink()
    for damaged in ("{", "[]"):
        (folder / "request.json").write_text(damaged)
        with pytest.raises(DataError, match="cannot be read"), open_parts(out, {"width": 3}):
            pass


def test_nothing_is_left_where_nothing_was_finished(tmp_path: Path) -> None:
    out = tmp_path / "new" / "o.parquet"
    with pytest.raises(KeyError), open_parts(out, {"width": 3}):
        raise KeyError
    assert not list((tmp_path / "new").iterdir())
    with open_parts(out, {"width": 4}) as parts:  # so another request may begin
        assert parts.folder.is_dir()


def test_a_full_disk_says_what_stays(tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"

    def fills_the_disk() -> None:
        with open_parts(out, {}) as parts:
            parts.keep(0, "d", {"rows": TABLE}, {})
            parts.count = 1
            raise OSError(28, "No space left on device")

    with pytest.raises(GlmbenchError, match=r"No space left on device; 1 finished chunks stay in .*o.parquet.part"):
        fills_the_disk()
    assert (tmp_path / "o.parquet.part" / "000000.json").is_file()


def test_files_beside_the_output_are_not_replaced_save_by_the_run_that_wrote_them(tmp_path: Path) -> None:
    out, table = tmp_path / "o.fa", tmp_path / "t.tsv"
    with_a_chunk(out)
    table.touch()
    with pytest.raises(UsageError, match=r"t\.tsv exists already"), open_parts(out, {"width": 3}, [table]):
        pass
    table.unlink()
    with open_parts(out, {"width": 3}, [table]) as parts:
        parts.claim([table])
        table.touch()  # and killed before the output stands
    with open_parts(out, {"width": 3}, [table]) as parts:
        parts.claim([table])
        with pytest.raises(UsageError, match=r"in\.tsv exists already"):
            parts.claim([_written(tmp_path / "in.tsv")])


def _written(path: Path) -> Path:
    path.touch()
    return path
