"""Entries of the decode cache: the samples of one folder in one preprocessing, and the index of their files.

An entry is the folder `decoded/<digest of the image folder's path>/<name>/` in the user's cache. Its name is
`CxHxW-resize` for pixels, or identifies the feature extractor. It holds one file of samples and the index that names
this file. The index is written last and replaced atomically, so a reader finds a complete pair or none.
"""

import fcntl
import hashlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import DECODER, ImageHeader
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import UnfinishedError, reason

_INDEX = "index.json"
_SAMPLES = "samples-"  # followed by random digits: a new file never replaces one that is memory-mapped
CHECKSUM_CHUNK = 1 << 22  # bytes of samples for each checksum
_LARGEST_VERIFIED = 1 << 31  # bytes; reading a larger file on every start would take too long
_LARGEST_READ = 1 << 26  # bytes that are read into memory; a larger file is memory-mapped
_DTYPES = {"uint8", "float32"}
_SEAL = '{{"crc32": {:10d}, '  # in place of the brace that a JSON object begins with
_SEAL_LENGTH = len(_SEAL.format(0))
_FIX = "free space, or set $DLNOTES_CACHE to another folder"


@dataclass(frozen=True)
class CacheIndex:
    """The image files that a file of samples was decoded from; every tuple has one item per sample, in order."""

    root: str
    shape: tuple[int, ...]  # of a sample: (C, H, W) of pixels, (F,) of features
    dtype: str
    samples: str  # name of the file
    names: tuple[str, ...]  # relative to `root`
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    inodes: tuple[int, ...]
    digests: tuple[str, ...]  # of the contents of the image files
    headers: tuple[ImageHeader, ...]
    checksums: tuple[int, ...]  # CRC-32 of each chunk of the file of samples

    @property
    def nbytes(self) -> int:
        """Size of the file of samples."""
        return len(self.names) * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def rows(self, listing: FolderListing) -> list[int | None]:
        """For each listed image the row of its sample; None unless name, size, time and inode are unchanged."""
        stored = (self.names, self.sizes, self.times, self.inodes)
        listed = (listing.names, listing.sizes, listing.times, listing.inodes)
        if stored == listed:
            return list(range(len(self.names)))
        row_of = {image: row for row, image in enumerate(zip(*stored, strict=True))}
        return [row_of.get(image) for image in zip(*listed, strict=True)]

    def to_json(self) -> str:
        """The text of the index file, which begins with a CRC-32 of the rest; equal headers are stored once."""
        kinds = list(dict.fromkeys(self.headers))
        position = {header: i for i, header in enumerate(kinds)}
        columns = {
            "kinds": [list(header) for header in kinds],
            "kind": [position[header] for header in self.headers],
        }
        return _sealed(json.dumps({"decoder": DECODER} | vars(self) | {"headers": columns}))

    @classmethod
    def from_json(cls, text: str) -> "CacheIndex":
        """Rebuild an index; raises TypeError, ValueError or LookupError if `text` is not a valid one."""
        stored = json.loads(_unsealed(text))
        if stored.pop("decoder") != DECODER:
            raise ValueError("decoded by another version")
        table = stored.pop("headers")
        kinds = [ImageHeader(*values) for values in table["kinds"]]
        headers = tuple([kinds[i] for i in table["kind"]])
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
        }
        index = cls(**fields, headers=headers)
        columns = (index.names, index.sizes, index.times, index.inodes, index.digests, headers)
        if (
            len({len(column) for column in columns}) != 1
            or not index.names
            or "/" in index.samples
            or index.dtype not in _DTYPES
        ):
            raise ValueError("invalid index")
        return index


