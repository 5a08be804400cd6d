"""Operations on an image, one after another: rank filters by scipy.ndimage, the bilateral filter and Canny's edges.

OpenCV's bilateral filter has a round window and adds the differences of the channels, and its Canny rounds the gradient
to whole numbers and its direction to multiples of 45 degrees; so these two are our own.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.correlation import correlate, response_shape
from dlnotes_cli.filter.kernels.catalog import named_kernel
from dlnotes_cli.filter.operations.parsing import RANKS, FilterOperation
from dlnotes_cli.filter.strips import BorderMode, over_strips, padded_window

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = {  # of each operation, in order
    "median": ("median",),
    "erode": ("minimum",),
    "dilate": ("maximum",),
    "open": ("minimum", "maximum"),
    "close": ("maximum", "minimum"),
}
_RADIUS = 2.0  # of the bilateral window, in standard deviations of the distance
_STRIP_VALUES = 2**18  # that are filtered at a time


def apply_operations(
    values: NDArray[Any], operations: tuple[FilterOperation, ...], border: BorderMode, white: float, threads: int
) -> NDArray[Any]:
    """An image (H', W', C) after the operations; `canny` leaves one channel of 0 and `white`.

    Raises InputError if the border is cropped and no pixel remains.
    """
    for operation in operations:
        values = _apply(values, operation, border, white, threads)
    return values


def _apply(
    values: NDArray[Any], operation: FilterOperation, border: BorderMode, white: float, threads: int
) -> NDArray[Any]:
    unit = white / 255
    if operation.name in RANKS:
        return rank_filter(values, operation.name, operation.side, border, threads)
    if operation.name == "bilateral":
        space, tone = operation.numbers
        return bilateral_filter(values, space, tone * unit, border, threads)
    low, high, sigma = operation.numbers
    edges = canny_edges(values, low * unit, high * unit, sigma, border, threads)
    return np.where(edges, white, 0).astype(values.dtype)


def rank_filter(values: NDArray[Any], name: str, side: int, border: BorderMode, threads: int) -> NDArray[Any]:
    """An image (H, W, C) after a rank operation with a window of `side` x `side`, channel by channel.

    Opening is erosion and then dilation, closing the reverse (Serra, "Image Analysis and Mathematical Morphology",
    1982). Raises InputError if the border is cropped and no pixel remains.
    """
    for step in _STEPS[name]:
        values = _filter_once(values, step, side, border, threads)
    return values


def _filter_once(values: NDArray[Any], step: str, side: int, border: BorderMode, threads: int) -> NDArray[Any]:
    from scipy import ndimage  # here, as it takes longer to import than other filters to run

    apply: Callable[..., NDArray[Any]] = getattr(ndimage, f"{step}_filter")
    result = np.empty(response_shape(values.shape, (side, side), border), values.dtype)
    height, width, channels = result.shape
    margin = side // 2
    offset = 0 if border == "crop" else -margin

    def filter_strip(start: int, stop: int) -> None:
        rows = range(start + offset, stop + offset + side - 1)
        window = padded_window(values, rows, range(offset, offset + width + side - 1), border, values.dtype)
        for channel in range(channels):  # beyond the window's own margin, ndimage reads what is not kept
            filtered = apply(np.ascontiguousarray(window[..., channel]), size=side)
            result[start:stop, :, channel] = filtered[margin : margin + stop - start, margin : margin + width]

    for _ in over_strips(filter_strip, height, max(_STRIP_VALUES // (width * channels), 2 * side), threads):
        pass
    return result


def bilateral_filter(
    values: NDArray[Any], space: float, tone: float, border: BorderMode, threads: int
) -> NDArray[np.float32]:
    """An image (H, W, C) in which each pixel is a mean of its neighbors (Tomasi and Manduchi, ICCV 1998).

    The weight of a neighbor is exp(-d^2 / (2 space^2)) exp(-t^2 / (2 tone^2)) for a distance of d pixels, at most
    2 `space` in rows and columns, and a difference t in brightness: the Euclidean distance of their colors, in units of
    the values. Raises InputError if the border is cropped and no pixel remains.
    """
    radius = math.ceil(_RADIUS * space)
    side = 2 * radius + 1
    result = np.empty(response_shape(values.shape, (side, side), border), np.float32)
    height, width, channels = result.shape
    offset = 0 if border == "crop" else -radius

    def filter_strip(start: int, stop: int) -> None:
        rows = range(start + offset, stop + offset + side - 1)
        window = padded_window(values, rows, range(offset, offset + width + side - 1), border, np.float32)
        center = window[radius : radius + stop - start, radius : radius + width]
        total, weight_sum = np.zeros_like(center), np.zeros((*center.shape[:2], 1), np.float32)
        for y in range(side):
            for x in range(side):
                neighbor = window[y : y + stop - start, x : x + width]
                distance = ((y - radius) ** 2 + (x - radius) ** 2) / (2 * space**2)
                difference = np.square(neighbor - center).sum(axis=2, keepdims=True) / np.float32(2 * tone**2)
                weight = np.exp(-difference - np.float32(distance))
                total += weight * neighbor
                weight_sum += weight
        result[start:stop] = total / weight_sum

    for _ in over_strips(filter_strip, height, max(_STRIP_VALUES // (width * channels), 16), threads):
        pass
    return result


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
    from scipy import ndimage  # here, as it takes longer to import than other filters to run

    groups, count = ndimage.label(weak, structure=np.ones((3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[groups[strong]] = True
    kept[0] = False
    return np.asarray(kept[groups])
