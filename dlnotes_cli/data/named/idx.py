"""Read the IDX format of the MNIST family: a header with the shape, then bytes; gzipped or not."""

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

REPLACE = "replace it with a complete copy, or remove it"
_GZIP = b"\x1f\x8b"
_MAGIC_BYTES = 4
_UINT8 = 0x08  # the code of this element type
_MOST_DIMENSIONS = 4
_LARGEST = 1 << 31  # bytes of content
_DEFLATE_RATIO = 1032  # the largest of gzip; a header that claims more is wrong
_CHUNK = 1 << 20
_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError)


@dataclass(frozen=True)
class IdxFile:
    """The array of an IDX file, and the SHA-256 of the whole decompressed file."""

    array: NDArray[np.uint8]
    sha256: str


@dataclass(frozen=True)
class _Header:
    content: bytes
    shape: tuple[int, ...]


def read_idx(path: Path, out: NDArray[np.uint8] | None = None) -> IdxFile:
    """Read an IDX file of bytes, into the contiguous array `out` of the same shape if there is one.

    Uses no more memory than the size in the header. Raises InputError naming the file if it is not an IDX file, is
    truncated, continues after its end, or if its gzip stream is damaged.
    """
    with _content(path) as stream:
        header = _read_header(path, stream)
        array = np.empty(header.shape, np.uint8) if out is None else out
        if array.shape != header.shape:
            raise InputError(path, f"holds {_joined(header.shape)} bytes, {_joined(array.shape)} expected", REPLACE)
        digest = hashlib.sha256(header.content)
        view = array.data.cast("B")
        done = 0
        while done < len(view) and (count := stream.readinto(view[done : done + _CHUNK])):
            digest.update(view[done : done + count])
            done += count
        if done < len(view):
            raise InputError(path, f"truncated: {done:,} of {len(view):,} bytes", REPLACE)
        if stream.read(1):  # reading to the end makes gzip compare its checksum
            raise InputError(path, f"continues after the {len(view):,} bytes stated in its header", REPLACE)
    return IdxFile(array, digest.hexdigest())


def idx_shape(path: Path) -> tuple[int, ...]:
    """Read the shape of an IDX file from its header alone; raises InputError as `read_idx`."""
    with _content(path) as stream:
        return _read_header(path, stream).shape


@contextmanager
def archive_errors(path: Path) -> Iterator[None]:
    """Turn the errors of damaged or unreadable files and archives into an InputError that names `path`."""
    try:
        yield
    except _DAMAGE as error:
        what = "truncated" if isinstance(error, EOFError) else f"damaged ({error})"
        raise InputError(path, what, REPLACE) from error
    except OSError as error:
        raise unreadable(path, error, "check the path and its permissions") from error


@contextmanager
def _content(path: Path) -> Iterator[io.BufferedIOBase]:
    with archive_errors(path), path.open("rb") as raw:
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
        raise InputError(path, "not an IDX file", REPLACE)
    if magic[2] != _UINT8:
        raise InputError(path, f"IDX elements of type 0x{magic[2]:02x}, 0x08 (bytes) expected", REPLACE)
    if not 1 <= magic[3] <= _MOST_DIMENSIONS:
        raise InputError(path, f"{magic[3]} IDX dimensions, 1 to {_MOST_DIMENSIONS} expected", REPLACE)
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InputError(path, "truncated inside its header", REPLACE)
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    _check_size(path, shape)
    return _Header(magic + sizes, shape)


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    if not 1 <= size <= _LARGEST:
        raise InputError(path, f"its header states {_joined(shape)} bytes", REPLACE)
    if size > _DEFLATE_RATIO * path.stat().st_size:
        raise InputError(path, f"truncated: its header states {size:,} bytes", REPLACE)


def _joined(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
