"""Decode image files into uint8 arrays of one shape; the only module that calls `Image.open`."""

import math
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import DlnotesError, InputError, unreadable

DECODER = f"3 with Pillow {PIL.__version__}"  # raise the number with every change of the decoded pixels
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_DAMAGE = (  # what Pillow raises on truncated or inconsistent files
    OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, AssertionError,
    struct.error, zlib.error, Image.DecompressionBombError,  # the last of a frame that is larger than its image
)  # fmt: skip
_SIXTEEN_BIT = 257  # 65535 / 255
_ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = range(5, 9)  # orientations that swap width and height

Decoded = TypeVar("Decoded")


_opening = threading.Lock()


class PixelRangeError(ValueError):
    """Pixel values outside the range of the image's mode."""


@contextmanager
def open_image(path: Path, max_pixels: int, stream: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image whose pixels are decoded inside the context; `stream` has the file's content if already read.

    Raises InputError naming `path` if it is not an image, has more than `max_pixels` or turns out damaged inside the
    context.
    """
    if stream is None:
        check_regular(path)
    try:
        with _opening:
            warnings.filterwarnings("ignore", module=r"PIL\.")  # damage is reported as an error
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # of the process; that of the command counts
            try:
                opened = Image.open(stream or path, formats=_FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with opened as image:
            image.filename = ""  # Pillow memory-maps files with a name, which scrambles the pixels of a rotated TIFF
            if (count := image.width * image.height) > max_pixels:
                what = f"{image.width}x{image.height} = {count:,} pixels, over {max_pixels:,}"
                raise InputError(path, what, "raise --max-pixels if you trust it")
            yield image
    except _DAMAGE as error:  # not `image_errors`: a second generator costs 1 us per image
        raise _input_error(path, error) from error


class ImageHeader(NamedTuple):
    """Width and height of an image after EXIF rotation, and whether it has no color channels."""

    width: int
    height: int
    is_gray: bool
    orientation: int = 1  # of EXIF, 1 to 8, by which the stored pixels are rotated


def read_header(path: Path, max_pixels: int) -> ImageHeader:
    """Read an image's header without its pixels, which may still be damaged; raises InputError as `open_image`."""
    with open_image(path, max_pixels) as image:
        return _header(image)


def decode_image(path: Path, shape: ImageShape, max_pixels: int) -> NDArray[np.uint8]:
    """Decode one image to uint8 (C, H, W).

    Rotates by the EXIF orientation, composites transparency over white and reduces 16 bits to 8. Raises InputError as
    `open_image`.
    """
    return decode_stream(path, None, shape, max_pixels)[0]


def decode_memory(name: str, image: Image.Image | NDArray[Any], shape: ImageShape) -> NDArray[np.uint8]:
    """Decode an image in memory as `decode_image` does: one of Pillow, or uint8 (H, W) or (H, W, C) with C of 1 to 4.

    Raises InputError with `name` for another type or shape, and for a damaged file of a lazily opened image.
    """
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        array = array[..., 0] if array.shape[2:] == (1,) else array
        is_image = array.dtype == np.uint8 and array.ndim in {2, 3} and array.shape[2:] in {(), (3,), (4,)}
        if not is_image or not array.size:
            have = f"an array of {array.dtype} with shape {array.shape}"
            raise InputError(name, f"is {have}", "give uint8 of shape (H, W), (H, W, 3) or (H, W, 4)")
        image = Image.fromarray(array)
    with image_errors(Path(name)):
        return _pixels(image.copy(), shape)  # the caller's image stays unchanged


def decode_stream(
    path: Path, stream: IO[bytes] | None, shape: ImageShape, max_pixels: int
) -> tuple[NDArray[np.uint8], ImageHeader]:
    """Decode pixels and header of a file; `stream` has its content if already read."""
    with open_image(path, max_pixels, stream) as image:
        if image.format == "PNG":
            image.load()  # first, as reading EXIF changes how Pillow loads a PNG
        header = _header(image)
        return _pixels(image, shape), header


def decode_all(
    paths: Sequence[Path], decode: Callable[[Path], Decoded], *, threads: int, skip_bad: bool
) -> list[Decoded | DlnotesError]:
    """Decode files in threads, in order. A bad file raises its InputError; with `skip_bad` the list holds the error."""

    def attempt(path: Path) -> Decoded | DlnotesError:
        try:
            return decode(path)
        except InputError as error:
            if not skip_bad:
                raise
            return error

    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(attempt, paths))


