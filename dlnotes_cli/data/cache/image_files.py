"""Read listed image files once: pixels, header and content digest, refusing files that changed since the listing."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.decode import ImageHeader, decode_stream, image_errors
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell.errors import InputError

_READ_WHOLE = 1 << 26  # bytes; larger files are hashed and decoded from disk
_SEED_DIGITS = 15  # hexadecimal digits of a digest that make a seed of 60 bits


class FileRecord(NamedTuple):
    """What the cache stores about an image file: a digest of its content, and its header."""

    digest: str
    header: ImageHeader

    @property
    def seed(self) -> int:
        """A 60-bit seed that depends on the content alone."""
        return int(self.digest[:_SEED_DIGITS], 16)


def decode_listed(
    listing: FolderListing, i: int, shape: ImageShape, max_pixels: int
) -> tuple[NDArray[np.uint8], FileRecord]:
    """Pixels (C, H, W) and record of image i. Raises InputError if it is damaged, or changed since the listing."""
    with _open_listed(listing, i) as (path, stream, digest):
        pixels, header = decode_stream(path, stream, shape, max_pixels)
    return pixels, FileRecord(digest, header)


def digest_listed(listing: FolderListing, i: int) -> str:
    """The content digest of image i, or "" if the file cannot be read; decoding then reports the error."""
    try:
        with _open_listed(listing, i) as (_, _, digest):
            return digest
    except InputError:
        return ""


@contextmanager
def _open_listed(listing: FolderListing, i: int) -> Iterator[tuple[Path, IO[bytes], str]]:
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
