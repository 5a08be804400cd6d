"""The samples of a folder's images: from the cache, or decoded in threads and cached for the next run."""

import hashlib
import io
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache import CacheEntry, CacheIndex, EntryFile, EntryWriter, FileRecord
from dlnotes_cli.data.images.decode import decode_stream, image_errors, pillow_settings
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError

_IN_MEMORY = 1 << 31  # bytes of samples that may be decoded into memory if the cache cannot be written
_READ_WHOLE = 1 << 26  # bytes; larger files are hashed and decoded from disk
_SMALL_FILE = 1 << 12  # bytes; threads wait longer for the interpreter lock than decoding such a file takes
_MOST_FILES = 256  # per chunk; with fewer small files per chunk, handing chunks over costs more than decoding
_MOST_BYTES = 1 << 23  # of decoded samples per chunk
_QUIET_S = 1.0  # shorter work shows no progress

Result = TypeVar("Result")


@dataclass(frozen=True)
class DecodeSettings:
    """How image files are decoded."""

    threads: int
    max_pixels: int
    _: KW_ONLY
    skip_bad: bool = False
    poll: Callable[[], None] = lambda: None  # called between chunks; may raise StoppedError

    def skipped(self, error: InputError) -> InputError:
        """The error of a bad file that is skipped; raises it unless `skip_bad`."""
        if not self.skip_bad:
            raise error
        return error


@dataclass(frozen=True)
class FeatureExtractor:
    """Computes features from decoded images; the cache then stores them instead of the pixels."""

    name: str  # of the cache entry: identifies network, weights, view and preprocessing
    width: int  # features per image
    batch: int  # images per call of the network
    run: Callable[[NDArray[np.uint8], Sequence[int]], NDArray[np.float32]]
    # ^ pixels (n, C, H, W) and a seed for each image -> (n, width); a row depends on its own image and seed alone


@dataclass(frozen=True)
class FolderSamples:
    """The samples of all readable images, and the errors of the others."""

    samples: NDArray[Any]  # uint8 (N, C, H, W), or features float32 (N, F)
    positions: list[int]  # of the readable images in the listing
    records: Sequence[FileRecord]  # of their files
    errors: dict[int, InputError]  # by position, of skipped files


def read_samples(
    listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None = None
) -> FolderSamples:
    """The pixels of every listed image, or its features; only what is not cached is decoded.

    Raises InputError naming a bad image unless `skip_bad`, or if all are bad; UnfinishedError if the cache cannot be
    written and the samples are too large for memory; StoppedError from `poll`, with the samples built until then
    cached.
    """
    with pillow_settings:
        return _Request(listing, shape, settings, extractor).read()


@dataclass(frozen=True)
class _Cached:
    """The samples of an entry, and the row of each listed image that is cached, by position."""

    samples: NDArray[Any]
    records: tuple[FileRecord, ...]
    rows: dict[int, int]

    def samples_of(self, positions: Iterable[int]) -> NDArray[Any]:
        """A copy of the samples of images that are cached."""
        return np.asarray(self.samples[[self.rows[i] for i in positions]])


@dataclass
class _Decoded:
    """Some images, by position: pixels of those that were not cached, records of all readable ones, and errors."""

    pixels: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    records: dict[int, FileRecord] = field(default_factory=dict)
    errors: dict[int, InputError] = field(default_factory=dict)


