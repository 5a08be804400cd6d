"""Folders of class folders: which files there are, what each shows, and their pixels."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dlnotes_cli.data.cache import pixels
from dlnotes_cli.data.cache import store as cache
from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.images.decode import Header, read_header
from dlnotes_cli.data.listing import Listing
from dlnotes_cli.data.preprocessing import ImageShape, Resize
from dlnotes_cli.data.walk import natural_order, unlisted, walk
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

__all__ = ["Listing", "choose_shape", "list_folder", "read_folder"]

_PARTS = {  # names of part folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_LAYOUT = "expected FOLDER/<class>/<image> or FOLDER/{train,val,test}/<class>/<image>"
_LARGEST_OWN_SIZE = 64
_USUAL_SIZE = 32


def list_folder(root: Path) -> Listing:
    """Find the images below `root`; hidden entries and files that are no images are passed over.

    Raises InputError naming the folder where it has no class folders, or the class that is empty.
    """
    parts = _parts(root)
    if not any(parts.values()):
        raise InputError("--data", f"{root} has no class folders", _LAYOUT)
    classes = tuple(sorted({name for names in parts.values() for name in names}, key=natural_order))
    position = {name: index for index, name in enumerate(classes)}
    found = [
        (*file, position[name], _PARTS.get(part.lower(), "all"))
        for part, names in parts.items()
        for name in sorted(names, key=natural_order)
        for file in _images(root, f"{part}/{name}" if part else name)
    ]
    names, sizes, times, inodes, labels, named_parts = zip(*found, strict=True)
    return Listing(root, names, sizes, times, inodes, labels, classes, named_parts)


def choose_shape(
    listing: Listing, *, size: int | None, resize: Resize, color: str | None, max_pixels: int
) -> ImageShape:
    """Settle the form of a folder's images from what was asked for and from their headers.

    Headers are read only until they can change nothing more: of a folder of photographs, a few. Those of files that an
    earlier run decoded are in the cache.
    """
    sizes: set[tuple[int, int]] = set()
    is_gray = color != "rgb"
    for header in _headers(listing, max_pixels):
        sizes.add((header.width, header.height))
        is_gray = is_gray and (color == "gray" or header.is_gray)
        if (size or _own_size(sizes) is None) and (color or not is_gray):
            break
    width, height = (size, size) if size else _own_size(sizes) or (_USUAL_SIZE, _USUAL_SIZE)
    return ImageShape(1 if is_gray else 3, height, width, resize)


def read_folder(
    listing: Listing, shape: ImageShape, reading: pixels.Reading, extraction: pixels.Extraction | None = None
) -> Source:
    """Every image of a listing as uint8 (N, C, H, W), or its features, made once and then mapped from the cache.

    A damaged file raises InputError naming it; with `skip_bad` it is left out, named in a warning and counted.
    """
    decoded = pixels.read_pixels(listing, shape, reading, extraction)
    for error in decoded.errors.values():
        output.warn(f"skipped {error.fault}")
    named = np.array([listing.splits[i] for i in decoded.kept])
    return Source(
        name=str(listing.root),
        samples=decoded.samples,
        labels=np.array([listing.labels[i] for i in decoded.kept], dtype=np.int64),
        classes=listing.classes,
        splits={str(part): np.flatnonzero(named == part) for part in np.unique(named)},
        files=tuple(listing.path(i) for i in decoded.kept),
        bad_files=tuple(listing.path(i) for i in decoded.errors),
        fingerprint=_fingerprint([listing.names[i] for i in decoded.kept], decoded.digests),
    )


def _fingerprint(names: Sequence[str], digests: Sequence[str]) -> str:
    """A digest of names and contents: equal for the same images wherever their folder lies."""
    entries = "".join([f"{name}\0{digest}\0" for name, digest in zip(names, digests, strict=True)])
    return hashlib.sha256(entries.encode(errors="surrogateescape")).hexdigest()


def _parts(root: Path) -> dict[str, list[str]]:
    """The class folders of each part folder, or under "" those of a root without part folders."""
    names = _subfolders(root)
    parts = {name: below for name in names if name.lower() in _PARTS and (below := _subfolders(root / name))}
    others = [name for name in names if name.lower() not in _PARTS]
    if parts and others:
        both = f"{root} has part folders ({', '.join(parts)}) and others beside them ({', '.join(others[:5])})"
        raise InputError("--data", both, _LAYOUT)
    return parts or {"": names if others else []}


def _subfolders(root: Path) -> list[str]:
    try:
        return sorted(
            entry.name for entry in root.iterdir() if not entry.name.startswith((".", "__")) and entry.is_dir()
        )
    except OSError as error:
        raise unlisted(error) from error


def _images(root: Path, base: str) -> list[tuple[str, int, int, int]]:
    """Name below `root`, size, time and inode of each image of the class folder `base`."""
    folder = str(root / base)
    _check_link(root / base)
    found = [(base + entry.path[len(folder) :], *_status(entry)) for entry in walk(folder)]
    if not found:
        raise InputError("--data", f"class folder {folder} has no images", "add some, or remove the folder")
    return found


def _check_link(folder: Path) -> None:
    """Refuse a class that is a link to a folder it lies in: it would have the images of all the others."""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        what = f"class folder {folder} is a link to {folder.resolve()}, which it lies in"
        raise InputError("--data", what, "remove the link")


def _status(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    """Size, time and inode."""
    try:
        status = entry.stat()
    except OSError:  # a link that leads nowhere, which --skip-bad passes over
        return -1, 0, 0
    return (status.st_size, status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else (-1, 0, 0)


def _headers(listing: Listing, max_pixels: int) -> Iterator[Header]:
    for name, known in zip(listing.names, cache.known_headers(listing), strict=True):
        try:
            allowed = known is not None and known.pixels <= max_pixels
            yield known if known is not None and allowed else read_header(listing.root / name, max_pixels)
        except InputError:  # decoding names a bad file, or skips it
            continue


def _own_size(sizes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images share, where there is one and it is small."""
    return next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE else None
