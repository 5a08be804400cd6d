"""From a map to what is reported and drawn: its highest part, and heat on the image at the image's own size."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.images.decode import Geometry, Region
from dlnotes_cli.explain.options import CAM_METHODS, PIXEL_METHODS
from dlnotes_cli.inference.inspection import blurred

Floats = NDArray[np.float32]

COLORS = "inferno"  # matplotlib's name: from black to yellow with rising lightness, which any color vision reads
_TOP_SHARE = 0.2  # of the pixels that the network sees
_BRIGHTEST = 0.995  # quantile of the positive values that has the brightest color, so that single pixels do not set it
_ROUNDING = 1e-6  # by which a box may miss a pixel's border
_OPACITY = 0.8  # of the hottest color over the image
_PALER = 0.35  # how far the gray image under the heat is moved to white
_UNSEEN = 0.35  # brightness of the part that does not reach the network
_SMOOTHING = 1 / 64  # standard deviation in sides of the network's input, so that single pixels are visible
_SQUARE = 4  # pixels of the image for one of the input, from which on it is drawn as a square


@dataclass(frozen=True)
class TopRegion:
    """Where the highest 20% of a map lie, in pixels of the network's input."""

    box: Region
    center_of_mass: tuple[float, float]  # x, y

    def in_stored(self, geometry: Geometry) -> tuple[tuple[int, int, int, int], tuple[float, float]]:
        """Box x0, y0, x1, y1, extended to whole pixels, and center x, y, in pixels of the image as it is stored."""
        x0, y0, x1, y1 = geometry.box_in_stored(self.box)
        x, y = geometry.to_stored(np.array([self.center_of_mass]))[0].tolist()
        box = (floor(x0 + _ROUNDING), floor(y0 + _ROUNDING), ceil(x1 - _ROUNDING), ceil(y1 - _ROUNDING))
        return box, (round(x, 1), round(y, 1))


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (..., h, w) resampled to (H, W), bilinearly, so that no value exceeds those of the map."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    smooth = F.interpolate(flat, size, mode="bilinear") if flat.shape[-2:] != size else flat
    return smooth.reshape(*maps.shape[:-2], *size)


def top_region(values: Floats) -> TopRegion | None:
    """The region of the highest 20% of the values (H, W) at the size of the network's input, those above 0 only.

    The center of mass weighs each of its pixels by its value. None if no value is above 0.
    """
    rows, columns = np.nonzero(_is_top(values))
    if not len(rows):
        return None
    weights = values[rows, columns].astype(np.float64)
    x, y = (float(np.average(places + 0.5, weights=weights)) for places in (columns, rows))
    return TopRegion((float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)), (x, y))


def largest_part(values: Floats) -> Region | None:
    """The box around the largest connected part of the pixels of `top_region`; None if there are none."""
    from scipy import ndimage

    labels, count = ndimage.label(_is_top(values))
    if not count:
        return None
    rows, columns = ndimage.find_objects(labels)[np.bincount(labels.ravel())[1:].argmax()]
    return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)


def _is_top(values: Floats) -> NDArray[np.bool_]:
    return np.asarray((values >= np.quantile(values, 1 - _TOP_SHARE)) & (values > 0))


def smoothed(values: Floats) -> Floats:
    """The positive values (H, W), averaged with a small Gaussian window, for display."""
    positive = torch.from_numpy(np.maximum(values, 0))[None, None]
    return numpy_of(blurred(positive, _SMOOTHING * min(values.shape))[0, 0])


def heat_on(values: Floats, geometry: Geometry, size: tuple[int, int], method: str) -> Floats:
    """A map as brightness in 0..1 on the upright image, (H, W) = `size`; nan where the network sees nothing.

    Maps of single pixels are smoothed a little; the pixels of a small input stay squares, like those of the image.
    """
    has_squares = method not in CAM_METHODS and max(size) >= _SQUARE * max(values.shape)
    bright = brightness(smoothed(values) if method in PIXEL_METHODS and not has_squares else values)
    return spread(bright, geometry, size, smooth=not has_squares)


def brightness(values: Floats) -> Floats:
    """Values as brightness in 0..1: negative ones, which speak against the class, are 0."""
    positive = values[values > 0]
    top = float(np.quantile(positive, _BRIGHTEST)) if positive.size else 1.0
    return np.asarray(np.clip(values / top, 0, 1), np.float32)


def spread(bright: Floats, geometry: Geometry, size: tuple[int, int], *, smooth: bool = True) -> Floats:
    """Brightness (h, w) of the network's input on the upright image, (H, W) = `size`; nan where the input ends.

    It is resampled bicubically, or with `smooth=False` so that each of its pixels is one color.
    """
    height, width = size
    upright, scale = np.array(geometry.upright), np.array([width, height]) / geometry.upright
    low, high = np.array(geometry.region[:2]), np.array(geometry.region[2:])
    seen_low, seen_high = np.maximum(low, 0), np.minimum(high, upright)
    step = np.array(bright.shape[::-1]) / (high - low)  # pixels of the map for one of the image
    box = (*((seen_low - low) * step), *np.minimum((seen_high - low) * step, bright.shape[::-1]))
    left, top = np.rint(seen_low * scale).astype(int)
    right, bottom = np.maximum(np.rint(seen_high * scale).astype(int), (left + 1, top + 1))
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    resampled = Image.fromarray(bright).resize((right - left, bottom - top), method, box)
    spread_out = np.full(size, np.nan, np.float32)
    spread_out[top:bottom, left:right] = np.clip(np.asarray(resampled), 0, 1)
    return spread_out


def overlay(pixels: NDArray[np.uint8], heat: Floats) -> NDArray[np.uint8]:
    """A pale gray image (H, W, 3) under the colors of its heat (H, W), more opaque where it is hotter.

    Where the heat is nan, the network sees nothing, and the image is dark.
    """
    from matplotlib import colormaps

    gray = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None]
    pale = gray + _PALER * (255 - gray)
    share = _OPACITY * np.nan_to_num(heat)[..., None]
    shown = pale * (1 - share) + colormaps[COLORS](np.nan_to_num(heat), bytes=True)[..., :3] * share
    return np.rint(np.where(np.isnan(heat)[..., None], gray * _UNSEEN, shown)).astype(np.uint8)


def numpy_of(tensor: Tensor) -> Floats:
    """A tensor of any device as float32."""
    return tensor.detach().to("cpu", torch.float32).numpy()
