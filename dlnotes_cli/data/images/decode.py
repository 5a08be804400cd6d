"""The only place that opens pictures: files become uint8 arrays, upright, in the channels and size asked for."""

import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dlnotes_cli.data.formats import PictureShape
from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell.errors import DlnotesError, InputError, unreadable

DECODER = f"2 with Pillow {PIL.__version__}"  # another gives other pixels: raise the number with any such change
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_DAMAGE = (  # what Pillow raises on files that break off or contradict themselves
    OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, AssertionError,
    struct.error, zlib.error,
)  # fmt: skip
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_SIXTEEN_BIT = 257  # 65535 / 255
_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = range(5, 9)  # its values that swap width and height

Answer = TypeVar("Answer")


class RangeError(ValueError):
    """Numbers that no white is known for."""


Image.MAX_IMAGE_PIXELS = None  # open_picture has its own limit, which the user can set
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # damage is an error, in one line


def open_picture(path: Path, max_pixels: int, stream: IO[bytes] | None = None) -> Image.Image:
    """Read a picture's header, from `stream` where the file is read already.

    Raises InputError where `path` is no picture or has more than `max_pixels`.
    """
    if stream is None:
        check_regular(path)
    with damage_named(path):
        picture = Image.open(stream or path, formats=_FORMATS)
    picture.filename = ""  # a named file would be mapped into memory, which scrambles the pixels of a sideways TIFF
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

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.width * self.height


def read_header(path: Path, max_pixels: int) -> Header:
    """Read a picture's header alone; its pixels may still be damaged. Raises InputError where it is no picture."""
    with open_picture(path, max_pixels) as picture, damage_named(path):
        return _header(picture)


def decode_picture(path: Path, shape: PictureShape, max_pixels: int) -> NDArray[np.uint8]:
    """One picture as uint8 (C, H, W).

    Upright by its EXIF orientation, transparency laid over white, 16 bits reduced to 8. Raises InputError, naming the
    file, where it is damaged.
    """
    with open_picture(path, max_pixels) as picture, damage_named(path):
        return _pixels(picture, shape)


def decode_stream(
    path: Path, stream: IO[bytes], shape: PictureShape, max_pixels: int
) -> tuple[NDArray[np.uint8], Header]:
    """The answers of `decode_picture` and `read_header` for a file that is read already; `path` is for its errors."""
    with open_picture(path, max_pixels, stream) as picture, damage_named(path):
        header = _header(picture)
        if picture.format != "PNG":
            return _pixels(picture, shape), header
    with open_picture(path, max_pixels, stream) as picture, damage_named(path):  # one that was not asked for its EXIF
        return _pixels(picture, shape), header


def decode_all(
    paths: Sequence[Path], decode: Callable[[Path], Answer], *, threads: int, skip_bad: bool
) -> list[Answer | DlnotesError]:
    """Decode many files in threads, in order; a bad file raises its error, or with `skip_bad` is its own answer."""

    def attempt(path: Path) -> Answer | DlnotesError:
        try:
            return decode(path)
        except InputError as error:
            if not skip_bad:
                raise
            return error

    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(attempt, paths))


def _header(picture: Image.Image) -> Header:
    exif = Image.Image.getexif(picture)  # the method of a PNG would decode its pixels too
    is_sideways = exif.get(_ORIENTATION, 1) in _SIDEWAYS and picture.format != "TIFF"  # Pillow turns these itself
    width, height = picture.size[::-1] if is_sideways else picture.size
    return Header(width, height, picture.mode in GRAY_MODES)


def _pixels(picture: Image.Image, shape: PictureShape) -> NDArray[np.uint8]:
    mode = "L" if shape.channels == 1 else "RGB"
    side = math.ceil(max(shape.height, shape.width) / shape.crop_pct)
    picture.draft(mode, (side, side))
    ImageOps.exif_transpose(picture, in_place=True)
    pixels = np.asarray(_resized(_flattened(eight_bit(picture), mode), shape))
    return pixels.reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)


def eight_bit(picture: Image.Image) -> Image.Image:
    """Bring grey of more bits down to 8; other pictures stay as they are.

    White is 65,535 in whole numbers; in decimal ones 1 where none is larger, else 255. Raises RangeError beyond that.
    """
    values = sixteen_bit(picture)
    if values is not None:
        return Image.fromarray(((values.astype(np.int64) + _SIXTEEN_BIT // 2) // _SIXTEEN_BIT).astype(np.uint8))
    if picture.mode == "F":
        levels = np.asarray(picture)
        largest = _largest(levels, 255)
        return Image.fromarray(np.rint(levels * (255 if largest <= 1 else 1)).astype(np.uint8))
    return picture


def sixteen_bit(picture: Image.Image) -> NDArray[np.uint16] | None:
    """The values (H, W) of whole grey numbers beyond 8 bits, None of other pictures. Raises RangeError over 65,535."""
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return None
    values = np.asarray(picture)
    _largest(values, 65_535)
    return values.astype(np.uint16)


def _largest(values: NDArray[np.generic], white: int) -> float:
    low, high = float(values.min()), float(values.max())  # not a number where any value is none
    if not (low >= 0 and high <= white):
        raise RangeError(f"its values go from {low:g} to {high:g}, beyond 0 to {white:,}")
    return high


def _flattened(picture: Image.Image, mode: str) -> Image.Image:
    if "A" in picture.getbands() or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        picture = Image.alpha_composite(paper, layers)
    return picture if picture.mode == mode else picture.convert(mode)


def _resized(picture: Image.Image, shape: PictureShape) -> Image.Image:
    size, method = (shape.width, shape.height), Image.Resampling[shape.interpolation.upper()]
    if picture.size == size and shape.crop_pct == 1:
        return picture
    if shape.resize == "crop":
        return ImageOps.fit(picture, size, method, bleed=(1 - shape.crop_pct) / 2)
    if shape.resize == "letterbox":
        return _letterboxed(picture, size, method)
    return picture.resize(size, method, reducing_gap=2.0)


def _letterboxed(picture: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = (max(1, round(side * scale)) for side in picture.size)  # of a very thin picture a line is left
    framed = Image.new(picture.mode, size)
    framed.paste(picture.resize((width, height), method), ((size[0] - width) // 2, (size[1] - height) // 2))
    return framed


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what files that are missing or damaged raise into an InputError that names `path`."""
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    if isinstance(error, UnidentifiedImageError):
        return InputError(path, "not an image", "remove it or pass --skip-bad")
    if isinstance(error, FileNotFoundError):
        return InputError(path, "no such file", "check the path")
    if isinstance(error, OSError) and error.strerror:  # the system's, not Pillow's
        return unreadable(path, error, "check the path and its permissions")
    if isinstance(error, RangeError):
        return InputError(path, str(error), "scale them, or pass --skip-bad")
    what = "image is truncated" if "truncated" in str(error).lower() else f"image is damaged ({error})"
    return InputError(path, what, "remove it or pass --skip-bad")
