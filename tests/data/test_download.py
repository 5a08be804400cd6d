"""Downloads: complete and verified, or no file at all."""

import errno
import hashlib
import http.server
import io
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, ClassVar

import pytest

from dlnotes_cli.data import download
from dlnotes_cli.data.download import fetch
from dlnotes_cli.shell.errors import InputError, UnfinishedError

CONTENT = bytes(range(256)) * 1000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    requested: ClassVar[list[str]]
    released: ClassVar[threading.Event]

    def do_GET(self) -> None:
        self.requested.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/silent":
            self.released.wait(10)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        else:
            self.answer(self.path)

    def answer(self, path: str) -> None:
        self.send_response(200)
        if path != "/endless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = {"/cut": CONTENT[:100_000], "/wrong": CONTENT[::-1], "/endless": CONTENT + b"x"}.get(path, CONTENT)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Site:
    def __init__(self, port: int, handler: type[Handler]) -> None:
        self.port, self.requested, self.released = port, handler.requested, handler.released

    def url(self, page: str) -> str:
        return f"http://127.0.0.1:{self.port}/{page}"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")

    class Fresh(Handler):
        requested: ClassVar[list[str]] = []
        released = threading.Event()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Site(server.server_port, Fresh)
        Fresh.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "set" / "images.gz"


def names_in_folder_of(file: Path) -> list[str]:
    return sorted(entry.name for entry in file.parent.iterdir())


def test_a_download_leaves_exactly_the_complete_file(site: Site, file: Path) -> None:
    fetch([site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert file.read_bytes() == CONTENT
    assert names_in_folder_of(file) == ["images.gz"]


def test_redirects_are_followed(site: Site, file: Path) -> None:
    fetch([site.url("moved")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize("bad", ["missing", "cut", "wrong", "endless"])
def test_the_second_address_is_used_if_the_first_fails(bad: str, site: Site, file: Path) -> None:
    fetch([site.url(bad), site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert file.read_bytes() == CONTENT
    assert names_in_folder_of(file) == ["images.gz"]
    assert site.requested == [f"/{bad}", "/good"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("missing", "404 Not Found"),
        ("cut", "ended after 100,000 of 256,000 bytes"),
        ("wrong", "its SHA-256 is not the published one"),
        ("endless", "more than the published 256,000 bytes"),
    ],
)
def test_a_failure_names_the_reason_and_leaves_no_file(page: str, reason: str, site: Site, file: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch([site.url(page)], file, sha256=CHECKSUM, size=len(CONTENT))
    by_hand = f"try again, or put images.gz from {site.url(page)} into {file.parent}"
    assert str(caught.value) == f"images.gz: cannot be downloaded ({site.url(page)}: {reason}); {by_hand}"
    assert names_in_folder_of(file) == []


def test_every_address_is_named(site: Site, file: Path) -> None:
    with pytest.raises(InputError, match=r"/missing: 404 Not Found, then http\S+/cut: ended after"):
        fetch([site.url("missing"), site.url("cut")], file, sha256=CHECKSUM, size=len(CONTENT))


def test_a_failure_keeps_an_existing_file(site: Site, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"old")
    with pytest.raises(InputError):
        fetch([site.url("cut")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert file.read_bytes() == b"old"


def test_a_silent_server_times_out(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_TIMEOUT_S", 0.1)
    with pytest.raises(InputError, match=r"silent: no answer for 0\.1 s\); try again"):
        fetch([site.url("silent")], file, sha256=CHECKSUM, size=len(CONTENT))
    site.released.set()
    assert names_in_folder_of(file) == []


def test_a_refused_connection_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="connection refused"):
        fetch([f"http://127.0.0.1:{port}/good"], file, sha256=CHECKSUM, size=len(CONTENT))


def test_offline_sends_no_request_and_creates_no_folder(site: Site, file: Path) -> None:
    with pytest.raises(InputError, match=r"images\.gz: not on this machine, and --offline .*; put images\.gz from"):
        fetch([site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT), offline=True)
    assert site.requested == []
    assert not file.parent.exists()


def test_an_interruption_leaves_no_file(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_half_way(response: IO[bytes], room: int) -> bytes:
        if room < len(CONTENT):
            assert (
                [name for name in names_in_folder_of(file) if name.endswith(".partial")]
                == names_in_folder_of(file)
                != []
            )
            raise KeyboardInterrupt
        return response.read(1000)

    monkeypatch.setattr(download, "_next_chunk", stop_half_way)
    with pytest.raises(KeyboardInterrupt):
        fetch([site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == []


def test_a_full_disk_does_not_try_the_next_address(site: Site, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnfinishedError, match=r"images\.gz: disk full: 256,000 bytes needed"):
        fetch([site.url("good"), site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == []
    assert site.requested == ["/good"]


def test_free_space_is_checked_before_any_request(site: Site, file: Path) -> None:
    with pytest.raises(UnfinishedError, match=r"too full: .*; free space, or set \$DLNOTES_CACHE"):
        fetch([site.url("good")], file, sha256=CHECKSUM, size=1 << 60)
    assert site.requested == []


def test_a_folder_that_cannot_be_created_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(InputError, match=r"cannot make .*plain/set .*; set \$DLNOTES_CACHE to a writable folder"):
        fetch([site.url("good")], tmp_path / "plain/set/x.gz", sha256=CHECKSUM, size=len(CONTENT))


def test_files_of_killed_downloads_are_removed(site: Site, file: Path) -> None:
    file.parent.mkdir(parents=True)
    stale, live = file.parent / ".dlnotes-images.gz.old.partial", file.parent / ".dlnotes-images.gz.new.partial"
    for path in (stale, live):
        path.write_bytes(b"half")
    os.utime(stale, (time.time() - 86_400,) * 2)
    fetch([site.url("good")], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == [live.name, "images.gz"]


def redirected(start: str, to: str) -> urllib.request.Request | None:
    request = urllib.request.Request(start)  # noqa: S310  # never opened
    return download._SafeRedirects().redirect_request(request, io.BytesIO(), 302, "Found", HTTPMessage(), to)


@pytest.mark.parametrize("to", ["http://example.org/x", "ftp://example.org/x"])
def test_https_never_redirects_to_another_scheme(to: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="redirects from https to") as caught:
        redirected("https://example.org/x", to)
    caught.value.close()


@pytest.mark.parametrize("start", ["http://example.org/x", "https://example.org/x"])
def test_redirects_to_https_are_followed(start: str) -> None:
    assert redirected(start, "https://example.org/y") is not None


def test_with_an_approximate_size_the_beginning_of_the_checksum_decides(site: Site, file: Path) -> None:
    fetch([site.url("good")], file, sha256=CHECKSUM[:8], size=None, approximate_size=len(CONTENT) - 1000)
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("bad", "approximate_size", "reason"),
    [
        ("cut", len(CONTENT), "ended after 100,000 of 256,000 bytes"),
        ("wrong", len(CONTENT), "its SHA-256 is not the published one"),
        ("good", len(CONTENT) // 3, "more than the published"),
    ],
)
def test_a_wrong_file_with_an_approximate_size_is_refused(
    bad: str, approximate_size: int, reason: str, site: Site, file: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        fetch([site.url(bad)], file, sha256=CHECKSUM[:8], size=None, approximate_size=approximate_size)
    assert names_in_folder_of(file) == []
