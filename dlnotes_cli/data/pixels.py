"""The pixels of a folder's pictures: mapped from the cache, and decoded where they are not there."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli import output
from dlnotes_cli.data.cache import Entry, Index, settled_times
from dlnotes_cli.data.chunks import in_chunks
from dlnotes_cli.data.decode import Header, damage_named, decode_stream
from dlnotes_cli.data.listing import Listing, PictureShape
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.errors import InputError, UnfinishedError

_IN_MEMORY = 1 << 31  # bytes of samples that may stay in memory where the cache cannot be written
_READ_WHOLE = 1 << 26  # bytes of a picture file
_SMALL = 1 << 12  # bytes of a picture file: threads wait longer for each other's Python than such a one takes to decode

Answer = TypeVar("Answer")
_Content = tuple[str, Header]  # what an index keeps of a picture file: digest and header


@dataclass(frozen=True)
class Reading:
    """How picture files are read."""

    threads: int
    max_pixels: int
    skip_bad: bool


@dataclass(frozen=True)
class Pixels:
    """The pictures that can be read, their positions in the listing, their digests, and the errors of the others."""

    samples: NDArray[np.uint8]  # (N, C, H, W)
    kept: list[int]
    digests: list[str]  # of the files
    errors: dict[int, InputError]


def read_pixels(listing: Listing, shape: PictureShape, reading: Reading) -> Pixels:
    """The pixels of every listed picture; what an earlier run decoded is not decoded again.

    Raises InputError naming a bad picture unless `skip_bad`, or where all are bad; UnfinishedError where the cache
    cannot be written and the pixels are too many to stay in memory.
    """
    work = _Work(listing, shape, reading)
    cached = work.from_cache()
    if cached is not None:
        return cached
    try:
        with work.entry.locked():
            return work.from_renewed_cache() or work.into_cache()
    except UnfinishedError as error:
        if len(listing.names) * shape.bytes > _IN_MEMORY:
            raise
        output.warn(f"{error}; decoding into memory")
        return work.into_memory()


class _Work:
    """A listing against what is cached of it."""

    def __init__(self, listing: Listing, shape: PictureShape, reading: Reading) -> None:
        self.listing, self.shape, self.reading = listing, shape, reading
        self.entry = Entry.of(listing.root, shape)
        self._times = settled_times(listing.times)  # taken before any file is read
        self._index = self.entry.read()
        self._look_up()

    def from_cache(self) -> Pixels | None:
        """The cached samples, if they show all pictures that can be read and no others."""
        if self._index is None:
            return None
        is_touched = self._recognise()
        errors: dict[int, InputError] = {}
        for i in self._unknown():
            try:
                self._decode(i)
            except InputError as error:
                errors[i] = self._passed_over(error)
            else:  # something new
                return None
        kept = [i for i, row in enumerate(self._rows) if row is not None]
        if [self._rows[i] for i in kept] != list(range(len(self._index.names))):
            return None
        if is_touched:
            self._refresh(kept)
        return Pixels(self._cached, kept, list(self._index.digests), errors)

    def from_renewed_cache(self) -> Pixels | None:
        """Look again, with the lock held: another process may have decoded the same meanwhile."""
        index = self.entry.read()
        if index == self._index:
            return None
        self._index = index
        self._look_up()
        return self.from_cache()

    def into_cache(self) -> Pixels:
        """Decode what is new, copy what is not, and put both in place of what was cached."""
        contents: dict[int, _Content] = {}
        errors: dict[int, InputError] = {}

        def fill(stream: IO[bytes]) -> None:
            for samples in self._read(contents, errors):
                stream.write(samples.data)

        name = self.entry.write_samples(len(self.listing.names) * self.shape.bytes, fill)
        index = self._new_index(name, contents)
        self.entry.write_index(index)
        return Pixels(self.entry.map(index), list(contents), list(index.digests), errors)

    def into_memory(self) -> Pixels:
        """Decode without a cache that can be written."""
        contents: dict[int, _Content] = {}
        errors: dict[int, InputError] = {}
        samples = np.empty((len(self.listing.names), *self.shape.dimensions), np.uint8)
        done = 0
        for chunk in self._read(contents, errors):
            samples[done : done + len(chunk)] = chunk
            done += len(chunk)
        return Pixels(samples[:done], list(contents), [digest for digest, _ in contents.values()], errors)

    def _look_up(self) -> None:
        """Find the cached sample of each picture, as far as sizes, times and inodes tell."""
        index = self._index
        self._rows: list[int | None] = [None] * len(self.listing.names)
        self._cached = np.empty((0, *self.shape.dimensions), np.uint8)
        if index is None or index.shape != self.shape.dimensions:
            self._index = None
            return
        try:
            self._cached = self.entry.map(index)
        except OSError:  # another process has just replaced it
            self._index = None
            return
        self._rows = index.rows(self.listing)
        if max(header.pixels for header in set(index.headers)) > self.reading.max_pixels:
            self._rows = [None if row is None or not self._is_allowed(row) else row for row in self._rows]

    def _is_allowed(self, row: int) -> bool:
        return self._index is not None and self._index.headers[row].pixels <= self.reading.max_pixels

    def _unknown(self) -> list[int]:
        return [i for i, row in enumerate(self._rows) if row is None]

    def _recognise(self) -> bool:
        """Find the samples of pictures that were touched and show what they did; says whether there are any."""
        unknown = self._unknown()
        if not unknown or self._index is None:
            return False
        digests = self._index.digests
        row_of = {name: row for row, name in enumerate(self._index.names) if self._is_allowed(row)}
        changed = {i: row_of[name] for i in unknown if (name := self.listing.names[i]) in row_of}

        def compare(positions: Sequence[int]) -> list[int]:
            return [i for i in positions if self._digest(i) == digests[changed[i]]]

        same = [i for chunk in self._in_chunks(compare, list(changed)) for i in chunk]
        for i in same:
            self._rows[i] = changed[i]
        return bool(same)

    def _refresh(self, kept: list[int]) -> None:
        """Note the new sizes and times of pictures that were touched; without it they are compared again next time."""
        index = self._index
        with suppress(UnfinishedError), self.entry.locked():
            if index is not None and self.entry.read() == index:
                contents = dict(zip(kept, zip(index.digests, index.headers, strict=True), strict=True))
                self.entry.write_index(self._new_index(index.samples, contents))

    def _new_index(self, samples: str, contents: dict[int, _Content]) -> Index:
        names = tuple([self.listing.names[i] for i in contents])
        columns = (self.listing.sizes, self._times, self.listing.inodes)
        sizes, times, inodes = (tuple([column[i] for i in contents]) for column in columns)
        digests, headers = zip(*contents.values(), strict=True)
        root = str(self.listing.root.resolve())
        return Index(root, self.shape.dimensions, samples, names, sizes, times, inodes, digests, headers)

    def _read(self, contents: dict[int, _Content], errors: dict[int, InputError]) -> Iterator[NDArray[np.uint8]]:
        """The samples of all pictures that can be read, in order; `contents` and `errors` are filled on the way."""

        def read(positions: Sequence[int]) -> tuple[NDArray[np.uint8], dict[int, _Content], dict[int, InputError]]:
            samples = np.empty((len(positions), *self.shape.dimensions), np.uint8)
            good: dict[int, _Content] = {}
            bad: dict[int, InputError] = {}
            for i in positions:
                try:
                    samples[len(good)], good[i] = self._take(i)
                except InputError as error:
                    bad[i] = self._passed_over(error)
            return samples[: len(good)], good, bad

        for samples, good, bad in self._in_chunks(read, range(len(self.listing.names))):
            contents |= good
            errors |= bad
            yield samples
        if not contents:
            raise InputError("--data", f"{self.listing.root}: no picture could be read", "check the files")

    def _take(self, i: int) -> tuple[NDArray[np.uint8], _Content]:
        """The sample of one picture, from the cache where it is there."""
        row = self._rows[i]
        if row is None or self._index is None:
            return self._decode(i)
        return self._cached[row], (self._index.digests[row], self._index.headers[row])

    def _in_chunks(self, work: Callable[[Sequence[int]], Answer], positions: Sequence[int]) -> Iterator[Answer]:
        sizes = self.listing.sizes
        threads = self.reading.threads if sum(sizes) >= _SMALL * len(sizes) else 1
        return in_chunks(work, positions, threads=threads, sample_bytes=self.shape.bytes)

    def _passed_over(self, error: InputError) -> InputError:
        if not self.reading.skip_bad:
            raise error
        return error

    def _decode(self, i: int) -> tuple[NDArray[np.uint8], _Content]:
        shape = self.shape
        with self._content(i) as (path, stream, digest):
            size = (shape.height, shape.width)
            pixels, header = decode_stream(path, stream, shape.channels, size, shape.resize, self.reading.max_pixels)
        return pixels, (digest, header)

    def _digest(self, i: int) -> str:
        try:
            with self._content(i) as (_, _, digest):
                return digest
        except InputError:  # decoding will name it
            return ""

    @contextmanager
    def _content(self, i: int) -> Iterator[tuple[Path, IO[bytes], str]]:
        """A picture's path, its file as read, and a digest of it. Raises InputError where it is not what was listed."""
        path, listing = Path(self.listing.path(i)), self.listing
        listed = (listing.sizes[i], listing.times[i], listing.inodes[i])
        if listing.sizes[i] < 0:
            check_regular(path)
        with damage_named(path), path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if (status.st_size, status.st_mtime_ns, status.st_ino) != listed:
                raise InputError(path, "changed while the folder was read", "run again")
            if status.st_size > _READ_WHOLE:
                digest = hashlib.file_digest(stream, _new_digest).hexdigest()
                yield path, stream, digest
            else:
                content = stream.read()
                yield path, io.BytesIO(content), _new_digest(content).hexdigest()


def _new_digest(content: bytes = b"") -> "hashlib.blake2b":
    return hashlib.blake2b(content, digest_size=16)
