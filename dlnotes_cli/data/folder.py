"""Folders of class folders: which files there are, what each shows, and their pixels."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli import output
from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.decode import EXTENSIONS, Header, decode_all, decode_picture, read_header
from dlnotes_cli.data.formats import Resize
from dlnotes_cli.errors import DlnotesError, InputError

_PARTS = {  # names of part folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
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
            entry = f"{file.relative_to(self.root).as_posix()}\0{_size_of(file)}\0"
            digest.update(entry.encode(errors="surrogateescape"))
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
    parts = _parts(root)
    if not any(parts.values()):
        raise InputError("--data", f"{root} has no class folders", _LAYOUT)
    classes = tuple(sorted({name for names in parts.values() for name in names}, key=_natural))
    position = {name: index for index, name in enumerate(classes)}
    found = [
        (file, position[name], _PARTS.get(part.lower(), "all"))
        for part, names in parts.items()
        for name in sorted(names, key=_natural)
        for file in _pictures(root / part / name)
    ]
    files, labels, named_parts = zip(*found, strict=True)
    return Listing(root, files, labels, classes, named_parts)


def choose_shape(
    listing: Listing, *, size: int | None, resize: Resize, color: str | None, max_pixels: int
) -> PictureShape:
    """Settle the form of a folder's pictures from what was asked for and from their headers.

    Headers are read only until they can change nothing more: of a folder of photographs, a few.
    """
    sizes: set[tuple[int, int]] = set()
    is_gray = color != "rgb"
    for header in _headers(listing.files, max_pixels):
        sizes.add((header.width, header.height))
        is_gray = is_gray and (color == "gray" or header.is_gray)
        if (size or _own_size(sizes) is None) and (color or not is_gray):
            break
    width, height = (size, size) if size else _own_size(sizes) or (_USUAL_SIZE, _USUAL_SIZE)
    return PictureShape(1 if is_gray else 3, height, width, resize)


def read_folder(listing: Listing, shape: PictureShape, *, threads: int, skip_bad: bool, max_pixels: int) -> Source:
    """Decode every picture of a listing to uint8 (N, C, H, W).

    A damaged file raises InputError naming it; with `skip_bad` it is left out, named in a warning and counted.
    """
    samples = np.empty((len(listing.files), shape.channels, shape.height, shape.width), np.uint8)
    place = dict(zip(listing.files, samples, strict=True))

    def decode(path: Path) -> NDArray[np.uint8]:
        place[path][:] = decode_picture(path, shape.channels, (shape.height, shape.width), shape.resize, max_pixels)
        return place[path]

    decoded = decode_all(listing.files, decode, threads=threads, skip_bad=skip_bad)
    bad = {i: error for i, error in enumerate(decoded) if isinstance(error, DlnotesError)}
    for error in bad.values():
        output.warn(f"skipped {error}")
    kept = [i for i in range(len(decoded)) if i not in bad]
    if not kept:
        raise InputError("--data", f"{listing.root}: no picture could be read", "check the files")
    named = np.array([listing.parts[i] for i in kept])
    return Source(
        name=str(listing.root),
        samples=samples[kept] if bad else samples,
        labels=np.array([listing.labels[i] for i in kept], dtype=np.int64),
        classes=listing.classes,
        parts={str(part): np.flatnonzero(named == part) for part in np.unique(named)},
        files=tuple(str(listing.files[i]) for i in kept),
        bad_files=tuple(str(listing.files[i]) for i in bad),
    )


def find_pictures(path: Path) -> Iterator[Path]:
    """All pictures below a folder, in a fixed order, hidden entries passed over."""
    for folder, folders, files in os.walk(path, onerror=_refuse):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=_natural)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder) / name


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
        raise _unreadable(error) from error


def _pictures(folder: Path) -> list[Path]:
    found = list(find_pictures(folder))
    if not found:
        raise InputError("--data", f"class folder {folder} has no pictures", "add some, or remove the folder")
    return found


def _headers(files: tuple[Path, ...], max_pixels: int) -> Iterator[Header]:
    for file in files:
        try:
            yield read_header(file, max_pixels)
        except InputError:  # decoding names a bad file, or skips it
            continue


def _own_size(sizes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all pictures share, where there is one and it is small."""
    return next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE else None


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a link that leads nowhere, which --skip-bad passed over
        return -1


def _refuse(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> InputError:
    return InputError(error.filename, f"cannot be read ({(error.strerror or '').lower()})", "check its permissions")


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)