class ChecksumStream:
    """Writes samples to a stream and computes the checksum of each chunk."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._checksums, self._written = stream, [0], 0

    @property
    def checksums(self) -> tuple[int, ...]:
        """CRC-32 of each chunk written so far, of which the last may be incomplete."""
        return tuple(self._checksums[: -(-self._written // CHECKSUM_CHUNK)])

    def write(self, samples: NDArray[Any]) -> None:
        """Write an array in C order."""
        content = np.ascontiguousarray(samples).reshape(-1).view(np.uint8).data
        while content:
            room = CHECKSUM_CHUNK - self._written % CHECKSUM_CHUNK
            piece, content = content[:room], content[room:]
            self._stream.write(piece)
            self._checksums[-1] = zlib.crc32(piece, self._checksums[-1])
            self._written += len(piece)
            if len(piece) == room:
                self._checksums.append(0)


class CacheEntry:
    """The cached samples of one image folder in one preprocessing; it may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_locked = False  # without a lock nothing is swept, as other processes may be writing

    @classmethod
    def of(cls, root: Path, name: str) -> "CacheEntry":
        """The entry called `name` of the images below `root`."""
        return cls(_folder_of(root) / name)

    def read(self) -> CacheIndex | None:
        """The index, or None unless it is valid and its file of samples complete."""
        path = self.path / _INDEX
        try:
            index = CacheIndex.from_json(path.read_text())
            self._check_samples(index)
        except (OSError, AttributeError, TypeError, ValueError, LookupError) as error:
            if path.exists():
                output.detail("cache", f"{self.path} cannot be used ({error})")
            return None
        return index

    def map(self, index: CacheIndex) -> NDArray[Any]:
        """The samples, read-only, and memory-mapped unless they are small.

        Small ones are read, so that a program that truncates the file does not end this one. Raises OSError or
        ValueError if the file is gone or shorter.
        """
        with suppress(OSError):  # a read-only cache can still be used
            os.utime(self.path / _INDEX)
        path, dtype, shape = self.path / index.samples, np.dtype(index.dtype), (len(index.names), *index.shape)
        if index.nbytes > _LARGEST_READ:
            return np.memmap(path, dtype, "r", shape=shape)
        samples = np.fromfile(path, dtype).reshape(shape)
        samples.flags.writeable = False
        return samples

    def is_intact(self, index: CacheIndex, samples: NDArray[Any], threads: int) -> bool:
        """Whether mapped samples have the checksums of the index. Very large files are not read."""
        if index.nbytes > _LARGEST_VERIFIED:
            return True
        content = samples.reshape(-1).view(np.uint8)
        starts = range(0, len(content), CHECKSUM_CHUNK)
        with ThreadPoolExecutor(threads) as pool:  # zlib releases the interpreter lock
            found = pool.map(lambda start: zlib.crc32(content[start : start + CHECKSUM_CHUNK].data), starts)
            is_intact = tuple(found) == index.checksums
        if not is_intact:
            output.detail("cache", f"{self.path} cannot be used (samples with another checksum)")
        return is_intact

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the entry's lock for writing, after waiting for other processes; raises UnfinishedError if it cannot."""
        if self._is_locked:
            yield
            return
        while True:
            try:
                files.create_folder(self.path)
                descriptor = os.open(self.path, os.O_RDONLY)
            except OSError as error:
                raise UnfinishedError(self.path, f"cannot be created ({reason(error)})", _FIX) from error
            try:
                self._is_locked = self._lock(descriptor)
                if self._is_current(descriptor):
                    try:
                        yield
                    finally:
                        self._remove_if_empty()
                    return
            finally:
                self._is_locked = False
                os.close(descriptor)

    @contextmanager
    def new_samples(self, needed: int) -> Iterator[tuple[str, IO[bytes]]]:
        """Name and stream of a new file of samples, about `needed` bytes; it exists after the context.

        Raises UnfinishedError if the disk is full.
        """
        if self._is_locked:
            files.sweep_temporaries(self.path)
        files.check_room(self.path, needed, _FIX)
        name = f"{_SAMPLES}{secrets.token_hex(8)}"
        with files.atomic_stream(self.path / name, needed) as stream:
            yield name, stream

    def write_index(self, index: CacheIndex) -> None:
        """Replace the index, then delete the files of samples that it does not name."""
        files.write_text(self.path / _INDEX, index.to_json())
        others = (path for path in self.path.glob(f"{_SAMPLES}*") if path.name != index.samples)
        for path in others if self._is_locked else ():
            with suppress(OSError):
                files.remove(path)

    def clear(self) -> int:
        """Delete the files of the entry and no others; returns the bytes freed. Raises UnfinishedError."""
        with self.locked():
            freed = self.nbytes()
            for path in self._files():
                try:
                    files.remove(path)
                except OSError as error:
                    raise UnfinishedError(
                        path, f"cannot be deleted ({reason(error)})", "check its permissions"
                    ) from error
        return freed

    def nbytes(self) -> int:
        """Size of the entry on disk."""
        return sum(path.stat().st_size for path in self._files())

    def last_used(self) -> float:
        """When the entry was last used, in seconds since 1970."""
        paths = [path for path in (self.path / _INDEX, self.path) if path.exists()]
        return paths[0].stat().st_mtime if paths else 0.0

    def _check_samples(self, index: CacheIndex) -> None:
        size = (self.path / index.samples).stat().st_size
        if size != index.nbytes:
            raise ValueError(f"{size:,} bytes of samples, {index.nbytes:,} expected")

    def _files(self) -> Iterator[Path]:
        patterns = (_INDEX, f"{_SAMPLES}*", f"{files.TEMPORARY_PREFIX}*")
        return chain.from_iterable(self.path.glob(pattern) for pattern in patterns)

    def _lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            output.status("cache", f"waiting for another process that writes {self.path}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # without locks, two processes may decode the same images, but each writes its own file
            return False
        return True

    def _remove_if_empty(self) -> None:
        with suppress(OSError):  # raised if not empty
            self.path.rmdir()
            self.path.parent.rmdir()

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked folder still exists at the path; `clear` may have removed it while waiting."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        return False


def known_headers(listing: FolderListing) -> list[ImageHeader | None]:
    """The header of each listed image that is unchanged in the most recently used entry, else None."""
    for entry in sorted(map(CacheEntry, _folder_of(listing.root).glob("*/")), key=CacheEntry.last_used, reverse=True):
        index = entry.read()
        if index is not None:
            return [None if row is None else index.headers[row] for row in index.rows(listing)]
    return [None] * len(listing.names)


def list_entries(root: Path | None = None) -> list[CacheEntry]:
    """All entries, or those of one image folder, the most recently used first."""
    pattern = "*/*/" if root is None else f"{_folder_of(root).name}/*/"
    return sorted(map(CacheEntry, _root().glob(pattern)), key=CacheEntry.last_used, reverse=True)


def settled_times(times: tuple[int, ...]) -> tuple[int, ...]:
    """Modification times for an index; -1, which no file has, for files changed in the last 2 s.

    File systems store times coarsely (FAT: 2 s), so a second change within that resolution leaves the same time.
    """
    latest = time.time_ns() - 2 * 10**9
    return tuple([changed if changed < latest else -1 for changed in times])


def _sealed(text: str) -> str:
    """A JSON object, as text in ASCII, with its CRC-32 as the first field."""
    return _SEAL.format(zlib.crc32(text.encode())) + text[1:]


def _unsealed(text: str) -> str:
    """The text that was sealed. Raises ValueError if it has changed."""
    unsealed = "{" + text[_SEAL_LENGTH:]
    if _sealed(unsealed) != text:
        raise ValueError("index with another checksum")
    return unsealed


def _root() -> Path:
    return cache_folder() / "decoded"


def _folder_of(root: Path) -> Path:
    return _root() / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
