"""Correlation of images with kernels, computed in strips of rows.

A separable kernel takes two short passes, a small kernel is summed directly, a large one goes through the FFT. Every
result differs from the float64 result by less than 1e-3, in units of an image whose white is 255.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.row_strips import over_strips
from dlnotes_cli.filter.borders import BorderMode, padded_window
from dlnotes_cli.filter.kernels.kernel import separate
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.matrix import Matrix

_STRIP_VALUES = 2**18  # values in a strip: small enough that the strip and its copies stay in a core's cache
_MAX_INT16 = 32_767
_MAX_EXACT_FLOAT32 = 2**24  # float32 holds every whole number up to here
_FLOAT32_ROUNDING = 2.0**-24  # relative
_MAX_ROUNDING_ERROR = 1e-4 / 255  # expected error that float32 may make, relative to white
_MAX_DIRECT_WEIGHTS = 48  # with more weights the FFT is faster
_MIN_FFT_ROWS = 256

Pass = Callable[[NDArray[Any]], NDArray[Any]]  # from (h, W * C) to (h', W' * C)


class Response(Protocol):
    """The response of an image to a kernel, computed on demand a few rows at a time."""

    shape: tuple[int, int, int]
    max_magnitude: float  # upper bound of the absolute values
    strip_rows: int  # rows that are best computed at a time

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, (h, W, C)."""


class Correlation:
    """An image (H, W, C) correlated with a kernel (h, w): sum of k(i, j) x(y + i - h // 2, x + j - w // 2).

    `convolve` rotates the kernel by 180 degrees about its anchor. Rounding errors are bounded relative to `white`;
    `max_magnitude` is the largest absolute value in the image, `white` by default. Raises InputError if the border is
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
        self._pixels, self._border = pixels, border
        self._kernel_size = kernel.shape
        self._offset = window_offset(kernel.shape, border, convolve=convolve)
        self.shape = response_shape(pixels.shape, kernel.shape, border)
        self.max_magnitude = (white if max_magnitude is None else max_magnitude) * float(np.abs(kernel).sum())
        factors = _separable_factors(kernel)
        weight_count = sum(int(np.count_nonzero(factor)) for factor in factors)
        if len(factors) == 1 and weight_count > _MAX_DIRECT_WEIGHTS:
            self.strip_rows = max(_MIN_FFT_ROWS, 3 * kernel.shape[0])
            self._dtype: Any = np.dtype(np.float64)
            self._passes = [_fft_pass(kernel, self.strip_rows, self.shape)]
        else:
            self.strip_rows = max(_STRIP_VALUES // (self.shape[1] * self.shape[2]), 2 * kernel.shape[0], 16)
            is_whole = _is_whole(pixels, factors)
            self._dtype = _working_dtype(pixels.dtype, self.max_magnitude, white, weight_count, is_whole=is_whole)
            self._passes = [_direct_pass(factor.astype(self._dtype), pixels.shape[2]) for factor in factors]

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, as the narrowest of int16, float32 and float64 that is exact enough."""
        starts = range(start, stop, self.strip_rows)
        strips = [self._strip(first, min(first + self.strip_rows, stop)) for first in starts]
        return strips[0] if len(strips) == 1 else np.concatenate(strips)

    def _strip(self, start: int, stop: int) -> NDArray[Any]:
        """At most `strip_rows` rows: the spectrum of a large kernel has the size of one strip."""
        (top, left), (height, width) = self._offset, self._kernel_size
        rows = range(start + top, stop + top + height - 1)
        columns = range(left, left + self.shape[1] + width - 1)
        values = padded_window(self._pixels, rows, columns, self._border, self._dtype).reshape(len(rows), -1)
        for apply in self._passes:
            values = apply(values)
        return values.reshape(stop - start, *self.shape[1:])


