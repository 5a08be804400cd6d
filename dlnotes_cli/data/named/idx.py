"""The IDX format of the MNIST family: a header of sizes, then bytes; gzipped or not."""

import gzip
import hashlib
import io
import math
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.errors import InputError, unreadable

WHOLE_COPY = "replace it by a whole copy, or remove it"
_GZIP = b"\x1f\x8b"
_MAGIC_BYTES = 4
_UINT8 = 0x08  # the format's code for this type of item
_MOST_DIMENSIONS = 4
_LARGEST = 1 << 31  # bytes of content
_DEFLATE_RATIO = 1032  # gzip cannot shrink further, so a larger promise is a false one
_CHUNK = 1 << 20
_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError)


@dataclass(frozen=True)
class IdxFile:
    """What an IDX file holds, and the SHA-256 of the whole file once uncompressed."""

    array: NDArray[np.uint8]
    sha256: str


@dataclass(frozen=True)
class _Header:
    content: bytes
    shape: tuple[int, ...]


def read_idx(path: Path, out: NDArray[np.uint8] | None = None) -> IdxFile:
    """Read a whole IDX file of bytes, into `out` where given (contiguous, of the same shape).

    Memory is bounded by the size that the header promises. Raises InputError naming the file where it is no IDX file,
    is cut short, goes on after its end, or where its gzip layer is damaged.
    """
    with _content(path) as stream:
        header = _read_header(path, stream)
        array = np.empty(header.shape, np.uint8) if out is None else out
        if array.shape != header.shape:
            raise InputError(path, f"holds {_times(header.shape)} bytes, {_times(array.shape)} expected", WHOLE_COPY)
        digest = hashlib.sha256(header.content)
        view = array.data.cast("B")
        done = 0
        while done < len(view) and (count := stream.readinto(view[done : done + _CHUNK])):
            digest.update(view[done : done + count])
            done += count
        if done < len(view):
            raise InputError(path, f"cut short: {done:,} of {len(view):,} bytes", WHOLE_COPY)
        if stream.read(1):  # the end is where gzip compares its own checksum
            raise InputError(path, f"goes on after the {len(view):,} bytes that its header promises", WHOLE_COPY)
    return IdxFile(array, digest.hexdigest())


def idx_shape(path: Path) -> tuple[int, ...]:
    """Read the sizes of an IDX file from its header alone; raises InputError as `read_idx` does."""
    with _content(path) as stream:
        return _read_header(path, stream).shape


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a damaged or unreadable file or archive raises into an InputError naming `path`."""
    try:
        yield
    except _DAMAGE as error:
        what = "cut short" if isinstance(error, EOFError) else f"damaged ({error})"
        raise InputError(path, what, WHOLE_COPY) from error
    except OSError as error:
        raise unreadable(path, error, "check the path and its permissions") from error


@contextmanager
def _content(path: Path) -> Iterator[io.BufferedIOBase]:
    with reading(path), path.open("rb") as raw:
        is_gzipped = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        if is_gzipped:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream
        else:
            yield raw


def _read_header(path: Path, stream: io.BufferedIOBase) -> _Header:
    magic = stream.read(_MAGIC_BYTES)  # 0, 0, type, dimensions
    if len(magic) < _MAGIC_BYTES or magic[:2] != b"\0\0":
        raise InputError(path, "not an IDX file", WHOLE_COPY)
    if magic[2] != _UINT8:
        raise InputError(path, f"IDX items of type 0x{magic[2]:02x}, 0x08 (bytes) expected", WHOLE_COPY)
    if not 1 <= magic[3] <= _MOST_DIMENSIONS:
        raise InputError(path, f"{magic[3]} IDX dimensions, 1 to {_MOST_DIMENSIONS} expected", WHOLE_COPY)
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InputError(path, "cut short inside its header", WHOLE_COPY)
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    _check_promise(path, shape)
    return _Header(magic + sizes, shape)


def _check_promise(path: Path, shape: tuple[int, ...]) -> None:
    promised = math.prod(shape)
    if not 1 <= promised <= _LARGEST:
        raise InputError(path, f"its header promises {_times(shape)} bytes", WHOLE_COPY)
    if promised > _DEFLATE_RATIO * path.stat().st_size:
        raise InputError(path, f"cut short: its header promises {promised:,} bytes", WHOLE_COPY)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
