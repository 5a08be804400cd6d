"""Locate, download and read the named data sets."""

import hashlib
import importlib.util
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.named.formats import Samples, read_cifar, read_idx, read_idx_set
from dlnotes_cli.data.named.published import NAMED, NamedSet
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.data.walk import find_images
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

_SYSTEM_FOLDER = Path("/usr/share/datasets")
_DIGITS_FILE = "datasets/data/digits.csv.gz"  # in scikit-learn
_DIGITS_WHITE = 16  # the largest value in it


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
    checksums, published = list[str](), list[str]()  # of the files that have published ones
    if not named_set.files:
        samples = _read_digits(location.files[0], named_set)
    elif not named_set.records:
        samples, checksums = read_idx_set(location.files, named_set)
        published = [file.content_sha256 for file in named_set.files]
    elif len(location.files) > 1:
        samples = read_cifar(location.folder, named_set)
    else:
        path = location.files[0]
        samples = read_cifar(path, named_set)
        with path.open("rb") as stream:
            checksums, published = [hashlib.file_digest(stream, "sha256").hexdigest()], [named_set.files[0].sha256]
    different = [file for file, *pair in zip(location.files, checksums, published, strict=False) if len({*pair}) > 1]
    fingerprint = f"named:{name}"
    if different and location.found_in == "cache":  # which holds only what was downloaded and checked
        what = f"is not the published file of {name}: its SHA-256 differs"
        fix = "remove it, so that it is downloaded again, or move your own copy to a folder for --data-root"
        raise InputError(different[0], what, fix)
    if different:
        output.warn(f"{different[0]} differs from the published {name}; used as is")
        fingerprint += f":{hashlib.sha256(''.join(checksums).encode()).hexdigest()}"
    ends = np.cumsum([0, *map(len, samples.labels)]).tolist()
    starts = (ends[0], ends[-2], ends[-1]) if len(named_set.counts) > 1 else (0, ends[-1])  # the last file is the test
    splits = {split: np.arange(*pair) for split, pair in zip(named_set.counts, pairwise(starts), strict=True)}
    images = np.concatenate(samples.images).reshape(-1, *named_set.shape)
    labels = np.concatenate(samples.labels)
    return LabeledSamples(name, images, labels, samples.classes, splits, fingerprint=fingerprint)


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


def _embedded() -> NamedSetLocation:
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InputError("--data", "digits comes with scikit-learn, which is not installed", "install scikit-learn")
    file = Path(package.origin).parent / _DIGITS_FILE
    return NamedSetLocation(file.parent, (file,), "embedded")


def _belongs_to(named_set: NamedSet, root: Path, files: tuple[Path, ...]) -> bool:
    """Whether files in a root itself, whose names other sets may have, too, are those of a set."""
    if len(files) == 1:  # an archive
        return True
    published = {file.content_sha256: other.name for other in NAMED.values() for file in other.files[-1:]}
    checksum = None
    with suppress(InputError):
        checksum = read_idx(files[-1])[1]
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


def _read_digits(path: Path, named_set: NamedSet) -> Samples:
    table = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
    images = np.rint(table[:, :-1] * 255 / _DIGITS_WHITE).astype(np.uint8)
    return Samples([images], [table[:, -1]], named_set.classes)
