"""CIFAR in the binary version: unpacked, archived and damaged."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlnotes_cli.data.named.cifar import CIFAR10, CIFAR100, CifarLayout, read_cifar
from dlnotes_cli.shell.errors import InputError

LAYOUT = CifarLayout("small-bin", (("one.bin", 3), ("two.bin", 2), ("test.bin", 2)), 1, "names.txt", ("x", "y", "z"))
FINE = CifarLayout("fine-bin", (("train.bin", 3), ("test.bin", 2)), 2, "fine.txt", ("x", "y", "z"))
SAMPLES = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 1])


def contents(layout: CifarLayout) -> dict[str, bytes]:
    files = {}
    for name, _ in layout.files:
        span = layout.span(name)
        prefix = bytes([99] * (layout.label_bytes - 1))  # the coarse label, which is not read
        files[name] = b"".join(prefix + bytes([LABELS[i]]) + SAMPLES[i].tobytes() for i in span)
    return files


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(path: Path, files: dict[str, bytes], folder: str = LAYOUT.folder) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


Make = Callable[[Path, dict[str, bytes]], Path]
BOTH = pytest.mark.parametrize("make", [unpack, pack])


@BOTH
@pytest.mark.parametrize("order", [1, -1])
def test_files_are_read_in_any_order(make: Make, order: int, tmp_path: Path) -> None:
    files = dict(list(contents(LAYOUT).items())[::order])
    images = read_cifar(make(tmp_path / "set", files), LAYOUT)
    np.testing.assert_array_equal(images.samples, SAMPLES)
    np.testing.assert_array_equal(images.labels, LABELS)
    assert (images.samples.dtype.name, images.labels.dtype.name) == ("uint8", "int64")
    assert images.classes == LAYOUT.classes


def test_the_fine_label_of_cifar100_is_read(tmp_path: Path) -> None:
    images = read_cifar(unpack(tmp_path / "set", contents(FINE)), FINE)
    np.testing.assert_array_equal(images.labels, LABELS[:5])
    np.testing.assert_array_equal(images.samples, SAMPLES[:5])


@BOTH
def test_class_names_come_from_their_file(make: Make, tmp_path: Path) -> None:
    files = contents(LAYOUT) | {"names.txt": b"ant\nbee\ncat\n\n", "readme.html": b"<html>"}
    assert read_cifar(make(tmp_path / "set", files), LAYOUT).classes == ("ant", "bee", "cat")


@BOTH
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("two.bin", bytes(3073), r"two\.bin.*: 3,073 bytes, 6,146 expected"),
        ("two.bin", bytes(6147), r"two\.bin.*: 6,147 bytes, 6,146 expected"),
        ("test.bin", b"\x03" + bytes(6145), r"test\.bin.*: label 3, but 3 classes"),
        ("names.txt", b"ant\nbee", r"names\.txt.*: 2 class names, 3 expected"),
        ("names.txt", b"ant\nbee\nant\n", r"names\.txt.*: 2 class names, 3 expected"),
    ],
)
def test_the_error_names_the_damage_and_the_fix(
    make: Make, name: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "set", contents(LAYOUT) | {name: content})
    with pytest.raises(InputError, match=reason + "; replace it with a complete copy"):
        read_cifar(path, LAYOUT)


@BOTH
def test_a_missing_file_is_named(make: Make, tmp_path: Path) -> None:
    files = contents(LAYOUT)
    del files["two.bin"]
    with pytest.raises(InputError, match=r"set: two\.bin is missing; replace it"):
        read_cifar(make(tmp_path / "set", files), LAYOUT)


@pytest.mark.parametrize("folder", ["/small-bin", "../small-bin", "small-bin/small-bin", "."])
def test_archive_members_are_selected_by_their_exact_name(folder: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "set.tar.gz", contents(LAYOUT), folder)
    with pytest.raises(InputError, match=r"one\.bin is missing|is missing"):
        read_cifar(path, LAYOUT)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_links_and_special_members_are_not_read(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("small-bin/one.bin")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match="is missing"):
        read_cifar(path, LAYOUT)


def test_the_first_of_two_members_of_one_name_is_read(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in [*contents(LAYOUT).items(), ("one.bin", b"")]:
            member = tarfile.TarInfo(f"small-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    np.testing.assert_array_equal(read_cifar(path, LAYOUT).samples, SAMPLES)


def damaged_end(whole: bytes) -> bytes:
    return whole[:-8] + bytes(8)


def damaged_start(whole: bytes) -> bytes:
    return whole[:20] + b"\xff" * 40 + whole[60:]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (damaged_end, r"damaged \(CRC check failed"),
        (damaged_start, "damaged"),
        (lambda _: b"", r"damaged \(empty file\)"),
        (lambda _: b"<html>not found</html>", r"damaged \(Not a gzipped file"),
        (lambda _: gzip.compress(b"no archive" * 200), "damaged"),
    ],
)
def test_a_damaged_archive_is_named(damage: Callable[[bytes], bytes], reason: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "set.tar.gz", contents(LAYOUT))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=rf"set\.tar\.gz: {reason}.*; replace it with a complete copy"):
        read_cifar(path, LAYOUT)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.tar.gz", {"zeros.bin": bytes(3_000_000)} | contents(LAYOUT))
    with pytest.raises(InputError, match="more than 1,070,087 bytes decompressed"):
        read_cifar(path, LAYOUT)


def test_the_published_layouts() -> None:
    assert (CIFAR10.total, CIFAR100.total) == (60_000, 60_000)
    assert CIFAR10.size("data_batch_1.bin") == CIFAR10.size("test_batch.bin") == 30_730_000
    assert (CIFAR100.size("train.bin"), CIFAR100.size("test.bin")) == (153_700_000, 30_740_000)
    assert (len(set(CIFAR10.classes)), len(set(CIFAR100.classes))) == (10, 100)
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
