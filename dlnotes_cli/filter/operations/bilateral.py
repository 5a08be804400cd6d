"""The bilateral filter: a blur that leaves edges sharp, since it averages pixels of similar brightness only."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.row_strips import over_strips
from dlnotes_cli.filter.borders import BorderMode, padded_window
from dlnotes_cli.filter.correlation import response_shape

_STRIP_VALUES = 2**16
_RADIUS = 2.0  # of the window, in standard deviations of the distance


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
