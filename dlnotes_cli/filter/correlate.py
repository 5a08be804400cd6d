"""Correlation of images with kernels, in strips of rows.

Two short passes where the kernel is a product, plain taps where it is small, FFT where it is large. Every result is
within 1e-3 of the one in 64 bits, in units of an image whose white is 255.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.workers import over_strips
from dlnotes_cli.filter.edges import Edges, framed
from dlnotes_cli.filter.kernels.kernel import Matrix, separated
from dlnotes_cli.shell.errors import InputError

_STRIP = 2**18  # values in a strip: with its copies it stays in a core's cache
_LARGEST_INT16 = 32_767
_EXACT_FLOAT32 = 2**24  # whole numbers up to here are exact
_ROUNDING = 2.0**-24  # of float32
_TOLERANCE = 1e-4 / 255  # of white: the error that float32 may be expected to make
_MOST_TAPS = 48  # weights above which FFT is faster
_FFT_ROWS = 256

Pass = Callable[[NDArray[Any]], NDArray[Any]]  # from (h, W * C) to (h', W' * C)


class Filtered(Protocol):
    """A filtered image that is computed when it is asked for, some rows at a time."""

    shape: tuple[int, int, int]
    largest: float  # no value is larger in size
    strip: int  # rows that are best asked for at a time

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, (h, W, C)."""


class Correlation:
    """An image (H, W, C) correlated with a kernel (h, w): sum of k(i, j) x(y + i - h // 2, x + j - w // 2).

    `white` is the value that rounding is measured against, `largest` the largest size of a value in the image, white
    where it is not given. With `convolve` the kernel is turned by 180 degrees about its anchor. Raises InputError where
    edges are cropped and nothing is left.
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        matrix: Matrix,
        *,
        edges: Edges = "extend",
        convolve: bool = False,
        white: float = 255,
        largest: float | None = None,
    ) -> None:
        kernel = oriented(matrix, convolve=convolve)
        self._pixels, self._edges = pixels, edges
        self._origin = origin(kernel.shape, edges, convolve=convolve)
        self.shape = output_shape(pixels.shape, kernel.shape, edges)
        self._size = kernel.shape
        self.largest = (white if largest is None else largest) * float(np.abs(kernel).sum())
        self.strip = max(_STRIP // (self.shape[1] * self.shape[2]), 2 * kernel.shape[0], 16)
        parts = _factors(kernel)
        taps = sum(int(np.count_nonzero(part)) for part in parts)
        is_whole = np.issubdtype(pixels.dtype, np.integer) and all(np.array_equal(p, np.rint(p)) for p in parts)
        if len(parts) == 1 and taps > _MOST_TAPS:
            self.strip = max(_FFT_ROWS, 3 * kernel.shape[0])
            self._dtype: Any = np.dtype(np.float64)
            self._passes = [_transform(kernel, self.strip, self.shape)]
        else:
            exact_enough = _exact_enough(self.largest, white, taps, is_whole=is_whole)
            self._dtype = pixels.dtype if pixels.dtype == np.float64 else exact_enough
            self._passes = [_taps(part.astype(self._dtype), pixels.shape[2]) for part in parts]

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, as int16, float32 or float64, whichever is narrow and exact enough."""
        strips = [self._strip(at, min(at + self.strip, stop)) for at in range(start, stop, self.strip)]
        return strips[0] if len(strips) == 1 else np.concatenate(strips)

    def _strip(self, start: int, stop: int) -> NDArray[Any]:
        """No more rows than a strip has, for which the spectrum of a large kernel is made."""
        (top, left), (height, width) = self._origin, self._size
        rows = range(start + top, stop + top + height - 1)
        columns = range(left, left + self.shape[1] + width - 1)
        found = framed(self._pixels, rows, columns, self._edges, self._dtype).reshape(len(rows), -1)
        for apply in self._passes:
            found = apply(found)
        return found.reshape(stop - start, *self.shape[1:])


