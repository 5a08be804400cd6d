"""Whole images in and out: gray or color, 8 or 16 bits, with their transparency and color profile."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlnotes_cli.data.images.decode import GRAY_MODES, damage_named, eight_bit, open_image, sixteen_bit
from dlnotes_cli.data.images.png import write_png

Color = Literal["gray", "rgb"]

FORMATS = {  # endings that can be written, and Pillow's names for them
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".npy": "NPY",
}  # fmt: skip
_WITH_ALPHA = frozenset({"PNG", "WEBP", "TIFF"})
_SIXTEEN_BIT = frozenset({"PNG", "TIFF", "PPM"})
_WITH_PROFILE = frozenset({"PNG", "JPEG", "WEBP", "TIFF"})
_SETTINGS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_lzw"},
}
_FINE_FLOAT32 = 2**13
_PROFILE_COLORS = {b"GRAY": 1, b"RGB ": 3}  # bytes 16 to 19 of an ICC profile


@dataclass(frozen=True)
class LoadedImage:
    """Values (H, W, C) of uint8 or uint16, C 1 or 3; transparency (H, W) of the same type; ICC profile."""

    values: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None

    @property
    def white(self) -> int:
        """The largest value that there can be."""
        return int(np.iinfo(self.values.dtype).max)


def read_image(path: Path, color: Color | None, max_pixels: int, content: bytes | None = None) -> LoadedImage:
    """Read an image upright by its EXIF orientation, in `color` or its own.

    `content` is what the file holds, where it was read already and `path` only names it. Gray is Pillow's "L", and
    keeps 16 bits where the file has them. Raises InputError, naming the file, where it is no image, damaged, or
    larger than `max_pixels`.
    """
    stream = None if content is None else io.BytesIO(content)
    with open_image(path, max_pixels, stream) as image, damage_named(path):
        ImageOps.exif_transpose(image, in_place=True)
        is_gray = image.mode in GRAY_MODES if color is None else color == "gray"
        icc = image.info.get("icc_profile")
        deep = sixteen_bit(image) if is_gray else None
        if deep is not None:
            return LoadedImage(deep[..., None], icc=icc)
        plain = eight_bit(image)
        alpha = None
        if "A" in plain.getbands() or "a" in plain.getbands() or "transparency" in plain.info:
            plain = plain.convert("RGBA")
            alpha = np.asarray(plain.getchannel("A"))
        values = np.asarray(_converted(plain, "L" if is_gray else "RGB"))
    return LoadedImage(values.reshape(*values.shape[:2], -1), alpha, icc)


def count_frames(path: Path, max_pixels: int) -> int:
    """Images in a file: more than one in an animation. Raises InputError as `read_image` does."""
    with open_image(path, max_pixels) as image, damage_named(path):
        return int(getattr(image, "n_frames", 1))


def write_image(stream: IO[bytes], image: LoadedImage, format_: str, *, threads: int = 1) -> None:
    """Write an image in one of the formats that FORMATS names; what the format cannot hold is left out."""
    if format_ == "NPY":
        np.save(stream, image.values[..., 0] if image.values.shape[2] == 1 else image.values)
        return
    channels = image.values.shape[2]
    alpha = image.alpha if format_ in _WITH_ALPHA else None
    layers = image.values if alpha is None else np.dstack([image.values, alpha])
    icc = image.icc if image.icc and _PROFILE_COLORS.get(image.icc[16:20]) == channels else None
    if format_ == "PNG":
        write_png(stream, layers, icc=icc, threads=threads)
        return
    converted = Image.fromarray(layers[..., 0] if layers.shape[2] == 1 else np.ascontiguousarray(layers))
    profile = {"icc_profile": icc} if icc is not None and format_ in _WITH_PROFILE else {}
    converted.save(stream, format_, **_SETTINGS.get(format_, {}), **profile)


def depth_for(format_: str, source: "np.dtype[Any]", largest: float) -> "np.dtype[Any]":
    """The type of values that a format holds: the source's, or uint8 where it has no 16 bits.

    For NPY a float type whose steps up to `largest`, in units of a white of 255, are below 1e-3.
    """
    if format_ == "NPY":
        return np.dtype(np.float32 if largest <= _FINE_FLOAT32 else np.float64)
    return source if format_ in _SIXTEEN_BIT else np.dtype(np.uint8)


def holds_alpha(format_: str) -> bool:
    """Whether a format can hold transparency."""
    return format_ in _WITH_ALPHA


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Gray from colors as Pillow reckons it, whatever mode the file has them in."""
    if mode == "L" and image.mode not in GRAY_MODES | {"RGB"}:
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)  # which would copy
