"""Read CIFAR-10 and CIFAR-100 in the binary version: records of label bytes and pixels, unpacked or archived."""

import gzip
import tarfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.named.idx import REPLACE, archive_errors
from dlnotes_cli.shell.errors import InputError

SHAPE = (3, 32, 32)
_PIXEL_BYTES = 3072  # of one image
_RECORDS_PER_READ = 1000
_MOST_MEMBERS = 64  # of an archive; the published ones have fewer than ten
_OVERHEAD = 1 << 20  # bytes of an archive besides the records
_LONGEST_NAMES = 1 << 14  # bytes of the file of class names
_CHUNK = 1 << 20

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905  # a hundred names read better as text
)


@dataclass(frozen=True)
class CifarLayout:
    """Folder and files of a set in its archive; each file has a number of records, and the last is the test split."""

    folder: str
    files: tuple[tuple[str, int], ...]
    label_bytes: int  # of a record; the last one is the label
    names_file: str
    classes: tuple[str, ...]

    @property
    def total(self) -> int:
        """Number of images in all files."""
        return sum(records for _, records in self.files)

    def span(self, name: str) -> range:
        """The positions of one file's images in the whole set."""
        position = [file for file, _ in self.files].index(name)
        start = sum(records for _, records in self.files[:position])
        return range(start, start + self.files[position][1])

    def size(self, name: str) -> int:
        """Bytes of one file of records."""
        return len(self.span(name)) * (self.label_bytes + _PIXEL_BYTES)


CIFAR10 = CifarLayout(
    folder="cifar-10-batches-bin",
    files=(*((f"data_batch_{number}.bin", 10_000) for number in range(1, 6)), ("test_batch.bin", 10_000)),
    label_bytes=1,
    names_file="batches.meta.txt",
    classes=CIFAR10_CLASSES,
)
CIFAR100 = CifarLayout(
    folder="cifar-100-binary",
    files=(("train.bin", 50_000), ("test.bin", 10_000)),
    label_bytes=2,  # coarse, fine
    names_file="fine_label_names.txt",
    classes=CIFAR100_CLASSES,
)


@dataclass(frozen=True)
class CifarImages:
    """All images of a set, uint8 (N, 3, 32, 32), in the order of its files, with int64 labels (N,)."""

    samples: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def read_cifar(path: Path, layout: CifarLayout) -> CifarImages:
    """Read a set from the folder of its unpacked files, or from its archive without unpacking it to disk.

    Raises InputError naming a file that is missing, damaged, of the wrong size, or has a label out of range.
    """
    arrays = _CifarArrays(layout)
    if path.is_dir():
        _read_folder(path, layout, arrays)
    else:
        _read_archive(path, layout, arrays)
    if arrays.missing:
        raise InputError(path, f"{min(arrays.missing)} is missing", REPLACE)
    return CifarImages(arrays.samples, arrays.labels, arrays.classes)


class _CifarArrays:
    """The arrays of a whole set, filled file by file in any order."""

    def __init__(self, layout: CifarLayout) -> None:
        self.samples = np.empty((layout.total, *SHAPE), np.uint8)
        self.labels = np.empty(layout.total, np.int64)
        self.classes = layout.classes
        self.missing = {name for name, _ in layout.files}
        self._layout = layout

    def add(self, where: object, name: str, stream: IO[bytes], size: int) -> None:
        """Read one file of `size` bytes if it belongs to the set and is not yet read."""
        if name in self.missing:
            if size != self._layout.size(name):
                raise InputError(where, f"{size:,} bytes, {self._layout.size(name):,} expected", REPLACE)
            self._add_records(where, self._layout.span(name), stream)
            self.missing.discard(name)
        elif name == self._layout.names_file:
            self._add_names(where, stream)

    def _add_records(self, where: object, span: range, stream: IO[bytes]) -> None:
        label_bytes = self._layout.label_bytes
        record = label_bytes + _PIXEL_BYTES
        for first in range(span.start, span.stop, _RECORDS_PER_READ):
            last = min(first + _RECORDS_PER_READ, span.stop)
            content = stream.read((last - first) * record)
            if len(content) < (last - first) * record:
                raise InputError(where, "truncated", REPLACE)
            records = np.frombuffer(content, np.uint8).reshape(-1, record)
            self.labels[first:last] = records[:, label_bytes - 1]
            self.samples[first:last] = records[:, label_bytes:].reshape(-1, *SHAPE)
        largest = int(self.labels[span.start : span.stop].max())
        if largest >= len(self._layout.classes):
            raise InputError(where, f"label {largest}, but {len(self._layout.classes)} classes", REPLACE)

    def _add_names(self, where: object, stream: IO[bytes]) -> None:
        text = stream.read(_LONGEST_NAMES).decode("utf-8", "replace")
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not len(set(names)) == len(names) == len(self._layout.classes):
            raise InputError(where, f"{len(set(names))} class names, {len(self._layout.classes)} expected", REPLACE)
        self.classes = names


class _BoundedGzip(gzip.GzipFile):
    """Decompresses at most `limit` bytes, as protection against decompression bombs."""

    limit = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.limit:
            raise gzip.BadGzipFile(f"more than {self.limit:,} bytes decompressed")
        return content


def _read_folder(folder: Path, layout: CifarLayout, arrays: _CifarArrays) -> None:
    for name in (*(name for name, _ in layout.files), layout.names_file):
        path = folder / name
        if path.is_file():
            with archive_errors(path), path.open("rb") as stream:
                arrays.add(path, name, stream, path.stat().st_size)


def _read_archive(path: Path, layout: CifarLayout, arrays: _CifarArrays) -> None:
    with archive_errors(path), path.open("rb") as raw, _BoundedGzip(fileobj=raw) as plain:
        plain.limit = sum(layout.size(name) for name, _ in layout.files) + _OVERHEAD
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in islice(archive, _MOST_MEMBERS):
                folder, _, name = member.name.rpartition("/")
                stream = archive.extractfile(member) if member.isreg() and folder == layout.folder else None
                if stream is not None:
                    arrays.add(f"{path} ({name})", name, stream, member.size)
        while plain.read(_CHUNK):  # reading to the end makes gzip compare its checksum
            pass
