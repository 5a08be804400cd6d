"""Requests to the decode cache: which images, in which shape, how to decode them, and which features to compute."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.cache.chunks import map_chunks
from dlnotes_cli.data.cache.entries import CacheEntry, settled_times
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell.errors import InputError

_SMALL_FILE = 1 << 12  # bytes; threads wait longer for the interpreter lock than decoding such a file takes

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
class SampleRequest:
    """The samples of a folder that a caller needs: pixels of one shape, or features extracted from them."""

    listing: FolderListing
    shape: ImageShape
    settings: DecodeSettings
    extractor: FeatureExtractor | None
    times: tuple[int, ...]  # of `listing`, as the cache index stores them

    @classmethod
    def make(
        cls,
        listing: FolderListing,
        shape: ImageShape,
        settings: DecodeSettings,
        extractor: FeatureExtractor | None = None,
    ) -> "SampleRequest":
        """A request with the times of the listing, settled before any file is read."""
        return cls(listing, shape, settings, extractor, settled_times(listing.times))

    @cached_property
    def entry(self) -> CacheEntry:
        """Where the samples are cached."""
        return CacheEntry.of(self.listing.root, self.extractor.name if self.extractor else str(self.shape))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(C, H, W) of pixels, (F,) of features."""
        return (self.extractor.width,) if self.extractor else self.shape.dimensions

    @property
    def dtype(self) -> "np.dtype[Any]":
        """uint8 of pixels, float32 of features."""
        return np.dtype(np.float32 if self.extractor else np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of the samples of all listed images."""
        return len(self.listing.names) * math.prod(self.sample_shape) * self.dtype.itemsize

    def map_chunks(self, function: Callable[[Sequence[int]], Result], positions: Sequence[int]) -> Iterator[Result]:
        """Call `function` on chunks of image positions, in as many threads as pay for files of this size."""
        sizes = self.listing.sizes
        threads = self.settings.threads if sum(sizes) >= _SMALL_FILE * len(sizes) else 1
        batch = self.extractor.batch if self.extractor else 1
        return map_chunks(function, positions, threads=threads, sample_bytes=self.shape.nbytes, multiple=batch)


@dataclass(frozen=True)
class FolderSamples:
    """The samples of all readable images, and the errors of the others."""

    samples: NDArray[Any]  # uint8 (N, C, H, W), or features float32 (N, F)
    positions: list[int]  # of the readable images in the listing
    digests: list[str]  # of their files
    errors: dict[int, InputError]  # by position, of skipped files
