"""Decode image files into uint8 arrays of one shape; the only module that calls `Image.open`."""

import math
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell.errors import DlnotesError, InputError, unreadable

if TYPE_CHECKING:
    from dlnotes_cli.data.preprocessing import ImageShape

DECODER = f"3 with Pillow {PIL.__version__}"  # raise the number with every change of the decoded pixels
GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_DAMAGE = (  # what Pillow raises on truncated or inconsistent files
    OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, AssertionError,
    struct.error, zlib.error,
)  # fmt: skip
_SIXTEEN_BIT = 257  # 65535 / 255
_ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = range(5, 9)  # orientations that swap width and height

Decoded = TypeVar("Decoded")


class PixelRangeError(ValueError):
    """Pixel values outside the range of the image's mode."""


class _PillowSettings:
    """A reentrant context in which Pillow has no pixel limit of its own, as `open_image` checks that of the command.

    The limit belongs to the whole process: the first thread that enters removes it, the last that leaves restores it.
    Pillow's warnings are ignored, as damage is reported as an error.
    """

    def __init__(self) -> None:
        self._lock, self._entries, self._limit = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self._lock:
            if not self._entries:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            self._entries += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._entries -= 1
            if not self._entries:
                Image.MAX_IMAGE_PIXELS = self._limit


_pillow_settings = _PillowSettings()


@contextmanager
def open_image(path: Path, max_pixels: int, stream: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """Open an image whose pixels are decoded inside the context; `stream` has the file's content if already read.

    Raises InputError naming `path` if it is not an image, has more than `max_pixels` or turns out damaged inside the
    context.
    """
    if stream is None:
        check_regular(path)
    try:
        with _pillow_settings, Image.open(stream or path, formats=_FORMATS) as image:
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

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height


def read_header(path: Path, max_pixels: int) -> ImageHeader:
    """Read an image's header without its pixels, which may still be damaged; raises InputError as `open_image`."""
    with open_image(path, max_pixels) as image:
        return _header(image)


def decode_image(path: Path, shape: "ImageShape", max_pixels: int) -> NDArray[np.uint8]:
    """Decode one image to uint8 (C, H, W).

    Rotates by the EXIF orientation, composites transparency over white and reduces 16 bits to 8. Raises InputError as
    `open_image`.
    """
    return decode_stream(path, None, shape, max_pixels)[0]


def decode_memory(name: str, image: "Image.Image | NDArray[Any]", shape: "ImageShape") -> NDArray[np.uint8]:
    """Decode an image in memory as `decode_image` does: one of Pillow, or uint8 (H, W) or (H, W, C) with C of 1 to 4.

    Raises InputError with `name` for another type or shape, and for a damaged file of a lazily opened image.
    """
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        array = array[..., 0] if array.shape[2:] == (1,) else array
        if (
            array.dtype != np.uint8
            or array.ndim not in {2, 3}
            or array.shape[2:] not in {(), (3,), (4,)}
            or not array.size
        ):
            have = f"an array of {array.dtype} with shape {array.shape}"
            raise InputError(name, f"is {have}", "give uint8 of shape (H, W), (H, W, 3) or (H, W, 4)")
        image = Image.fromarray(array)
    with image_errors(Path(name)):
        return _pixels(image.copy(), shape)  # the caller's image stays unchanged


def decode_stream(
    path: Path, stream: IO[bytes] | None, shape: "ImageShape", max_pixels: int
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


class DecodedChunk(NamedTuple, Generic[Decoded]):
    """Some files that were decoded together: images and errors by the position of the file in the whole list."""

    images: dict[int, Decoded]
    errors: dict[int, DlnotesError]


def decode_chunks(
    paths: Sequence[Path], decode: Callable[[Path], Decoded], size: int, *, where: str, threads: int, skip_bad: bool
) -> Iterator[DecodedChunk[Decoded]]:
    """Decode files in threads, `size` at a time, in order.

    A bad file raises its InputError. With `skip_bad` it is in the errors of its chunk; an InputError that names the
    option or argument `where` is raised at the end if no file could be read.
    """
    all_errors: dict[int, DlnotesError] = {}
    for start in range(0, len(paths), size):
        decoded = decode_all(paths[start : start + size], decode, threads=threads, skip_bad=skip_bad)
        errors = {i: image for i, image in enumerate(decoded, start) if isinstance(image, DlnotesError)}
        images = {i: image for i, image in enumerate(decoded, start) if not isinstance(image, DlnotesError)}
        all_errors |= errors
        yield DecodedChunk(images, errors)
    if all_errors and len(all_errors) == len(paths):
        raise none_readable(where, len(paths), all_errors[0].fault)


def none_readable(where: str, count: int, first_fault: str) -> InputError:
    """The error for inputs none of which could be read, with what is wrong with the first one."""
    return InputError(where, f"none of {count} inputs could be read ({first_fault})", "check the files")


def _header(image: Image.Image) -> ImageHeader:
    exif = Image.Image.getexif(image)  # PngImageFile.getexif would decode the pixels too
    orientation = exif.get(_ORIENTATION, 1) if exif.get(_ORIENTATION, 1) in range(1, 9) else 1
    is_sideways = orientation in SIDEWAYS and image.format != "TIFF"  # Pillow rotates TIFF itself
    width, height = image.size[::-1] if is_sideways else image.size
    return ImageHeader(width, height, image.mode in GRAY_MODES, orientation)


def _pixels(image: Image.Image, shape: "ImageShape") -> NDArray[np.uint8]:
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


def _resized(image: Image.Image, shape: "ImageShape") -> Image.Image:
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
