"""Download published files: a file exists only if it is complete and its SHA-256 is the published one."""

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError

_TIMEOUT_S = 15.0  # to connect, and between chunks
_CHUNK = 1 << 16
_STALE_S = 3600.0  # temporary files older than this were left by killed processes
_SLACK = 2  # a file longer than this multiple of its approximate size is not the published one


def fetch(
    urls: Sequence[str],
    destination: Path,
    *,
    sha256: str,
    size: int | None,
    approximate_size: int = 0,
    offline: bool = False,
    folder_variable: str = "$DLNOTES_CACHE",
) -> None:
    """Download a file to `destination` from the first of `urls` that works, and check its SHA-256.

    `sha256` may be the beginning of the hash. `size` is in bytes; None if only the `approximate_size` is known. After a
    lost connection the rest is requested. `folder_variable` is the environment variable that sets the destination's
    folder, for error messages.

    An incomplete or wrong file is never left at `destination`. Raises InputError naming the file, the addresses, what
    went wrong and where to put the file by hand.
    """
    by_hand = f"put {destination.name} from {urls[0]} into {destination.parent}"
    if offline:
        raise InputError(destination.name, "not on this machine, and --offline forbids downloading it", by_hand)
    folder, expected = destination.parent, size or approximate_size
    files.make_folder(folder_variable, folder, f"set {folder_variable} to a writable folder")
    files.check_writable_folder(folder_variable, folder)
    files.check_room(folder, expected, f"free space, or set {folder_variable} to another folder")
    for leftover in folder.glob(f"{files.TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):  # another process may have finished its download
            if leftover.stat().st_mtime < time.time() - _STALE_S:
                files.remove(leftover)
    reasons = []
    for url in urls:
        try:
            _download(url, destination, sha256, size, expected)
        except _DownloadError as error:
            reasons.append(f"{url}: {error}")
        else:
            return
    raise InputError(destination.name, f"cannot be downloaded ({', then '.join(reasons)})", f"try again, or {by_hand}")


class _DownloadError(Exception):
    """Why downloading from one address failed."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to another scheme."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in {"https", req.type}:
            raise urllib.error.HTTPError(newurl, code, f"redirects from {req.type} to {newurl}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, destination: Path, sha256: str, size: int | None, expected: int) -> None:
    digest, done = hashlib.sha256(), 0
    with (
        output.progress(f"downloading {destination.name}, {output.size(expected)}") as progress,
        files.atomic_stream(destination, expected) as stream,
    ):
        for chunk in _chunks(url, size):
            done += len(chunk)
            if done > (size or _SLACK * expected):
                raise _DownloadError(f"more than the published {expected:,} bytes")
            stream.write(chunk)
            digest.update(chunk)
            progress.update(min(done / expected, 1.0))
        if not digest.hexdigest().startswith(sha256):
            raise _DownloadError("its SHA-256 is not the published one")


def _chunks(url: str, size: int | None) -> Iterator[bytes]:
    """The content of a file; after a lost connection the rest is requested, as long as something arrives each time."""
    opener = urllib.request.build_opener(_SafeRedirects)
    done, begun, failure = 0, -1, ""
    while done > begun:
        begun = done
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310  # published
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                if done and response.status != HTTPStatus.PARTIAL_CONTENT:
                    break
                size = size or int(response.headers.get("Content-Length") or 0)
                while chunk := response.read1(_CHUNK):
                    done += len(chunk)
                    yield chunk
        except urllib.error.HTTPError as error:
            error.close()
            failure = f"{error.code} {error.reason}"
        except (OSError, HTTPException, ValueError) as error:
            failure = str(getattr(error, "reason", "") or error) or type(error).__name__
        else:
            if done >= size:
                return
    raise _DownloadError(failure or f"ended after {done:,} of {size or 0:,} bytes")
