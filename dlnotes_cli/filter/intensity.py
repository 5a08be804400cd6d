"""Mapping of filter responses to intensities: `--result` and `--threshold`."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

ResultMode = Literal["clip", "abs", "rescale", "signed", "raw"]


class ValueRange(NamedTuple):
    """The smallest and the largest value of a response, and the fractions of its values that clipping changes."""

    low: float
    high: float
    below: float = 0.0  # fraction of the values below 0
    above: float = 0.0  # fraction of the values above white


class IntensityMapping(NamedTuple):
    """How responses become intensities from 0 to `white`, the largest value of the source, 255 or 65535.

    `clip` clips the response to 0 and white; `abs` takes the absolute value first; `rescale` maps the smallest value
    to 0 and the largest to white; `signed` maps 0 to gray and the largest absolute value to black or white; None
    and `raw` keep the values. A `threshold`, in units of a white of 255, then makes every value black or white.
    `rescale` and `signed` need the `value_range` of the response.
    """

    mode: ResultMode | None
    white: int
    threshold: float | None = None
    value_range: ValueRange | None = None

    @property
    def needs_range(self) -> bool:
        """Whether the mapping depends on the smallest and the largest value of the response."""
        return self.mode in {"rescale", "signed"}

    def to_integers(self, response: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Rounded intensities of `dtype`, uint8 or uint16, from 0 to its largest value."""
        largest = np.iinfo(dtype).max
        values = self._mapped(response)
        if largest != self.white:
            values *= largest / self.white
        np.rint(values, out=values)
        return values.clip(0, largest, out=values).astype(dtype)

    def to_floats(self, response: NDArray[Any]) -> NDArray[Any]:
        """Intensities that are not rounded, in units of a white of 255."""
        values = self._mapped(response)
        values *= 255 / self.white
        return values

    def _mapped(self, response: NDArray[Any]) -> NDArray[Any]:
        values: Any = response.astype(np.float64 if response.dtype == np.float64 else np.float32)
        if self.mode == "abs":
            np.abs(values, out=values)
        elif self.value_range is not None and self.mode == "rescale":
            values -= self.value_range.low
            values *= self.white / ((self.value_range.high - self.value_range.low) or 1.0)
        elif self.value_range is not None and self.mode == "signed":
            values *= self.white / 2 / (max(-self.value_range.low, self.value_range.high) or 1.0)
            values += self.white / 2
        if self.mode not in {None, "raw"}:
            values.clip(0, self.white, out=values)
        if self.threshold is not None:
            values = np.where(values > self.threshold * self.white / 255, self.white, 0).astype(values.dtype)
        return values  # type: ignore[no-any-return]
