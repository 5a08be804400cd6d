"""Correlation of images with kernels by OpenCV, in strips of rows.

Every result differs from the float64 result by less than 1e-3, in units of an image whose white is 255.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.kernels.kernel import separate
from dlnotes_cli.filter.strips import BorderMode, over_strips, padded_window
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.parse import Matrix

_STRIP_VALUES = 2**17  # values in a strip: small enough that the strip and its copies stay in a core's cache
_MIN_ROWS = 16  # of a strip
_LARGEST_IN_FLOAT32 = 2**11  # which float32 rounds by at most 1.3e-4
_FEW_WEIGHTS = 25  # whose sum float32 holds accurately enough; OpenCV adds those of small kernels one by one

cv2.setNumThreads(1)  # strips run in threads of their own


class Response(Protocol):
    """The response of an image to a kernel, computed on demand a few rows at a time."""

    shape: tuple[int, int, int]
    max_magnitude: float  # upper bound of the absolute values
    strip_rows: int  # rows that are best computed at a time

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, (h, W, C)."""


class Correlation:
    """An image (H, W, C) correlated with a kernel (h, w): sum of k(i, j) x(y + i - h // 2, x + j - w // 2).

    `convolve` rotates the kernel by 180 degrees about its anchor. `max_magnitude` is the largest absolute value in the
    image, `white` by default. Raises InputError if the border is
    cropped and no pixel remains.
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        matrix: Matrix,
        *,
        border: BorderMode = "extend",
        convolve: bool = False,
        white: float = 255,
        max_magnitude: float | None = None,
    ) -> None:
        kernel = correlation_kernel(matrix, convolve=convolve)
        self._pixels, self._border, self._kernel = pixels, border, kernel
        self._factors = _separable_factors(kernel)
        self._offset = window_offset(kernel.shape, border, convolve=convolve)
        self.shape = response_shape(pixels.shape, kernel.shape, border)
        self.max_magnitude = (white if max_magnitude is None else max_magnitude) * float(np.abs(kernel).sum())
        is_small = self.max_magnitude <= _LARGEST_IN_FLOAT32 and kernel.size <= _FEW_WEIGHTS
        self._dtype = np.float32 if is_small and pixels.dtype != np.float64 else np.float64
        self.strip_rows = max(_STRIP_VALUES // (self.shape[1] * self.shape[2]), 3 * kernel.shape[0], _MIN_ROWS)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, of float32 where it is accurate enough, else of float64."""
        (top, left), (height, width) = self._offset, self._kernel.shape
        rows = range(start + top, stop + top + height - 1)
        columns = range(left, left + self.shape[1] + width - 1)
        window = padded_window(self._pixels, rows, columns, self._border, self._dtype)
        if self._factors is None:
            values = cv2.filter2D(window, -1, self._kernel, anchor=(0, 0))
        else:
            column, row = self._factors
            values = cv2.sepFilter2D(window, -1, row, column, anchor=(0, 0))
        return values.reshape(window.shape)[: stop - start, : self.shape[1]]  # OpenCV drops a single channel


class Magnitude:
    """The magnitude of several responses of one shape: the square root of their sum of squares."""

    def __init__(self, responses: Sequence[Response]) -> None:
        self._responses = responses
        self.shape = responses[0].shape
        self.strip_rows = min(response.strip_rows for response in responses)
        self.max_magnitude = math.hypot(*(response.max_magnitude for response in responses))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`."""
        return np.asarray(np.sqrt(sum(np.square(response.rows(start, stop)) for response in self._responses)))


def correlate(
    pixels: NDArray[Any],
    matrix: Matrix,
    *,
    border: BorderMode = "extend",
    convolve: bool = False,
    white: float = 255,
    threads: int = 1,
) -> NDArray[Any]:
    """An image (H, W) or (H, W, C) correlated with a kernel, of the type of `compute`."""
    with_channels = pixels.reshape(*pixels.shape[:2], -1)
    response = Correlation(with_channels, matrix, border=border, convolve=convolve, white=white)
    values = compute(response, threads)
    return values.reshape(*values.shape[:2], *pixels.shape[2:])


def compute(response: Response, threads: int) -> NDArray[Any]:
    """All rows of a response, (H, W, C) of float32 or, where it would round visibly, of float64."""
    values = np.empty(response.shape, np.float32 if response.max_magnitude <= _LARGEST_IN_FLOAT32 else np.float64)

    def compute_strip(start: int, stop: int) -> None:
        values[start:stop] = response.rows(start, stop)

    for _ in over_strips(compute_strip, values.shape[0], response.strip_rows, threads):
        pass
    return values


def correlation_kernel(matrix: Matrix, *, convolve: bool) -> NDArray[np.float64]:
    """The weights as correlation applies them: rotated by 180 degrees for a convolution."""
    kernel = np.array(matrix, np.float64)
    return np.ascontiguousarray(kernel[::-1, ::-1]) if convolve else kernel


def window_offset(kernel_size: tuple[int, ...], border: BorderMode, *, convolve: bool) -> tuple[int, int]:
    """Rows and columns from the pixel that is computed to the first pixel under the kernel."""
    if border == "crop":
        return 0, 0
    return tuple(-((side - 1) // 2 if convolve else side // 2) for side in kernel_size[:2])  # type: ignore[return-value]


def response_shape(
    image_shape: tuple[int, ...], kernel_size: tuple[int, ...], border: BorderMode
) -> tuple[int, int, int]:
    """The shape (H, W, C) of the response. Raises InputError if cropping leaves no pixel."""
    (height, width, channels), (rows, columns) = image_shape, kernel_size
    if border != "crop":
        return height, width, channels
    if rows > height or columns > width:
        what = f"crop leaves no pixel of {height}x{width} (rows x columns) under a kernel of {rows}x{columns}"
        raise InputError("--edges", what, "use a smaller kernel, or --edges extend")
    return height - rows + 1, width - columns + 1, channels


def _separable_factors(kernel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The column and the row of a separable kernel if they have fewer weights than the kernel."""
    factors = separate(tuple(map(tuple, kernel.tolist())))
    if factors is None:
        return None
    column, row = map(np.array, factors)
    has_fewer = np.count_nonzero(column) + np.count_nonzero(row) < np.count_nonzero(kernel)
    return (column, row) if has_fewer else None
