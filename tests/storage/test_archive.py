import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmbench.errors import DataError
from glmbench.storage.archive import extract_member, relative_name


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("GUE/a.csv", "sequence,label\n" + "ACGT,1\n" * 1000)
        made.writestr("../evil.csv", "evil")
        made.writestr("GUE/folder/", "")
        link = zipfile.ZipInfo("GUE/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    return path


def test_only_the_wanted_member_is_written(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "file.csv"
    target.parent.mkdir()
    assert extract_member(archive, "GUE/a.csv", target)
    assert target.read_text() == "sequence,label\n" + "ACGT,1\n" * 1000
    assert list(target.parent.iterdir()) == [target]


def test_an_absent_member_is_said_and_nothing_written(archive: Path, tmp_path: Path) -> None:
    assert not extract_member(archive, "GUE/b.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("member", ["../evil.csv", "/etc/passwd", "GUE/../../evil", "C:/x", "a\\b", ""])
def test_names_that_leave_the_folder_are_refused(archive: Path, tmp_path: Path, member: str) -> None:
    with pytest.raises(DataError, match="unsafe file name"):
        extract_member(archive, member, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path.parent / "evil.csv").exists()


@pytest.mark.parametrize("member", ["GUE/link", "GUE/folder/"])
def test_links_and_folders_are_refused(archive: Path, tmp_path: Path, member: str) -> None:
    with pytest.raises(DataError, match="want a plain file"):
        extract_member(archive, member, tmp_path / "out")


def test_an_encrypted_member_is_refused(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(DataError, match="encrypted"):
        extract_member(archive, "GUE/a.csv", tmp_path / "out")


@pytest.mark.parametrize("kept", [0, 10, 100])
def test_a_truncated_archive_is_refused(archive: Path, tmp_path: Path, kept: int) -> None:
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(DataError, match="not a whole zip archive"):
        extract_member(archive, "GUE/a.csv", tmp_path / "out")


def test_a_damaged_member_is_refused(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    start = data.index(b"GUE/a.csv") + len("GUE/a.csv")
    data[start + 5 : start + 15] = b"\xff" * 10
    archive.write_bytes(bytes(data))
    with pytest.raises(DataError, match="not a whole zip archive"):
        extract_member(archive, "GUE/a.csv", tmp_path / "out")


@given(st.text(max_size=20))
def test_what_is_accepted_stays_below_the_folder(name: str) -> None:
    folder = Path("/cache/data")
    try:
        path = folder / relative_name(name)
    except DataError:
        return
    assert path != folder
    assert path.resolve().is_relative_to(folder)
