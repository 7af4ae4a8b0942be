import hashlib
import http.server
import io
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from glmbench.errors import DataError, GlmbenchError, MissingData, UsageError
from glmbench.storage import fetch as fetching
from glmbench.storage import places
from glmbench.storage.fetch import Access, SourceFile, cached_path, content_id, fetch
from glmbench.storage.hashing import git_blob_file, sha256_bytes

CONTENT = b"sequence,label\nACGT,1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with two faults to order; counts what was asked."""

    asked: list[str]

    def __init__(self, *arguments: object, asked: list[str], **named: object) -> None:
        self.asked = asked
        super().__init__(*arguments, **named)

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.endswith("/broken"):
            self.send_error(503, "out of order")
        elif self.path.endswith("/short"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            super().do_GET()


class Site:
    def __init__(self, folder: Path, url: str, asked: list[str]) -> None:
        self.folder, self.url, self.asked = folder, url, asked

    def put(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"{self.url}/{name}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder), asked=asked))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def folder_mirror(tmp_path: Path, name: str = "set/train.csv", content: bytes = CONTENT) -> str:
    path = tmp_path / "mirror" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(tmp_path / "mirror")


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def data_files(cache: Path) -> list[str]:
    """What is installed, less lock files."""
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


@pytest.mark.usefixtures("no_network")
def test_copies_from_a_folder_and_then_needs_it_no_more(tmp_path: Path, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA)
    mirror = folder_mirror(tmp_path)
    got = fetch(file, Access(cache, mirror, offline=True))
    assert got == cache / "data" / "set" / "train.csv" == cached_path(file, Access(cache))
    assert got.read_bytes() == CONTENT
    (tmp_path / "mirror" / "set" / "train.csv").unlink()
    assert fetch(file, Access(cache, offline=True)) == got
    assert data_files(cache) == ["train.csv"]


@pytest.mark.usefixtures("no_network")
def test_takes_a_member_of_the_mirrors_archive(tmp_path: Path, cache: Path) -> None:
    mirror = tmp_path / "mirror"
    zip_of(mirror / "all.zip", {"GUE/train.csv": CONTENT, "GUE/other.csv": b"x" * 10})
    file = SourceFile(path="gue/GUE/train.csv", sha256=SHA, archive="all.zip", member="GUE/train.csv")
    assert fetch(file, Access(cache, str(mirror), offline=True)).read_bytes() == CONTENT
    assert data_files(cache) == ["train.csv"]


@pytest.mark.usefixtures("no_network")
def test_offline_and_absent_says_what_where_and_how(tmp_path: Path, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA, urls=("https://example.org/train.csv",))
    (tmp_path / "mirror").mkdir()
    with pytest.raises(MissingData) as raised:
        fetch(file, Access(cache, str(tmp_path / "mirror"), offline=True), name="gue/tf/0")
    message = str(raised.value)
    for part in (
        "set/train.csv",
        str(tmp_path / "mirror"),
        "network not asked (offline)",
        "glmbench get gue/tf/0 --mirror DIR",
    ):
        assert part in message
    with pytest.raises(MissingData, match="offline"):
        fetch(file, Access(cache, "http://127.0.0.1:1/mirror", offline=True))
    assert data_files(cache) == []


def test_downloads_from_a_url(site: Site, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA, urls=(site.put("a b/train.csv", CONTENT).replace(" ", "%20"),))
    assert fetch(file, Access(cache)).read_bytes() == CONTENT
    fetch(file, Access(cache))
    assert len(site.asked) == 1


def test_a_mirror_by_url_serves_files_and_archives_and_asks_once_for_an_archive(site: Site, cache: Path) -> None:
    site.put("m/set/train.csv", CONTENT)
    zip_of(site.folder / "m" / "all.zip", {"x/dev.csv": CONTENT, "x/test.csv": CONTENT})
    access = Access(cache, f"{site.url}/m/")
    assert fetch(SourceFile(path="set/train.csv", sha256=SHA), access).read_bytes() == CONTENT
    for split in ("dev", "test"):
        file = SourceFile(path=f"set/{split}.csv", sha256=SHA, archive="all.zip", member=f"x/{split}.csv")
        assert fetch(file, access).read_bytes() == CONTENT
    assert site.asked.count("/m/all.zip") == 1


def test_falls_from_the_mirror_to_the_source(site: Site, tmp_path: Path, cache: Path) -> None:
    file = SourceFile(path="set/dev.csv", sha256=SHA, urls=(f"{site.url}/nowhere", site.put("dev.csv", CONTENT)))
    assert fetch(file, Access(cache, folder_mirror(tmp_path))).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere", "HTTP status 404"), ("broken", "HTTP status 503"), ("short", "ended after 22 of 1000 bytes")],
)
def test_a_download_that_fails_says_why(site: Site, cache: Path, path: str, reason: str) -> None:
    with pytest.raises(MissingData, match=reason):
        fetch(SourceFile(path="set/train.csv", urls=(f"{site.url}/{path}",)), Access(cache))
    assert data_files(cache) == []


def test_no_server_and_no_scheme_say_why(cache: Path) -> None:
    with pytest.raises(MissingData, match="no connection"):
        fetch(SourceFile(path="a", urls=("http://127.0.0.1:1/a",)), Access(cache))
    with pytest.raises(MissingData, match="not an http"):
        fetch(SourceFile(path="a", urls=("ftp://127.0.0.1/a",)), Access(cache))


def test_a_host_that_did_not_answer_is_not_asked_for_every_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def unreachable(address: object, *arguments: object, **named: object) -> None:
        tried.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    for name in ("a", "b", "c"):
        with pytest.raises(MissingData, match="no connection"):
            fetch(SourceFile(path=name, urls=(f"http://unreachable.invalid/{name}",)), Access(cache))
    assert len(tried) == 1


def test_a_wrong_checksum_names_both_and_installs_nothing(site: Site, tmp_path: Path, cache: Path) -> None:
    wrong = b"sequence,label\nACGT,0\n"
    file = SourceFile(path="set/train.csv", sha256=SHA)
    for access, urls in (
        (Access(cache, folder_mirror(tmp_path, content=wrong)), ()),
        (Access(cache), (site.put("train.csv", wrong),)),
    ):
        with pytest.raises(DataError) as raised:
            fetch(file.model_copy(update={"urls": urls}), access)
        assert SHA in str(raised.value)
        assert sha256_bytes(wrong) in str(raised.value)
        assert data_files(cache) == []


def test_a_good_copy_after_a_bad_one_is_taken(site: Site, cache: Path) -> None:
    file = SourceFile(path="a.csv", sha256=SHA, urls=(site.put("bad", b"bad"), site.put("good", CONTENT)))
    assert fetch(file, Access(cache)).read_bytes() == CONTENT


def test_a_git_blob_id_is_checked_where_there_is_no_sha256(tmp_path: Path, cache: Path) -> None:
    mirror = folder_mirror(tmp_path)
    blob = git_blob_file(Path(mirror) / "set" / "train.csv")
    assert fetch(SourceFile(path="set/train.csv", git_blob=blob), Access(cache, mirror)).read_bytes() == CONTENT
    with pytest.raises(DataError, match="git blob id"):
        fetch(SourceFile(path="set/train.csv", git_blob="0" * 40), Access(tmp_path / "other", mirror))


def test_a_cached_file_that_changed_is_noticed(tmp_path: Path, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA)
    access = Access(cache, folder_mirror(tmp_path))
    fetch(file, access).write_bytes(CONTENT + b"x")
    with pytest.raises(DataError, match=SHA):
        fetch(file, access)


def test_a_cached_file_is_hashed_once_a_process(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA)
    access = Access(cache, folder_mirror(tmp_path))
    fetch(file, access)
    hashed: list[Path] = []
    plain = fetching.sha256_file
    monkeypatch.setattr(fetching, "sha256_file", lambda path: hashed.append(path) or plain(path))
    for _ in range(3):
        fetch(file, access)
    assert len(hashed) == 1


def test_without_a_checksum_the_first_download_is_trusted_and_held_to(site: Site, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", urls=(site.put("train.csv", CONTENT),))
    assert not file.verifiable
    got = fetch(file, Access(cache))
    assert (got.parent / "train.csv.sha256").read_text() == SHA + "\n"
    assert content_id(file, Access(cache, offline=True)) == SHA
    got.write_bytes(b"changed")
    with pytest.raises(DataError, match=f"was {SHA} when first downloaded"):
        fetch(file, Access(cache))


def test_what_identifies_a_file_need_not_be_fetched_where_the_card_knows_it(cache: Path) -> None:
    access = Access(cache, offline=True)
    assert content_id(SourceFile(path="a", sha256=SHA, git_blob="b" * 40), access) == SHA
    assert content_id(SourceFile(path="a", git_blob="b" * 40), access) == "git:" + "b" * 40
    with pytest.raises(MissingData):
        content_id(SourceFile(path="a"), access)


@pytest.mark.parametrize("path", ["../out.csv", "/etc/passwd", "a/../../out.csv"])
def test_a_path_that_leaves_the_cache_is_refused(tmp_path: Path, cache: Path, path: str) -> None:
    with pytest.raises(DataError, match="unsafe file name"):
        fetch(SourceFile(path=path), Access(cache, str(tmp_path)))


def test_a_truncated_archive_is_an_error_and_not_kept(site: Site, tmp_path: Path, cache: Path) -> None:
    whole = zip_of(tmp_path / "whole.zip", {"train.csv": os.urandom(5000)}).read_bytes()
    file = SourceFile(path="set/train.csv", archive="all.zip", member="train.csv")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "all.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a whole zip archive"):
        fetch(file, Access(cache, str(tmp_path / "mirror")))
    site.put("all.zip", whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a whole zip archive"):
        fetch(file, Access(cache, site.url))
    assert data_files(cache) == []


def test_a_mirror_that_is_no_folder_is_a_usage_error(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        fetch(SourceFile(path="a"), Access(cache, str(tmp_path / "absent")))


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(GlmbenchError, match="GLMBENCH_CACHE"):
        fetch(SourceFile(path="set/train.csv"), Access(tmp_path / "cache", folder_mirror(tmp_path)))


def test_a_full_disk_says_so_and_installs_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GlmbenchError, match=r"cannot write .*No space left on device"):
        fetch(SourceFile(path="set/train.csv", sha256=SHA), Access(cache, folder_mirror(tmp_path)))
    assert data_files(cache) == []


class FailingStream(io.BytesIO):
    """A file that opens and breaks when it is read, as on a disk or a network share that fails."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_mirror_that_cannot_be_read_is_not_called_a_full_disk(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(cache, folder_mirror(tmp_path))
    plain = Path.open

    def open_failing(path: Path, mode: str = "r", **named: object) -> object:
        return FailingStream() if path == tmp_path / "mirror" / "set" / "train.csv" else plain(path, mode, **named)

    monkeypatch.setattr(Path, "open", open_failing)
    with pytest.raises(MissingData, match=r"train\.csv: cannot be read: Input/output error") as raised:
        fetch(SourceFile(path="set/train.csv"), access)
    assert "free some space" not in str(raised.value)
    assert data_files(cache) == []


def test_an_archive_that_cannot_be_read_says_so(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "mirror" / "all.zip").mkdir(parents=True)
    file = SourceFile(path="set/train.csv", archive="all.zip", member="train.csv")
    with pytest.raises(MissingData, match=r"all\.zip:train\.csv: Is a directory"):
        fetch(file, Access(cache, str(tmp_path / "mirror")))


PORTAL = b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<html><body>Please log in</body></html>"


@pytest.mark.parametrize("page", [PORTAL, b"<HTML>please log in</HTML>"])
def test_a_web_page_in_place_of_a_file_is_not_installed(site: Site, tmp_path: Path, cache: Path, page: bytes) -> None:
    file = SourceFile(path="set/train.csv", urls=(site.put("train.csv", page),))
    for access in (Access(cache), Access(cache, folder_mirror(tmp_path, content=page))):
        with pytest.raises(MissingData, match="a web page instead of the file"):
            fetch(file, access)
        assert data_files(cache) == []
    site.put("train.csv", CONTENT)
    assert fetch(file, Access(cache)).read_bytes() == CONTENT


def test_a_file_of_another_size_than_the_card_says_is_refused(site: Site, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", bytes=len(CONTENT), urls=(site.put("train.csv", CONTENT[:-3]),))
    with pytest.raises(DataError, match="it has 19 bytes, want 22"):
        fetch(file, Access(cache))
    assert data_files(cache) == []
    site.put("train.csv", CONTENT)
    fetch(file, Access(cache)).write_bytes(CONTENT + b"x")
    with pytest.raises(DataError, match="it has 23 bytes, want 22"):
        fetch(file, Access(cache))


@pytest.mark.parametrize("stale", [{"dev.csv": b"old"}, {"train.csv": b"old"}], ids=["absent", "changed"])
def test_a_stale_archive_is_downloaded_again(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch, stale: dict[str, bytes]
) -> None:
    access = Access(cache, site.url)
    file = SourceFile(path="set/train.csv", sha256=SHA, archive="all.zip", member="train.csv")
    zip_of(site.folder / "all.zip", {"other.csv": CONTENT, **stale})
    fetch(SourceFile(path="set/other.csv", sha256=SHA, archive="all.zip", member="other.csv"), access)
    with pytest.raises((MissingData, DataError)):
        fetch(file, access)
    zip_of(site.folder / "all.zip", {"train.csv": CONTENT})
    monkeypatch.setattr(places, "_downloaded", {})  # another process, or a while later
    assert fetch(file, access).read_bytes() == CONTENT


def test_an_archive_that_lacks_many_members_is_not_downloaded_for_each(site: Site, cache: Path) -> None:
    zip_of(site.folder / "all.zip", {"other.csv": CONTENT})
    for member in ("a.csv", "b.csv", "c.csv"):
        with pytest.raises(MissingData, match="no such member"):
            fetch(SourceFile(path=f"set/{member}", archive="all.zip", member=member), Access(cache, site.url))
    assert site.asked.count("/all.zip") == 1


def test_a_new_download_that_fails_keeps_the_archive(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zip_of(site.folder / "all.zip", {"a.csv": CONTENT, "b.csv": CONTENT})
    access = Access(cache, site.url)
    fetch(SourceFile(path="set/a.csv", archive="all.zip", member="a.csv"), access)
    (site.folder / "all.zip").unlink()
    monkeypatch.setattr(places, "_downloaded", {})
    with pytest.raises(MissingData, match="404"):
        fetch(SourceFile(path="set/c.csv", archive="all.zip", member="c.csv"), access)
    b = SourceFile(path="set/b.csv", archive="all.zip", member="b.csv")
    assert fetch(b, access).read_bytes() == CONTENT


def test_a_card_of_ones_own_neither_gets_nor_plants_the_files_of_others(
    site: Site, tmp_path: Path, cache: Path
) -> None:
    mine, other, packaged = (SourceFile(path="set/a.csv", urls=(site.put(name, name.encode()),)) for name in "mop")
    one, two = (Access(cache, own_card=tmp_path / name) for name in ("one.toml", "two.toml"))
    asked = [(mine, one), (other, one), (mine, two), (packaged, Access(cache))]
    assert [fetch(file, access).read_bytes() for file, access in asked] == [b"m", b"o", b"m", b"p"]
    paths = [cached_path(file, access) for file, access in asked]
    assert len(set(paths)) == 4
    assert paths[-1] == cache / "data" / "set" / "a.csv"
    assert all(path.is_relative_to(cache / "data" / "own") for path in paths[:-1])
    assert [content_id(file, access) for file, access in asked] == [sha256_bytes(c) for c in (b"m", b"o", b"m", b"p")]


def test_own_cards_share_a_file_whose_checksum_they_know(tmp_path: Path, cache: Path) -> None:
    access = Access(cache, folder_mirror(tmp_path), own_card=tmp_path / "one.toml")
    file = SourceFile(path="set/train.csv", sha256=SHA)
    path = fetch(file, access)
    assert path.is_relative_to(cache / "data" / "own")
    assert cached_path(file, Access(cache, own_card=tmp_path / "two.toml")) == path


def test_fetchers_at_once_download_once(site: Site, cache: Path) -> None:
    file = SourceFile(path="set/train.csv", sha256=SHA, urls=(site.put("train.csv", CONTENT),))
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: fetch(file, Access(cache)).read_bytes(), range(8)))
    assert got == [CONTENT] * 8
    assert len(site.asked) == 1
