"""Geometric changes of a batch of images, each image with its own parameters, with bilinear interpolation.

Positions are continuous: pixel i of a row extends from i to i + 1. No function waits for the device.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor

from dlnotes_cli.data.images.draws import Draws

_ASPECTS = (math.log(3 / 4), math.log(4 / 3))  # of the boxes of a random resized crop, as in torchvision
Corners = tuple[tuple[Tensor, Tensor], ...]  # x and y (N,) of the upper left, upper right, lower right and lower left


def scale(samples: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Enlarge each image about its center by a factor from `low` to `high`, with black padding below 1."""
    return scaled(samples, draws.within(low, high))


def scaled(samples: Tensor, factors: Tensor) -> Tensor:
    """Enlarge images (N, C, H, W) about their centers by factors (N,); float32 in the range of the samples."""
    zero, inverse = torch.zeros_like(factors), 1 / factors
    return affine(samples, (inverse, zero, zero), (zero, inverse, zero))


def affine(samples: Tensor, x_row: tuple[Tensor, ...], y_row: tuple[Tensor, ...]) -> Tensor:
    """Images (N, C, H, W) whose pixel at (x, y) from the center comes from a x + b y + c, and likewise in y; float32.

    A row is (a, b, c), each (N,), in pixels. Outside of the image is black.
    """
    height, width = samples.shape[2:]
    (a, b, c), (d, e, f) = x_row, y_row
    rows = [a, b * (height / width), c * (2 / width), d * (width / height), e, f * (2 / height)]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(samples.shape), align_corners=False)
    return F.grid_sample(samples.float(), grid, align_corners=False)


def perspective(samples: Tensor, amount: float, draws: Draws) -> Tensor:
    """Move the corners of each image inward by up to `amount` of half its sides, with black padding."""
    height, width = samples.shape[2:]
    corners = []
    for is_right, is_lower in ((0, 0), (1, 0), (1, 1), (0, 1)):
        x, y = (draws.uniform() * (amount * side / 2) for side in (width, height))
        corners.append((width - x if is_right else x, height - y if is_lower else y))
    return in_perspective(samples, tuple(corners))


def in_perspective(samples: Tensor, corners: Corners) -> Tensor:
    """Draw images (N, C, H, W) so that their corners come to lie at `corners`, of a convex region; float32.

    The map from the unit square to the region is Heckbert's (1989), and its inverse is the adjugate matrix.
    """
    height, width = samples.shape[2:]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    sum_x, sum_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    determinant = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sum_x * (y3 - y2) - (x3 - x2) * sum_y) / determinant
    h = ((x1 - x2) * sum_y - sum_x * (y1 - y2)) / determinant
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    u_row, v_row = (e - f * h, c * h - b, b * f - c * e), (f * g - d, a - c * g, c * d - a * f)
    w_row = (d * h - e * g, b * g - a * h, a * e - b * d)
    x = _centers(width, samples).view(1, 1, -1)
    y = _centers(height, samples).view(1, -1, 1)
    u, v, w = (
        i.view(-1, 1, 1) * x + j.view(-1, 1, 1) * y + k.view(-1, 1, 1) for i, j, k in (u_row, v_row, w_row)
    )  # (N, H, W)
    grid = torch.stack([2 * u / w - 1, 2 * v / w - 1], dim=-1)
    return F.grid_sample(samples.float(), grid, align_corners=False)


def resized_crop(samples: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Crop a box of each image, with `low` to `high` of its area, and resize it to the size of the image."""
    return resized_crops(samples, *boxes(samples.shape[2:], low, high, draws))


def boxes(size: torch.Size, low: float, high: float, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width (N,) of boxes in whole pixels, in images of `size` (H, W).

    Their areas are uniform from `low` to `high` of that of the image, their aspect ratios from 3/4 to 4/3, and their
    sides at most those of the image.
    """
    area = draws.within(low, high).double() * (size[0] * size[1])
    aspect = draws.within(*_ASPECTS).double().exp()  # of width to height
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    height, width = height.clamp(1, size[0]), width.clamp(1, size[1])
    top, left = (
        (draws.uniform() * (side - length + 1)).floor() for side, length in zip(size, (height, width), strict=True)
    )
    return top, left, height, width


def resized_crops(samples: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Boxes of images (N, C, H, W), each (N,) in whole pixels, resized to (H, W); float32.

    Positions are clamped to the centers of the box's outer pixels, as where the box is cropped before it is resized.
    """
    rows, columns = (
        _resized_positions(side, start, length, samples)
        for side, start, length in zip(samples.shape[2:], (top, left), (height, width), strict=True)
    )
    count, tall, wide = len(samples), *samples.shape[2:]
    grid = torch.stack(
        [columns[:, None, :].expand(count, tall, wide), rows[:, :, None].expand(count, tall, wide)], dim=-1
    )
    return F.grid_sample(samples.float(), grid.float(), align_corners=False)


def _resized_positions(side: int, start: Tensor, length: Tensor, samples: Tensor) -> Tensor:
    """Where the pixels of a resized row lie in the row that they are taken from, (N, side) from -1 to 1."""
    start, length = start[:, None].double(), length[:, None].double()
    position = start + _centers(side, samples).double() * (length / side)
    position = position.maximum(start + 0.5).minimum(start + length - 0.5)
    return position * (2 / side) - 1


def _centers(count: int, samples: Tensor) -> Tensor:
    """The centers of the pixels of a row, (count,)."""
    return torch.arange(count, device=samples.device, dtype=torch.float32) + 0.5
