"""Images at full size: gray or RGB, 8 or 16 bits, with transparency and ICC profile; array files and sample images."""

import importlib.util
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlnotes_cli.data.images.decode import GRAY_MODES, open_image, sixteen_bit_values, to_eight_bit
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError

Color = Literal["gray", "rgb"]

FORMATS = {  # suffixes of files that can be written, and Pillow's names of their formats
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
    ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".npy": "NPY",
}  # fmt: skip
LUMA = np.array([0.299, 0.587, 0.114])  # of R, G and B: ITU-R BT.601
_WITH_ALPHA = frozenset({"PNG", "WEBP", "TIFF"})
_SIXTEEN_BIT = frozenset({"PNG", "TIFF", "PPM"})
_WITH_PROFILE = frozenset({"PNG", "JPEG", "WEBP", "TIFF"})
_SETTINGS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1, "compress_type": zlib.Z_RLE},  # the fastest: images of filters hardly repeat
    "JPEG": {"quality": 95},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_lzw"},
}
_LARGEST_FLOAT32 = 2**13  # up to which float32 steps are below 1e-3
_PROFILE_CHANNELS = {b"GRAY": 1, b"RGB ": 3}  # by the color space, bytes 16 to 19 of an ICC profile


@dataclass(frozen=True)
class LoadedImage:
    """Values (H, W, C) of uint8 or uint16 with C = 1 or 3, alpha (H, W) of the same type, and the ICC profile."""

    values: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None

    @property
    def white(self) -> int:
        """The largest value of the type."""
        return int(np.iinfo(self.values.dtype).max)


def read_image(path: Path, color: Color | None, max_pixels: int, content: bytes | None = None) -> LoadedImage:
    """Read an image, rotated by its EXIF orientation, in `color` or in the file's own.

    `content` is the file's content if already read; `path` then only names it in errors. Gray from RGB is Pillow's
    "L"; gray files of 16 bits keep them. Raises InputError naming `path` if it is not an image, is damaged or has more
    than `max_pixels`.
    """
    stream = None if content is None else io.BytesIO(content)
    with open_image(path, max_pixels, stream) as image:
        ImageOps.exif_transpose(image, in_place=True)
        is_gray = image.mode in GRAY_MODES if color is None else color == "gray"
        icc = image.info.get("icc_profile")
        deep = sixteen_bit_values(image) if is_gray else None
        if deep is not None:
            return LoadedImage(deep[..., None], icc=icc)
        shallow = to_eight_bit(image)
        alpha = None
        if "A" in shallow.getbands() or "a" in shallow.getbands() or "transparency" in shallow.info:
            shallow = shallow.convert("RGBA")
            alpha = np.asarray(shallow.getchannel("A"))
        values = np.asarray(_converted(shallow, "L" if is_gray else "RGB"))
    return LoadedImage(values.reshape(*values.shape[:2], -1), alpha, icc)


def count_frames(path: Path, max_pixels: int) -> int:
    """Number of frames, above 1 for an animation. Raises InputError as `read_image`."""
    with open_image(path, max_pixels) as image:
        return int(getattr(image, "n_frames", 1))


def write_image(stream: IO[bytes], image: LoadedImage, format_: str) -> None:
    """Write an image in a format of FORMATS, without the alpha channel and profile that the format cannot store."""
    if format_ == "NPY":
        np.save(stream, image.values[..., 0] if image.values.shape[2] == 1 else image.values)
        return
    channels = image.values.shape[2]
    alpha = image.alpha if format_ in _WITH_ALPHA else None
    layers = image.values if alpha is None else np.dstack([image.values, alpha])
    icc = image.icc if image.icc and _PROFILE_CHANNELS.get(image.icc[16:20]) == channels else None
    converted = Image.fromarray(layers[..., 0] if layers.shape[2] == 1 else np.ascontiguousarray(layers))
    profile = {"icc_profile": icc} if icc is not None and format_ in _WITH_PROFILE else {}
    converted.save(stream, format_, **_SETTINGS.get(format_, {}), **profile)


def save_image(path: Path, image: LoadedImage) -> None:
    """Write an image to a file, under a temporary name first, in the format of FORMATS that its name ends with."""
    with files.atomic_stream(path) as stream:
        write_image(stream, image, FORMATS[path.suffix.lower()])


def depth_for(format_: str, source: "np.dtype[Any]", largest: float) -> "np.dtype[Any]":
    """The type of stored values: `source`, or uint8 for formats without 16 bits.

    For NPY the smallest float type whose steps at `largest`, on a scale where white is 255, are below 1e-3.
    """
    if format_ == "NPY":
        return np.dtype(np.float32 if largest <= _LARGEST_FLOAT32 else np.float64)
    return source if format_ in _SIXTEEN_BIT else np.dtype(np.uint8)


def holds_alpha(format_: str) -> bool:
    """Whether a format can store transparency."""
    return format_ in _WITH_ALPHA


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Convert to gray or RGB; gray is computed from RGB, whatever the file's color mode."""
    if mode == "L" and image.mode not in GRAY_MODES | {"RGB"}:
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)  # convert would copy


# --- files of arrays ------------------------------------------------------------------------------------------------


def write_npz(path: Path, /, **arrays: NDArray[Any]) -> None:
    """Write arrays by name, under a temporary name first."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # of its stubs
    files.atomic_write(path, stream.getvalue())


# --- sample images, for use without data -----------------------------------------------------------------------------

_SKLEARN_IMAGES = Path("datasets", "images")
_PALETTE = np.array(  # deep blue, teal, cream, orange, red, plum
    [(18, 32, 92), (30, 120, 140), (244, 232, 190), (240, 150, 40), (200, 50, 40), (80, 30, 90)], np.float64
)
_STRIPES = 2.5  # repetitions of the palette from left to right
_RADIUS = 0.22  # of a swirl, in image widths
_SWIRLS = ((0.30, 0.32, 5.0), (0.70, 0.62, -6.0), (0.20, 0.82, 4.0), (0.85, 0.18, 5.0))  # center, angle in radians


def sample_image(name: str, option: str) -> Path:
    """Path of scikit-learn's china.jpg or flower.jpg; raises InputError naming `option` if it is not installed."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        what = "no image given, and scikit-learn, which has a sample image, is not installed"
        raise InputError(option, what, "name an image, or install scikit-learn")
    return Path(package.origin).parent / _SKLEARN_IMAGES / name


def generated_image(height: int, width: int) -> NDArray[np.uint8]:
    """An image of swirling stripes, uint8 (H, W, 3)."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for center_x, center_y, rotation in _SWIRLS:  # rotate the plane about each center, less with distance
        right, down = x - center_x, y - center_y
        angle = rotation * np.exp(-((right**2 + down**2) / _RADIUS**2))
        x = center_x + right * np.cos(angle) - down * np.sin(angle)
        y = center_y + right * np.sin(angle) + down * np.cos(angle)
    phase = _STRIPES * (x + 0.6 * y)
    position = phase % 1.0 * len(_PALETTE)
    low = np.floor(position).astype(int) % len(_PALETTE)
    share = np.clip((position - np.floor(position)) * 4 - 3, 0, 1)[..., None]  # flat stripes with smooth edges
    colors = _PALETTE[low] * (1 - share) + _PALETTE[(low + 1) % len(_PALETTE)] * share
    strokes = 10 * np.sin(220 * y + 30 * np.sin(6 * x))[..., None]
    return np.asarray(np.clip(np.rint(colors + strokes), 0, 255), np.uint8)
