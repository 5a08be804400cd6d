"""Image files of `style-transfer`: read, resized, and written with the transparency and profile of the content."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.images.decode import without_skipping
from dlnotes_cli.data.images.image_io import LUMA, LoadedImage, count_frames, read_image
from dlnotes_cli.shell.errors import InputError

Size = tuple[int, int]  # (H, W) in pixels

MARGIN = 8  # pixels around the optimized image that are cropped from the result, where a frame would appear
_MIN_SIDE = 16  # pixels; a smaller image has no features to transfer


@dataclass(frozen=True)
class InputImage:
    """A content, style or initial image as read from its file; resized on demand."""

    name: str  # as reported
    image: LoadedImage

    @property
    def size(self) -> Size:
        """(H, W) of the file."""
        height, width = self.image.values.shape[:2]
        return height, width

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels and their transparency."""
        arrays = (self.image.values, self.image.alpha)
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays if array is not None)).hexdigest()

    def pixels(self, size: Size) -> Tensor:
        """The image resized to (H, W): float32 (1, 3, H, W) in 0..1."""
        values = resized(self.image.values, size)
        return torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


@dataclass(frozen=True)
class StyleImage:
    """A style image and its weight among the style images."""

    image: InputImage
    weight: float

    def with_values(self, values: NDArray[np.uint8]) -> Self:
        """The same with other pixels (H, W, 3)."""
        image = replace(self.image, image=replace(self.image.image, values=values))
        return replace(self, image=image)


def read_input_image(path: Path, max_pixels: int, name: str | None = None) -> InputImage:
    """Read an image in color; `name` replaces its path in reports.

    Raises InputError if the file is not an image, or if it is animated, fully transparent or too small.
    """
    with without_skipping():
        frames = count_frames(path, max_pixels)
        if frames > 1:
            raise InputError(path, f"is animated ({frames} frames)", "save one frame as an image")
        image = read_image(path, "rgb", max_pixels)
    if image.alpha is not None and not image.alpha.any():
        raise InputError(path, "is fully transparent", "use an image with visible pixels")
    height, width = image.values.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise InputError(path, f"has {width}x{height} pixels", f"use an image of at least {_MIN_SIDE} on each side")
    return InputImage(name or str(path), image)


def scaled_to(size: Size, longer_side: float) -> Size:
    """(H, W) of the same aspect ratio with `longer_side` pixels on the longer side."""
    factor = longer_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def scaled_to_at_least(size: Size, longer_side: float, min_side: int) -> Size:
    """As `scaled_to`, but larger where the shorter side would have fewer than `min_side` pixels."""
    return scaled_to(size, max(round(longer_side), -(-min_side * max(size) // min(size))))


def margin_within(size: Size, margin: int) -> int:
    """`margin`, or what an image (H, W) can reflect at its borders if that is less."""
    return min(margin, min(size) - 1)


def with_margin(image: Tensor, margin: int) -> Tensor:
    """An image (1, 3, H, W) with `margin_within` pixels on each side, where it is reflected."""
    within = margin_within((image.shape[2], image.shape[3]), margin)
    return F.pad(image, (within,) * 4, mode="reflect") if within else image


def check_scaled_size(name: str, size: Size, longer_side: int, min_side: int) -> None:
    """Raise InputError where an image (H, W), scaled to `longer_side`, has fewer than `min_side` pixels on one side."""
    scaled = scaled_to(size, longer_side)
    if min(scaled) < min_side:
        what = f"{size[1]}x{size[0]} would be {scaled[1]}x{scaled[0]}, too thin for the feature network"
        raise InputError(name, what, f"crop it, or set a --size with {min_side} on the shorter side")


def resized(values: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Values (h, w, C) or (h, w) resampled to (H, W)."""
    if values.shape[:2] == size:
        return values
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.LANCZOS))


def output_image(pixels: Tensor, content: InputImage, size: Size, *, preserve_color: bool) -> LoadedImage:
    """Pixels (1, 3, h, w) in 0..1 as an image of (H, W), with the content's transparency and ICC profile."""
    stylized = pixels[0].permute(1, 2, 0).cpu().numpy()
    values = resized(np.rint(stylized * 255).astype(np.uint8), size)
    if preserve_color:
        values = _with_luma_of(resized(content.image.values, size), values)
    alpha = content.image.alpha
    return LoadedImage(values, None if alpha is None else resized(alpha, size), content.image.icc)


def _with_luma_of(content: NDArray[np.uint8], stylized: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The content's colors with the luma of the stylized image: the difference is added to all three channels."""
    colors = content.astype(np.float64)
    change = stylized @ LUMA - colors @ LUMA
    return np.asarray(np.clip(np.rint(colors + change[..., None]), 0, 255), np.uint8)
