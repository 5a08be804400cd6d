"""Entries of the decode cache: the samples of one folder's images in one preprocessing, in one file.

An entry is the folder `decoded/<digest of the image folder's path>/<name>/` in the user's cache. Its name is
`CxHxW-resize` for pixels, or identifies the feature extractor. Its file has an array in NumPy's format, then the index
of the image files, then the index's length and checksum. It appears complete or not at all, and a process that has
mapped it keeps it when it is replaced.
"""

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import DECODER, ImageHeader
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import UnfinishedError, reason

_FORMAT = f"1, decoder {DECODER}"  # raise the number with every change of the file
_FILE, _LOCK = "samples.npy", ".lock"
_TRAILER = struct.Struct("<QI")  # length and CRC-32 of the index
_LARGEST_VERIFIED = 1 << 31  # bytes of samples; reading more on every start would take too long
_LARGEST_READ = 1 << 26  # bytes that are read into memory; more are memory-mapped
_SEED_DIGITS = 15  # hexadecimal digits of a digest that make a seed of 60 bits
_FIX = "free space, or set $DLNOTES_CACHE to another folder"
_INVALID = (OSError, ValueError, TypeError, LookupError, AttributeError, struct.error)
Read = TypeVar("Read")


class FileRecord(NamedTuple):
    """What the cache stores about an image file: a digest of its content, and its header."""

    digest: str
    header: ImageHeader

    @property
    def seed(self) -> int:
        """A 60-bit seed that depends on the content alone."""
        return int(self.digest[:_SEED_DIGITS], 16)


@dataclass(frozen=True)
class CacheIndex:
    """The image files of which an entry has the samples; columns with one item per sample, in order."""

    root: str
    names: tuple[str, ...]  # relative to `root`
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    inodes: tuple[int, ...]
    records: tuple[FileRecord, ...]

    def rows(self, listing: FolderListing) -> dict[int, int]:
        """The row of the sample of each listed image, by position, whose name, size, time and inode are unchanged."""
        stored = (self.names, self.sizes, self.times, self.inodes)
        listed = (listing.names, listing.sizes, listing.times, listing.inodes)
        if stored == listed:  # several times as fast
            return {i: i for i in range(len(self.names))}
        row_of = {image: row for row, image in enumerate(zip(*stored, strict=True))}
        return {i: row_of[image] for i, image in enumerate(zip(*listed, strict=True)) if image in row_of}


class EntryWriter:
    """Writes samples to the file of an entry, and at the end its index."""

    def __init__(self, stream: IO[bytes], count: int, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self._stream, self._shape, self._dtype, self._checksum = stream, shape, dtype, 0
        self._write_header(count)

    def append(self, samples: NDArray[Any]) -> None:
        """Write samples (n, *shape) after the earlier ones."""
        content = samples.tobytes()
        self._checksum = zlib.crc32(content, self._checksum)
        self._stream.write(content)

    def finish(self, index: CacheIndex) -> None:
        """Write the index, and the number of samples into the header, whose length does not depend on it."""
        headers = {header: number for number, header in enumerate({record.header for record in index.records})}
        records = [(digest, headers[header]) for digest, header in index.records]  # few images differ in their headers
        stored = vars(index) | {"records": records, "headers": list(headers)}
        content = json.dumps({"format": _FORMAT, "checksum": self._checksum} | stored).encode()
        self._stream.write(content + _TRAILER.pack(len(content), zlib.crc32(content)))
        self._stream.seek(0)
        self._write_header(len(index.names))

    def _write_header(self, count: int) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (count, *self._shape)}
        npy.write_array_header_1_0(self._stream, header)


class EntryFile:
    """An open file of an entry; raises ValueError or a similar error if it is not complete and of this version."""

    def __init__(self, stream: IO[bytes]) -> None:
        npy.read_magic(stream)
        self.shape, _, self.dtype = npy.read_array_header_1_0(stream)  # (N, *sample_shape)
        self._stream, self.start = stream, stream.tell()  # of the samples
        size = stream.seek(-_TRAILER.size, os.SEEK_END) + _TRAILER.size
        length, checksum = _TRAILER.unpack(stream.read())
        expected = self.start + self._nbytes + length + _TRAILER.size
        if size != expected:
            raise ValueError(f"{size:,} bytes, {expected:,} expected")
        stream.seek(self.start + self._nbytes)
        content = stream.read(length)
        if zlib.crc32(content) != checksum:
            raise ValueError("index with another checksum")
        stored = json.loads(content)
        if stored.pop("format") != _FORMAT:
            raise ValueError("written by another version")
        self._checksum, root = stored.pop("checksum"), stored.pop("root")
        headers = [ImageHeader(*header) for header in stored.pop("headers")]
        records = tuple([FileRecord(digest, headers[number]) for digest, number in stored.pop("records")])
        self.index = CacheIndex(root, records=records, **{name: tuple(column) for name, column in stored.items()})

    @property
    def _nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> NDArray[Any]:
        """The samples, read-only, and memory-mapped unless they are small; raises ValueError if they are damaged.

        Small ones are read, so that a program that truncates the file does not end this one.
        """
        samples: NDArray[Any]
        if self._nbytes > _LARGEST_READ:
            samples = np.memmap(self._stream, self.dtype, "r", self.start, self.shape)
        else:
            self._stream.seek(self.start)
            samples = np.frombuffer(self._stream.read(self._nbytes), self.dtype).reshape(self.shape)
        if self._nbytes <= _LARGEST_VERIFIED and zlib.crc32(samples.data) != self._checksum:
            raise ValueError("samples with another checksum")
        return samples


