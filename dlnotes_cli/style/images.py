"""Images of `style-transfer`: read and sized, blended with their colors, written."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.images.image_io import LoadedImage, count_frames, read_image, write_image
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError

_SMALLEST = 16  # pixels of a side below which an image shows nothing that could be painted
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


@dataclass(frozen=True)
class Canvas:
    """An image as it was read, and its name."""

    name: str
    image: LoadedImage

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.image.values.shape[:2]
        return height, width

    @property
    def digest(self) -> str:
        """A SHA-256 of the pixels."""
        parts = (self.image.values, self.image.alpha)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts if part is not None)).hexdigest()

    def pixels(self, size: tuple[int, int]) -> Tensor:
        """Float32 (1, 3, H, W) in 0..1."""
        values = resized(self.image.values, size)
        return torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def with_longer(size: tuple[int, int], longer: float) -> tuple[int, int]:
    """(H, W) of the same shape with `longer` pixels on the longer side."""
    scale = longer / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def with_shorter_at_least(size: tuple[int, int], longer: float, shortest: int) -> tuple[int, int]:
    """(H, W) with `longer` pixels on the longer side, or more where the other would have less than `shortest`."""
    return with_longer(size, max(round(longer), -(-shortest * max(size) // min(size))))


def check_size(name: str, size: tuple[int, int], longer: int, shortest: int) -> None:
    """Raise InputError where an image (H, W) would be too thin to be looked at."""
    found = with_longer(size, longer)
    if min(found) < shortest:
        what = f"{size[1]}x{size[0]} would be {found[1]}x{found[0]}, too thin to paint"
        raise InputError(name, what, f"crop it, or give a --size with {shortest} on the shorter side")


def read_canvas(path: Path, max_pixels: int) -> Canvas:
    """Read an image in color. Raises InputError where there is nothing to see, or more than one image."""
    frames = count_frames(path, max_pixels)
    if frames > 1:
        raise InputError(path, f"is animated ({frames} frames)", "save one frame of it as an image")
    image = read_image(path, "rgb", max_pixels)
    if image.alpha is not None and not image.alpha.any():
        raise InputError(path, "is wholly transparent", "give an image that shows something")
    height, width = image.values.shape[:2]
    if min(height, width) < _SMALLEST:
        raise InputError(path, f"has {width}x{height} pixels", f"give an image of {_SMALLEST} or more on each side")
    return Canvas(str(path), image)


def resized(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Values (H, W, C) or (H, W) in another size (H, W)."""
    if values.shape[:2] == size:
        return values
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.LANCZOS))


def finished(pixels: Tensor, content: Canvas, size: tuple[int, int], *, preserve_color: bool) -> LoadedImage:
    """A painting (1, 3, h, w) in 0..1 as an image of `size`, with the content's transparency and profile."""
    painted = pixels[0].permute(1, 2, 0).cpu().numpy()
    values = resized(np.rint(painted * 255).astype(np.uint8), size)
    if preserve_color:
        values = _with_colors_of(values, resized(content.image.values, size))
    alpha = content.image.alpha
    return LoadedImage(values, None if alpha is None else resized(alpha, size), content.image.icc)


def write_painting(path: Path, image: LoadedImage, format_: str) -> None:
    """Write an image to a file."""
    stream = io.BytesIO()
    write_image(stream, image, format_)
    files.atomic_write(path, stream.getvalue())


def _with_colors_of(painted: NDArray[np.uint8], content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The lightness of one image and the colors of another: luma is replaced, differences to it are kept."""
    colors = content.astype(np.float64)
    change = painted @ _LUMA - colors @ _LUMA
    return np.asarray(np.clip(np.rint(colors + change[..., None]), 0, 255), np.uint8)