class Magnitude:
    """The square root of the sum of squares of several filtered images of one shape."""

    def __init__(self, parts: list[Filtered]) -> None:
        self._parts = parts
        self.shape = parts[0].shape
        self.strip = min(part.strip for part in parts)
        self.largest = math.hypot(*(part.largest for part in parts))

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`, as float32 or float64."""
        total: Any = 0
        for part in self._parts:
            found = part.rows(start, stop)
            found = found.astype(np.float64 if found.dtype == np.float64 else np.float32, copy=False)
            total = total + found * found
        np.sqrt(total, out=total)
        return total  # type: ignore[no-any-return]


def correlate(
    pixels: NDArray[Any],
    matrix: Matrix,
    *,
    edges: Edges = "extend",
    convolve: bool = False,
    white: float = 255,
    threads: int = 1,
) -> NDArray[Any]:
    """An image (H, W) or (H, W, C) correlated with a kernel, as float32, or float64 where float32 would not do."""
    layers = pixels.reshape(*pixels.shape[:2], -1)
    filtered = Correlation(layers, matrix, edges=edges, convolve=convolve, white=white)
    found = collected(filtered, threads)
    return found.reshape(*found.shape[:2], *pixels.shape[2:])


def collected(filtered: Filtered, threads: int) -> NDArray[Any]:
    """A filtered image as a whole, (H, W, C) of float32 or float64."""
    first = filtered.rows(0, 1)
    found = np.empty(filtered.shape, np.float64 if first.dtype == np.float64 else np.float32)

    def work(start: int, stop: int) -> None:
        found[start:stop] = filtered.rows(start, stop)

    for _ in over_strips(work, found.shape[0], filtered.strip, threads):
        pass
    return found


def oriented(matrix: Matrix, *, convolve: bool) -> NDArray[np.float64]:
    """The weights as correlation applies them: turned by 180 degrees for a convolution."""
    kernel = np.array(matrix, np.float64)
    return kernel[::-1, ::-1] if convolve else kernel


def origin(size: tuple[int, ...], edges: Edges, *, convolve: bool) -> tuple[int, int]:
    """Where the first weight stands from the pixel that is computed, (rows, columns)."""
    if edges == "crop":
        return 0, 0
    return tuple(-((side - 1) // 2 if convolve else side // 2) for side in size[:2])  # type: ignore[return-value]


def output_shape(shape: tuple[int, ...], kernel: tuple[int, ...], edges: Edges) -> tuple[int, int, int]:
    """The shape (H, W, C) of the result. Raises InputError where cropping leaves nothing."""
    (height, width, channels), (rows, columns) = shape, kernel
    if edges != "crop":
        return height, width, channels
    if rows > height or columns > width:
        what = f"crop leaves nothing of {height}x{width} (rows x columns) under a kernel of {rows}x{columns}"
        raise InputError("--edges", what, "use a smaller kernel, or --edges extend")
    return height - rows + 1, width - columns + 1, channels


def _factors(kernel: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The kernel, or the column and the row whose product it is where they have fewer weights."""
    product = separated(tuple(map(tuple, kernel.tolist())))
    if product is None:
        return [kernel]
    column, row = np.array(product[0])[:, None], np.array(product[1])[None, :]
    fewer = np.count_nonzero(column) + np.count_nonzero(row) < np.count_nonzero(kernel)
    return [column, row] if fewer else [kernel]


def _exact_enough(largest: float, white: float, taps: int, *, is_whole: bool) -> "np.dtype[Any]":
    """The narrowest type for sums up to `largest`: whole numbers exactly, others with rounding that does not show."""
    if is_whole and largest <= _LARGEST_INT16:
        return np.dtype(np.int16)
    expected = largest * _ROUNDING * math.sqrt(taps)
    is_enough = largest < _EXACT_FLOAT32 if is_whole else expected <= _TOLERANCE * white
    return np.dtype(np.float32 if is_enough else np.float64)


def _taps(part: NDArray[Any], channels: int) -> Pass:
    """A pass that adds up shifted copies, one for each weight that is not 0; weights of 1 and -1 cost no product."""
    height, width = part.shape
    places = sorted(zip(*np.nonzero(part), strict=True), key=lambda at: (part[at] != 1, at))
    weights = [(int(y), int(x), part[y, x]) for y, x in places]

    def apply(source: NDArray[Any]) -> NDArray[Any]:
        rows, values = source.shape[0] - height + 1, source.shape[1] - (width - 1) * channels
        total = np.zeros((rows, values), source.dtype) if not weights else np.empty((rows, values), source.dtype)
        scratch = np.empty_like(total)
        for index, (y, x, weight) in enumerate(weights):
            view = source[y : y + rows, x * channels : x * channels + values]
            if index == 0:
                np.multiply(view, weight, out=total)
            elif abs(weight) == 1:
                (np.add if weight > 0 else np.subtract)(total, view, out=total)
            else:
                total += np.multiply(view, weight, out=scratch)
        return total

    return apply


def _transform(kernel: NDArray[np.float64], strip: int, shape: tuple[int, int, int]) -> Pass:
    """A pass through the frequencies: the product of one spectrum with the conjugate of the other correlates."""
    height, width = kernel.shape
    _, columns, channels = shape
    size = (_smooth(strip + height - 1), _smooth(columns + width - 1))
    spectrum = np.conj(np.fft.rfft2(kernel, size))

    def apply(source: NDArray[Any]) -> NDArray[Any]:
        rows = source.shape[0] - height + 1
        layers = source.reshape(len(source), -1, channels).transpose(2, 0, 1)
        found = np.fft.irfft2(np.fft.rfft2(layers, size) * spectrum, size)[:, :rows, :columns]
        return np.ascontiguousarray(found.transpose(1, 2, 0)).reshape(rows, -1)

    return apply


def _smooth(least: int) -> int:
    """The next number without prime factors above 5, for which FFT is fast."""
    candidate = least
    while True:
        rest = candidate
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return candidate
        candidate += 1
