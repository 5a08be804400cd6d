"""Folders of class folders: which files there are, what each shows, and their pixels."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli import output
from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.decode import EXTENSIONS, Header, decode_all, decode_picture, read_header
from dlnotes_cli.data.formats import Resize
from dlnotes_cli.errors import DlnotesError, InputError

_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LAYOUT = "expected FOLDER/<class>/<picture> or FOLDER/{train,val,test}/<class>/<picture>"
_LARGEST_OWN_SIZE = 64
_USUAL_SIZE = 32


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, in a fixed order, with their class and part."""

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    parts: tuple[str, ...]  # per file: "all", "train", "val" or "test"

    def fingerprint(self) -> str:
        """A digest of names and sizes: equal for the same folder wherever it lies."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.relative_to(self.root).as_posix()}\0{file.stat().st_size}\0".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class PictureShape:
    """The form that pictures are brought into."""

    channels: int
    height: int
    width: int
    resize: Resize


def list_folder(root: Path) -> Listing:
    """Find the pictures below `root`; hidden entries and files that are no pictures are passed over.

    Raises InputError naming the folder where it has no class folders, or the class that is empty.
    """
    parts = {name: _subfolders(root / name) for name in _names(root) if name in _PARTS}
    if not parts or set(_subfolders(root)) - set(_PARTS):
        parts = {"": _subfolders(root)}
    if not any(parts.values()):
        raise InputError("--data", f"{root} has no class folders", _LAYOUT)
    classes = tuple(sorted({name for names in parts.values() for name in names}, key=_natural))
    found = [
        (file, classes.index(name), _PARTS.get(part, "all"))
        for part, names in parts.items()
        for name in sorted(names, key=_natural)
        for file in _pictures(root / part / name)
    ]
    files, labels, named_parts = zip(*found, strict=True)
    return Listing(root, files, labels, classes, named_parts)


def choose_shape(
    listing: Listing, *, size: int | None, resize: Resize, color: str | None, max_pixels: int
) -> PictureShape:
    """Settle the form of a folder's pictures from what was asked for and from their headers."""
    headers = _headers(listing.files, max_pixels) if size is None or color is None else []
    channels = {"gray": 1, "rgb": 3}.get(color or "") or (1 if all(header.is_gray for header in headers) else 3)
    if size is not None:
        return PictureShape(channels, size, size, resize)
    sizes = {(header.width, header.height) for header in headers}
    width, height = sizes.pop() if len(sizes) == 1 else (_USUAL_SIZE, _USUAL_SIZE)
    if max(width, height) > _LARGEST_OWN_SIZE:
        width = height = _USUAL_SIZE
    return PictureShape(channels, height, width, resize)


def read_folder(listing: Listing, shape: PictureShape, *, threads: int, skip_bad: bool, max_pixels: int) -> Source:
    """Decode every picture of a listing to uint8 (N, C, H, W).

    A damaged file raises InputError naming it; with `skip_bad` it is left out, named in a warning and counted.
    """

    def decode(path: Path) -> NDArray[np.uint8]:
        return decode_picture(path, shape.channels, (shape.height, shape.width), shape.resize, max_pixels)

    decoded = decode_all(listing.files, decode, threads=threads, skip_bad=skip_bad)
    bad = [i for i, pixels in enumerate(decoded) if isinstance(pixels, DlnotesError)]
    for i in bad:
        output.warn(f"skipped {decoded[i]}")
    kept = [i for i in range(len(decoded)) if i not in set(bad)]
    if not kept:
        raise InputError("--data", f"{listing.root}: no picture could be read", "check the files")
    named = np.array([listing.parts[i] for i in kept])
    return Source(
        name=str(listing.root),
        samples=np.stack([np.asarray(decoded[i]) for i in kept]),
        labels=np.array([listing.labels[i] for i in kept], dtype=np.int64),
        classes=listing.classes,
        parts={str(part): np.flatnonzero(named == part) for part in np.unique(named)},
        files=tuple(str(listing.files[i]) for i in kept),
        bad_files=tuple(str(listing.files[i]) for i in bad),
    )


def find_pictures(path: Path) -> Iterator[Path]:
    """All pictures below a folder, in a fixed order, hidden entries passed over."""
    for folder, folders, files in os.walk(path):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_natural)
        for name in sorted(files, key=_natural):
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder) / name


def _names(root: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError("--data", f"{root} cannot be read ({error.strerror})", "check its permissions") from error


def _subfolders(root: Path) -> list[str]:
    return [name for name in _names(root) if not name.startswith("__")]


def _pictures(folder: Path) -> list[Path]:
    found = list(find_pictures(folder))
    if not found:
        raise InputError("--data", f"class folder {folder} has no pictures", "add some, or remove the folder")
    return found


def _headers(files: tuple[Path, ...], max_pixels: int) -> list[Header]:
    headers = []
    for file in files:
        with suppress(InputError):  # decoding names a bad file, or skips it
            headers.append(read_header(file, max_pixels))
    return headers


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)
