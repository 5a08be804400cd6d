"""One image filtered by a chain of kernels; results side by side in one image."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.data.row_strips import over_strips
from dlnotes_cli.filter.correlation import Magnitude, Response, compute, window_offset
from dlnotes_cli.filter.intensity import IntensityMapping, ValueRange
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.filter.options import FilterConfig

_BINS = 1000  # of a histogram of magnitudes

CorrelationBackend = Callable[..., Response]  # Correlation, or TorchCorrelation on a device


class KernelChain(NamedTuple):
    """Kernels that are applied one after another."""

    kernels: tuple[Kernel, ...]

    @property
    def name(self) -> str:
        """The names of the kernels, as file names have them."""
        return "-".join(kernel.name for kernel in self.kernels)


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
        """The alpha channel of the source at the pixels of the response, (H, W)."""
        (top, left), (height, width, _) = self.offset, self.response.shape
        alpha = self.source.alpha
        return None if alpha is None else alpha[top : top + height, left : left + width]

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


def filter_image(
    image: LoadedImage, chain: KernelChain, config: FilterConfig, backend: CorrelationBackend, threads: int
) -> FilteredImage:
    """Filter an image by a chain of kernels: all but the last are applied at once, without rounding to whole values.

    Raises InputError if the border is cropped and no pixel remains.
    """
    first, *remaining = chain.kernels
    response = _kernel_response(image.values, float(image.white), first, config, image.white, backend)
    for kernel in remaining:
        values, max_magnitude = compute(response, threads), response.max_magnitude
        response = _kernel_response(values, max_magnitude, kernel, config, image.white, backend)
    return FilteredImage(image, chain, response, _crop_offset(chain, config), config, threads)


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
    backend: CorrelationBackend,
) -> Response:
    """The response to one kernel; of a kernel with two matrices, the magnitude of both responses."""
    responses = [
        backend(values, matrix, border=config.edges, convolve=config.convolve, white=white, max_magnitude=max_magnitude)
        for matrix in kernel.matrices
    ]
    return responses[0] if len(responses) == 1 else Magnitude(responses)


def _crop_offset(chain: KernelChain, config: FilterConfig) -> tuple[int, int]:
    """Rows and columns that the chain removes at the top and on the left if the border is cropped."""
    if config.edges != "crop":
        return 0, 0
    offsets = [window_offset(kernel.size, "extend", convolve=config.convolve) for kernel in chain.kernels]
    return -sum(rows for rows, _ in offsets), -sum(columns for _, columns in offsets)
