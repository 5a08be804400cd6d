"""Named data sets: found on this machine or downloaded, and read from IDX files or CIFAR's records of bytes."""

import hashlib
import importlib.util
import io
import math
import os
import tarfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.listing import find_images
from dlnotes_cli.data.paths import cache_folder, unzipped
from dlnotes_cli.data.published import NAMED, NamedSet
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import read_file

_SYSTEM_FOLDER = Path("/usr/share/datasets")
_DIGITS_FILE = "datasets/data/digits.csv.gz"  # in scikit-learn
_DIGITS_WHITE = 16  # the largest value in it
_REPLACE = "replace it with a complete copy, or remove it"
_IDX_BYTES = b"\0\0\x08"  # of an IDX file with elements of this type; the number of dimensions follows
_MOST_DIMENSIONS = 4
_LARGEST = 1 << 28  # bytes of an IDX file; the published ones have up to 47 MB
_OVERHEAD = 1 << 20  # bytes of an archive besides the records


class NamedSetLocation(NamedTuple):
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


class _Content(NamedTuple):
    """Images uint8 (N, ...) and labels (N,) of each split or file, the classes, and SHA-256 of files."""

    images: list[NDArray[np.uint8]]
    labels: list[NDArray[np.uint8]]
    classes: tuple[str, ...]
    checksums: list[str] = []  # noqa: RUF012  # never changed
    published: list[str] = []  # noqa: RUF012


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
    read = _read_cifar if named_set.records else _read_idx_set if named_set.files else _read_digits
    images, labels, classes, checksums, published = read(location, named_set)
    fingerprint = f"named:{name}"
    different = [file for file, *pair in zip(location.files, checksums, published, strict=False) if len({*pair}) > 1]
    if different and location.found_in == "cache":  # which holds only what was downloaded and checked
        what = f"is not the published file of {name}: its SHA-256 differs"
        fix = "remove it, so that it is downloaded again, or move your own copy to a folder for --data-root"
        raise InputError(different[0], what, fix)
    if different:
        output.warn(f"{different[0]} differs from the published {name}; used as is")
        fingerprint += f":{hashlib.sha256(''.join(checksums).encode()).hexdigest()}"
    ends = np.cumsum([0, *map(len, labels)]).tolist()
    starts = (ends[0], ends[-2], ends[-1]) if len(named_set.counts) > 1 else (0, ends[-1])  # the last file is the test
    splits = {split: np.arange(*pair) for split, pair in zip(named_set.counts, pairwise(starts), strict=True)}
    samples = np.concatenate(images).reshape(-1, *named_set.shape)
    return LabeledSamples(
        name, samples, np.concatenate(labels).astype(np.int64), classes, splits, fingerprint=fingerprint
    )


# --- places ----------------------------------------------------------------------------------------------------------


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
        package = importlib.util.find_spec("sklearn")
        if package is None or package.origin is None:
            raise InputError("--data", "digits comes with scikit-learn, which is not installed", "install scikit-learn")
        file = Path(package.origin).parent / _DIGITS_FILE
        return NamedSetLocation(file.parent, (file,), "embedded")
    own = os.environ.get("DLNOTES_DATA")
    roots = {"--data-root": data_root, "$DLNOTES_DATA": Path(own) if own else None}
    roots |= {"system": _SYSTEM_FOLDER, "cache": cache_folder()}
    for found_in, root in roots.items():
        if root is None:
            continue
        for folder in (root / name, root / name / named_set.folder, root / named_set.folder, root):
            for names in named_set.copies:
                files = tuple(folder / file for file in names)
                if all(map(os.path.isfile, files)) and (folder != root or _belongs_to(named_set, root, files)):
                    return NamedSetLocation(folder, files, found_in)
    return None


def list_named(data_root: Path | None = None) -> list[NamedSetInfo]:
    """All named sets and where they were found; reads no samples."""
    sets = []
    for name, one in NAMED.items():
        location, size = locate(name, data_root), sum(file.size for file in one.files)
        found, path = (location.found_in, str(location.folder)) if location else (None, None)
        sets.append(NamedSetInfo(name, found, path, len(one.classes), one.shape, one.counts, size))
    return sets


def _belongs_to(named_set: NamedSet, root: Path, files: tuple[Path, ...]) -> bool:
    """Whether files in a root itself, whose names other sets may have, too, are those of a set."""
    if len(files) == 1:  # an archive
        return True
    published = {file.content_sha256: other.name for other in NAMED.values() for file in other.files[-1:]}
    try:
        owner = published.get(read_idx(files[-1])[1])
    except InputError:
        owner = None
    return owner == named_set.name if owner else root.resolve().name in {named_set.name, named_set.folder}


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
    fix = "name the folder that has it, or drop the option to download it"
    for folder in (root / named_set.name, root):
        if folder.is_dir() and any(find_images(folder)):
            fix = f"pass --data {folder} to read its class folders, or drop the option to download the set"
            break
    raise InputError("--data-root", f"{root} does not have {named_set.name} ({expected})", fix)


def _download(named_set: NamedSet, *, offline: bool) -> NamedSetLocation:
    folder = cache_folder() / named_set.name
    missing = [file for file in named_set.files if not (folder / file.name).is_file()]
    if offline:
        names = ", ".join(file.name for file in missing)
        what = f"{named_set.name} is not on this machine, and --offline forbids downloading it"
        fix = f"put {names} from {named_set.urls[0]} into {folder}, or name the folder that has them with --data-root"
        raise InputError("--data", what, fix)
    from dlnotes_cli.data.download import fetch  # urllib is slow to import, and most runs need no download

    for file in missing:
        urls = [base + file.name for base in named_set.urls]
        fetch(urls, folder / file.name, sha256=file.sha256, size=file.size)
    return NamedSetLocation(folder, tuple(folder / file.name for file in named_set.files), "cache")


