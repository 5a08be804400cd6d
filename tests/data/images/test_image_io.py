"""Read and write images: modes, bit depth, transparency, profile, orientation."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from dlnotes_cli.data.images.image_io import FORMATS, LoadedImage, depth_for, read_image, write_image, write_npz

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
MAX_PIXELS = 10**6


def saved(tmp_path: Path, image: Image.Image, name: str = "in.png", **options: Any) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def profile(kind: str = "sRGB") -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes())  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("color", [None, "gray", "rgb"])
def test_channels_are_those_of_the_file_or_as_requested(mode: str, color: Any, tmp_path: Path) -> None:
    image = Image.fromarray(COLOR).convert("L" if mode == "I;16" else mode).convert(mode)
    path = saved(tmp_path, image, "in.tif" if mode in {"CMYK", "YCbCr"} else "in.png")
    image_read = read_image(path, color, MAX_PIXELS)
    is_gray = mode in {"1", "L", "LA", "I;16"} if color is None else color == "gray"
    assert image_read.values.shape == (9, 7, 1 if is_gray else 3)
    assert (image_read.alpha is not None) == (mode in {"LA", "RGBA"})
    assert image_read.white == (65_535 if mode == "I;16" and is_gray else 255)


def test_sixteen_bits_are_written_and_read_in_both_byte_orders(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65_536, (4, 5), dtype=np.uint16)
    for ending in (".png", ".tif", ".pgm"):
        assert depth_for(FORMATS[ending], pixels.dtype, 255) == np.uint16
        write_image(stream := io.BytesIO(), LoadedImage(pixels[..., None]), FORMATS[ending])
        assert np.array_equal(read_image(Path("stdin"), None, MAX_PIXELS, stream.getvalue()).values[..., 0], pixels)
    big = Image.frombytes("I;16B", (5, 4), pixels.astype(">u2").tobytes())
    assert np.array_equal(read_image(saved(tmp_path, big, "big.tif"), None, MAX_PIXELS).values[..., 0], pixels)


def test_a_transparent_palette_entry_becomes_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    image_read = read_image(saved(tmp_path, image, transparency=1), None, MAX_PIXELS)
    assert image_read.values.tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert image_read.alpha is not None
    assert image_read.alpha.tolist() == [[255, 0]]


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".bmp", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_images_round_trip(ending: str, channels: int, with_alpha: bool, tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (9, 7), dtype=np.uint8) if with_alpha else None
    image = LoadedImage(COLOR[..., :channels], alpha, profile())
    stream = io.BytesIO()
    write_image(stream, image, FORMATS[ending])
    (tmp_path / f"out{ending}").write_bytes(stream.getvalue())
    image_read = read_image(tmp_path / f"out{ending}", "gray" if channels == 1 else "rgb", MAX_PIXELS)
    if ending != ".webp":  # which is lossy
        assert np.array_equal(image_read.values, image.values)
    if ending in {".png", ".tif"}:
        assert np.array_equal(image_read.alpha, alpha) if with_alpha else image_read.alpha is None  # type: ignore[arg-type]
    assert image_read.icc == (image.icc if channels == 3 and ending in {".png", ".tif", ".webp"} else None)


def test_depths_of_formats() -> None:
    assert depth_for("JPEG", np.dtype(np.uint16), 255) == np.uint8
    assert depth_for("NPY", np.dtype(np.uint8), 2040) == np.float32
    assert depth_for("NPY", np.dtype(np.uint8), 1e5) == np.float64


def test_arrays_are_read_back_by_numpy(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_npz(tmp_path / "several.npz", path=values, names=np.array(["a", "b"]))
    with np.load(tmp_path / "several.npz") as stored:
        np.testing.assert_array_equal(stored["path"], values)
        assert stored["names"].tolist() == ["a", "b"]
