"""Regions of the content that get the style of regions of the style image (Gatys et al., CVPR 2017)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.images.decode import without_skipping
from dlnotes_cli.data.images.image_io import read_image
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.style.images import Size, resized, with_margin

_MIN_REST = 1e-3  # of the area; what no mask covers is a region of its own if it is larger
_ASPECT_TOLERANCE = 0.02


class MaskFiles(NamedTuple):
    """The two files of a `--mask`."""

    content: Path
    style: Path


@dataclass(frozen=True)
class RegionMasks:
    """Masks of both images, uint8 (H, W): white is inside. The last region is what no mask covers, if there is any."""

    content: Sequence[NDArray[np.uint8]]
    style: Sequence[NDArray[np.uint8]]

    @property
    def digest(self) -> str:
        """SHA-256 of all masks."""
        parts = [part for mask in (*self.content, *self.style) for part in (str(mask.shape).encode(), mask.tobytes())]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    @property
    def _has_rest(self) -> bool:
        return _rest_share(self.content) > _MIN_REST

    def names(self) -> list[str]:
        """A name for each region."""
        return [f"region {i}" for i in range(1, len(self.content) + 1)] + (["rest"] if self._has_rest else [])

    def content_regions(self, size: Size, margin: int, feature_sizes: Mapping[str, Size]) -> dict[str, Tensor]:
        """Weights (R, H, W) in 0..1 by layer of a content image scaled to (H, W) and extended by `margin` pixels."""
        return _by_layer(_fractions(self.content, size, has_rest=self._has_rest), margin, feature_sizes)

    def style_regions(self, size: Size, feature_sizes: Mapping[str, Size]) -> dict[str, Tensor]:
        """As `content_regions` for the style image: where its masks cover all of it, its rest is the whole image."""
        fractions = _fractions(self.style, size, has_rest=self._has_rest)
        if self._has_rest and _rest_share(self.style) <= _MIN_REST:
            fractions[-1] = 1.0
        return _by_layer(fractions, 0, feature_sizes)


def mask_files(text: str) -> MaskFiles:
    """The two files of CONTENT:STYLE; with several colons, the first that splits it into two files that exist."""
    pieces = text.split(":")
    pairs = [(":".join(pieces[:i]), ":".join(pieces[i:])) for i in range(1, len(pieces))]
    pairs = [(content, style) for content, style in pairs if content and style]
    if not pairs:
        raise InputError("--mask", f"'{text}' is not CONTENT.png:STYLE.png", "write two files with a colon in between")
    existing = [pair for pair in pairs if all(user_path(name).exists() for name in pair)]
    content, style = (existing or pairs)[0]
    return MaskFiles(user_path(content), user_path(style))


def read_masks(files: Sequence[MaskFiles], content_size: Size, style_size: Size, max_pixels: int) -> RegionMasks | None:
    """The masks of all regions; None without files.

    Raises InputError if a file is no image, has another shape than its image, or is black everywhere.
    """
    if not files:
        return None
    return RegionMasks(
        [_read(pair.content, "content", content_size, max_pixels) for pair in files],
        [_read(pair.style, "style", style_size, max_pixels) for pair in files],
    )


def _read(path: Path, image: str, size: Size, max_pixels: int) -> NDArray[np.uint8]:
    with without_skipping():
        loaded = read_image(path, "gray", max_pixels)
    mask = np.asarray(loaded.values[..., 0] * (255.0 / loaded.white)).round().astype(np.uint8)
    if loaded.alpha is not None:
        mask[loaded.alpha == 0] = 0
    height, width = mask.shape
    if abs(height * size[1] / (width * size[0]) - 1) > _ASPECT_TOLERANCE:
        what = f"is a mask of {width}x{height} pixels, and the {image} image has {size[1]}x{size[0]}"
        raise InputError(path, what, "draw the mask on the image itself")
    if not mask.any():
        raise InputError(path, "is a mask that is black everywhere", "draw the region in white")
    return mask


def _rest_share(masks: Sequence[NDArray[np.uint8]]) -> float:
    """The fraction of an image that no mask covers."""
    return float(_fractions(masks, masks[0].shape[:2], has_rest=True)[-1].mean())


def _fractions(masks: Sequence[NDArray[np.uint8]], size: Size, *, has_rest: bool) -> Tensor:
    """How much each pixel belongs to each region: float32 (R, H, W) in 0..1."""
    scaled = [torch.from_numpy(resized(mask, size).astype(np.float32) / 255) for mask in masks]
    rest = [(1 - torch.stack(scaled).sum(0)).clamp(min=0)] if has_rest else []
    return torch.stack(scaled + rest)


def _by_layer(fractions: Tensor, margin: int, feature_sizes: Mapping[str, Size]) -> dict[str, Tensor]:
    """The mean of the pixels at each position of the features."""
    extended = with_margin(fractions[None], margin)
    return {name: F.adaptive_avg_pool2d(extended, size)[0] for name, size in feature_sizes.items()}
