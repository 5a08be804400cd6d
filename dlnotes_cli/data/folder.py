"""Folders of classes: list `FOLDER/<class>/<file>`; of images choose a common shape, and read the samples."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dlnotes_cli.data.cache import known_headers
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder_samples import DecodeSettings, FeatureExtractor, read_samples
from dlnotes_cli.data.images.decode import ImageHeader, read_header
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.data.walk import EXTENSIONS, cannot_list, natural_order, walk
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_SPLITS = {  # names of split folders, in any case
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
Content = Literal["images", "texts"]
_LARGEST_OWN_SIZE = 64  # pixels; folders of larger images need --size
_DEFAULT_SIZE = 32


def list_folder(root: Path, extensions: frozenset[str] = EXTENSIONS, content: Content = "images") -> FolderListing:
    """List the files below `root` that end in one of `extensions`, images or texts, without hidden ones.

    Raises InputError if `root` has no class folders, or naming a class folder without such files.
    """
    class_folders = _class_folders(root, content)
    if not any(class_folders.values()):
        raise InputError("--data", f"{root} has no class folders", _layout(content))
    classes = tuple(sorted({name for names in class_folders.values() for name in names}, key=_order))
    position = {name: index for index, name in enumerate(classes)}
    files = [
        (*file, position[name], _SPLITS.get(split.lower(), "all"))
        for split, names in class_folders.items()
        for name in sorted(names, key=_order)
        for file in _files(root, f"{split}/{name}" if split else name, extensions, content)
    ]
    names, sizes, times, inodes, labels, splits = zip(*files, strict=True)
    return FolderListing(root, names, sizes, times, inodes, labels, tuple(map(output.readable, classes)), splits)


def list_any_folder(root: Path) -> FolderListing:
    """The listing of `list_folder`, or without class folders that of all images below `root`, in one class.

    Raises InputError for a folder without images.
    """
    if any(_class_folders(root).values()):
        return list_folder(root)
    files = _files(root, "")
    names, sizes, times, inodes = zip(*files, strict=True)
    relative = tuple(name.lstrip("/") for name in names)
    every = len(relative)
    return FolderListing(root, relative, sizes, times, inodes, (0,) * every, ("",), ("all",) * every)


def _order(name: str) -> tuple[int, int, str]:
    """The place of a class, the same in every locale."""
    return natural_order(output.readable(name))


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
    splits = np.array([listing.splits[i] for i in read.positions])
    return LabeledSamples(
        name=str(listing.root),
        samples=read.samples,
        labels=np.array([listing.labels[i] for i in read.positions], dtype=np.int64),
        classes=listing.classes,
        splits={str(split): np.flatnonzero(splits == split) for split in np.unique(splits)},
        files=tuple(listing.path(i) for i in read.positions),
        bad_files=tuple(listing.path(i) for i in read.errors),
        folders=listing.folders,
        fingerprint=_fingerprint([listing.names[i] for i in read.positions], read.digests),
    )


def _fingerprint(names: Sequence[str], digests: Sequence[str]) -> str:
    """A SHA-256 of names and content digests: equal for the same images in any location."""
    entries = "".join([f"{name}\0{digest}\0" for name, digest in zip(names, digests, strict=True)])
    return hashlib.sha256(entries.encode(errors="surrogateescape")).hexdigest()


def _layout(content: Content) -> str:
    """What a folder is expected to contain."""
    file = content.removesuffix("s")
    return f"expected FOLDER/<class>/<{file}> or FOLDER/{{train,val,test}}/<class>/<{file}>"


def _class_folders(root: Path, content: Content = "images") -> dict[str, list[str]]:
    """The class folders of each split folder, or under "" those of a root without split folders."""
    names = _subfolders(root)
    splits = {name: below for name in names if name.lower() in _SPLITS and (below := _subfolders(root / name))}
    others = [name for name in names if name.lower() not in _SPLITS]
    if splits and others:
        both = f"{root} has split folders ({', '.join(splits)}) and other folders ({', '.join(others[:5])})"
        raise InputError("--data", both, _layout(content))
    return splits or {"": names if others else []}


def _subfolders(root: Path) -> list[str]:
    try:
        return sorted(
            entry.name for entry in root.iterdir() if not entry.name.startswith((".", "__")) and entry.is_dir()
        )
    except OSError as error:
        raise cannot_list(error) from error


def _files(
    root: Path, base: str, extensions: frozenset[str] = EXTENSIONS, content: Content = "images"
) -> list[tuple[str, int, int, int]]:
    """Name relative to `root`, size, time and inode of each file in the class folder `base`."""
    folder = str(root / base)
    _check_link(root / base)
    files = [(base + entry.path[len(folder) :], *_status(entry)) for entry in walk(folder, extensions)]
    if not files:
        raise InputError("--data", f"class folder {folder} has no {content}", "add some, or remove the folder")
    return files


def _check_link(folder: Path) -> None:
    """Raise InputError for a class folder that links to one of its parents: it would contain all other classes."""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        what = f"class folder {folder} is a link to its parent folder {folder.resolve()}"
        raise InputError("--data", what, "remove the link")


def _status(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    """Size, time and inode; size -1 if it is not a regular file."""
    try:
        status = entry.stat()
    except OSError:  # a broken link, which --skip-bad skips
        return -1, 0, 0
    return (status.st_size, status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else (-1, 0, 0)


def _headers(listing: FolderListing, max_pixels: int) -> Iterator[ImageHeader]:
    """The headers of the readable images, cached or from their files."""
    for name, known in zip(listing.names, known_headers(listing), strict=True):
        if known is not None and known.pixels <= max_pixels:
            yield known
            continue
        try:
            header = read_header(listing.root / name, max_pixels)
        except InputError:  # decoding reports the bad file, or skips it
            continue
        yield header


def _own_size(sizes: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The size that all images share, if there is one and it is small."""
    return next(iter(sizes)) if len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE else None
