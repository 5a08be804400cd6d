"""Regions of the content that get the style of regions of the style image (Gatys et al., CVPR 2017)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.decode import without_skipping
from dlnotes_cli.data.images.image_io import read_image
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.style.images import Pixels, Size, resized

_MIN_REST = 1e-3  # of the area; what no mask covers is a region of its own if it is larger
_ASPECT_TOLERANCE = 0.02

MaskFiles = tuple[Path, Path]  # of the content and the style


@dataclass(frozen=True)
class RegionMasks:
    """Masks of the regions of both images, uint8 (H, W): white is inside."""

    names: Sequence[str]
    content: Sequence[Pixels]
    style: Sequence[Pixels]

    @property
    def digest(self) -> str:
        """SHA-256 of all masks."""
        parts = [part for mask in (*self.content, *self.style) for part in (str(mask.shape).encode(), mask.tobytes())]
        return hashlib.sha256(b"".join(parts)).hexdigest()


def region_weights(
    masks: Sequence[Pixels], size: Size, margin: int, shapes: Mapping[str, tuple[int, ...]], device: torch.device
) -> dict[str, Tensor]:
    """Weights (R, H, W) in 0..1 by layer, whose features have these shapes (..., H, W): means of the pixels there.

    The masks belong to an image that is scaled to `size` and extended by `margin` pixels.
    """
    fractions = torch.from_numpy(np.stack([resized(mask, size) for mask in masks])).float() / 255
    extended = F.pad(fractions[None], (margin,) * 4, mode="reflect").to(device)
    return {name: F.adaptive_avg_pool2d(extended, (shape[-2], shape[-1]))[0] for name, shape in shapes.items()}


def mask_files(text: str) -> MaskFiles:
    """The two files of CONTENT:STYLE; with several colons, the first that splits it into two files that exist."""
    pieces = text.split(":")
    pairs = [(":".join(pieces[:i]), ":".join(pieces[i:])) for i in range(1, len(pieces))]
    pairs = [(content, style) for content, style in pairs if content and style]
    if not pairs:
        raise InputError("--mask", f"'{text}' is not CONTENT.png:STYLE.png", "write two files with a colon in between")
    existing = [pair for pair in pairs if all(user_path(name).exists() for name in pair)]
    content, style = (existing or pairs)[0]
    return user_path(content), user_path(style)


def read_masks(files: Sequence[MaskFiles], content_size: Size, style_size: Size, max_pixels: int) -> RegionMasks | None:
    """The masks of all regions; None without files.

    What no mask of the content covers is the last region, if there is any; its style is what no mask of the style
    covers, or the whole style. Raises InputError if a file is no image, has another shape than its image, or is black
    everywhere.
    """
    if not files:
        return None
    content = [_read(path, "content", content_size, max_pixels) for path, _ in files]
    style = [_read(path, "style", style_size, max_pixels) for _, path in files]
    names = [f"region {i}" for i in range(1, len(files) + 1)]
    rest, style_rest = _rest(content), _rest(style)
    if rest is not None:
        names.append("rest")
        content.append(rest)
        style.append(np.full_like(style[0], 255) if style_rest is None else style_rest)
    return RegionMasks(names, content, style)


def _read(path: Path, image: str, size: Size, max_pixels: int) -> Pixels:
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


def _rest(masks: Sequence[Pixels]) -> Pixels | None:
    """What no mask covers; None if it is almost nothing."""
    height, width = masks[0].shape
    covered = np.sum([resized(mask, (height, width)) for mask in masks], axis=0)
    rest = np.clip(255 - covered, 0, 255).astype(np.uint8)
    return rest if rest.mean() > 255 * _MIN_REST else None