class Magnitude:
    """The magnitude of several responses of one shape: the square root of their sum of squares."""

    def __init__(self, responses: list[Response]) -> None:
        self._responses = responses
        self.shape = responses[0].shape
        self.strip_rows = min(response.strip_rows for response in responses)
        self.max_magnitude = math.hypot(*(response.max_magnitude for response in responses))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, as float32 or float64."""
        total: Any = 0
        for response in self._responses:
            values = response.rows(start, stop)
            values = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
            total = total + values * values
        np.sqrt(total, out=total)
        return total  # type: ignore[no-any-return]


def correlate(
    pixels: NDArray[Any],
    matrix: Matrix,
    *,
    border: BorderMode = "extend",
    convolve: bool = False,
    white: float = 255,
    threads: int = 1,
) -> NDArray[Any]:
    """An image (H, W) or (H, W, C) correlated with a kernel, as float32, or float64 if float32 is not exact enough."""
    with_channels = pixels.reshape(*pixels.shape[:2], -1)
    response = Correlation(with_channels, matrix, border=border, convolve=convolve, white=white)
    values = compute(response, threads)
    return values.reshape(*values.shape[:2], *pixels.shape[2:])


def compute(response: Response, threads: int) -> NDArray[Any]:
    """All rows of a response, (H, W, C) of float32 or float64."""
    first_row = response.rows(0, 1)
    values = np.empty(response.shape, np.float64 if first_row.dtype == np.float64 else np.float32)

    def compute_strip(start: int, stop: int) -> None:
        values[start:stop] = response.rows(start, stop)

    for _ in over_strips(compute_strip, values.shape[0], response.strip_rows, threads):
        pass
    return values


def correlation_kernel(matrix: Matrix, *, convolve: bool) -> NDArray[np.float64]:
    """The weights as correlation applies them: rotated by 180 degrees for a convolution."""
    kernel = np.array(matrix, np.float64)
    return kernel[::-1, ::-1] if convolve else kernel


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


def _separable_factors(kernel: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The column and the row of a separable kernel if they have fewer weights than the kernel, else the kernel."""
    factors = separate(tuple(map(tuple, kernel.tolist())))
    if factors is None:
        return [kernel]
    column, row = np.array(factors[0])[:, None], np.array(factors[1])[None, :]
    has_fewer = np.count_nonzero(column) + np.count_nonzero(row) < np.count_nonzero(kernel)
    return [column, row] if has_fewer else [kernel]


def _is_whole(pixels: NDArray[Any], factors: list[NDArray[np.float64]]) -> bool:
    """Whether pixels and weights are whole numbers, so that every sum is one too."""
    return np.issubdtype(pixels.dtype, np.integer) and all(np.array_equal(f, np.rint(f)) for f in factors)


def _working_dtype(
    source: "np.dtype[Any]", max_magnitude: float, white: float, weight_count: int, *, is_whole: bool
) -> "np.dtype[Any]":
    """The narrowest type for sums up to `max_magnitude`: whole numbers stay exact, others round unnoticeably.

    An image of float64 stays float64.
    """
    if source == np.float64:
        return source
    if is_whole and max_magnitude <= _MAX_INT16:
        return np.dtype(np.int16)
    expected_error = max_magnitude * _FLOAT32_ROUNDING * math.sqrt(weight_count)
    fits_float32 = max_magnitude < _MAX_EXACT_FLOAT32 if is_whole else expected_error <= _MAX_ROUNDING_ERROR * white
    return np.dtype(np.float32 if fits_float32 else np.float64)


def _direct_pass(factor: NDArray[Any], channels: int) -> Pass:
    """A pass that sums shifted copies of its input, one per nonzero weight; weights of 1 and -1 need no product."""
    height, width = factor.shape
    positions = sorted(zip(*np.nonzero(factor), strict=True), key=lambda position: (factor[position] != 1, position))
    weights = [(int(y), int(x), factor[y, x]) for y, x in positions]

    def apply(source: NDArray[Any]) -> NDArray[Any]:
        rows, values = source.shape[0] - height + 1, source.shape[1] - (width - 1) * channels
        total = np.zeros((rows, values), source.dtype) if not weights else np.empty((rows, values), source.dtype)
        product = np.empty_like(total)
        for index, (y, x, weight) in enumerate(weights):
            shifted = source[y : y + rows, x * channels : x * channels + values]
            if index == 0:
                np.multiply(shifted, weight, out=total)
            elif abs(weight) == 1:
                (np.add if weight > 0 else np.subtract)(total, shifted, out=total)
            else:
                total += np.multiply(shifted, weight, out=product)
        return total

    return apply


def _fft_pass(kernel: NDArray[np.float64], strip_rows: int, shape: tuple[int, int, int]) -> Pass:
    """A pass that multiplies spectra; the conjugate of the kernel's spectrum makes it a correlation."""
    height, width = kernel.shape
    _, columns, channels = shape
    size = (_fast_fft_length(strip_rows + height - 1), _fast_fft_length(columns + width - 1))
    spectrum = np.conj(np.fft.rfft2(kernel, size))

    def apply(source: NDArray[Any]) -> NDArray[Any]:
        rows = source.shape[0] - height + 1
        planes = source.reshape(len(source), -1, channels).transpose(2, 0, 1)
        values = np.fft.irfft2(np.fft.rfft2(planes, size) * spectrum, size)[:, :rows, :columns]
        return np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(rows, -1)

    return apply


def _fast_fft_length(minimum: int) -> int:
    """The smallest length from `minimum` on whose prime factors are 2, 3 and 5.

    Equal to scipy.fft.next_fast_len(minimum, real=True), as a test checks.
    """
    # Importing scipy.fft takes 0.1 s, for which every command that filters would wait.
    length = minimum
    while _without_factors_2_3_5(length) != 1:
        length += 1
    return length


def _without_factors_2_3_5(number: int) -> int:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number
