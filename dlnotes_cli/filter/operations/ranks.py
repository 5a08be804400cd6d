"""Median, erosion, dilation, opening and closing with square windows, computed by scipy.ndimage."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.row_strips import over_strips
from dlnotes_cli.filter.borders import BorderMode, padded_window
from dlnotes_cli.filter.correlation import response_shape

if TYPE_CHECKING:
    from collections.abc import Callable

_STEPS = {  # of each operation, in order
    "median": ("median",),
    "erode": ("minimum",),
    "dilate": ("maximum",),
    "open": ("minimum", "maximum"),
    "close": ("maximum", "minimum"),
}
_STRIP_VALUES = 2**20


def rank_filter(values: NDArray[Any], name: str, side: int, border: BorderMode, threads: int) -> NDArray[Any]:
    """An image (H, W, C) after a rank operation with a window of `side` x `side`, channel by channel.

    Opening is erosion and then dilation, closing the reverse (Serra, "Image Analysis and Mathematical Morphology",
    1982). Raises InputError if the border is cropped and no pixel remains.
    """
    for step in _STEPS[name]:
        values = _filter_once(values, step, side, border, threads)
    return values


def _filter_once(values: NDArray[Any], step: str, side: int, border: BorderMode, threads: int) -> NDArray[Any]:
    from scipy import ndimage  # here, because it takes longer to import than other filters to run

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
