"""Downloads: complete and verified, or no file at all."""

import errno
import hashlib
import http.server
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, ClassVar

import pytest
from builders import serving

from dlnotes_cli.data import download
from dlnotes_cli.data.download import fetch
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.output import Progress

CONTENT = bytes(range(256)) * 1000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    requested: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requested.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/silent":
            self.rfile.read(1)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        else:
            self.answer()

    def answer(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        bodies = {"/cut": CONTENT[:100_000], "/wrong": CONTENT[::-1], "/endless": CONTENT + b"x"}
        body = bodies.get(self.path, CONTENT)
        is_resumable = self.path in {"/resumed", "/stalled"}
        self.send_response(206 if start and is_resumable else 200)
        if is_resumable:
            body = body[start : start + 100_000]
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(CONTENT) - is_resumable * start))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/stalled":
            self.rfile.read(1)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server whose pages are those of `Handler`."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(Handler, "requested", [])
    with serving(Handler) as address:
        yield address


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "set" / "images.gz"


def names_in_folder_of(file: Path) -> list[str]:
    return sorted(entry.name for entry in file.parent.iterdir())


@pytest.mark.parametrize(("page", "requests"), [("good", 1), ("moved", 2), ("resumed", 3), ("stalled", 3)])
def test_a_download_leaves_exactly_the_complete_file(
    page: str, requests: int, site: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "stalled":
        monkeypatch.setattr(download, "_TIMEOUT_S", 0.5)
    fetch([f"{site}/{page}"], file, sha256=CHECKSUM, size=len(CONTENT))
    assert file.read_bytes() == CONTENT
    assert names_in_folder_of(file) == ["images.gz"]
    assert len(Handler.requested) == requests


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("missing", "404 Not Found"),
        ("cut", "ended after 100,000 of 256,000 bytes"),
        ("wrong", "its SHA-256 is not the published one"),
        ("endless", "more than the published 256,000 bytes"),
        ("silent", "timed out"),
    ],
)
def test_after_a_failure_the_next_address_is_used_or_the_reason_named(
    page: str, reason: str, site: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "silent":
        monkeypatch.setattr(download, "_TIMEOUT_S", 0.5)
    with pytest.raises(InputError) as caught:
        fetch([f"{site}/{page}"], file, sha256=CHECKSUM, size=len(CONTENT))
    assert str(caught.value) == (
        f"images.gz: cannot be downloaded ({site}/{page}: {reason}); "
        f"try again, or put images.gz from {site}/{page} into {file.parent}"
    )
    assert names_in_folder_of(file) == []
    fetch([f"{site}/{page}", f"{site}/good"], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == ["images.gz"]


@pytest.mark.parametrize(
    ("page", "size", "reason"),
    [
        ("cut", len(CONTENT), "ended after 100,000 of 256,000 bytes"),
        ("wrong", len(CONTENT), "its SHA-256 is not the published one"),
        ("good", len(CONTENT) // 3, "more than the published"),
    ],
)
def test_with_an_approximate_size_the_beginning_of_the_checksum_decides(
    page: str, size: int, reason: str, site: str, file: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        fetch([f"{site}/{page}"], file, sha256=CHECKSUM[:8], size=None, approximate_size=size)
    assert names_in_folder_of(file) == []
    fetch([f"{site}/good"], file, sha256=CHECKSUM[:8], size=None, approximate_size=len(CONTENT) - 1000)
    assert file.read_bytes() == CONTENT


def test_nothing_is_requested_offline_without_space_or_into_an_impossible_folder(site: str, file: Path) -> None:
    def wanted(destination: Path, *, size: int = len(CONTENT), offline: bool = False) -> None:
        fetch([f"{site}/good"], destination, sha256=CHECKSUM, size=size, offline=offline)

    with pytest.raises(InputError, match=r"images\.gz: not on this machine, and --offline .*; put images\.gz from"):
        wanted(file, offline=True)
    assert not file.parent.exists()
    with pytest.raises(UnfinishedError, match=r"too full: .*; free space, or set \$DLNOTES_CACHE"):
        wanted(file, size=1 << 60)
    (file.parent / "plain").write_text("a file")
    with pytest.raises(InputError, match=r"cannot make .*plain/set .*; set \$DLNOTES_CACHE to a writable"):
        wanted(file.parent / "plain" / "set" / "x.gz")
    assert Handler.requested == []


@pytest.mark.parametrize(
    ("place", "name", "error", "message"),
    [
        (Progress, "update", KeyboardInterrupt(), ""),
        (os, "fsync", OSError(errno.ENOSPC, "No space left on device"), r"images\.gz: disk full: 256,000 bytes needed"),
    ],
)
def test_an_interruption_or_a_full_disk_leaves_no_file(
    place: Any, name: str, error: BaseException, message: str, site: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        assert [name for name in names_in_folder_of(file) if not name.endswith(".partial")] == []
        raise error

    monkeypatch.setattr(place, name, stop)
    with pytest.raises(UnfinishedError if message else KeyboardInterrupt, match=message or None):
        fetch([f"{site}/good", f"{site}/good"], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == []
    assert Handler.requested == ["/good"]


def test_files_of_killed_downloads_are_removed(site: str, file: Path) -> None:
    file.parent.mkdir(parents=True)
    stale, live = file.parent / ".dlnotes-images.gz.old.partial", file.parent / ".dlnotes-images.gz.new.partial"
    for path in (stale, live):
        path.write_bytes(b"half")
    os.utime(stale, (time.time() - 86_400,) * 2)
    fetch([f"{site}/good"], file, sha256=CHECKSUM, size=len(CONTENT))
    assert names_in_folder_of(file) == [live.name, "images.gz"]


def test_https_never_redirects_to_another_scheme() -> None:
    def redirected(start: str, to: str) -> object:
        request = urllib.request.Request(f"{start}://example.org/x")  # noqa: S310  # never opened
        handler = download._SafeRedirects()
        return handler.redirect_request(request, io.BytesIO(), 302, "Found", HTTPMessage(), f"{to}://example.org/y")

    assert redirected("http", "https") is not None
    for scheme in ("http", "ftp"):
        with pytest.raises(urllib.error.HTTPError, match="redirects from https to") as caught:
            redirected("https", scheme)
        caught.value.close()