def decode_chunks(
    paths: Sequence[Path], decode: Callable[[Path], Decoded], size: int, *, where: str, threads: int, skip_bad: bool
) -> Iterator[dict[int, Decoded]]:
    """Decode files in threads, `size` at a time, in order; yields the images of a chunk by their position in the list.

    A bad file raises its InputError. With `skip_bad` a warning names it, and an InputError that names the option or
    argument `where` is raised at the end if no file could be read.
    """
    errors = list[DlnotesError]()
    for start in range(0, len(paths), size):
        images = dict[int, Decoded]()
        for i, image in enumerate(decode_all(paths[start : start + size], decode, threads=threads, skip_bad=skip_bad)):
            if isinstance(image, DlnotesError):
                errors.append(image)
                output.warn(f"skipped {image.fault}")
            else:
                images[start + i] = image
        if images:
            yield images
    if errors and len(errors) == len(paths):
        raise none_readable(where, len(paths), errors[0].fault)


def none_readable(where: str, count: int, first_fault: str) -> InputError:
    """The error for inputs none of which could be read, with what is wrong with the first one."""
    return InputError(where, f"none of {count} inputs could be read ({first_fault})", "check the files")


def _header(image: Image.Image) -> ImageHeader:
    exif = Image.Image.getexif(image)  # PngImageFile.getexif would decode the pixels too
    orientation = exif.get(_ORIENTATION, 1) if exif.get(_ORIENTATION, 1) in range(1, 9) else 1
    is_sideways = orientation in SIDEWAYS and image.format != "TIFF"  # Pillow rotates TIFF itself
    width, height = image.size[::-1] if is_sideways else image.size
    return ImageHeader(width, height, image.mode in GRAY_MODES, orientation)


def _pixels(image: Image.Image, shape: ImageShape) -> NDArray[np.uint8]:
    mode = "L" if shape.channels == 1 else "RGB"
    side = math.ceil(max(shape.height, shape.width) / shape.crop_pct)
    image.draft(mode, (side, side))
    ImageOps.exif_transpose(image, in_place=True)
    pixels = np.asarray(_resized(_without_alpha(to_eight_bit(image), mode), shape))
    return pixels.reshape(shape.height, shape.width, shape.channels).transpose(2, 0, 1)


