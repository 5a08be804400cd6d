"""Locate, download and read the named data sets."""

import gzip
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.named.formats import REPLACE, archive_errors, checked_labels, read_cifar, read_idx
from dlnotes_cli.data.named.published import NAMED, NamedFile, NamedSet
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
    if not named_set.files:
        return _read_digits(named_set, location)
    return _read_cifar(named_set, location) if named_set.records else _read_idx_set(named_set, location)


def locate(name: str, data_root: Path | None = None) -> NamedSetLocation | None:
    """Locate a set in `data_root`, $DLNOTES_DATA, /usr/share/datasets or the cache; None if it is in none of them.

    Below each of these roots, a set may be in `<name>/`, in the root itself, or where torchvision puts it. MNIST and
    Fashion-MNIST have the same file names: files in the root itself belong to the set whose published checksum the test
    labels have, or, with unknown labels, to the set that the root is named after. Unpacked CIFAR files may be in the
    folder of the archive, or in a root named after this folder or the set. Raises InputError if `name` is unknown or
    `data_root` does not exist.
    """
    if name not in NAMED:
        raise unknown_choice("--data", name, NAMED, kind="data set")
    if data_root is not None and not data_root.is_dir():
        raise InputError("--data-root", f"no folder {data_root}", "give an existing folder, or drop the option")
    named_set = NAMED[name]
    if not named_set.files:
        return _embedded()
    for found_in, root in _roots(data_root):
        files = (_find_cifar if named_set.records else _find_idx)(named_set, root)
        if files:
            return NamedSetLocation(files[0].parent, files, found_in)
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


def _find_idx(named_set: NamedSet, root: Path) -> tuple[Path, ...]:
    for folder in (root / named_set.name, root, root / named_set.folder):
        paths = [path for file in named_set.files if (path := _plain_or_gzipped(folder, file)) is not None]
        if len(paths) == len(named_set.files) and (folder != root or _belongs_to(named_set, root, paths[-1])):
            return tuple(paths)
    return ()


def _belongs_to(named_set: NamedSet, root: Path, test_labels: Path) -> bool:
    try:
        checksum = read_idx(test_labels)[1]
    except InputError:
        checksum = ""
    published = {other.files[-1].content_sha256: other.name for other in NAMED.values() if other.files}
    return published.get(checksum, root.resolve().name) == named_set.name


def _plain_or_gzipped(folder: Path, file: NamedFile) -> Path | None:
    candidates = (folder / file.name.removesuffix(".gz"), folder / file.name)
    return next((path for path in candidates if _is_file(path)), None)


def _find_cifar(named_set: NamedSet, root: Path) -> tuple[Path, ...]:
    for base in (root / named_set.name, root):
        folders = [base / named_set.folder]
        if base.resolve().name in {named_set.name, named_set.folder}:
            folders.append(base)
        for folder in folders:
            unpacked = tuple(folder / name for name in named_set.records)
            if all(map(_is_file, unpacked)):
                return unpacked
        if _is_file(archive := base / named_set.files[0].name):
            return (archive,)
    return ()


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
    missing = [file for file in named_set.files if _plain_or_gzipped(folder, file) is None]
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
    paths = (_plain_or_gzipped(folder, file) for file in named_set.files)
    return NamedSetLocation(folder, tuple(path for path in paths if path is not None), "cache")


def _read_digits(named_set: NamedSet, location: NamedSetLocation) -> LabeledSamples:
    path = location.files[0]
    with archive_errors(path), gzip.open(path, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64, ndmin=2)
    samples = np.rint(table[:, :-1] * 255 / _DIGITS_WHITE).astype(np.uint8)
    return _samples(named_set, named_set.counts, [samples], [table[:, -1]], f"named:{named_set.name}")


def _read_cifar(named_set: NamedSet, location: NamedSetLocation) -> LabeledSamples:
    path, checksums = location.folder, []  # the unpacked files have no published ones
    if len(location.files) == 1:
        path = location.files[0]
        with archive_errors(path), path.open("rb") as stream:
            checksums = [hashlib.file_digest(stream, "sha256").hexdigest()]
    images, labels, classes = read_cifar(path, named_set)
    fingerprint = _fingerprint(named_set, location, path, checksums, [file.sha256 for file in named_set.files])
    counts = {"train": sum(map(len, labels[:-1])), "test": len(labels[-1])}
    return _samples(replace(named_set, classes=classes), counts, images, labels, fingerprint)


def _read_idx_set(named_set: NamedSet, location: NamedSetLocation) -> LabeledSamples:
    images, labels, checksums = [], [], []
    for image_file, label_file in zip(location.files[0::2], location.files[1::2], strict=True):
        (pixels, image_sum), (numbers, label_sum) = read_idx(image_file), read_idx(label_file)
        if pixels.shape[1:] != named_set.shape[1:]:
            have, need = ("x".join(map(str, size)) or "numbers" for size in (pixels.shape[1:], named_set.shape[1:]))
            raise InputError(image_file, f"images of {need} expected, {have} found", REPLACE)
        if numbers.shape != (len(pixels),):
            raise InputError(label_file, f"{len(numbers):,} labels for {len(pixels):,} images", REPLACE)
        images.append(pixels)
        labels.append(checked_labels(label_file, numbers, named_set.classes))
        checksums += [image_sum, label_sum]
    published = [file.content_sha256 for file in named_set.files]
    fingerprint = _fingerprint(named_set, location, location.folder, checksums, published)
    counts = dict(zip(named_set.counts, map(len, labels), strict=True))
    return _samples(named_set, counts, images, labels, fingerprint)


def _samples(
    named_set: NamedSet,
    counts: Mapping[str, int],
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.int64]],
    fingerprint: str,
) -> LabeledSamples:
    """A set of splits that follow each other, by their number of samples."""
    ends = np.cumsum(list(counts.values())).tolist()
    splits = {split: np.arange(end - counts[split], end) for split, end in zip(counts, ends, strict=True)}
    samples = np.concatenate(images).reshape(-1, *named_set.shape)
    return LabeledSamples(
        named_set.name, samples, np.concatenate(labels), named_set.classes, splits, fingerprint=fingerprint
    )


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