class CacheEntry:
    """The cached samples of one image folder in one preprocessing; it may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, path / _FILE

    @classmethod
    def of(cls, root: Path, name: str) -> "CacheEntry":
        """The entry called `name` of the images below `root`."""
        return cls(_folder_of(root) / name)

    def read(self, read: Callable[[EntryFile], Read | None]) -> Read | None:
        """What `read` returns of the open file; None if it is missing or damaged."""
        try:
            with self._file.open("rb") as stream:
                result = read(EntryFile(stream))
        except FileNotFoundError:
            return None
        except _INVALID as error:
            output.detail("cache", f"{self.path} cannot be used ({error})")
            return None
        return result

    def mark_used(self) -> None:
        """Store that the entry is used now."""
        with suppress(OSError):  # a read-only cache can still be used
            os.utime(self._file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the entry's lock for writing, after waiting for other processes; raises UnfinishedError if it cannot.

        Where the file system has no locks, two processes may decode the same images, and the last one's file stays.
        """
        try:
            files.create_folder(self.path)
        except OSError as error:
            raise UnfinishedError(self.path, f"cannot be created ({reason(error)})", _FIX) from error
        lock = FileLock(self.path / _LOCK)
        with suppress(OSError, NotImplementedError):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                output.status("cache", f"waiting for another process that writes {self.path}")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()
            if not self._file.exists():
                files.remove(self.path / _LOCK)
                files.remove_empty_folder(self.path)
                files.remove_empty_folder(self.path.parent)

    @contextmanager
    def writing(self, needed: int) -> Iterator[IO[bytes]]:
        """The stream of a new file, about `needed` bytes, which replaces the old one after the context.

        The caller holds the lock. Raises UnfinishedError if the disk is full.
        """
        files.create_folder(self.path)  # unless another process has cleared it meanwhile
        files.sweep_temporaries(self.path)
        files.check_room(self.path, needed, _FIX)
        with files.atomic_stream(self._file, needed) as stream:
            yield stream

    def clear(self) -> None:
        """Delete the files of the entry and no others. Raises UnfinishedError."""
        with self.locked():
            for path in self._files():
                try:
                    files.remove(path)
                except OSError as error:
                    what = f"cannot be deleted ({reason(error)})"
                    raise UnfinishedError(path, what, "check its permissions") from error

    def nbytes(self) -> int:
        """Size of the entry on disk."""
        return sum(path.stat().st_size for path in self._files())

    def last_used(self) -> float:
        """When the entry was last used, in seconds since 1970."""
        path = self._file if self._file.exists() else self.path
        return path.stat().st_mtime if path.exists() else 0.0

    def _files(self) -> Iterator[Path]:
        return chain(self.path.glob("samples*"), self.path.glob(f"{files.TEMPORARY_PREFIX}*"))


def known_headers(listing: FolderListing) -> dict[int, ImageHeader]:
    """The headers, by position, of the listed images that are unchanged in the most recently used entry."""
    for entry in list_entries(listing.root):
        if index := entry.read(lambda file: file.index):
            return {i: index.records[row].header for i, row in index.rows(listing).items()}
    return {}


def list_entries(root: Path | None = None) -> list[CacheEntry]:
    """All entries with files, or those of one image folder, the most recently used first."""
    pattern = "*/*/" if root is None else f"{_folder_of(root).name}/*/"
    entries = [entry for entry in map(CacheEntry, _root().glob(pattern)) if entry.nbytes()]
    return sorted(entries, key=CacheEntry.last_used, reverse=True)


def _root() -> Path:
    return cache_folder() / "decoded"


def _folder_of(root: Path) -> Path:
    return _root() / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
