"""The pixels of a folder's images, or features of them: mapped from the cache, and made where they are not there."""

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache.chunks import in_chunks
from dlnotes_cli.data.cache.store import Entry, Index, settled_times
from dlnotes_cli.data.images.decode import Header, damage_named, decode_stream
from dlnotes_cli.data.listing import Listing
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError

_IN_MEMORY = 1 << 31  # bytes of samples that may stay in memory where the cache cannot be written
_READ_WHOLE = 1 << 26  # bytes of an image file
_SMALL = 1 << 12  # bytes of an image file: threads wait longer for each other's Python than such a one takes to decode

Answer = TypeVar("Answer")
_Content = tuple[str, Header]  # what an index keeps of an image file: digest and header


@dataclass(frozen=True)
class Reading:
    """How image files are read."""

    threads: int
    max_pixels: int
    _: KW_ONLY
    skip_bad: bool = False
    poll: Callable[[], None] = lambda: None  # called between chunks; may raise StoppedError


@dataclass(frozen=True)
class Extraction:
    """How decoded images become rows of numbers, which are then cached in their place."""

    name: str  # of the cache entry: it tells what made the rows, and from what form of the images
    width: int
    batch: int  # images that `run` takes at once with least waste
    run: Callable[[NDArray[np.uint8], Sequence[str]], NDArray[np.float32]]
    # ^ pixels (n, C, H, W) and digests of their files to rows (n, width); a row depends on its own image alone


@dataclass(frozen=True)
class Rows:
    """The images that can be read, their positions in the listing, their digests, and the errors of the others."""

    samples: NDArray[Any]  # uint8 (N, C, H, W), or features float32 (N, F)
    kept: list[int]
    digests: list[str]  # of the files
    errors: dict[int, InputError]


def read_pixels(listing: Listing, shape: ImageShape, reading: Reading, extraction: Extraction | None = None) -> Rows:
    """The pixels of every listed image, or its features; what an earlier run made is not made again.

    Raises InputError naming a bad image unless `skip_bad`, or where all are bad; UnfinishedError where the cache
    cannot be written and the rows are too many to stay in memory; StoppedError from `poll`, with the rows made until
    then in the cache.
    """
    work = _Work(listing, shape, reading, extraction)
    cached = work.from_cache()
    if cached is not None:
        return cached
    try:
        with work.entry.locked():
            return work.from_renewed_cache() or work.into_cache()
    except UnfinishedError as error:
        if work.size > _IN_MEMORY:
            raise
        output.warn(f"{error}; decoding into memory")
        return work.into_memory()


@dataclass(frozen=True)
class _Chunk:
    """Some images of a listing as they were read."""

    pixels: NDArray[np.uint8]  # (n, C, H, W): of the new ones, in order, and room
    new: list[int]
    good: dict[int, _Content]
    bad: dict[int, InputError]


