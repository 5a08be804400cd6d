"""The named sets: where a copy is looked for, how it is downloaded, and how it is read."""

import gzip
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.named.cifar import CifarLayout, read_cifar
from dlnotes_cli.data.named.idx import WHOLE_COPY, idx_shape, read_idx, reading
from dlnotes_cli.data.named.published import NAMED, NamedFile, NamedSet
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

__all__ = [
    "NAMED",
    "Location",
    "NamedFile",
    "NamedSet",
    "Summary",
    "cache_folder",
    "load_named",
    "locate",
    "summaries",
]

_SYSTEM = Path("/usr/share/datasets")
_DIGITS_FILE = "datasets/data/digits.csv.gz"  # in scikit-learn
_DIGITS_TOP = 16  # the largest value in it


@dataclass(frozen=True)
class Location:
    """Where a set was found: its files, all in `folder`, and which place that is."""

    folder: Path
    files: tuple[Path, ...]
    found_in: str  # "embedded", "--data-root", "$DLNOTES_DATA", "system" or "cache"


@dataclass(frozen=True)
class Summary:
    """A named set in a list; `found_in` and `path` are None where it would be downloaded."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    found_in: str | None
    path: Path | None
    download_size: int


def cache_folder() -> Path:
    """The user's cache: $DLNOTES_CACHE, else $XDG_CACHE_HOME/dlnotes, else ~/.cache/dlnotes; it need not exist."""
    if own := os.environ.get("DLNOTES_CACHE"):
        return Path(own)
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if shared.is_absolute():  # relative ones are to be ignored, says the XDG specification
        return shared / "dlnotes"
    try:
        return Path.home() / ".cache" / "dlnotes"
    except RuntimeError as error:
        raise InputError("$DLNOTES_CACHE", "not set, and there is no home folder", "set it to a folder") from error


def load_named(name: str, *, data_root: Path | None = None, offline: bool = False) -> Source:
    """Find a named set, or download it to the cache, and read it: uint8 samples (N, C, H, W), training split first.

    Warns where the copy found differs from the published one. Raises InputError where the set is not to be had, where
    a file is damaged, or where images and labels do not fit together.
    """
    location = locate(name, data_root) or _download(NAMED[name], offline=offline)
    output.detail(f"data     {name} is in {location.folder} ({location.found_in})")
    named_set = NAMED[name]
    if not named_set.files:
        return _read_digits(named_set, location)
    if named_set.cifar is not None:
        return _read_cifar(named_set, named_set.cifar, location)
    return _read_idx_set(named_set, location)


def locate(name: str, data_root: Path | None = None) -> Location | None:
    """Find a set in `data_root`, $DLNOTES_DATA, the system's data sets or the cache; None where it is in none of them.

    Under each of these roots it may lie in `<name>/`, in the root itself, or where torchvision puts it. MNIST and
    Fashion-MNIST share their file names, so files in the root itself are taken for a set where its published sum says
    that the test labels are its own; with labels of neither, where the root's own name is that of the set. Unpacked
    CIFAR files may lie in the archive's folder, or in one that has the name of that folder or of the set.
    Raises InputError where `name` is unknown or `data_root` does not exist.
    """
    if name not in NAMED:
        raise unknown_choice("--data", name, NAMED, kind="data set")
    if data_root is not None and not data_root.is_dir():
        raise InputError("--data-root", f"no folder {data_root}", "give a folder that exists, or leave it out")
    named_set = NAMED[name]
    if not named_set.files:
        return _embedded()
    for found_in, root in _roots(data_root):
        files = _find_idx(named_set, root) if named_set.cifar is None else _find_cifar(named_set, named_set.cifar, root)
        if files:
            return Location(files[0].parent, files, found_in)
    return None


def summaries(data_root: Path | None = None) -> list[Summary]:
    """What there is to know of each named set without reading its samples."""
    return [_summary(named_set, locate(name, data_root)) for name, named_set in NAMED.items()]