# --- formats ---------------------------------------------------------------------------------------------------------


def read_idx(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of bytes, gzipped or not, and the SHA-256 of its content; raises InputError for another file."""
    content = unzipped(path, read_file(path, _LARGEST, _REPLACE), _LARGEST, _REPLACE)
    start, rank = len(_IDX_BYTES) + 1, content[len(_IDX_BYTES)] if content.startswith(_IDX_BYTES) else 0
    if not 1 <= rank <= _MOST_DIMENSIONS or len(content) < start + 4 * rank:
        raise InputError(path, "not an IDX file of bytes", _REPLACE)
    shape = np.frombuffer(content, ">u4", rank, start).tolist()
    values = np.frombuffer(content, np.uint8, offset=start + 4 * rank)
    if len(values) != math.prod(shape) or not len(values):
        raise InputError(path, f"{len(values):,} values, its header says {math.prod(shape):,}", _REPLACE)
    return values.reshape(shape), hashlib.sha256(content).hexdigest()


def _read_idx_set(location: NamedSetLocation, named_set: NamedSet) -> _Content:
    """Raises InputError naming a bad file."""
    arrays, checksums = zip(*map(read_idx, location.files), strict=True)
    images, labels = arrays[0::2], arrays[1::2]
    for i, (pixels, numbers) in enumerate(zip(images, labels, strict=True)):
        if pixels.shape[1:] != named_set.shape[1:]:
            have, need = ("x".join(map(str, size)) or "numbers" for size in (pixels.shape[1:], named_set.shape[1:]))
            raise InputError(location.files[2 * i], f"images of {need} expected, {have} found", _REPLACE)
        if numbers.shape != (len(pixels),):
            what = f"{len(numbers):,} labels for {len(pixels):,} images"
            raise InputError(location.files[2 * i + 1], what, _REPLACE)
        _check_labels(location.files[2 * i + 1], numbers, named_set.classes)
    published = [file.content_sha256 for file in named_set.files]
    return _Content(list(images), list(labels), named_set.classes, list(checksums), published)


def _read_cifar(location: NamedSetLocation, named_set: NamedSet) -> _Content:
    """The samples in the folder of unpacked files, or in the archive, which is not unpacked to disk.

    Raises InputError naming a file that is missing, damaged, no sequence of records, or has a label out of range.
    """
    is_archive = len(location.files) == 1
    path = location.files[0] if is_archive else location.folder
    record = named_set.label_bytes + math.prod(named_set.shape)
    most = sum(named_set.counts.values()) * record + _OVERHEAD
    contents, checksums, published = dict[str, bytes | memoryview](), list[str](), list[str]()
    if is_archive:
        packed = read_file(path, most, _REPLACE)
        checksums, published = [hashlib.sha256(packed).hexdigest()], [named_set.files[0].sha256]
        contents = _members(path, unzipped(path, packed, most, _REPLACE), named_set.folder)
    for name in (*named_set.records, named_set.names_file):
        if not is_archive and (file := path / name).is_file():
            contents[name] = unzipped(file, read_file(file, most, _REPLACE), most, _REPLACE)
    images, labels, classes = [], [], named_set.classes
    for name in named_set.records:
        if name not in contents:
            raise InputError(path, f"{name} is missing", _REPLACE)
        where, content = f"{path} ({name})", contents[name]
        if not content or len(content) % record:
            raise InputError(where, f"{len(content):,} bytes are not records of {record:,}", _REPLACE)
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        images.append(records[:, named_set.label_bytes :])
        labels.append(records[:, named_set.label_bytes - 1])
        _check_labels(where, labels[-1], classes)
    if named_set.names_file in contents:
        lines = str(contents[named_set.names_file], "utf-8", "replace").split("\n")
        classes = tuple(filter(None, map(str.strip, lines)))
        if not len(set(classes)) == len(classes) == len(named_set.classes):
            what = f"{len(set(classes))} class names, {len(named_set.classes)} expected"
            raise InputError(f"{path} ({named_set.names_file})", what, _REPLACE)
    return _Content(images, labels, classes, checksums, published)


def _members(path: Path, plain: bytes, folder: str) -> dict[str, bytes | memoryview]:
    """The regular files of one folder of an archive, which are not copied; the first of those with one name."""
    contents, view = dict[str, bytes | memoryview](), memoryview(plain)
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                parent, _, name = member.name.rpartition("/")
                if member.isreg() and not member.issparse() and parent == folder:
                    contents.setdefault(name, view[member.offset_data : member.offset_data + member.size])
    except tarfile.TarError as error:
        raise InputError(path, f"is damaged ({error})", _REPLACE) from error
    return contents


def _check_labels(where: object, labels: NDArray[np.uint8], classes: tuple[str, ...]) -> None:
    if labels.max() >= len(classes):
        raise InputError(where, f"label {labels.max()}, but {len(classes)} classes", _REPLACE)


def _read_digits(location: NamedSetLocation, named_set: NamedSet) -> _Content:
    table = np.loadtxt(location.files[0], delimiter=",", dtype=np.uint8, ndmin=2)
    images = np.rint(table[:, :-1].astype(np.int64) * 255 / _DIGITS_WHITE).astype(np.uint8)
    return _Content([images], [table[:, -1]], named_set.classes)
