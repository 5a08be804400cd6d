"""Locate, download and read the named data sets."""

import gzip
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.named.cifar import CifarLayout, read_cifar
from dlnotes_cli.data.named.idx import REPLACE, archive_errors, idx_shape, read_idx
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
class NamedSetSummary:
    """A named set without its samples; `found_in` and `path` are None if it would have to be downloaded."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    found_in: str | None
    path: Path | None
    download_size: int  # bytes


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
    if named_set.cifar is not None:
        return _read_cifar(named_set, named_set.cifar, location)
    return _read_idx_set(named_set, location)


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
        files = _find_idx(named_set, root) if named_set.cifar is None else _find_cifar(named_set, named_set.cifar, root)
        if files:
            return NamedSetLocation(files[0].parent, files, found_in)
    return None


def summaries(data_root: Path | None = None) -> list[NamedSetSummary]:
    """A summary of each named set; reads no samples."""
    return [_summary(named_set, locate(name, data_root)) for name, named_set in NAMED.items()]


def _summary(named_set: NamedSet, location: NamedSetLocation | None) -> NamedSetSummary:
    return NamedSetSummary(
        named_set.name,
        named_set.classes,
        named_set.shape,
        named_set.counts,
        location.found_in if location else None,
        location.folder if location else None,
        sum(file.size for file in named_set.files),
    )


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
    for folder in (root / named_set.name, root, root / named_set.torchvision):
        paths = [path for file in named_set.files if (path := _plain_or_gzipped(folder, file)) is not None]
        if len(paths) == len(named_set.files) and (folder != root or _belongs_to(named_set, root, paths[-1])):
            return tuple(paths)
    return ()


def _belongs_to(named_set: NamedSet, root: Path, test_labels: Path) -> bool:
    try:
        checksum = read_idx(test_labels).sha256
    except InputError:
        checksum = ""
    published = {other.files[-1].content_sha256: other.name for other in NAMED.values() if other.torchvision}
    return published.get(checksum, root.resolve().name) == named_set.name


def _plain_or_gzipped(folder: Path, file: NamedFile) -> Path | None:
    candidates = (folder / file.name.removesuffix(".gz"), folder / file.name)
    return next((path for path in candidates if _is_file(path)), None)


def _find_cifar(named_set: NamedSet, layout: CifarLayout, root: Path) -> tuple[Path, ...]:
    for base in (root / named_set.name, root):
        folders = [base / layout.folder]
        if base.resolve().name in {named_set.name, layout.folder}:
            folders.append(base)
        for folder in folders:
            unpacked = tuple(folder / name for name, _ in layout.files)
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
    layout = named_set.cifar
    files = ", ".join(file.name for file in named_set.files)
    expected = files if layout is None else f"{files} or the folder {layout.folder}"
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
    values, labels = table[:, :-1], np.ascontiguousarray(table[:, -1])
    samples = np.rint(values * 255 / _DIGITS_WHITE).astype(np.uint8).reshape(-1, *named_set.shape)
    splits = _consecutive_splits({"all": len(labels)})
    return LabeledSamples(
        named_set.name, samples, labels, named_set.classes, splits, fingerprint=f"named:{named_set.name}"
    )


def _read_cifar(named_set: NamedSet, layout: CifarLayout, location: NamedSetLocation) -> LabeledSamples:
    path = location.folder
    checksums: tuple[str, ...] = ()  # the unpacked files have no published ones
    if len(location.files) == 1:
        path = location.files[0]
        with archive_errors(path), path.open("rb") as stream:
            checksums = (hashlib.file_digest(stream, "sha256").hexdigest(),)
    images = read_cifar(path, layout)
    published = tuple(file.sha256 for file in named_set.files) if checksums else ()
    fingerprint = _fingerprint(named_set, location, path, checksums, published)
    splits = _consecutive_splits(named_set.counts)
    return LabeledSamples(
        named_set.name, images.samples, images.labels, images.classes, splits, fingerprint=fingerprint
    )


def _read_idx_set(named_set: NamedSet, location: NamedSetLocation) -> LabeledSamples:
    image_files, label_files = location.files[0::2], location.files[1::2]
    counts = [_image_count(path, named_set) for path in image_files]
    samples = np.empty((sum(counts), *named_set.shape), np.uint8)
    labels = np.empty(sum(counts), np.int64)
    checksums: list[str] = []
    start = 0
    for image_file, label_file, count in zip(image_files, label_files, counts, strict=True):
        end = start + count
        label_idx = read_idx(label_file)
        _check_labels(label_file, label_idx.array, count, named_set)
        labels[start:end] = label_idx.array
        checksums += [read_idx(image_file, samples[start:end, 0]).sha256, label_idx.sha256]
        start = end
    published = tuple(file.content_sha256 for file in named_set.files)
    fingerprint = _fingerprint(named_set, location, location.folder, tuple(checksums), published)
    splits = _consecutive_splits(dict(zip(named_set.counts, counts, strict=True)))
    return LabeledSamples(named_set.name, samples, labels, named_set.classes, splits, fingerprint=fingerprint)


def _image_count(path: Path, named_set: NamedSet) -> int:
    count, *size = idx_shape(path)
    if tuple(size) != named_set.shape[1:]:
        have, need = ("x".join(map(str, numbers)) or "numbers" for numbers in (size, named_set.shape[1:]))
        raise InputError(path, f"images of {need} expected, {have} found", REPLACE)
    return count


def _check_labels(path: Path, labels: NDArray[np.uint8], count: int, named_set: NamedSet) -> None:
    if labels.shape != (count,):
        raise InputError(path, f"{len(labels):,} labels for {count:,} images", REPLACE)
    if labels.max() >= len(named_set.classes):
        raise InputError(path, f"label {labels.max()}, but {len(named_set.classes)} classes", REPLACE)


def _fingerprint(
    named_set: NamedSet, location: NamedSetLocation, path: Path, checksums: tuple[str, ...], published: tuple[str, ...]
) -> str:
    """`named:NAME`, followed by a checksum if the copy at `path` is not the published one, with a warning.

    Raises InputError for such a copy in the cache, which holds only what was downloaded and checked.
    """
    if checksums == published:
        return f"named:{named_set.name}"
    if location.found_in == "cache":
        different = [file for file, *pair in zip(location.files, checksums, published, strict=True) if len({*pair}) > 1]
        what = f"is not the published file of {named_set.name}: its SHA-256 differs"
        fix = "remove it, so that it is downloaded again, or move your own copy to a folder for --data-root"
        raise InputError(different[0], what, fix)
    output.warn(f"{path} differs from the published {named_set.name}; used as is")
    return f"named:{named_set.name}:{hashlib.sha256(''.join(checksums).encode()).hexdigest()}"


def _consecutive_splits(counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """Indices of splits that follow each other, by their number of samples."""
    splits = {}
    start = 0
    for split, count in counts.items():
        splits[split] = np.arange(start, start + count, dtype=np.int64)
        start += count
    return splits
