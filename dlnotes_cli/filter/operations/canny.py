"""Canny's edge detector: thin lines along the ridges of the gradient (IEEE PAMI 8(6), 1986)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.row_strips import over_strips
from dlnotes_cli.filter.borders import BorderMode
from dlnotes_cli.filter.correlation import correlate
from dlnotes_cli.filter.kernels.catalog import named_kernel

_STRIP_VALUES = 2**18


def canny_edges(
    values: NDArray[Any], low: float, high: float, sigma: float, border: BorderMode, threads: int
) -> NDArray[np.bool_]:
    """The edges (H, W, 1) of an image (H, W, C).

    The image is blurred by a Gaussian of `sigma` pixels. A pixel is a candidate if the magnitude of its gradient, from
    the Sobel kernels, is the largest along the gradient's direction. It is an edge if its magnitude is at least `high`,
    or at least `low` and 8-connected to such an edge through others. Of several channels, each pixel has the gradient
    of the channel with the largest one. Raises InputError if the border is cropped and no pixel remains.
    """
    blur = named_kernel("gaussian", sigma=sigma).matrix
    blurred = correlate(values.astype(np.float32), blur, border=border, threads=threads)
    gradient_x, gradient_y = (
        correlate(blurred, named_kernel(name).matrix, border=border, threads=threads) for name in ("sobel-x", "sobel-y")
    )
    if values.shape[2] > 1:
        strongest = np.hypot(gradient_x, gradient_y).argmax(axis=2)[..., None]
        gradient_x, gradient_y = (np.take_along_axis(part, strongest, axis=2) for part in (gradient_x, gradient_y))
    ridges = _ridges(gradient_x[..., 0], gradient_y[..., 0], threads)
    return _connected(ridges >= low, ridges >= high)[..., None]


def _ridges(gradient_x: NDArray[Any], gradient_y: NDArray[Any], threads: int) -> NDArray[Any]:
    """The magnitude (H, W) of the gradient where it is the largest along its direction, else -1.

    This is non-maximum suppression: both neighbors on the line lie between pixels and are interpolated. Of two equal
    ones only the first is a ridge.
    """
    padded = np.pad(np.hypot(gradient_x, gradient_y), 1)
    ridges = np.empty_like(gradient_x)

    def thin(start: int, stop: int) -> None:
        x, y, rows = gradient_x[start:stop], gradient_y[start:stop], padded[start : stop + 2]
        magnitude = rows[1:-1, 1:-1]
        is_ridge = (magnitude >= _along(rows, x, y)) & (magnitude > _along(rows, -x, -y))
        ridges[start:stop] = np.where(is_ridge, magnitude, -1)

    height, width = ridges.shape
    for _ in over_strips(thin, height, max(_STRIP_VALUES // width, 16), threads):
        pass
    return ridges


def _along(padded: NDArray[Any], direction_x: NDArray[Any], direction_y: NDArray[Any]) -> NDArray[Any]:
    """The magnitude where the ray from each pixel (H, W) leaves the square of its 8 neighbors.

    `padded` (H + 2, W + 2) has the magnitudes, and 0 outside the image.
    """
    height, width = direction_x.shape
    rows, columns = np.arange(1, height + 1)[:, None], np.arange(1, width + 1)
    beyond_x, beyond_y = columns + np.sign(direction_x).astype(np.intp), rows + np.sign(direction_y).astype(np.intp)
    size_x, size_y = np.abs(direction_x), np.abs(direction_y)
    leaves_at_side = size_x >= size_y  # or at the top or bottom
    nearest = padded[np.where(leaves_at_side, rows, beyond_y), np.where(leaves_at_side, beyond_x, columns)]
    longest = np.maximum(size_x, size_y)
    slope = np.divide(np.minimum(size_x, size_y), longest, out=np.zeros_like(longest), where=longest > 0)
    return np.asarray(nearest + slope * (padded[beyond_y, beyond_x] - nearest))


def _connected(weak: NDArray[np.bool_], strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The 8-connected groups of `weak` pixels that have a `strong` one: thresholds with hysteresis."""
    from scipy import ndimage  # here, because it takes longer to import than other filters to run

    groups, count = ndimage.label(weak, structure=np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[groups[strong]] = True
    kept[0] = False
    return np.asarray(kept[groups])
