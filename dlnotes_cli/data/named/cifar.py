"""CIFAR-10 and CIFAR-100 in their binary version: records of label bytes and pixels, unpacked or in the archive."""

import gzip
import tarfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.named.idx import WHOLE_COPY, reading
from dlnotes_cli.shell.errors import InputError

SHAPE = (3, 32, 32)
_PIXELS = 3072  # bytes of one image
_SLAB = 1000  # records read at once
_MOST_MEMBERS = 64  # the published archives have fewer than ten
_SLACK = 1 << 20  # bytes of an archive that are not images
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
    """How a set is laid out: its folder, its files with the records in each (the last file is the test split)."""

    folder: str
    files: tuple[tuple[str, int], ...]
    label_bytes: int  # the last of them is the label that is read
    names_file: str
    classes: tuple[str, ...]

    @property
    def total(self) -> int:
        """Images in all files."""
        return sum(records for _, records in self.files)

    def span(self, name: str) -> range:
        """Where the images of one file lie among those of the whole set."""
        position = [file for file, _ in self.files].index(name)
        start = sum(records for _, records in self.files[:position])
        return range(start, start + self.files[position][1])

    def size(self, name: str) -> int:
        """Bytes of one file of records."""
        return len(self.span(name)) * (self.label_bytes + _PIXELS)


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


def read_cifar(path: Path, form: CifarLayout) -> CifarImages:
    """Read a set from the folder of its unpacked files, or from its archive, of which nothing is written to disk.

    Raises InputError naming the file that is missing, damaged, of another size, or has a label beyond the classes.
    """
    filling = _Filling(form)
    if path.is_dir():
        _read_folder(path, form, filling)
    else:
        _read_archive(path, form, filling)
    if filling.missing:
        raise InputError(path, f"{min(filling.missing)} is missing", WHOLE_COPY)
    return CifarImages(filling.samples, filling.labels, filling.classes)


class _Filling:
    """The arrays of a whole set, filled file by file, in whichever order the files come."""

    def __init__(self, form: CifarLayout) -> None:
        self.samples = np.empty((form.total, *SHAPE), np.uint8)
        self.labels = np.empty(form.total, np.int64)
        self.classes = form.classes
        self.missing = {name for name, _ in form.files}
        self._form = form

    def add(self, where: object, name: str, stream: IO[bytes], size: int) -> None:
        """Take one file of the set, of `size` bytes; other files are passed over."""
        if name in self.missing:
            if size != self._form.size(name):
                raise InputError(where, f"{size:,} bytes, {self._form.size(name):,} expected", WHOLE_COPY)
            self._add_records(where, self._form.span(name), stream)
            self.missing.discard(name)
        elif name == self._form.names_file:
            self._add_names(where, stream)

    def _add_records(self, where: object, span: range, stream: IO[bytes]) -> None:
        label_bytes = self._form.label_bytes
        record = label_bytes + _PIXELS
        for first in range(span.start, span.stop, _SLAB):
            last = min(first + _SLAB, span.stop)
            content = stream.read((last - first) * record)
            if len(content) < (last - first) * record:
                raise InputError(where, "cut short", WHOLE_COPY)
            records = np.frombuffer(content, np.uint8).reshape(-1, record)
            self.labels[first:last] = records[:, label_bytes - 1]
            self.samples[first:last] = records[:, label_bytes:].reshape(-1, *SHAPE)
        largest = int(self.labels[span.start : span.stop].max())
        if largest >= len(self._form.classes):
            raise InputError(where, f"label {largest}, but {len(self._form.classes)} classes", WHOLE_COPY)

    def _add_names(self, where: object, stream: IO[bytes]) -> None:
        text = stream.read(_LONGEST_NAMES).decode("utf-8", "replace")
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not len(set(names)) == len(names) == len(self._form.classes):
            raise InputError(where, f"{len(set(names))} class names, {len(self._form.classes)} expected", WHOLE_COPY)
        self.classes = names


class _BoundedGzip(gzip.GzipFile):
    """Uncompresses `limit` bytes at most, so that a small archive cannot fill the memory."""

    limit = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.limit:
            raise gzip.BadGzipFile(f"more than {self.limit:,} bytes uncompressed")
        return content


def _read_folder(folder: Path, form: CifarLayout, filling: _Filling) -> None:
    for name in (*(name for name, _ in form.files), form.names_file):
        path = folder / name
        if path.is_file():
            with reading(path), path.open("rb") as stream:
                filling.add(path, name, stream, path.stat().st_size)


def _read_archive(path: Path, form: CifarLayout, filling: _Filling) -> None:
    with reading(path), path.open("rb") as raw, _BoundedGzip(fileobj=raw) as plain:
        plain.limit = sum(form.size(name) for name, _ in form.files) + _SLACK
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in islice(archive, _MOST_MEMBERS):
                folder, _, name = member.name.rpartition("/")
                stream = archive.extractfile(member) if member.isreg() and folder == form.folder else None
                if stream is not None:
                    filling.add(f"{path} ({name})", name, stream, member.size)
        while plain.read(_CHUNK):  # the end is where gzip compares its own checksum
            pass