class _Work:
    """A listing against what is cached of it."""

    def __init__(self, listing: Listing, shape: ImageShape, reading: Reading, extraction: Extraction | None) -> None:
        self.listing, self.shape, self.reading, self.extraction = listing, shape, reading, extraction
        self._row_shape: tuple[int, ...] = (extraction.width,) if extraction else shape.dimensions
        self._dtype = np.dtype(np.float32 if extraction else np.uint8)
        self.entry = Entry.of(listing.root, extraction.name if extraction else str(shape))
        self._times = settled_times(listing.times)  # taken before any file is read
        self._index = self.entry.read()
        self._look_up()

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return len(self.listing.names) * math.prod(self._row_shape) * self._dtype.itemsize

    def from_cache(self) -> Rows | None:
        """The cached samples, if they show all images that can be read and no others."""
        if self._index is None:
            return None
        is_touched = self._recognize()
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
        return Rows(self._cached, kept, list(self._index.digests), errors)

    def from_renewed_cache(self) -> Rows | None:
        """Look again, with the lock held: another process may have decoded the same meanwhile."""
        index = self.entry.read()
        if index == self._index:
            return None
        self._index = index
        self._look_up()
        return self.from_cache()

    def into_cache(self) -> Rows:
        """Decode what is new, copy what is not, and put both in place of what was cached."""
        contents: dict[int, _Content] = {}
        errors: dict[int, InputError] = {}
        stopped: list[StoppedError] = []

        def fill(stream: IO[bytes]) -> None:
            try:
                for samples in self._read(contents, errors):
                    stream.write(samples.data)
            except StoppedError as request:
                stream.write(self._rest(contents).data)
                if not contents:
                    raise
                stopped.append(request)

        name = self.entry.write_samples(self.size, fill)
        index = self._new_index(name, contents)
        self.entry.write_index(index)
        if stopped:
            raise stopped[0]
        return Rows(self.entry.map(index), list(contents), list(index.digests), errors)

    def _rest(self, contents: dict[int, _Content]) -> NDArray[Any]:
        """The cached rows of the images behind those in `contents`, to which they are added."""
        index, behind = self._index, max(contents, default=-1) + 1
        rows = {i: row for i, row in enumerate(self._rows[behind:], behind) if row is not None and index is not None}
        if index is not None:
            contents |= {i: (index.digests[row], index.headers[row]) for i, row in rows.items()}
        return self._cached[list(rows.values())]

    def into_memory(self) -> Rows:
        """Decode without a cache that can be written."""
        contents: dict[int, _Content] = {}
        errors: dict[int, InputError] = {}
        samples = np.empty((len(self.listing.names), *self._row_shape), self._dtype)
        done = 0
        for chunk in self._read(contents, errors):
            samples[done : done + len(chunk)] = chunk
            done += len(chunk)
        return Rows(samples[:done], list(contents), [digest for digest, _ in contents.values()], errors)

    def _look_up(self) -> None:
        """Find the cached sample of each image, as far as sizes, times and inodes tell."""
        index = self._index
        self._rows: list[int | None] = [None] * len(self.listing.names)
        self._cached = np.empty((0, *self._row_shape), self._dtype)
        if index is None or (index.shape, index.dtype) != (self._row_shape, self._dtype.name):
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

    def _recognize(self) -> bool:
        """Find the samples of images that were touched and show what they did; says whether there are any."""
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
        """Note the new sizes and times of images that were touched; without it they are compared again next time."""
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
        return Index(root, self._row_shape, self._dtype.name, samples, names, sizes, times, inodes, digests, headers)

    def _read(self, contents: dict[int, _Content], errors: dict[int, InputError]) -> Iterator[NDArray[Any]]:
        """The rows of all images that can be read, in order; `contents` and `errors` are filled on the way."""
        for chunk in self._in_chunks(self._read_chunk, range(len(self.listing.names))):
            self.reading.poll()
            rows = self._rows_of(chunk)
            contents |= chunk.good
            errors |= chunk.bad
            yield rows
        if not contents:
            raise InputError("--data", f"{self.listing.root}: no image could be read", "check the files")

    def _read_chunk(self, positions: Sequence[int]) -> "_Chunk":
        """Decode those of some images that are not in the cache."""
        chunk = _Chunk(np.empty((len(positions), *self.shape.dimensions), np.uint8), [], {}, {})
        for i in positions:
            row = self._rows[i]
            if row is not None and self._index is not None:
                chunk.good[i] = (self._index.digests[row], self._index.headers[row])
                continue
            try:
                chunk.pixels[len(chunk.new)], chunk.good[i] = self._decode(i)
                chunk.new.append(i)
            except InputError as error:
                chunk.bad[i] = self._passed_over(error)
        return chunk

    def _rows_of(self, chunk: "_Chunk") -> NDArray[Any]:
        """The rows of a chunk's images, in order: cached ones copied, others made."""
        made: NDArray[Any] = chunk.pixels[: len(chunk.new)]
        if self.extraction is not None and chunk.new:
            made = self.extraction.run(made, [chunk.good[i][0] for i in chunk.new])
        if len(chunk.new) == len(chunk.good):
            return made.reshape(-1, *self._row_shape)
        rows = np.empty((len(chunk.good), *self._row_shape), self._dtype)
        is_new = np.isin(list(chunk.good), chunk.new)
        if chunk.new:
            rows[is_new] = made
        rows[~is_new] = self._cached[[row for i in chunk.good if (row := self._rows[i]) is not None]]
        return rows

    def _in_chunks(self, work: Callable[[Sequence[int]], Answer], positions: Sequence[int]) -> Iterator[Answer]:
        sizes = self.listing.sizes
        threads = self.reading.threads if sum(sizes) >= _SMALL * len(sizes) else 1
        batch = self.extraction.batch if self.extraction else 1
        return in_chunks(work, positions, threads=threads, sample_bytes=self.shape.bytes, multiple=batch)

    def _passed_over(self, error: InputError) -> InputError:
        if not self.reading.skip_bad:
            raise error
        return error

    def _decode(self, i: int) -> tuple[NDArray[np.uint8], _Content]:
        with self._content(i) as (path, stream, digest):
            pixels, header = decode_stream(path, stream, self.shape, self.reading.max_pixels)
        return pixels, (digest, header)

    def _digest(self, i: int) -> str:
        try:
            with self._content(i) as (_, _, digest):
                return digest
        except InputError:  # decoding will name it
            return ""

    @contextmanager
    def _content(self, i: int) -> Iterator[tuple[Path, IO[bytes], str]]:
        """An image's path, its file as read, and a digest of it. Raises InputError where it is not what was listed."""
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
