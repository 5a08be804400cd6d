"""Locate, download and read the named data sets."""

import gzip
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.named.formats import archive_errors, read_cifar, read_idx, read_idx_set
from dlnotes_cli.data.named.published import NAMED, NamedSet
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.data.walk import find_images
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

_SYSTEM_FOLDER = Path("/usr/share/datasets")
_DIGITS_FILE = "datasets/data/digits.csv.gz"  # in scikit-learn
_DIGITS_WHITE = 16  # the largest value in it
_MOST_SHOWN = 5  # names of a folder's content in an error


@dataclass(frozen=True)
class NamedSetLocation:
    """Where a set was found: its files, all in `folder`, and the kind of place."""

    folder: Path
    files: tuple[Path, ...]
    found_in: str  # "embedded", "--data-root", "$DLNOTES_DATA", "system" or "cache"


@dataclass(frozen=True)
class NamedSetInfo:
    """A named set; `found` and `path` are None if it would have to be downloaded."""

    name: str
    found: str | None  # "embedded", "--data-root", "$DLNOTES_DATA", "system" or "cache"
    path: str | None
    classes: int
    shape: tuple[int, int, int]  # (C, H, W)
    counts: dict[str, int]  # samples of each split
    download_bytes: int


def load_named(name: str, *, data_root: Path | None = None, offline: bool = False) -> LabeledSamples:
    """Locate a named set, or download it to the cache, and read it: uint8 (N, C, H, W), training split first.

    Warns if the copy differs from the published one, whose checksum is then part of the fingerprint. Raises InputError
    if the set is unavailable, a copy in the cache is not the published one, a file is damaged, or images and labels do
    not match.
    """
    location = locate(name, data_root)
    named_set = NAMED[name]
    if data_root is not None and named_set.files:
        _check_root(named_set, data_root, location)
    location = location or _download(named_set, offline=offline)
    output.detail("data", f"{name} is in {location.folder} ({location.found_in})")
    path, classes = location.folder, named_set.classes
    checksums: list[str] = []
    published = [file.content_sha256 for file in named_set.files]
    if not named_set.files:
        images, labels = _read_digits(location.files[0])
    elif not named_set.records:
        (images, labels), checksums = read_idx_set(location.files, named_set)
    else:
        if len(location.files) == 1:  # the archive; unpacked files have no published checksums
            path, published = location.files[0], [named_set.files[0].sha256]
            with archive_errors(path), path.open("rb") as stream:
                checksums = [hashlib.file_digest(stream, "sha256").hexdigest()]
        (images, labels), classes = read_cifar(path, named_set)
    ends = np.cumsum([0, *map(len, labels)]).tolist()
    starts = (ends[0], ends[-2], ends[-1]) if len(named_set.counts) > 1 else (0, ends[-1])  # the last file is the test
    splits = {split: np.arange(*pair) for split, pair in zip(named_set.counts, pairwise(starts), strict=True)}
    return LabeledSamples(
        name, np.concatenate(images).reshape(-1, *named_set.shape), np.concatenate(labels), classes, splits,
        fingerprint=_fingerprint(named_set, location, path, checksums, published),
    )  # fmt: skip


def locate(name: str, data_root: Path | None = None) -> NamedSetLocation | None:
    """Locate a set in `data_root`, $DLNOTES_DATA, /usr/share/datasets or the cache; None if it is in none of them.

    Below each of these roots, a set may be in `<name>/`, in the root itself, or where torchvision puts it, all of its
    files unpacked or none. In the root itself, files whose names other sets have, too, belong to the set whose
    published checksum the last one has, or else to the one that the root is named after. Raises InputError if `name` is
    unknown or `data_root` does not exist.
    """
    if name not in NAMED:
        raise unknown_choice("--data", name, NAMED, kind="data set")
    if data_root is not None and not data_root.is_dir():
        raise InputError("--data-root", f"no folder {data_root}", "give an existing folder, or drop the option")
    named_set = NAMED[name]
    if not named_set.files:
        return _embedded()
    for found_in, root in _roots(data_root):
        for folder in (root / name, root / name / named_set.folder, root / named_set.folder, root):
            for names in named_set.copies:
                files = tuple(folder / file for file in names)
                if all(map(_is_file, files)) and (folder != root or _belongs_to(named_set, root, files)):
                    return NamedSetLocation(folder, files, found_in)
    return None


def list_named(data_root: Path | None = None) -> list[NamedSetInfo]:
    """All named sets and where they were found; reads no samples."""
    return [_describe(named_set, locate(name, data_root)) for name, named_set in NAMED.items()]


