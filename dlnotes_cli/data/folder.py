"""Image folders: the shape that all images are decoded to, and their samples.

Samples are cached: only images that are new or have changed are decoded, in threads, for the next run.
"""

import hashlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache import CachedSamples, CacheEntry, FileRecord, known_headers
from dlnotes_cli.data.dataset import LabeledSamples, splits_of
from dlnotes_cli.data.images.decode import decode_stream, image_errors, read_header
from dlnotes_cli.data.listing import FileStamp, FolderListing
from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError

_LARGEST_OWN_SIZE = 64  # pixels; folders of larger images need --size
_DEFAULT_SIZE = 32
_IN_MEMORY = 1 << 31  # bytes of samples that may be decoded into memory if the cache cannot be written
_SMALL_FILE = 1 << 12  # bytes; threads wait longer for the interpreter lock than decoding such a file takes
_MOST_FILES = 256  # per chunk; with fewer small files per chunk, handing chunks over costs more than decoding
_MOST_BYTES = 1 << 23  # of decoded samples per chunk
_QUIET_S = 1.0  # shorter work shows no progress

Decoded = tuple[NDArray[np.uint8], FileRecord]  # pixels (C, H, W)
Result = TypeVar("Result")


@dataclass(frozen=True)
class DecodeSettings:
    """How image files are decoded."""

    threads: int
    max_pixels: int
    _: KW_ONLY
    skip_bad: bool = False
    poll: Callable[[], None] = lambda: None  # called between chunks; may raise StoppedError


@dataclass(frozen=True)
class FeatureExtractor:
    """Computes features from decoded images; the cache then stores them instead of the pixels."""

    name: str  # of the cache entry: identifies network, weights, view and preprocessing
    width: int  # features per image
    batch: int  # images per call of the network
    run: Callable[[NDArray[np.uint8], Sequence[int]], NDArray[np.float32]]
    # ^ pixels (n, C, H, W) and a seed for each image -> (n, width); a row depends on its own image and seed alone


class FolderSamples(NamedTuple):
    """The samples of all readable images, and the errors of the others."""

    samples: NDArray[Any]  # uint8 (N, C, H, W), or features float32 (N, F)
    positions: list[int]  # of the readable images in the listing
    records: Sequence[FileRecord]  # of their files
    errors: dict[int, InputError]  # by position, of skipped files


def choose_shape(
    listing: FolderListing,
    *,
    size: int | None,
    resize: Resize,
    color: str | None,
    max_pixels: int,
    default_size: int = _DEFAULT_SIZE,
) -> ImageShape:
    """The shape to decode a folder's images to: as requested, and for the rest from the image headers.

    Without `size` it is the images' own if they share one of at most 64 pixels, otherwise `default_size`. Without
    `color` it is gray if every image is. Headers are read only until they cannot change the result, and taken from the
    cache if an earlier run decoded the file.
    """
    sizes: set[tuple[int, int]] = set()
    is_gray = color != "rgb"
    known = known_headers(listing, max_pixels)
    for i in range(len(listing.stamps)):
        try:
            header = known.get(i) or read_header(Path(listing.path(i)), max_pixels)
        except InputError:  # decoding reports the bad file, or skips it
            continue
        sizes.add((header.width, header.height))
        is_gray = is_gray and (color == "gray" or header.is_gray)
        if (size or _own_size(sizes) is None) and (color or not is_gray):
            break
    width, height = (size, size) if size else _own_size(sizes) or (default_size, default_size)
    return ImageShape(1 if is_gray else 3, height, width, resize)


def read_folder(
    listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None = None
) -> LabeledSamples:
    """The images of a listing as uint8 (N, C, H, W), or their features (N, F); cached, then memory-mapped.

    Raises InputError naming a damaged file; with `skip_bad` a warning names it instead, and `bad_files` lists it.
    """
    read = read_samples(listing, shape, settings, extractor)
    for error in read.errors.values():
        output.warn(f"skipped {error.fault}")
    return labeled(listing, read)


