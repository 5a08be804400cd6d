"""Read the formats of named sets: IDX files of the MNIST family, and CIFAR's records of label bytes and pixels."""

import hashlib
import io
import math
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.named.published import NamedSet
from dlnotes_cli.data.paths import GZIP, unzipped
from dlnotes_cli.shell.errors import InputError, unreadable
from dlnotes_cli.shell.files import read_file

REPLACE = "replace it with a complete copy, or remove it"
_IDX_BYTES = b"\0\0\x08"  # of an IDX file with elements of this type; the number of dimensions follows
_MOST_DIMENSIONS = 4
_LARGEST = 1 << 28  # bytes of an IDX file; the published ones have up to 47 MB
_OVERHEAD = 1 << 20  # bytes of an archive besides the records


class Samples(NamedTuple):
    """Images uint8 (N, ...) and labels (N,) of each split or file, and the names of the classes."""

    images: list[NDArray[np.uint8]]
    labels: list[NDArray[np.int64]]
    classes: tuple[str, ...]


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a file, gzipped or not. Raises InputError for a damaged one and for more than `most` bytes."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(GZIP)) == GZIP:
                stream.seek(0)
                return unzipped(path, stream, most, REPLACE)
    except OSError as error:
        raise unreadable(path, error, "check the path and its permissions") from error
    return read_file(path, most, REPLACE)


def read_idx(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of bytes, gzipped or not, and the SHA-256 of its content; raises InputError for another file."""
    content = read_bounded(path, _LARGEST)
    start, rank = len(_IDX_BYTES) + 1, content[len(_IDX_BYTES)] if content.startswith(_IDX_BYTES) else 0
    if not 1 <= rank <= _MOST_DIMENSIONS or len(content) < start + 4 * rank:
        raise InputError(path, "not an IDX file of bytes", REPLACE)
    shape = np.frombuffer(content, ">u4", rank, start).tolist()
    values = np.frombuffer(content, np.uint8, offset=start + 4 * rank)
    if len(values) != math.prod(shape) or not len(values):
        raise InputError(path, f"{len(values):,} values, its header says {math.prod(shape):,}", REPLACE)
    return values.reshape(shape), hashlib.sha256(content).hexdigest()


def read_idx_set(paths: tuple[Path, ...], named_set: NamedSet) -> tuple[Samples, list[str]]:
    """The samples of a set, and the SHA-256 of each file; raises InputError naming a bad one."""
    images, labels, checksums = [], [], []
    for image_file, label_file in zip(paths[0::2], paths[1::2], strict=True):
        (pixels, image_sum), (numbers, label_sum) = read_idx(image_file), read_idx(label_file)
        if pixels.shape[1:] != named_set.shape[1:]:
            have, need = ("x".join(map(str, size)) or "numbers" for size in (pixels.shape[1:], named_set.shape[1:]))
            raise InputError(image_file, f"images of {need} expected, {have} found", REPLACE)
        if numbers.shape != (len(pixels),):
            raise InputError(label_file, f"{len(numbers):,} labels for {len(pixels):,} images", REPLACE)
        images.append(pixels)
        labels.append(_checked_labels(label_file, numbers, named_set.classes))
        checksums += [image_sum, label_sum]
    return Samples(images, labels, named_set.classes), checksums


def read_cifar(path: Path, named_set: NamedSet) -> Samples:
    """The samples of a set in the folder of its unpacked files, or in its archive, which is not unpacked to disk.

    Raises InputError naming a file that is missing, damaged, no sequence of records, or has a label out of range.
    """
    record = named_set.label_bytes + math.prod(named_set.shape)
    most = sum(named_set.counts.values()) * record + _OVERHEAD
    if path.is_dir():
        present = [name for name in (*named_set.records, named_set.names_file) if (path / name).is_file()]
        contents = {name: read_bounded(path / name, most) for name in present}
    else:
        contents = _members(path, named_set.folder, most)
    images, labels, classes = [], [], named_set.classes
    for name in named_set.records:
        if name not in contents:
            raise InputError(path, f"{name} is missing", REPLACE)
        where, content = f"{path} ({name})", contents[name]
        if not content or len(content) % record:
            raise InputError(where, f"{len(content):,} bytes are not records of {record:,}", REPLACE)
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        images.append(records[:, named_set.label_bytes :])
        labels.append(_checked_labels(where, records[:, named_set.label_bytes - 1], classes))
    if named_set.names_file in contents:
        lines = contents[named_set.names_file].decode("utf-8", "replace").split("\n")
        classes = tuple(filter(None, map(str.strip, lines)))
        if not len(set(classes)) == len(classes) == len(named_set.classes):
            what = f"{len(set(classes))} class names, {len(named_set.classes)} expected"
            raise InputError(f"{path} ({named_set.names_file})", what, REPLACE)
    return Samples(images, labels, classes)


def _checked_labels(where: object, labels: NDArray[np.uint8], classes: tuple[str, ...]) -> NDArray[np.int64]:
    if labels.max() >= len(classes):
        raise InputError(where, f"label {labels.max()}, but {len(classes)} classes", REPLACE)
    return labels.astype(np.int64)


def _members(path: Path, folder: str, most: int) -> dict[str, bytes]:
    """The regular files of one folder of an archive with at most so many bytes; the first of those with one name."""
    plain, contents = read_bounded(path, most), dict[str, bytes]()
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                parent, _, name = member.name.rpartition("/")
                if member.isreg() and not member.issparse() and parent == folder:
                    contents.setdefault(name, plain[member.offset_data : member.offset_data + member.size])
    except tarfile.TarError as error:
        raise InputError(path, f"is damaged ({error})", REPLACE) from error
    return contents
