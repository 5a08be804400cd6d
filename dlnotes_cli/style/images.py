"""Image files of `style-transfer`: read, resized, recolored, and written as the content image is."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.images.decode import without_skipping
from dlnotes_cli.data.images.image_io import LUMA, LoadedImage, count_frames, read_image
from dlnotes_cli.shell.errors import InputError

Size = tuple[int, int]  # (H, W) in pixels
Pixels = NDArray[np.uint8]

_MIN_SIDE = 16  # pixels; a smaller image has no features to transfer
_MOST_COUNTED = 1 << 22  # pixels of an image from which the covariance of its colors is computed
_MIN_VARIANCE = 1.0  # of 8-bit values; along a direction with less, as in a gray image, nothing is scaled up


@dataclass(frozen=True)
class InputImage:
    """A content, style or initial image as read from its file; resized on demand."""

    name: str  # as reported
    image: LoadedImage
    weight: float = 1.0  # among the style images

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


def read_input_image(path: Path, max_pixels: int, name: str | None = None, weight: float = 1.0) -> InputImage:
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
    return InputImage(name or str(path), image, weight)


def scaled_to(size: Size, longer_side: float) -> Size:
    """(H, W) of the same aspect ratio with `longer_side` pixels on the longer side."""
    factor = longer_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def scaled_to_at_least(size: Size, longer_side: float, min_side: int) -> Size:
    """As `scaled_to`, but larger where the shorter side would have fewer than `min_side` pixels."""
    return scaled_to(size, max(round(longer_side), -(-min_side * max(size) // min(size))))


def resized(values: Pixels, size: Size) -> Pixels:
    """Values (h, w, C) or (h, w) resampled to (H, W)."""
    if values.shape[:2] == size:
        return values
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.LANCZOS))


def output_image(pixels: Tensor, content: InputImage, size: Size, *, preserve_color: bool) -> LoadedImage:
    """Pixels (1, 3, h, w) in 0..1 as an image of (H, W), with the content's transparency and ICC profile.

    With `preserve_color`, it has the content's colors, to whose channels the difference in luma is added.
    """
    values = resized(np.rint(pixels[0].permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8), size)
    if preserve_color:
        colors = resized(content.image.values, size).astype(np.float64)
        change = (values - colors) @ LUMA
        values = np.clip(np.rint(colors + change[..., None]), 0, 255).astype(np.uint8)
    alpha = content.image.alpha
    return LoadedImage(values, None if alpha is None else resized(alpha, size), content.image.icc)


def match_colors(style: Pixels, content: Pixels, method: Literal["linear", "histogram"]) -> Pixels:
    """The style image (H, W, 3) with the colors of the content image (h, w, 3) (Gatys et al., arXiv:1606.05897).

    `linear`: with its mean and covariance, by the symmetric matrix that the paper prefers. `histogram`: with its
    distribution of values in each channel.
    """
    if method == "histogram":
        return np.stack([_with_histogram(style[..., i], content[..., i]) for i in range(3)], axis=-1)
    (style_mean, style_covariance), (content_mean, content_covariance) = map(_moments, (style, content))
    matrix = _power(content_covariance, 0.5) @ _power(style_covariance, -0.5)
    rows = np.column_stack([matrix, content_mean - matrix @ style_mean])
    return np.asarray(Image.fromarray(style).convert("RGB", tuple(rows.ravel().tolist())))


def _moments(image: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3,) and covariance (3, 3) of an image's colors, of a large image from evenly spaced pixels."""
    colors = image.reshape(-1, 3)
    colors = colors[:: -(-len(colors) // _MOST_COUNTED)]
    return colors.mean(axis=0), np.cov(colors.T)


def _power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric matrix; directions without variance stay 0."""
    variances, directions = np.linalg.eigh(covariance)
    has_variance = variances >= _MIN_VARIANCE
    scales = np.where(has_variance, np.where(has_variance, variances, 1.0) ** exponent, 0.0)
    return np.asarray((directions * scales) @ directions.T)


def _with_histogram(style: Pixels, content: Pixels) -> Pixels:
    """Values (H, W) replaced by those of the content at the same quantile."""
    counts = np.bincount(style.ravel(), minlength=256)
    quantiles = (np.cumsum(counts) - counts / 2) / style.size  # in the middle of the pixels of one value
    cumulative = np.cumsum(np.bincount(content.ravel(), minlength=256)) / content.size
    table = np.searchsorted(cumulative, quantiles).clip(0, 255).astype(np.uint8)
    return np.asarray(table[style])
