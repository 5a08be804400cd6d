"""IDX and CIFAR files: reading, and the reasons for refusing a file."""

import gzip
import hashlib
import io
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dlnotes_cli.data.named import formats
from dlnotes_cli.data.named.formats import read_cifar, read_idx
from dlnotes_cli.data.named.published import NamedSet
from dlnotes_cli.shell.errors import InputError

REPLACE = "replace it with a complete copy, or remove it"
IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@given(array=ARRAYS, is_gzipped=st.booleans())
def test_arrays_round_trip(
    array: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory, *, is_gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"  # gzip is detected by content
    path.write_bytes(gzip.compress(idx(array), 1, mtime=0) if is_gzipped else idx(array))
    found, checksum = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.uint8
    assert checksum == hashlib.sha256(idx(array)).hexdigest()


HEADER = idx(IMAGES)[:16]
ZIPPED = gzip.compress(idx(IMAGES), mtime=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an IDX file of bytes"),
        (b"<!DOCTYPE html>", "not an IDX file of bytes"),
        (b"\0\0\x0d" + idx(IMAGES)[3:], "not an IDX file of bytes"),
        (b"\0\0\x08\5" + bytes(20), "not an IDX file of bytes"),
        (HEADER[:9], "not an IDX file of bytes"),
        (idx(IMAGES)[:-1], "23 values, its header says 24"),
        (idx(IMAGES) + b"x", "25 values, its header says 24"),
        (idx(np.zeros((0, 3), np.uint8)), "0 values, its header says 0"),
        (b"\0\0\x08\3" + b"\xff" * 12, "0 values, its header says 79,228,162,458,924,105,385,300,197,375"),
        (ZIPPED[:-9], "is truncated"),
        (ZIPPED[:-8] + bytes(8), r"is damaged \(CRC check failed"),
        (ZIPPED[:10] + b"\xff" * 30, "is damaged"),
    ],
)
def test_the_error_names_the_damage_of_an_idx_file(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"images: {reason}.*; {REPLACE}"):
        read_idx(path)


def test_a_decompression_bomb_is_not_read_beyond_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx(IMAGES) + bytes(20_000_000), 1))
    monkeypatch.setattr(formats, "_LARGEST", 1 << 16)
    tracemalloc.start()
    with pytest.raises(InputError, match="images: has more than 65,536 bytes uncompressed"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


COUNTS = {"one.bin": 3, "two.bin": 2, "test.bin": 2}
SET = NamedSet(
    name="small", classes=("x", "y", "z"), shape=(3, 32, 32), counts={"train": 5, "test": 2}, folder="small-bin",
    records=tuple(COUNTS), names_file="names.txt",
)  # fmt: skip
FINE = replace(SET, label_bytes=2)
NAMES = {"names.txt": b"ant\nbee\r\ncat\n\n", "readme.html": b"<html>"}
SAMPLES = np.random.default_rng(0).integers(0, 256, (7, 3 * 32 * 32), np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 1])


def contents(named_set: NamedSet = SET) -> dict[str, bytes]:
    files, start = {}, 0
    coarse = bytes([99] * (named_set.label_bytes - 1))  # which is not read
    for name, count in COUNTS.items():
        span = range(start, start + count)
        files[name] = b"".join(coarse + bytes([LABELS[i]]) + SAMPLES[i].tobytes() for i in span)
        start += count
    return files


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in [*files.items(), ("one.bin", b"")]:  # the first of a name is read
            member = tarfile.TarInfo(f"{SET.folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


Make = Callable[[Path, dict[str, bytes]], Path]
BOTH = pytest.mark.parametrize("make", [unpack, pack])


@BOTH
@pytest.mark.parametrize("named_set", [SET, FINE])
@pytest.mark.parametrize(("more", "classes"), [({}, SET.classes), (NAMES, ("ant", "bee", "cat"))])
def test_files_are_read_in_any_order(
    make: Make, named_set: NamedSet, more: dict[str, bytes], classes: tuple[str, ...], tmp_path: Path
) -> None:
    files = dict([*contents(named_set).items(), *more.items()][:: -1 if more else 1])
    images, labels, found = read_cifar(make(tmp_path / "set", files), named_set)
    np.testing.assert_array_equal(np.concatenate(images), SAMPLES)
    np.testing.assert_array_equal(np.concatenate(labels), LABELS)
    assert (images[0].dtype.name, labels[0].dtype.name) == ("uint8", "int64")
    assert found == classes


@BOTH
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("two.bin", bytes(3072), r"two\.bin.*: 3,072 bytes are not records of 3,073"),
        ("two.bin", bytes(6147), r"two\.bin.*: 6,147 bytes are not records of 3,073"),
        ("two.bin", b"", r"two\.bin.*: 0 bytes are not records of 3,073"),
        ("test.bin", b"\x03" + bytes(6145), r"test\.bin.*: label 3, but 3 classes"),
        ("names.txt", b"ant\nbee", r"names\.txt.*: 2 class names, 3 expected"),
        ("names.txt", b"ant\nbee\nant\n", r"names\.txt.*: 2 class names, 3 expected"),
        ("two.bin", None, r"set: two\.bin is missing"),
    ],
)
def test_the_error_names_the_damage_of_a_cifar_file(
    make: Make, name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    files = {key: value for key, value in (contents() | {name: content}).items() if value is not None}
    with pytest.raises(InputError, match=f"{reason}; {REPLACE}"):
        read_cifar(make(tmp_path / "set", files), SET)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        *((folder, tarfile.REGTYPE) for folder in ("/small-bin", "../small-bin", "small-bin/small-bin", ".")),
        *(("small-bin", kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)),
    ],
)
def test_only_regular_members_of_the_exact_name_are_read(folder: str, kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(f"{folder}/one.bin")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=r"one\.bin is missing"):
        read_cifar(path, SET)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:-8] + bytes(8), r"is damaged \(CRC check failed"),
        (lambda whole: whole[:20] + b"\xff" * 40 + whole[60:], "damaged"),
        (lambda _: b"", r"is damaged \(empty file\)"),
        (lambda _: b"<html>not found</html>", "is damaged"),
        (lambda _: gzip.compress(b"no archive" * 200), "damaged"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:9000]), r"one\.bin\): .* are not records|damaged"),
        (lambda _: gzip.compress(bytes(3_000_000)), "has more than 1,070,087 bytes uncompressed"),
    ],
)
def test_a_damaged_archive_is_named(damage: Callable[[bytes], bytes], reason: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "set.tar.gz", contents())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=rf"set\.tar\.gz.*({reason}).*; {REPLACE}"):
        read_cifar(path, SET)
