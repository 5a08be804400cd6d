"""The response to a chain of operations and kernels, as a layer of a convolutional network has it, and its pixels."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.correlation import anchor, correlate, in_strips
from dlnotes_cli.filter.kernel import Kernel
from dlnotes_cli.filter.operations import FilterOperation
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell.errors import InputError

ResultMode = Literal["clip", "abs", "rescale", "signed", "raw"]
_PARTS = 64  # of an image, whose values are compared one part after another
_LARGEST_FLOAT32 = 2.0**13  # up to which float32 rounds by less than 1e-3


class KernelChain(NamedTuple):
    """Operations and then kernels that are applied one after another, and the stride, ReLU or pooling after them."""

    config: FilterConfig
    operations: tuple[FilterOperation, ...]
    kernels: tuple[Kernel, ...]

    @property
    def name(self) -> str:
        """The names of operations and kernels, as file names have them; if there are none, that of the pooling."""
        names = [operation.label for operation in self.operations] + [kernel.name for kernel in self.kernels]
        return "-".join(names) or f"{self.config.pool}-pool"


@dataclass(frozen=True, eq=False)
class Response:
    """The values (H, W, C) after a chain, of an image with a certain white, and a bound of their magnitudes."""

    values: NDArray[Any]
    white: float
    bound: float
    offset: tuple[int, int]  # rows and columns that cropping removes at the top and on the left

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value, in units of a white of 255."""
        return float(self.values.min()) * 255 / self.white, float(self.values.max()) * 255 / self.white

    @property
    def clipped(self) -> tuple[float, float]:
        """The fractions of the values below 0 and above white."""
        parts = np.array_split(self.values, _PARTS)
        counts = ((np.count_nonzero(part < 0), np.count_nonzero(part > self.white)) for part in parts)
        below, above = map(sum, zip(*counts, strict=True))
        return below / self.values.size, above / self.values.size


def parse_chains(config: FilterConfig) -> tuple[tuple[Kernel, ...], list[KernelChain]]:
    """All kernels, and a chain for each of `--kernel` with those of `--then` after it; one if none is needed.

    Raises InputError for a kernel or an operation that is not valid.
    """
    first, then = config.parsed_kernels()
    operations = config.parsed_operations()
    starts = [[kernel] for kernel in first] or [[]]
    return (*first, *then), [KernelChain(config, operations, (*start, *then)) for start in starts]


def respond(
    values: NDArray[Any], chain: KernelChain, white: float, *, threads: int = 1, sums: bool = False
) -> Response:
    """Apply a chain to an image (H, W, C); `sums` adds the channels up, as a layer does.

    Kernels are applied to unrounded values. Raises InputError if the border is cropped and no pixel remains, or if the
    pooling window does not fit.
    """
    config, height, width = chain.config, *values.shape[:2]
    for operation in chain.operations:
        values = operation.apply(values, config.edges, white)
    top, left = (height - values.shape[0]) // 2, (width - values.shape[1]) // 2
    bound = white if values.dtype != np.float64 else math.inf
    for kernel in chain.kernels:
        bound *= math.hypot(*(float(np.abs(matrix).sum()) for matrix in kernel.matrices))
        dtype = np.float32 if bound <= _LARGEST_FLOAT32 else np.float64
        values = correlate(
            values, kernel.matrices, config.edges, convolve=config.convolve, sums=sums, dtype=dtype, threads=threads
        )
        if config.edges == "crop":
            down, right = anchor(kernel.size, convolve=config.convolve)
            top, left = top + down, left + right
    return Response(_layer(values, config), white, bound, (top, left))


def _layer(values: NDArray[Any], config: FilterConfig) -> NDArray[Any]:
    """Stride, or pooling, and ReLU in front of the pooling."""
    step, size, (height, width, channels) = config.resolved_stride, config.pooling_size, values.shape
    if config.relu:
        values = np.maximum(values, 0)
    if size is None:
        return values[::step, ::step]
    if size > min(height, width):
        what = f"a pooling window of {size}x{size} does not fit into {height}x{width}"
        raise InputError("--kernel-size", what, "use a smaller one")
    if config.pool == "mean":
        values = cv2.blur(values.astype(np.float64), (size, size), anchor=(0, 0))
    else:
        pool = cv2.dilate if config.pool == "max" else cv2.erode
        values = pool(values, np.ones((size, size), np.uint8), anchor=(0, 0))
    return values.reshape(height, width, channels)[: height - size + 1 : step, : width - size + 1 : step]


def intensities(
    response: NDArray[Any], dtype: Any, white: float, mode: ResultMode | None, threshold: float | None = None,
    limits: tuple[float, float] | None = None, threads: int = 1,
) -> NDArray[Any]:  # fmt: skip
    """Values as `--result` and `--threshold` map them: integers from 0 to their largest, or floats with a white of 255.

    `clip` clips the response to 0 and `white`; `abs` takes the absolute value first; `rescale` maps the smallest value
    to 0 and the largest to white; `signed` maps 0 to gray and the largest absolute value to black or white; None and
    `raw` keep the values. A `threshold`, in units of a white of 255, then makes every value black or white. `limits`
    are the smallest and the largest value, by default of the response.
    """
    low, high = limits or (0.0, 0.0)
    if limits is None and mode in {"rescale", "signed"}:
        low, high = float(response.min()), float(response.max())
    is_float = np.issubdtype(dtype, np.floating)
    largest = 255 if is_float else np.iinfo(dtype).max
    mapped = np.empty(response.shape, dtype)

    def map_rows(rows: slice) -> None:
        values: Any = response[rows].astype(np.result_type(response, np.float32))
        if mode == "abs":
            np.abs(values, out=values)
        elif mode == "rescale":
            values -= low
            values *= white / ((high - low) or 1.0)
        elif mode == "signed":
            values *= white / 2 / (max(-low, high) or 1.0)
            values += white / 2
        if mode not in {None, "raw"}:
            np.clip(values, 0, white, out=values)
        if threshold is not None:
            values = np.where(values > threshold * white / 255, white, 0).astype(values.dtype)
        values *= largest / white
        mapped[rows] = values if is_float else np.rint(values).clip(0, largest)

    in_strips(map_rows, response.shape, threads)
    return mapped
