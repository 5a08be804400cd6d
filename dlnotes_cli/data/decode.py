"""The only place that opens pictures: files become uint8 arrays, upright, in the channels and size asked for."""

import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dlnotes_cli.data.formats import Resize
from dlnotes_cli.errors import DlnotesError, InputError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, OverflowError, struct.error, zlib.error)
_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_SIXTEEN_BIT = 257  # 65535 / 255
_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = range(5, 9)  # its values that swap width and height

Image.MAX_IMAGE_PIXELS = None  # open_picture has its own limit, which the user can set


def open_picture(path: Path, max_pixels: int) -> Image.Image:
    """Read a picture's header. Raises InputError where `path` is no picture or has more than `max_pixels`."""
    try:
        picture = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        raise InputError(path, "not an image", "remove it or pass --skip-bad") from None
    except FileNotFoundError:
        raise InputError(path, "no such file", "check the path") from None
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if picture.width * picture.height > max_pixels:
        picture.close()
        pixels = f"{picture.width}x{picture.height} = {picture.width * picture.height:,} pixels, over {max_pixels:,}"
        raise InputError(path, pixels, "raise --max-pixels if you trust it")
    return picture


@dataclass(frozen=True)
class Header:
    """What a picture's header tells: its size as it is seen, and whether it has no colour channels."""

    width: int
    height: int
    is_gray: bool


def read_header(path: Path, max_pixels: int) -> Header:
    """Read a picture's header alone; its pixels may still be damaged. Raises InputError where it is no picture."""
    with open_picture(path, max_pixels) as picture:
        turned = picture.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        width, height = picture.size[::-1] if turned else picture.size
        return Header(width, height, picture.mode in _GRAY_MODES)


def decode_picture(
    path: Path, channels: int, size: tuple[int, int], resize: Resize, max_pixels: int
) -> NDArray[np.uint8]:
    """One picture as uint8 (C, H, W); `size` is (height, width).

    Upright by its EXIF orientation, transparency laid over white, 16 bits reduced to 8. Raises InputError, naming the
    file, where it is damaged.
    """
    height, width = size
    with open_picture(path, max_pixels) as picture:
        try:
            mode = "L" if channels == 1 else "RGB"
            picture.draft(mode, (max(size), max(size)))
            upright = ImageOps.exif_transpose(_eight_bit(picture))
            pixels = np.asarray(_resized(_flattened(upright, mode), (width, height), resize))
        except _DAMAGE as error:
            raise _damaged(path, error) from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def decode_all(
    paths: Sequence[Path], decode: Callable[[Path], NDArray[np.uint8]], *, threads: int, skip_bad: bool
) -> list[NDArray[np.uint8] | DlnotesError]:
    """Decode many files in threads, in order; a bad file raises its error, or with `skip_bad` is its own answer."""

    def attempt(path: Path) -> NDArray[np.uint8] | DlnotesError:
        try:
            return decode(path)
        except InputError as error:
            if not skip_bad:
                raise
            return error

    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(attempt, paths))


def _eight_bit(picture: Image.Image) -> Image.Image:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.int64)
        reduced = Image.fromarray(np.clip((values + _SIXTEEN_BIT // 2) // _SIXTEEN_BIT, 0, 255).astype(np.uint8))
    elif picture.mode == "F":
        reduced = Image.fromarray(np.clip(np.asarray(picture), 0, 255).astype(np.uint8))
    else:
        return picture
    reduced.info["exif"] = picture.info.get("exif", b"")
    return reduced


def _flattened(picture: Image.Image, mode: str) -> Image.Image:
    if "A" in picture.getbands() or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        picture = Image.alpha_composite(paper, layers)
    return picture if picture.mode == mode else picture.convert(mode)


def _resized(picture: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    bilinear = Image.Resampling.BILINEAR
    if picture.size == size:
        return picture
    if resize == "crop":
        return ImageOps.fit(picture, size, bilinear)
    if resize == "letterbox":
        return ImageOps.pad(picture, size, bilinear)
    return picture.resize(size, bilinear, reducing_gap=2.0)


def _damaged(path: Path, error: Exception) -> InputError:
    if isinstance(error, PermissionError | IsADirectoryError):
        return InputError(path, f"cannot be read ({(error.strerror or '').lower()})", "check its permissions")
    what = "image is truncated" if "truncated" in str(error).lower() else f"image is damaged ({error})"
    return InputError(path, what, "remove it or pass --skip-bad")