def _describe(named_set: NamedSet, location: NamedSetLocation | None) -> NamedSetInfo:
    found, path = (location.found_in, str(location.folder)) if location else (None, None)
    size = sum(file.size for file in named_set.files)
    classes = len(named_set.classes)
    return NamedSetInfo(named_set.name, found, path, classes, named_set.shape, named_set.counts, size)


def _roots(data_root: Path | None) -> Iterator[tuple[str, Path]]:
    if data_root is not None:
        yield "--data-root", data_root
    if own := os.environ.get("DLNOTES_DATA"):
        yield "$DLNOTES_DATA", Path(own)
    yield "system", _SYSTEM_FOLDER
    yield "cache", cache_folder()


def _embedded() -> NamedSetLocation:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InputError("--data", "digits comes with scikit-learn, which is not installed", "install scikit-learn")
    file = Path(package.origin).parent / _DIGITS_FILE
    return NamedSetLocation(file.parent, (file,), "embedded")


def _belongs_to(named_set: NamedSet, root: Path, files: tuple[Path, ...]) -> bool:
    """Whether files in a root itself are those of a set."""
    if len(files) == 1:  # an archive, whose name no other set has
        return True
    checksum = None
    with suppress(InputError):
        checksum = read_idx(files[-1])[1]
    published = {file.content_sha256: other.name for other in NAMED.values() for file in other.files[-1:]}
    is_named_after = root.resolve().name in {named_set.name, named_set.folder}
    return published[checksum] == named_set.name if checksum in published else is_named_after


def _check_root(named_set: NamedSet, root: Path, location: NamedSetLocation | None) -> None:
    """Note that a set comes from elsewhere than `--data-root`; raises InputError if it would have to be downloaded."""
    if location is not None:
        if location.found_in != "--data-root":
            where = f"{location.folder} ({location.found_in})"
            output.note(f"{named_set.name} is not in {root}; it is read from {where}")
        return
    expected = ", ".join(file.name for file in named_set.files)
    if named_set.records:
        expected += f" or the folder {named_set.folder}"
    names = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    more = ", ..." if len(names) > _MOST_SHOWN else ""
    content = f"{', '.join(names[:_MOST_SHOWN])}{more}" if names else "nothing"
    images = next((base for base in (root / named_set.name, root) if _has_images(base)), None)
    fix = "name the folder that has it, or drop the option to download it"
    if images is not None:
        fix = f"pass --data {images} to read its class folders, or drop the option to download the set"
    raise InputError("--data-root", f"{root} has {content}, but not {named_set.name} ({expected})", fix)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and next(find_images(folder), None) is not None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder without read permission
        return False


def _download(named_set: NamedSet, *, offline: bool) -> NamedSetLocation:
    folder = cache_folder() / named_set.name
    missing = [file for file in named_set.files if not (folder / file.name).is_file()]
    if offline:
        names = ", ".join(file.name for file in missing)
        raise InputError(
            "--data",
            f"{named_set.name} is not on this machine, and --offline forbids downloading it",
            f"put {names} from {named_set.urls[0]} into {folder}, or name the folder that has them with --data-root",
        )
    from dlnotes_cli.data.download import fetch  # urllib is slow to import, and most runs need no download

    for file in missing:
        urls = [base + file.name for base in named_set.urls]
        fetch(urls, folder / file.name, sha256=file.sha256, size=file.size)
    return NamedSetLocation(folder, tuple(folder / file.name for file in named_set.files), "cache")


def _read_digits(path: Path) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int64]]]:
    with archive_errors(path), gzip.open(path, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64, ndmin=2)
    return [np.rint(table[:, :-1] * 255 / _DIGITS_WHITE).astype(np.uint8)], [table[:, -1]]


def _fingerprint(
    named_set: NamedSet, location: NamedSetLocation, path: Path, checksums: Sequence[str], published: Sequence[str]
) -> str:
    """`named:NAME`, followed by a checksum if the copy at `path` is not the published one, with a warning.

    Raises InputError for such a copy in the cache, which holds only what was downloaded and checked.
    """
    if checksums in ([], published):  # none of unpacked files, which have no published ones
        return f"named:{named_set.name}"
    if location.found_in == "cache":
        different = [file for file, *pair in zip(location.files, checksums, published, strict=True) if len({*pair}) > 1]
        what = f"is not the published file of {named_set.name}: its SHA-256 differs"
        fix = "remove it, so that it is downloaded again, or move your own copy to a folder for --data-root"
        raise InputError(different[0], what, fix)
    output.warn(f"{path} differs from the published {named_set.name}; used as is")
    return f"named:{named_set.name}:{hashlib.sha256(''.join(checksums).encode()).hexdigest()}"
