"""Image folders: choose the shape that all images are decoded to, and read the samples."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from dlnotes_cli.data.cache import known_headers
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder_samples import DecodeSettings, FeatureExtractor, FolderSamples, read_samples
from dlnotes_cli.data.images.decode import ImageHeader, read_header
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_LARGEST_OWN_SIZE = 64  # pixels; folders of larger images need --size
_DEFAULT_SIZE = 32


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
    for header in _headers(listing, max_pixels):
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
    splits = np.array([listing.splits[i] for i in read.positions])
    entries = "".join(
        [f"{listing.names[i]}\0{record.digest}\0" for i, record in zip(read.positions, read.records, strict=True)]
    )
    return LabeledSamples(
        name=str(listing.root),
        samples=read.samples,
        labels=np.array([listing.labels[i] for i in read.positions], dtype=np.int64),
        classes=listing.classes,
        splits={str(split): np.flatnonzero(splits == split) for split in np.unique(splits)},
        files=tuple(listing.path(i) for i in read.positions),
        bad_files=tuple(listing.path(i) for i in read.errors),
        folders=listing.folders,
        fingerprint=hashlib.sha256(entries.encode(errors="surrogateescape")).hexdigest(),  # of names and contents
    )


def _headers(listing: FolderListing, max_pixels: int) -> Iterator[ImageHeader]:
    """The headers of the readable images, cached or from their files."""
    known = known_headers(listing)
    for i, name in enumerate(listing.names):
        if i in known and known[i].pixels <= max_pixels:
            yield known[i]
            continue
        with suppress(InputError):  # decoding reports the bad file, or skips it
            yield read_header(listing.root / name, max_pixels)


def _own_size(sizes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images share, if there is one and it is small."""
    return next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE else None
