"""IDX files: reading, and the reasons for refusing a file."""

import gzip
import hashlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dlnotes_cli.data.named.idx import idx_shape, read_idx
from dlnotes_cli.shell.errors import InputError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images-idx3-ubyte"


@given(array=ARRAYS, is_gzipped=st.booleans())
def test_arrays_round_trip(
    array: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory, *, is_gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(gzip.compress(idx(array), 1, mtime=0) if is_gzipped else idx(array))
    file = read_idx(path)
    np.testing.assert_array_equal(file.array, array)
    assert file.array.dtype == np.uint8
    assert file.sha256 == hashlib.sha256(idx(array)).hexdigest()
    assert idx_shape(path) == array.shape


def test_gzip_is_detected_by_content(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.gz", tmp_path / "zipped"
    plain.write_bytes(idx(IMAGES))
    zipped.write_bytes(gzip.compress(idx(IMAGES), mtime=0))
    np.testing.assert_array_equal(read_idx(plain).array, IMAGES)
    np.testing.assert_array_equal(read_idx(zipped).array, IMAGES)


def test_reads_into_an_existing_array(file: Path) -> None:
    file.write_bytes(idx(IMAGES))
    target = np.zeros((4, 3, 4), np.uint8)
    read_idx(file, target[1:3])
    np.testing.assert_array_equal(target[1:3], IMAGES)
    assert not target[[0, 3]].any()


def test_an_array_of_another_shape_is_refused(file: Path) -> None:
    file.write_bytes(idx(IMAGES))
    with pytest.raises(InputError, match=r"images-idx3-ubyte: holds 2x3x4 bytes, 2x4x3 expected; replace it"):
        read_idx(file, np.zeros((2, 4, 3), np.uint8))


HEADER = idx(IMAGES)[:16]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"<!DOCTYPE html>", "not an IDX file"),
        (b"\0\0\x0d" + idx(IMAGES)[3:], "IDX elements of type 0x0d, 0x08"),
        (b"\0\0\x08\0", "0 IDX dimensions, 1 to 4"),
        (b"\0\0\x08\5" + bytes(20), "5 IDX dimensions, 1 to 4"),
        (HEADER[:9], "truncated inside its header"),
        (HEADER, "truncated: 0 of 24 bytes"),
        (idx(IMAGES)[:-1], "truncated: 23 of 24 bytes"),
        (idx(IMAGES) + b"x", "continues after the 24 bytes"),
        (idx(np.zeros((0, 3), np.uint8)), "its header states 0x3 bytes"),
        (b"\0\0\x08\3" + b"\xff" * 12, "its header states 4294967295x4294967295x4294967295 bytes"),
        (b"\0\0\x08\1" + struct.pack(">I", 1 << 30), "truncated: its header states 1,073,741,824 bytes"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-9], "truncated"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-8] + bytes(8), r"damaged \(CRC check failed"),
        (gzip.compress(idx(IMAGES), mtime=0)[:10] + b"\xff" * 30, "damaged"),
        (b"\x1f\x8b", "truncated"),
    ],
)
def test_the_error_names_the_damage_and_the_fix(content: bytes, reason: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(
        InputError, match=f"images-idx3-ubyte: {reason}.*; replace it with a complete copy, or remove it"
    ):
        read_idx(file)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such file; check the path"):
        read_idx(tmp_path / "none")
    with pytest.raises(InputError, match=r"cannot be read \(is a directory\); check the path"):
        idx_shape(tmp_path)


def test_a_decompression_bomb_is_not_read_beyond_the_size_in_its_header(file: Path) -> None:
    file.write_bytes(gzip.compress(idx(IMAGES) + bytes(20_000_000), 1))
    tracemalloc.start()
    with pytest.raises(InputError, match="continues after"):
        read_idx(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
