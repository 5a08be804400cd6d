"""What follows the kernels, as in a convolutional network: stride, ReLU and pooling."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.filter.correlation import Response
from dlnotes_cli.shell.errors import InputError

PoolingKind = Literal["max", "mean", "min"]


@dataclass(frozen=True)
class PoolingWindow:
    """How values are pooled: windows of `size` x `size`, `step` apart, without padding."""

    kind: PoolingKind
    size: int
    step: int

    def check(self, rows: int, columns: int) -> None:
        """Raise InputError if the window does not fit into so many rows and columns."""
        if self.size > min(rows, columns):
            what = f"a pooling window of {self.size}x{self.size} does not fit into {rows}x{columns}"
            raise InputError("--kernel-size", what, "use a smaller one")

    def count(self, length: int) -> int:
        """Windows that fit into `length` rows or columns."""
        return (length - self.size) // self.step + 1

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Pool (H, W, C): of the same type, means of float64."""
        if self.kind == "mean":
            values = values.astype(np.float64)
        combine = {"max": np.maximum, "min": np.minimum, "mean": np.add}[self.kind]
        for axis in (0, 1):  # a window is separable: first its rows, then its columns
            lines = np.moveaxis(values, axis, 0)
            span = (self.count(len(lines)) - 1) * self.step + 1
            pooled = lines[: span : self.step].copy()
            for i in range(1, self.size):
                combine(pooled, lines[i : i + span : self.step], out=pooled)
            values = np.moveaxis(pooled, 0, axis)
        return values / self.size**2 if self.kind == "mean" else values


class StoredResponse:
    """Values (H, W, C) that are computed already."""

    def __init__(self, values: NDArray[Any], max_magnitude: float) -> None:
        self._values = values
        self.shape: tuple[int, int, int] = values.shape
        self.max_magnitude = max_magnitude
        self.strip_rows = max(2**18 // (self.shape[1] * self.shape[2]), 16)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`."""
        return self._values[start:stop]


class RectifiedResponse:
    """The ReLU of a response: its negative values become 0."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.shape, self.max_magnitude, self.strip_rows = response.shape, response.max_magnitude, response.strip_rows

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`."""
        values = self._response.rows(start, stop)
        return np.asarray(np.maximum(values, values.dtype.type(0)))


class PooledResponse:
    """A response in windows; with a window of one pixel it takes every `step`-th row and column.

    Raises InputError if the window is larger than the response.
    """

    def __init__(self, response: Response, window: PoolingWindow) -> None:
        height, width, channels = response.shape
        window.check(height, width)
        self._response, self._window = response, window
        self.shape = window.count(height), window.count(width), channels
        self.max_magnitude = response.max_magnitude
        self.strip_rows = max(response.strip_rows // window.step, window.size, 1)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from `start` to `stop`."""
        window = self._window
        return window.apply(self._response.rows(start * window.step, (stop - 1) * window.step + window.size))


def strided(response: Response, step: int) -> Response:
    """Every `step`-th row and column of a response."""
    return response if step == 1 else PooledResponse(response, PoolingWindow("max", 1, step))