def _summary(named_set: NamedSet, location: Location | None) -> Summary:
    return Summary(
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
    yield "system", _SYSTEM
    yield "cache", cache_folder()


def _embedded() -> Location:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InputError("--data", "digits are part of scikit-learn, which is not installed", "install scikit-learn")
    file = Path(package.origin).parent / _DIGITS_FILE
    return Location(file.parent, (file,), "embedded")


def _find_idx(named_set: NamedSet, root: Path) -> tuple[Path, ...]:
    for folder in (root / named_set.name, root, root / named_set.torchvision):
        found = [path for file in named_set.files if (path := _plain_or_gzipped(folder, file)) is not None]
        if len(found) == len(named_set.files) and (folder != root or _is_of(named_set, root, found[-1])):
            return tuple(found)
    return ()


def _is_of(named_set: NamedSet, root: Path, test_labels: Path) -> bool:
    try:
        sum_found = read_idx(test_labels).sha256
    except InputError:
        sum_found = ""
    published = {other.files[-1].content_sha256: other.name for other in NAMED.values() if other.torchvision}
    return published.get(sum_found, root.resolve().name) == named_set.name


def _plain_or_gzipped(folder: Path, file: NamedFile) -> Path | None:
    candidates = (folder / file.name.removesuffix(".gz"), folder / file.name)
    return next((path for path in candidates if _is_file(path)), None)


def _find_cifar(named_set: NamedSet, form: CifarLayout, root: Path) -> tuple[Path, ...]:
    for base in (root / named_set.name, root):
        folders = [base / form.folder]
        if base.resolve().name in {named_set.name, form.folder}:
            folders.append(base)
        for folder in folders:
            unpacked = tuple(folder / name for name, _ in form.files)
            if all(map(_is_file, unpacked)):
                return unpacked
        if _is_file(archive := base / named_set.files[0].name):
            return (archive,)
    return ()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into
        return False


def _download(named_set: NamedSet, *, offline: bool) -> Location:
    folder = cache_folder() / named_set.name
    missing = [file for file in named_set.files if _plain_or_gzipped(folder, file) is None]
    if offline:
        names = ", ".join(file.name for file in missing)
        raise InputError(
            "--data",
            f"{named_set.name} is not on this machine, and --offline forbids to download it",
            f"put {names} from {named_set.urls[0]} into {folder}, or name the folder that has them with --data-root",
        )
    from dlnotes_cli.data.download import fetch  # urllib is slow to import, and most runs download nothing

    for file in missing:
        urls = [base + file.name for base in named_set.urls]
        fetch(urls, folder / file.name, sha256=file.sha256, size=file.size)
    found = (_plain_or_gzipped(folder, file) for file in named_set.files)
    return Location(folder, tuple(path for path in found if path is not None), "cache")


def _read_digits(named_set: NamedSet, location: Location) -> Source:
    path = location.files[0]
    with reading(path), gzip.open(path, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64, ndmin=2)
    values, labels = table[:, :-1], np.ascontiguousarray(table[:, -1])
    samples = np.rint(values * 255 / _DIGITS_TOP).astype(np.uint8).reshape(-1, *named_set.shape)
    return Source(named_set.name, samples, labels, named_set.classes, _parts({"all": len(labels)}))


def _read_cifar(named_set: NamedSet, form: CifarLayout, location: Location) -> Source:
    path = location.folder
    if len(location.files) == 1:
        path = location.files[0]
        with reading(path), path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != named_set.files[0].sha256:
                _warn_of_difference(named_set, path)
    images = read_cifar(path, form)
    return Source(named_set.name, images.samples, images.labels, images.classes, _parts(named_set.counts))


def _read_idx_set(named_set: NamedSet, location: Location) -> Source:
    image_files, label_files = location.files[0::2], location.files[1::2]
    counts = [_count(path, named_set) for path in image_files]
    samples = np.empty((sum(counts), *named_set.shape), np.uint8)
    labels = np.empty(sum(counts), np.int64)
    sums: list[str] = []
    start = 0
    for image_file, label_file, count in zip(image_files, label_files, counts, strict=True):
        end = start + count
        read = read_idx(label_file)
        _check_labels(label_file, read.array, count, named_set)
        labels[start:end] = read.array
        sums += [read_idx(image_file, samples[start:end, 0]).sha256, read.sha256]
        start = end
    if sums != [file.content_sha256 for file in named_set.files]:
        _warn_of_difference(named_set, location.folder)
    return Source(
        named_set.name, samples, labels, named_set.classes, _parts(dict(zip(named_set.counts, counts, strict=True)))
    )


def _count(path: Path, named_set: NamedSet) -> int:
    count, *size = idx_shape(path)
    if tuple(size) != named_set.shape[1:]:
        have, need = ("x".join(map(str, numbers)) or "numbers" for numbers in (size, named_set.shape[1:]))
        raise InputError(path, f"images of {need} expected, {have} found", WHOLE_COPY)
    return count


def _check_labels(path: Path, labels: NDArray[np.uint8], count: int, named_set: NamedSet) -> None:
    if labels.shape != (count,):
        raise InputError(path, f"{len(labels):,} labels for {count:,} images", WHOLE_COPY)
    if labels.max() >= len(named_set.classes):
        raise InputError(path, f"label {labels.max()}, but {len(named_set.classes)} classes", WHOLE_COPY)


def _warn_of_difference(named_set: NamedSet, path: Path) -> None:
    output.warn(f"{path} differs from the published {named_set.name}; used as it is")


def _parts(counts: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    parts = {}
    start = 0
    for part, count in counts.items():
        parts[part] = np.arange(start, start + count, dtype=np.int64)
        start += count
    return parts
