"""The only place that opens images: files become uint8 arrays, upright, in the channels and size asked for."""

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

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
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


Image.MAX_IMAGE_PIXELS = None  # open_image has its own limit, which the user can set
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # damage is an error, in one line


def open_image(path: Path, max_pixels: int, stream: IO[bytes] | None = None) -> Image.Image:
    """Read an image's header, from `stream` where the file is read already.

    Raises InputError where `path` is no image or has more than `max_pixels`.
    """
    if stream is None:
        check_regular(path)
    with damage_named(path):
        image = Image.open(stream or path, formats=_FORMATS)
    image.filename = ""  # a named file would be mapped into memory, which scrambles the pixels of a sideways TIFF
    if image.width * image.height > max_pixels:
        image.close()
        pixels = f"{image.width}x{image.height} = {image.width * image.height:,} pixels, over {max_pixels:,}"
        raise InputError(path, pixels, "raise --max-pixels if you trust it")
    return image


@dataclass(frozen=True)
class Header:
    """What an image's header tells: its size as it is seen, and whether it has no color channels."""

    width: int
    height: int
    is_gray: bool

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.width * self.height


def read_header(path: Path, max_pixels: int) -> Header:
    """Read an image's header alone; its pixels may still be damaged. Raises InputError where it is no image."""
    with open_image(path, max_pixels) as image, damage_named(path):
        return _header(image)


def decode_image(path: Path, shape: ImageShape, max_pixels: int) -> NDArray[np.uint8]:
    """One image as uint8 (C, H, W).

    Upright by its EXIF orientation, transparency laid over white, 16 bits reduced to 8. Raises InputError, naming the
    file, where it is damaged.
    """
    with open_image(path, max_pixels) as image, damage_named(path):
        return _pixels(image, shape)


def decode_stream(
    path: Path, stream: IO[bytes], shape: ImageShape, max_pixels: int
) -> tuple[NDArray[np.uint8], Header]:
    """The answers of `decode_image` and `read_header` for a file that is read already; `path` is for its errors."""
    with open_image(path, max_pixels, stream) as image, damage_named(path):
        header = _header(image)
        if image.format != "PNG":
            return _pixels(image, shape), header
    with open_image(path, max_pixels, stream) as image, damage_named(path):  # one that was not asked for its EXIF
        return _pixels(image, shape), header


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


def _header(image: Image.Image) -> Header:
    exif = Image.Image.getexif(image)  # the method of a PNG would decode its pixels too
    is_sideways = exif.get(_ORIENTATION, 1) in _SIDEWAYS and image.format != "TIFF"  # Pillow turns these itself
    width, height = image.size[::-1] if is_sideways else image.size
    return Header(width, height, image.mode in GRAY_MODES)


def _pixels(image: Image.Image, shape: ImageShape) -> NDArray[np.uint8]:
    mode = "L" if shape.channels == 1 else "RGB"
    side = math.ceil(max(shape.height, shape.width) / shape.crop_pct)
    image.draft(mode, (side, side))
    ImageOps.exif_transpose(image, in_place=True)
    pixels = np.asarray(_resized(_flattened(eight_bit(image), mode), shape))
    return pixels.reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)


def eight_bit(image: Image.Image) -> Image.Image:
    """Bring gray of more bits down to 8; other images stay as they are.

    White is 65,535 in whole numbers; in decimal ones 1 where none is larger, else 255. Raises RangeError beyond that.
    """
    values = sixteen_bit(image)
    if values is not None:
        return Image.fromarray(((values.astype(np.int64) + _SIXTEEN_BIT // 2) // _SIXTEEN_BIT).astype(np.uint8))
    if image.mode == "F":
        levels = np.asarray(image)
        largest = _largest(levels, 255)
        return Image.fromarray(np.rint(levels * (255 if largest <= 1 else 1)).astype(np.uint8))
    return image


def sixteen_bit(image: Image.Image) -> NDArray[np.uint16] | None:
    """The values (H, W) of whole gray numbers beyond 8 bits, None of other images. Raises RangeError over 65,535."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return None
    values = np.asarray(image)
    _largest(values, 65_535)
    return values.astype(np.uint16)


def _largest(values: NDArray[np.generic], white: int) -> float:
    low, high = float(values.min()), float(values.max())  # not a number where any value is none
    if not (low >= 0 and high <= white):
        raise RangeError(f"its values go from {low:g} to {high:g}, beyond 0 to {white:,}")
    return high


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    if "A" in image.getbands() or "transparency" in image.info:
        layers = image.convert("RGBA")
        paper = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(paper, layers)
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, shape: ImageShape) -> Image.Image:
    size, method = (shape.width, shape.height), Image.Resampling[shape.interpolation.upper()]
    if image.size == size and shape.crop_pct == 1:
        return image
    if shape.resize == "crop":
        return ImageOps.fit(image, size, method, bleed=(1 - shape.crop_pct) / 2)
    if shape.resize == "letterbox":
        return _letterboxed(image, size, method)
    return image.resize(size, method, reducing_gap=2.0)


def _letterboxed(image: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)  # of a very thin image a line is left
    framed = Image.new(image.mode, size)
    framed.paste(image.resize((width, height), method), ((size[0] - width) // 2, (size[1] - height) // 2))
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
