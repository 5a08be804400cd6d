"""Images in and out: modes, bits, transparency, profile, orientation."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from dlnotes_cli.data.images.image_io import FORMATS, LoadedImage, depth_for, read_image, write_image
from dlnotes_cli.shell.errors import InputError

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
MANY = 10**6


def saved(tmp_path: Path, image: Image.Image, name: str = "in.png", **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def profile(kind: str = "sRGB") -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes())  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("color", [None, "gray", "rgb"])
def test_channels_follow_the_input_or_what_is_asked(mode: str, color: Any, tmp_path: Path) -> None:
    image = (
        Image.fromarray(COLOR).convert("L").convert(mode) if mode == "I;16" else Image.fromarray(COLOR).convert(mode)
    )
    path = saved(tmp_path, image, "in.tif" if mode in {"CMYK", "YCbCr"} else "in.png")
    found = read_image(path, color, MANY)
    is_gray = mode in {"1", "L", "LA", "I;16"} if color is None else color == "gray"
    assert found.values.shape == (9, 7, 1 if is_gray else 3)
    assert (found.alpha is not None) == (mode in {"LA", "RGBA"})
    assert found.white == (65_535 if mode == "I;16" and is_gray else 255)


def test_gray_is_pillow_s(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(COLOR), "in.jpg")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    assert np.array_equal(read_image(path, "gray", MANY).values[..., 0], expected)


def test_sixteen_bits_of_either_order(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65_536, (4, 5), dtype=np.uint16)
    for name in ("in.png", "in.tif", "in.pgm"):
        path = saved(tmp_path, Image.fromarray(pixels), name)
        assert np.array_equal(read_image(path, None, MANY).values[..., 0], pixels)
    big = Image.frombytes("I;16B", (5, 4), pixels.astype(">u2").tobytes())
    assert np.array_equal(read_image(saved(tmp_path, big, "big.tif"), None, MANY).values[..., 0], pixels)


def test_transparency_of_a_palette(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    found = read_image(saved(tmp_path, image, transparency=1), None, MANY)
    assert found.values.tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert found.alpha is not None
    assert found.alpha.tolist() == [[255, 0]]


def test_orientation_is_honored(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = saved(tmp_path, Image.fromarray(COLOR), exif=exif)
        with Image.open(path) as image:
            from PIL import ImageOps

            expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(read_image(path, None, MANY).values, expected)


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".bmp", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_what_is_written_is_read(ending: str, channels: int, with_alpha: bool, tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (9, 7), dtype=np.uint8) if with_alpha else None
    image = LoadedImage(COLOR[..., :channels], alpha, profile())
    stream = io.BytesIO()
    write_image(stream, image, FORMATS[ending])
    (tmp_path / f"out{ending}").write_bytes(stream.getvalue())
    found = read_image(tmp_path / f"out{ending}", "gray" if channels == 1 else "rgb", MANY)
    if ending != ".webp":  # which loses a little
        assert np.array_equal(found.values, image.values)
    if ending in {".png", ".tif"}:
        assert np.array_equal(found.alpha, alpha) if with_alpha else found.alpha is None  # type: ignore[arg-type]
    assert found.icc == (profile() if channels == 3 and ending in {".png", ".tif", ".webp"} else None)


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
def test_sixteen_bits_are_written(ending: str, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65_536, (4, 5, 1), dtype=np.uint16)
    assert depth_for(FORMATS[ending], pixels.dtype, 255) == np.uint16
    stream = io.BytesIO()
    write_image(stream, LoadedImage(pixels), FORMATS[ending])
    (tmp_path / f"out{ending}").write_bytes(stream.getvalue())
    assert np.array_equal(read_image(tmp_path / f"out{ending}", None, MANY).values, pixels)


def test_depths() -> None:
    assert depth_for("JPEG", np.dtype(np.uint16), 255) == np.uint8
    assert depth_for("NPY", np.dtype(np.uint8), 2040) == np.float32
    assert depth_for("NPY", np.dtype(np.uint8), 1e5) == np.float64


def test_content_that_was_read_already() -> None:
    stream = io.BytesIO()
    Image.fromarray(COLOR).save(stream, "PNG")
    assert np.array_equal(read_image(Path("stdin"), None, MANY, stream.getvalue()).values, COLOR)
    with pytest.raises(InputError, match="stdin: not an image"):
        read_image(Path("stdin"), None, MANY, b"no image")