class _Request:
    """The samples of a folder that a caller needs: pixels of one shape, or features extracted from them."""

    def __init__(
        self, listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None
    ) -> None:
        self.listing, self.shape, self.settings, self.extractor = listing, shape, settings, extractor
        self.entry = CacheEntry.of(listing.root, extractor.name if extractor else str(shape))
        self.sample_shape: tuple[int, ...] = (extractor.width,) if extractor else shape.dimensions
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if extractor else np.uint8)
        self.nbytes = len(listing.names) * math.prod(self.sample_shape) * self.dtype.itemsize
        self.begun = time.time_ns()

    def read(self) -> FolderSamples:
        """The cached samples if they are complete; otherwise they are built, by one process at a time."""
        if (found := self._complete(self._find())) is not None:
            return found
        try:
            with self.entry.locked():
                cached = self._find()  # another process may have built them
                if (found := self._complete(cached)) is not None:
                    return found
                with self.entry.writing(self.nbytes) as stream:
                    built, stopped = self._build(cached, stream)
                if stopped is not None:
                    raise stopped
                samples = self.entry.read(EntryFile.read)
        except UnfinishedError as error:
            if self.nbytes > _IN_MEMORY:
                raise
            output.warn(f"{error}; decoding into memory")
            built, samples = self._build_in_memory()
        if samples is None:
            raise UnfinishedError(self.entry.path, "has changed while it was written", "run again")
        return FolderSamples(samples, list(built.records), list(built.records.values()), built.errors)

    def _find(self) -> _Cached | None:
        """What the cache has of images whose name, size, time and inode are unchanged; no image is opened."""

        def cached(file: EntryFile) -> _Cached | None:
            if (file.shape[1:], file.dtype) != (self.sample_shape, self.dtype):
                return None
            records, rows, limit = file.index.records, file.index.rows(self.listing), self.settings.max_pixels
            if max(header.pixels for header in {record.header for record in records}) > limit:
                rows = {i: row for i, row in rows.items() if records[row].header.pixels <= limit}
            return _Cached(file.read(), records, rows)

        found = self.entry.read(cached)
        if found is not None:
            self.entry.mark_used()
        return found

    def _complete(self, cached: _Cached | None) -> FolderSamples | None:
        """The cached samples if they are those of all readable images and of no others, otherwise None.

        Images that are not cached are decoded, to know whether they can be read. Raises InputError for one that
        cannot, unless the settings skip bad files.
        """
        if cached is None:
            return None
        errors: dict[int, InputError] = {}
        for i in range(len(self.listing.names)):
            if i in cached.rows:
                continue
            try:
                self._decode(i)
            except InputError as error:
                errors[i] = self.settings.skipped(error)
            else:
                return None
        if list(cached.rows.values()) != list(range(len(cached.records))):
            return None
        return FolderSamples(cached.samples, list(cached.rows), cached.records, errors)

    def _build_in_memory(self) -> tuple[_Decoded, NDArray[Any]]:
        stream = io.BytesIO()
        built, stopped = self._build(self._find(), stream)
        if stopped is not None:
            raise stopped
        stream.seek(0)
        file = EntryFile(stream)
        samples = np.frombuffer(stream.getbuffer(), file.dtype, math.prod(file.shape), file.start)
        return built, samples.reshape(file.shape)

    def _build(self, cached: _Cached | None, stream: IO[bytes]) -> tuple[_Decoded, StoppedError | None]:
        """Write a new entry, chunk by chunk in order, and return records and errors of its images.

        After a stop request it has the samples that were built until then, and those that were cached; the error says
        so. Raises InputError if no image can be read, and StoppedError if there are no samples yet.
        """
        built, stopped, count = _Decoded(), None, len(self.listing.names)
        writer = EntryWriter(stream, count, self.sample_shape, self.dtype)
        started = time.monotonic()
        try:
            with output.progress("images") as bar:
                for chunk in self._chunks(cached):
                    self.settings.poll()
                    writer.append(self._samples(chunk, cached))
                    built.records |= chunk.records
                    built.errors |= chunk.errors
                    if time.monotonic() - started > _QUIET_S:
                        done = len(built.records) + len(built.errors)
                        bar.update(done / count, lambda done=done: f"{done:,} of {count:,}")  # type: ignore[misc]
        except StoppedError as stop:
            stopped = stop
            if cached is not None:
                last = max(built.records, default=-1)
                rest = {i: cached.records[row] for i, row in cached.rows.items() if i > last}
                writer.append(cached.samples_of(rest))
                built.records |= rest
        if stopped is not None and not built.records:
            raise stopped
        if not built.records:
            raise InputError("--data", f"{self.listing.root}: no image could be read", "check the files")
        writer.finish(self._index(built.records))
        return built, stopped

    def _chunks(self, cached: _Cached | None) -> Iterator[_Decoded]:
        """All images in chunks, decoded in as many threads as pay for files of this size."""
        sizes, batch = self.listing.sizes, self.extractor.batch if self.extractor else 1
        threads = self.settings.threads if sum(sizes) >= _SMALL_FILE * len(sizes) else 1
        most = min(_MOST_FILES, _MOST_BYTES // self.shape.nbytes, len(sizes) // (4 * threads))
        return map_chunks(partial(self._decode_chunk, cached), len(sizes), max(1, most // batch) * batch, threads)

    def _decode_chunk(self, cached: _Cached | None, positions: Iterable[int]) -> _Decoded:
        decoded = _Decoded()
        for i in positions:
            try:
                if cached is not None and i in cached.rows:
                    decoded.records[i] = cached.records[cached.rows[i]]
                else:
                    decoded.pixels[i], decoded.records[i] = self._decode(i)
            except InputError as error:
                decoded.errors[i] = self.settings.skipped(error)
        return decoded

    def _samples(self, chunk: _Decoded, cached: _Cached | None) -> NDArray[Any]:
        """The samples of a chunk in order: cached ones copied, features computed for the others if requested."""
        samples = np.empty((len(chunk.records), *self.sample_shape), self.dtype)
        is_new = np.array([i in chunk.pixels for i in chunk.records], bool)
        if chunk.pixels:
            new: NDArray[Any] = np.stack(list(chunk.pixels.values()))
            if self.extractor is not None:
                new = self.extractor.run(new, [chunk.records[i].seed for i in chunk.pixels])
            samples[is_new] = new
        if cached is not None:
            samples[~is_new] = cached.samples_of(i for i in chunk.records if i not in chunk.pixels)
        return samples

    def _index(self, records: dict[int, FileRecord]) -> CacheIndex:
        """The index of samples in order.

        The time of a file that has just been changed is -1, which no file has: a second change within the resolution
        of the file system's clock would leave the same time.
        """
        listing, begun = self.listing, self.begun
        return CacheIndex(
            str(listing.root.resolve()),
            tuple([listing.names[i] for i in records]),
            tuple([listing.sizes[i] for i in records]),
            tuple([at if _is_settled(at, begun) else -1 for at in map(listing.times.__getitem__, records)]),
            tuple([listing.inodes[i] for i in records]),
            tuple(records.values()),
        )

    def _decode(self, i: int) -> tuple[NDArray[np.uint8], FileRecord]:
        """Pixels (C, H, W) and record of image i. Raises InputError if it is damaged, or changed since the listing."""
        with _opened(self.listing, i) as (path, stream, digest):
            pixels, header = decode_stream(path, stream, self.shape, self.settings.max_pixels)
        return pixels, FileRecord(digest, header)


def _is_settled(changed: int, now: int) -> bool:
    """Whether a change at time `now` would be stored as another time than `changed`, both in nanoseconds.

    Clocks of file systems advance every 10 ms at most, except for those that store round times: FAT every 2 s.
    """
    is_round = changed % 10**7 == 0
    return changed < now - (2 * 10**9 if is_round else 2 * 10**7)


@contextmanager
def _opened(listing: FolderListing, i: int) -> Iterator[tuple[Path, IO[bytes], str]]:
    """Path, content and digest of image i. Raises InputError if the file is not the one that was listed."""
    path = Path(listing.path(i))
    if listing.sizes[i] < 0:
        check_regular(path)
    with image_errors(path), path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (
            listing.sizes[i], listing.times[i], listing.inodes[i],
        ):  # fmt: skip
            raise InputError(path, "changed while the folder was read", "run again")
        if status.st_size > _READ_WHOLE:
            digest = hashlib.file_digest(stream, _new_hash).hexdigest()
            yield path, stream, digest
        else:
            content = stream.read()
            yield path, io.BytesIO(content), _new_hash(content).hexdigest()


def _new_hash(content: bytes = b"") -> "hashlib.blake2b":
    return hashlib.blake2b(content, digest_size=16)


def map_chunks(function: Callable[[range], Result], count: int, size: int, threads: int) -> Iterator[Result]:
    """Call `function` on ranges of `size` positions below `count` in threads; yields the results in order.

    At most 2 x `threads` ranges are submitted ahead.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for start in range(0, count, size):
            pending.append(pool.submit(function, range(start, min(start + size, count))))
            if len(pending) == 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