def labeled(listing: FolderListing, read: FolderSamples) -> LabeledSamples:
    """The samples of the readable images of a listing, with their labels and splits."""
    entries = "".join([listing.table_fingerprint, *(f"{record.name}\0{record.digest}\0" for record in read.records)])
    return LabeledSamples(
        name=str(listing.root),
        samples=read.samples,
        labels=np.array(listing.labels, np.int64)[read.positions],
        classes=listing.classes,
        splits=splits_of([listing.splits[i] for i in read.positions]),
        files=tuple(listing.path(i) for i in read.positions),
        bad_files=tuple(listing.path(i) for i in read.errors),
        folders=listing.folders,
        fingerprint=hashlib.sha256(entries.encode(errors="surrogateescape")).hexdigest(),  # of names and contents
    )


def read_samples(
    listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None = None
) -> FolderSamples:
    """The pixels of every listed image, or its features; only what is not cached is decoded.

    Raises InputError naming a bad image unless `skip_bad`, or if all are bad; UnfinishedError if the cache cannot be
    written and the samples are too large for memory; StoppedError from `poll`, with the samples built until then
    cached.
    """
    return _FolderReader(listing, shape, settings, extractor).read()


class _FolderReader:
    """Reads the samples of a folder: pixels of one shape, or features extracted from them."""

    def __init__(
        self, listing: FolderListing, shape: ImageShape, settings: DecodeSettings, extractor: FeatureExtractor | None
    ) -> None:
        self.listing, self.image_shape, self.settings, self.extractor = listing, shape, settings, extractor
        self.entry = CacheEntry.of(listing.root, extractor.name if extractor else str(shape))
        self.shape: tuple[int, ...] = (len(listing.stamps), *((extractor.width,) if extractor else shape.dimensions))
        self.dtype: np.dtype[Any] = np.dtype(np.float32 if extractor else np.uint8)
        self.cached: CachedSamples | None = None
        self.rows: dict[int, int] = {}  # of the cached samples that can be used, by position
        self.errors: dict[int, InputError] = {}  # of files that are skipped, by position
        self.stopped: StoppedError | None = None
        self.begun = time.time_ns()

    def read(self) -> FolderSamples:
        """The cached samples if they are complete; otherwise they are built, by one process at a time."""
        try:
            if not self._is_complete():
                with self.entry.locked():
                    if not self._is_complete():  # unless another process has built them
                        root = str(self.listing.root.resolve())
                        self.entry.write(root, self.shape, self.dtype, self._build())
                        self.cached = self.entry.read()
        except UnfinishedError as error:
            if math.prod(self.shape) * self.dtype.itemsize > _IN_MEMORY:
                raise
            output.warn(f"{error}; decoding into memory")
            samples, records = zip(*self._build(), strict=True)
            self.cached = CachedSamples(np.concatenate(samples), [*chain(*records)])
        if self.stopped is not None:
            raise self.stopped
        if self.cached is None:
            raise UnfinishedError(self.entry.path, "has changed while it was written", "run again")
        positions = [i for i in range(self.shape[0]) if i not in self.errors]
        return FolderSamples(self.cached.samples, positions, self.cached.records, dict(sorted(self.errors.items())))

    def _is_complete(self) -> bool:
        """Whether the cache has the samples of all readable images and of no others.

        Images that are not cached are decoded, to know whether they can be read. Raises InputError for one that
        cannot, unless the settings skip bad files.
        """
        self.cached, self.rows, self.errors = self.entry.read(), {}, {}
        if self.cached is None or not self.cached.is_valid(self.shape[1:], self.dtype):
            self.cached = None
            return False
        self.rows = self.cached.rows(self.listing, self.settings.max_pixels)
        self.entry.mark_used()
        if any(self._decode(i) for i in range(self.shape[0]) if i not in self.rows):
            return False
        return list(self.rows.values()) == list(range(len(self.cached.records)))

    def _build(self) -> Iterator[tuple[NDArray[Any], list[FileRecord]]]:
        """Samples and records of all readable images, chunk by chunk, in order.

        After a stop request those follow that are cached anyway. Raises InputError if no image can be read.
        """
        self.errors = {}
        count, end, started = self.shape[0], 0, time.monotonic()
        try:
            with output.progress("images") as bar:
                for positions, decoded in self._chunks():
                    self.settings.poll()
                    yield self._samples(positions, decoded)
                    end = positions.stop
                    if time.monotonic() - started > _QUIET_S:
                        bar.update(end / count, lambda end=end: f"{end:,} of {count:,}")  # type: ignore[misc]
        except StoppedError as error:
            if not end and not self.rows:
                raise
            self.stopped = error
            yield self._samples(range(end, count), {})
        if len(self.errors) == count:
            raise InputError("--data", f"{self.listing.root}: no image could be read", "check the files")

    def _chunks(self) -> Iterator[tuple[range, dict[int, Decoded]]]:
        """Positions of all images in chunks, decoded in as many threads as pay for files of this size."""

        def decode(positions: range) -> tuple[range, dict[int, Decoded]]:
            decoded = {i: self._decode(i) for i in positions if i not in self.rows}
            return positions, {i: image for i, image in decoded.items() if image is not None}

        count = self.shape[0]
        is_small = sum(stamp.size for stamp in self.listing.stamps) < _SMALL_FILE * count
        threads = 1 if is_small else self.settings.threads
        batch = self.extractor.batch if self.extractor else 1
        most = min(_MOST_FILES, _MOST_BYTES // self.image_shape.nbytes, count // (4 * threads))
        return map_chunks(decode, count, max(1, most // batch) * batch, threads)

    def _samples(self, positions: range, decoded: dict[int, Decoded]) -> tuple[NDArray[Any], list[FileRecord]]:
        """Samples and records of those images that were decoded or are cached, in order."""
        found: dict[int, tuple[NDArray[Any], FileRecord]] = dict(decoded)
        if self.extractor and decoded:
            pixels, records = zip(*decoded.values(), strict=True)
            features = self.extractor.run(np.stack(pixels), [record.seed for record in records])
            found = dict(zip(decoded, zip(features, records, strict=True), strict=True))
        if self.cached is not None:
            rows = {i: self.rows[i] for i in positions if i in self.rows and i not in decoded}
            found |= {i: (self.cached.samples[row], self.cached.records[row]) for i, row in rows.items()}
        samples = np.empty((len(found), *self.shape[1:]), self.dtype)
        for row, i in enumerate(sorted(found)):
            samples[row] = found[i][0]
        return samples, [found[i][1] for i in sorted(found)]

    def _decode(self, i: int) -> Decoded | None:
        """Image i, or None for a bad one that is skipped. Raises its InputError otherwise."""
        try:
            return self._read(Path(self.listing.path(i)), self.listing.stamps[i])
        except InputError as error:
            if not self.settings.skip_bad:
                raise self.listing.located(i, error) from error
            self.errors[i] = self.listing.located(i, error)
            return None

    def _read(self, path: Path, stamp: FileStamp) -> Decoded:
        """Pixels and record of an image. Raises InputError if it is damaged, or changed since the listing."""
        if stamp.size < 0:
            check_regular(path)
        with image_errors(path), path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if (status.st_size, status.st_mtime_ns, status.st_ino) != stamp[1:]:
                raise InputError(path, "changed while the folder was read", "run again")
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            stream.seek(0)
            pixels, header = decode_stream(path, stream, self.image_shape, self.settings.max_pixels)
        if not _is_settled(stamp.time, self.begun):
            stamp = stamp._replace(time=-1)  # which no file has
        return pixels, FileRecord(*stamp, digest, *header[:3])


def _is_settled(changed: int, now: int) -> bool:
    """Whether a change at time `now` would be stored as another time than `changed`, both in nanoseconds.

    Clocks of file systems advance every 10 ms at most, except for those that store round times: FAT every 2 s.
    """
    is_round = changed % 10**7 == 0
    return changed < now - (2 * 10**9 if is_round else 2 * 10**7)


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


def _own_size(sizes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images share, if there is one and it is small."""
    return next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE else None
