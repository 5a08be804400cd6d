"""One image filtered by a chain of kernels; results side by side in one image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.filter.correlation import Correlation, Magnitude, Response, compute, window_offset
from dlnotes_cli.filter.intensity import IntensityMapping, ValueRange
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.filter.operations.apply import apply_operations
from dlnotes_cli.filter.operations.parsing import FilterOperation
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.stages import (
    PooledResponse,
    PoolingKind,
    PoolingWindow,
    RectifiedResponse,
    StoredResponse,
    strided,
)
from dlnotes_cli.filter.strips import over_strips

_BINS = 1000  # of a histogram of magnitudes


class KernelChain(NamedTuple):
    """Operations and then kernels that are applied one after another, and the pooling after them."""

    kernels: tuple[Kernel, ...]
    operations: tuple[FilterOperation, ...] = ()
    pooling: PoolingKind | None = None

    @property
    def name(self) -> str:
        """The names of operations and kernels, as file names have them; if there are none, that of the pooling."""
        names = [operation.label for operation in self.operations] + [kernel.name for kernel in self.kernels]
        return "-".join(names) or f"{self.pooling}-pool"


@dataclass(frozen=True, eq=False, repr=False)
class FilteredImage:
    """An image filtered by a chain of kernels; the response is computed strip by strip, on demand."""

    source: LoadedImage
    chain: KernelChain
    response: Response
    offset: tuple[int, int]  # rows and columns that cropping removes at the top and on the left
    config: FilterConfig
    threads: int

    @property
    def alpha(self) -> NDArray[Any] | None:
        """The alpha channel of the source at the pixels of the response, (H, W); of a window, at its middle."""
        (top, left), (height, width, _) = self.offset, self.response.shape
        alpha, step = self.source.alpha, self.config.resolved_stride
        middle = ((self.config.pooling_size or 1) - 1) // 2
        return None if alpha is None else alpha[top + middle :: step, left + middle :: step][:height, :width]

    def write_to(self, pixels: NDArray[Any], value_range: ValueRange | None = None) -> ValueRange:
        """Write the result to `pixels`, (H, W, C) of uint8, uint16 or floats.

        `rescale` and `signed` map the range of the response, or `value_range`, to black and white.
        Returns the range of the response before the mapping, in units of a white of 255.
        """
        is_float = np.issubdtype(pixels.dtype, np.floating)
        mode = self.config.result if is_float else self.config.result or "clip"
        mapping = IntensityMapping(mode, self.source.white, self.config.threshold)
        if mapping.needs_range:
            mapping = mapping._replace(value_range=value_range or self._range)

        def map_strip(response: NDArray[Any], start: int, stop: int) -> None:
            strip = mapping.to_floats(response) if is_float else mapping.to_integers(response, pixels.dtype)
            pixels[start:stop] = strip

        written, unit = self._each_strip(map_strip), 255 / self.source.white
        return written._replace(low=written.low * unit, high=written.high * unit)

    def magnitude_quantile(self, fraction: float) -> float:
        """The magnitude that a fraction of the response does not exceed, rounded up to a thousandth of the largest."""
        whole = self._range
        largest = max(-whole.low, whole.high)
        counts: list[NDArray[np.int64]] = []
        self._each_strip(
            lambda response, _start, _stop: counts.append(
                np.histogram(np.abs(response.astype(np.float64)), _BINS, (0, largest or 1.0))[0]
            )
        )
        cumulated = np.cumsum(np.sum(counts, axis=0))
        bin_ = int(np.searchsorted(cumulated, fraction * cumulated[-1]))
        return largest * (bin_ + 1) / _BINS

    @cached_property
    def _range(self) -> ValueRange:
        """The range of the response."""
        return self._each_strip(lambda _response, _start, _stop: None)

    def _each_strip(self, use: Callable[[NDArray[Any], int, int], None]) -> ValueRange:
        """Compute the response and pass each strip to `use`; returns the range of the response."""
        white, count = self.source.white, math.prod(self.response.shape)

        def compute_strip(start: int, stop: int) -> ValueRange:
            rows = self.response.rows(start, stop)
            use(rows, start, stop)
            low, high = float(rows.min()), float(rows.max())
            below = np.count_nonzero(rows < 0) if low < 0 else 0
            above = np.count_nonzero(rows > white) if high > white else 0
            return ValueRange(low, high, below / count, above / count)

        ranges = list(over_strips(compute_strip, self.response.shape[0], self.response.strip_rows, self.threads))
        return ValueRange(
            min(strip.low for strip in ranges),
            max(strip.high for strip in ranges),
            sum(strip.below for strip in ranges),
            sum(strip.above for strip in ranges),
        )


def filter_image(image: LoadedImage, chain: KernelChain, config: FilterConfig, threads: int) -> FilteredImage:
    """Filter an image by a chain; all but the last kernel are applied at once, without rounding to whole values.

    Raises InputError if the border is cropped and no pixel remains, or if the pooling window does not fit.
    """
    values = apply_operations(image.values, chain.operations, config.edges, image.white, threads)
    cropped = [(image.values.shape[axis] - values.shape[axis]) // 2 for axis in (0, 1)]
    response: Response = StoredResponse(values, float(image.white))
    for i, kernel in enumerate(chain.kernels):
        if i:
            values = compute(response, threads)
        response = _kernel_response(values, response.max_magnitude, kernel, config, image.white)
    top, left = _crop_offset(chain, config)
    offset = top + cropped[0], left + cropped[1]
    return FilteredImage(image, chain, layer_response(response, config), offset, config, threads)


def layer_response(response: Response, config: FilterConfig) -> Response:
    """The response of a layer of a network: stride, or pooling, and ReLU in front of the pooling."""
    if config.pool is None:
        response = strided(response, config.resolved_stride)
    if config.relu:
        response = RectifiedResponse(response)
    if config.pool is not None and config.pooling_size is not None:
        response = PooledResponse(response, PoolingWindow(config.pool, config.pooling_size, config.resolved_stride))
    return response


def concatenate_horizontally(images: Sequence[FilteredImage], dtype: Any) -> tuple[LoadedImage, list[ValueRange]]:
    """The results from left to right in one image of `dtype`, and the range of each response.

    Below a result that is shorter than the others, the image is black and transparent.
    """
    shapes = [image.response.shape for image in images]
    size = (max(height for height, _, _ in shapes), sum(width for _, width, _ in shapes))
    source = images[0].source
    values = np.zeros((*size, shapes[0][2]), dtype)
    alpha = None if source.alpha is None else np.zeros(size, source.alpha.dtype)
    ranges, left = [], 0
    for image, (height, width, _) in zip(images, shapes, strict=True):
        ranges.append(image.write_to(values[:height, left : left + width]))
        if alpha is not None:
            alpha[:height, left : left + width] = image.alpha
        left += width
    return LoadedImage(values, alpha, source.icc), ranges


def _kernel_response(
    values: NDArray[Any],
    max_magnitude: float,
    kernel: Kernel,
    config: FilterConfig,
    white: int,
) -> Response:
    """The response to one kernel; of a kernel with two matrices, the magnitude of both responses."""
    responses = [
        Correlation(
            values, matrix, border=config.edges, convolve=config.convolve, white=white, max_magnitude=max_magnitude
        )
        for matrix in kernel.matrices
    ]
    return responses[0] if len(responses) == 1 else Magnitude(responses)


def _crop_offset(chain: KernelChain, config: FilterConfig) -> tuple[int, int]:
    """Rows and columns that the chain removes at the top and on the left if the border is cropped."""
    if config.edges != "crop":
        return 0, 0
    offsets = [window_offset(kernel.size, "extend", convolve=config.convolve) for kernel in chain.kernels]
    return -sum(rows for rows, _ in offsets), -sum(columns for _, columns in offsets)
