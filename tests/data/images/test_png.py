"""PNG files, read back by Pillow."""

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlnotes_cli.data.images.png import write_png


def written(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    write_png(stream, pixels, **options)
    return stream.getvalue()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (900, 700)])
def test_pillow_reads_the_pixels_back(size: tuple[int, int], channels: int | None, threads: int) -> None:
    shape = size if channels is None else (*size, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(written(pixels, threads=threads))) as image:
        assert image.mode == {None: "L", 1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)


@pytest.mark.parametrize("size", [(1, 1), (600, 500)])
def test_sixteen_bits_round_trip(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 65_536, size, dtype=np.uint16)
    with Image.open(io.BytesIO(written(pixels))) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_the_stream_is_complete_and_equal_for_any_number_of_threads() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 1000), dtype=np.uint8)
    content = written(pixels, threads=1)
    assert content == written(pixels, threads=4)
    packed, at = b"", 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert zlib.crc32(name + body) == int.from_bytes(content[at + 8 + length : at + 12 + length])
        packed += body if name == b"IDAT" else b""
        at += 12 + length
    assert len(zlib.decompress(packed)) == 2000 * 1001  # decompress also checks Adler-32


def test_the_icc_profile_is_stored() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(io.BytesIO(written(np.zeros((3, 3, 3), np.uint8), icc=profile))) as image:
        assert image.info["icc_profile"] == profile


def test_uniform_images_compress_well() -> None:
    assert len(written(np.zeros((1000, 1000), np.uint8))) < 10_000