def to_eight_bit(image: Image.Image) -> Image.Image:
    """Reduce a gray image of more than 8 bits to 8; returns other images unchanged.

    White is 65,535 in integer images. In floating-point images it is 1 if no value is larger, otherwise 255. Raises
    PixelRangeError for values outside 0 to white.
    """
    values = sixteen_bit_values(image)
    if values is not None:
        return Image.fromarray(((values.astype(np.int64) + _SIXTEEN_BIT // 2) // _SIXTEEN_BIT).astype(np.uint8))
    if image.mode == "F":
        levels = np.asarray(image)
        largest = _checked_maximum(levels, 255)
        return Image.fromarray(np.rint(levels * (255 if largest <= 1 else 1)).astype(np.uint8))
    return image


def sixteen_bit_values(image: Image.Image) -> NDArray[np.uint16] | None:
    """Values (H, W) of an integer gray image of more than 8 bits, or None. Raises PixelRangeError above 65,535."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return None
    values = np.asarray(image)
    _checked_maximum(values, 65_535)
    return values.astype(np.uint16)


def _checked_maximum(values: NDArray[np.generic], white: int) -> float:
    low, high = float(values.min()), float(values.max())  # nan if any value is
    if not (low >= 0 and high <= white):
        raise PixelRangeError(f"pixel values from {low:g} to {high:g} are outside 0 to {white:,}")
    return high


def _without_alpha(image: Image.Image, mode: str) -> Image.Image:
    """Composite transparency over white, and convert to `mode`."""
    if "A" in image.getbands() or "transparency" in image.info:
        layers = image.convert("RGBA")
        background = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(background, layers)
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, shape: ImageShape) -> Image.Image:
    size, method = (shape.width, shape.height), Image.Resampling[shape.interpolation.upper()]
    if image.size == size and shape.crop_pct == 1:
        return image
    if shape.resize == "crop":
        return ImageOps.fit(image, size, method, bleed=(1 - shape.crop_pct) / 2)
    if shape.resize == "letterbox":
        scale = min(shape.width / image.width, shape.height / image.height)
        width, height = (max(1, round(side * scale)) for side in image.size)  # at least one pixel of a very thin image
        return ImageOps.pad(image.resize((width, height), method), size, method)
    return image.resize(size, method, reducing_gap=2.0)


@contextmanager
def image_errors(path: Path) -> Iterator[None]:
    """Turn the errors of missing and damaged files into an InputError that names `path`."""
    try:
        yield
    except _DAMAGE as error:
        raise _input_error(path, error) from error


@contextmanager
def without_skipping() -> Iterator[None]:
    """For a command without `--skip-bad`: the InputError of an unreadable image proposes another image instead."""
    try:
        yield
    except InputError as error:
        if "--skip-bad" not in error.fix:
            raise
        raise InputError(error.where, error.what, "use another image") from error


def _input_error(path: Path, error: Exception) -> InputError:
    if isinstance(error, UnidentifiedImageError):
        return InputError(path, "not an image", "remove it or pass --skip-bad")
    if isinstance(error, FileNotFoundError):
        return InputError(path, "no such file", "check the path")
    if isinstance(error, OSError) and error.strerror:  # from the operating system, not from Pillow
        return unreadable(path, error, "check the path and its permissions")
    if isinstance(error, PixelRangeError):
        return InputError(path, str(error), "rescale them, or pass --skip-bad")
    what = "image is truncated" if "truncated" in str(error).lower() else f"image is damaged ({error})"
    return InputError(path, what, "remove it or pass --skip-bad")


# --- where the pixels of a network's input lie in the file ----------------------------------------------------------

Region = tuple[float, float, float, float]  # x0, y0, x1, y1
Coordinates = NDArray[np.float64]  # (N, 2): x, y


@dataclass(frozen=True)
class Geometry:
    """The part of an image that a network's input shows.

    Coordinates are continuous: pixel i of a row extends from i to i + 1. An upright image is rotated by its EXIF
    orientation, as viewers show it; a stored image is as the file has it.
    """

    input: tuple[int, int]  # width and height of the network's input
    upright: tuple[int, int]  # width and height of the upright image
    region: Region  # of the upright image; with letterbox larger than it
    orientation: int = 1  # of EXIF, 1 to 8

    @classmethod
    def of_file(cls, upright: tuple[int, int], orientation: int, shape: ImageShape) -> "Geometry":
        """The geometry of `decode_image` for an upright image of this width and height."""
        return cls((shape.width, shape.height), upright, _region(upright, shape), orientation)

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the stored image."""
        return self.upright[::-1] if self.orientation in SIDEWAYS else self.upright

    def to_upright(self, points: Coordinates) -> Coordinates:
        """Points (N, 2) of the network's input in the upright image."""
        x0, y0, x1, y1 = self.region
        scale = np.array([(x1 - x0) / self.input[0], (y1 - y0) / self.input[1]])
        return np.asarray(points * scale + np.array([x0, y0]))

    def to_stored(self, points: Coordinates) -> Coordinates:
        """Points (N, 2) of the network's input in the stored image."""
        x, y = self.to_upright(points).T
        width, height = self.upright
        mirrored_x, mirrored_y = width - x, height - y
        turned = {  # EXIF: which corner of the upright image the first stored pixel is
            1: (x, y), 2: (mirrored_x, y), 3: (mirrored_x, mirrored_y), 4: (x, mirrored_y),
            5: (y, x), 6: (y, mirrored_x), 7: (mirrored_y, mirrored_x), 8: (mirrored_y, x),
        }  # fmt: skip
        return np.stack(turned.get(self.orientation, (x, y)), axis=1)

    def box_in_upright(self, box: Region) -> Region:
        """A box of the network's input in the upright image, clipped to it."""
        return _clipped(self.to_upright(np.reshape(box, (2, 2))), self.upright)

    def box_in_stored(self, box: Region) -> Region:
        """A box of the network's input in the stored image, clipped to it."""
        return _clipped(self.to_stored(np.reshape(box, (2, 2))), self.stored)


def decode_placed(path: Path, shape: ImageShape, max_pixels: int) -> tuple[NDArray[np.uint8], Geometry]:
    """Pixels (C, H, W) as `decode_image` returns them, and their place in the file. Raises InputError as it does."""
    pixels, header = decode_stream(path, None, shape, max_pixels)
    return pixels, Geometry.of_file((header.width, header.height), header.orientation, shape)


def _region(upright: tuple[int, int], shape: ImageShape) -> Region:
    """The part of an upright image that its resized version shows."""
    width, height = map(float, upright)
    if shape.resize == "squash":
        return 0.0, 0.0, width, height
    if shape.resize == "letterbox":
        scale = min(shape.width / width, shape.height / height)
        inner = [max(1, round(side * scale)) for side in upright]
        step_x, step_y = width / inner[0], height / inner[1]
        x0, y0 = -round((shape.width - inner[0]) / 2) * step_x, -round((shape.height - inner[1]) / 2) * step_y
        return x0, y0, x0 + shape.width * step_x, y0 + shape.height * step_y
    kept_height = shape.crop_pct * min(height, width * shape.height / shape.width)
    kept_width = kept_height * shape.width / shape.height
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


def _clipped(corners: Coordinates, size: tuple[int, int]) -> Region:
    low = np.clip(corners.min(axis=0), 0, size).tolist()
    high = np.clip(corners.max(axis=0), 0, size).tolist()
    return low[0], low[1], high[0], high[1]
