"""Read the formats of named sets: IDX files of the MNIST family, and CIFAR's records of label bytes and pixels."""

import gzip
import hashlib
import io
import math
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.named.published import NamedSet
from dlnotes_cli.shell.errors import InputError, unreadable

REPLACE = "replace it with a complete copy, or remove it"
_IDX_BYTES = b"\0\0\x08"  # of an IDX file with elements of this type; the number of dimensions follows
_MOST_DIMENSIONS = 4
_LARGEST = 1 << 28  # bytes of an IDX file; the published ones have up to 47 MB
_MOST_MEMBERS = 64  # of an archive; the published ones have fewer than ten
_OVERHEAD = 1 << 20  # bytes of an archive besides the records
_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError)
Labels = NDArray[np.int64]
Splits = tuple[list[NDArray[np.uint8]], list[Labels]]  # images (N, ...) and labels (N,) of each split or file


@contextmanager
def archive_errors(path: Path) -> Iterator[None]:
    """Turn the errors of damaged or unreadable files and archives into an InputError that names `path`."""
    try:
        yield
    except _DAMAGE as error:
        what = "truncated" if isinstance(error, EOFError) else f"damaged ({error})"
        raise InputError(path, what, REPLACE) from error
    except OSError as error:
        raise unreadable(path, error, "check the path and its permissions") from error


def read_idx(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read an IDX file of bytes, gzipped or not, and the SHA-256 of its content.

    Reads no more than its header states. Raises InputError naming the file if it is not an IDX file of bytes, is
    truncated or damaged, or continues after its end.
    """
    with archive_errors(path), path.open("rb") as raw:
        stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if raw.read(2) == b"\x1f\x8b" else raw
        raw.seek(0)
        magic = stream.read(len(_IDX_BYTES) + 1)
        if magic[:-1] != _IDX_BYTES or not 1 <= magic[-1] <= _MOST_DIMENSIONS:
            raise InputError(path, "not an IDX file of bytes", REPLACE)
        sizes = stream.read(4 * magic[-1])
        if len(sizes) < 4 * magic[-1]:
            raise InputError(path, "truncated inside its header", REPLACE)
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        size = math.prod(shape)
        content = stream.read(min(size, _LARGEST) + 1)  # reading to the end makes gzip compare its checksum
    if not size or len(content) < size:
        raise InputError(path, f"truncated: {len(content):,} of {size:,} bytes", REPLACE)
    if len(content) > size:
        raise InputError(path, f"continues after the {size:,} bytes stated in its header", REPLACE)
    digest = hashlib.sha256(magic + sizes)
    digest.update(content)
    return np.frombuffer(content, np.uint8).reshape(shape), digest.hexdigest()


def read_idx_set(paths: tuple[Path, ...], named_set: NamedSet) -> tuple[Splits, list[str]]:
    """Images and labels of each split of a set, and the SHA-256 of each file; raises InputError naming a bad one."""
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
    return (images, labels), checksums


def read_cifar(path: Path, named_set: NamedSet) -> tuple[Splits, tuple[str, ...]]:
    """Images and labels of each file of a set, and the class names.

    `path` is the folder of its unpacked files, or its archive, which is not unpacked to disk. Raises InputError naming
    a file that is missing, damaged, no sequence of records, or has a label out of range.
    """
    contents = _unpacked(path, named_set) if path.is_dir() else _archived(path, named_set)
    record = named_set.label_bytes + math.prod(named_set.shape)
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
        lines = str(contents[named_set.names_file], "utf-8", "replace").split("\n")
        classes = tuple(filter(None, map(str.strip, lines)))
        if not len(set(classes)) == len(classes) == len(named_set.classes):
            what = f"{len(set(classes))} class names, {len(named_set.classes)} expected"
            raise InputError(f"{path} ({named_set.names_file})", what, REPLACE)
    return (images, labels), classes


def _checked_labels(where: object, labels: NDArray[np.uint8], classes: tuple[str, ...]) -> Labels:
    if labels.max() >= len(classes):
        raise InputError(where, f"label {labels.max()}, but {len(classes)} classes", REPLACE)
    return labels.astype(np.int64)


def _unpacked(folder: Path, named_set: NamedSet) -> dict[str, bytes | memoryview]:
    """The content of each file of a set in a folder."""
    contents: dict[str, bytes | memoryview] = {}
    for name in (*named_set.records, named_set.names_file):
        if (folder / name).is_file():
            with archive_errors(folder / name):
                contents[name] = (folder / name).read_bytes()
    return contents


def _archived(path: Path, named_set: NamedSet) -> dict[str, bytes | memoryview]:
    """The content of each file of a set in a gzipped archive; the first of those with the same name."""
    record = named_set.label_bytes + math.prod(named_set.shape)
    most = sum(named_set.counts.values()) * record + _OVERHEAD
    contents: dict[str, bytes | memoryview] = {}
    with archive_errors(path), gzip.open(path) as stream:
        plain = stream.read(most + 1)
        if len(plain) > most:
            raise gzip.BadGzipFile(f"more than {most:,} bytes decompressed")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in islice(archive, _MOST_MEMBERS):
                folder, _, name = member.name.rpartition("/")
                if member.isreg() and not member.issparse() and folder == named_set.folder:
                    content = memoryview(plain)[member.offset_data : member.offset_data + member.size]
                    contents.setdefault(name, content)
    return contents
