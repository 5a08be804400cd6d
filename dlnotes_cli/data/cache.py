"""Entries of the decode cache: the samples of one folder's images in one preprocessing, in one file.

An entry is the folder `decoded/<digest of the image folder's path>/<name>/` in the user's cache. Its name is
`CxHxW-resize` for pixels, or identifies the feature extractor. Its file has three arrays in NumPy's format:
samples, the index of the image files as JSON, and the CRC-32 of both. It appears complete or not at all, and a process
that has mapped it keeps it when it is replaced.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import DECODER, ImageHeader
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import UnfinishedError, reason

_FORMAT = f"2, decoder {DECODER}"  # raise the number with every change of the file
_LOCK = ".lock"
_LARGEST_READ = 1 << 26  # bytes of samples that are read into memory, so that a file that is truncated ends no run
_LARGEST_VERIFIED = 1 << 31  # bytes of samples; reading more on every start would take too long
_SEED_DIGITS = 15  # hexadecimal digits of a digest that make a seed of 60 bits
_FIX = "free space, or set $DLNOTES_CACHE to another folder"


class FileRecord(NamedTuple):
    """What the cache stores about an image file: its stamp, a digest of its content, and its header."""

    name: str
    size: int
    time: int
    inode: int
    digest: str
    width: int
    height: int
    is_gray: bool

    @property
    def seed(self) -> int:
        """A 60-bit seed that depends on the content alone."""
        return int(self.digest[:_SEED_DIGITS], 16)


class CachedSamples(NamedTuple):
    """Samples (N, ...), memory-mapped unless they are small, and the record of the image file of each."""

    samples: NDArray[Any]
    records: Sequence[FileRecord]
    root: str = ""  # of the image files
    checksum: int = 0  # of the samples

    def rows(self, listing: FolderListing, max_pixels: int) -> dict[int, int]:
        """The row of each listed image, by position, that is unchanged and not larger than allowed."""
        row_of = {r[:4]: row for row, r in enumerate(self.records) if r.width * r.height <= max_pixels}
        return {i: row_of[stamp] for i, stamp in enumerate(listing.stamps) if stamp in row_of}

    def is_valid(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> bool:
        """Whether the samples have this shape and type, and, unless they are very large, their checksum."""
        if (self.samples.shape[1:], self.samples.dtype) != (shape, dtype):
            return False
        return self.samples.nbytes > _LARGEST_VERIFIED or zlib.crc32(self.samples.data) == self.checksum


@dataclass(frozen=True)
class CacheEntry:
    """The cached samples of one image folder in one preprocessing, in a folder; it may not exist yet."""

    path: Path

    @property
    def _file(self) -> Path:
        return self.path / "samples.npy"

    @classmethod
    def of(cls, root: Path, name: str) -> "CacheEntry":
        """The entry called `name` of the images below `root`."""
        return cls(_folder_of(root) / name)

    def read(self) -> CachedSamples | None:
        """The content of the file, whose samples are not verified; None if it is missing or damaged."""
        try:
            with self._file.open("rb") as stream:
                return _read(stream)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, EOFError) as error:
            output.detail("cache", f"{self.path} cannot be used ({error})")
            return None

    def write(
        self, root: str, shape: tuple[int, ...], dtype: "np.dtype[Any]",
        chunks: Iterable[tuple[NDArray[Any], list[FileRecord]]],
    ) -> None:  # fmt: skip
        """Replace the file by samples of at most `shape`, in chunks; the caller holds the lock.

        Raises UnfinishedError if the disk is full.
        """
        files.create_folder(self.path)  # unless another process has cleared it meanwhile
        files.sweep_temporaries(self.path)
        needed = int(np.prod(shape)) * dtype.itemsize
        files.check_room(self.path, needed, _FIX)
        records, checksum = list[FileRecord](), 0
        with files.atomic_stream(self._file, needed) as stream:
            _write_header(stream, shape, dtype)
            for samples, added in chunks:
                stream.write(samples.data)
                checksum = zlib.crc32(samples.data, checksum)
                records += added
            index = json.dumps({"format": _FORMAT, "root": root, "records": records}).encode()
            np.save(stream, np.frombuffer(index, np.uint8))
            np.save(stream, np.array([checksum, zlib.crc32(index)]))
            stream.seek(0)
            _write_header(stream, (len(records), *shape[1:]), dtype)  # whose length does not depend on the number

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
        with suppress(OSError, NotImplementedError):  # of a file system without locks
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
        return max((path.stat().st_mtime for path in self._files()), default=0.0)

    def _files(self) -> list[Path]:
        return [*self.path.glob("samples*"), *self.path.glob(f"{files.TEMPORARY_PREFIX}*")]


def _read(stream: IO[bytes]) -> CachedSamples:
    npy.read_magic(stream)
    shape, _, dtype = npy.read_array_header_1_0(stream)
    mapped = np.memmap(stream, dtype, "r", stream.tell(), shape)
    stream.seek(mapped.offset + mapped.nbytes)
    index, (checksum, index_checksum) = np.load(stream).tobytes(), np.load(stream).tolist()
    if zlib.crc32(index) != index_checksum:
        raise ValueError("index with another checksum")
    stored = json.loads(index)
    if stored["format"] != _FORMAT:
        raise ValueError("written by another version")
    records = [FileRecord(*record) for record in stored["records"]]
    if len(records) != len(mapped):
        raise ValueError(f"{len(mapped)} samples of {len(records)} files")
    samples = mapped if mapped.nbytes > _LARGEST_READ else np.array(mapped)
    samples.flags.writeable = False
    return CachedSamples(samples, records, stored["root"], checksum)


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    npy.write_array_header_1_0(stream, {"descr": dtype.str, "fortran_order": False, "shape": shape})


def known_headers(listing: FolderListing, max_pixels: int) -> dict[int, ImageHeader]:
    """The headers, by position, of the listed images that are unchanged in the most recently used entry."""
    for entry in list_entries(listing.root):
        if cached := entry.read():
            rows = cached.rows(listing, max_pixels)
            return {i: ImageHeader(*cached.records[row][-3:]) for i, row in rows.items()}
    return {}


def list_entries(root: Path | None = None) -> list[CacheEntry]:
    """All entries with files, or those of one image folder, the most recently used first."""
    folders = (cache_folder() / "decoded").glob("*/*/") if root is None else _folder_of(root).glob("*/")
    entries = [entry for entry in map(CacheEntry, folders) if entry.nbytes()]
    return sorted(entries, key=CacheEntry.last_used, reverse=True)


def _folder_of(root: Path) -> Path:
    """The folder of all entries of one image folder."""
    return cache_folder() / "decoded" / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
