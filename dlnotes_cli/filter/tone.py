"""From the numbers that a kernel gives to the values of an image."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Result = Literal["clip", "abs", "rescale", "signed"]


@dataclass(frozen=True)
class Range:
    """The smallest and the largest number of a result."""

    low: float
    high: float


@dataclass(frozen=True)
class Mapping:
    """How numbers become values: `white` is the source's largest value, 255 or 65535.

    clip cuts off at 0 and white; abs takes the size first; rescale stretches the smallest number to 0 and the largest
    to white; signed puts 0 at gray and the largest size at black or white; None leaves the numbers. A `threshold`, in
    units of a white of 255, then makes black and white of them.
    """

    result: Result | None
    white: int
    threshold: float | None = None
    found: Range | None = None

    @property
    def needs_range(self) -> bool:
        """Whether the smallest and largest number must be known first."""
        return self.result in {"rescale", "signed"}

    def levels(self, numbers: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Whole values of `dtype`, uint8 or uint16, from 0 to its largest."""
        top = np.iinfo(dtype).max
        is_plain = self.result in {"clip", None} and self.threshold is None
        if is_plain and numbers.dtype == np.int16 and top == self.white:
            return numbers.clip(0, top).astype(dtype)
        values = self._mapped(numbers)
        if top != self.white:
            values *= top / self.white
        np.rint(values, out=values)
        return values.clip(0, top, out=values).astype(dtype)

    def floats(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The numbers in units of a white of 255."""
        values = self._mapped(numbers)
        values *= 255 / self.white
        return values

    def _mapped(self, numbers: NDArray[Any]) -> NDArray[Any]:
        values: Any = numbers.astype(np.float64 if numbers.dtype == np.float64 else np.float32)
        if self.result == "abs":
            np.abs(values, out=values)
        elif self.found is not None and self.result == "rescale":
            values -= self.found.low
            values *= self.white / ((self.found.high - self.found.low) or 1.0)
        elif self.found is not None and self.result == "signed":
            values *= self.white / 2 / (max(-self.found.low, self.found.high) or 1.0)
            values += self.white / 2
        if self.result is not None:
            values.clip(0, self.white, out=values)
        if self.threshold is not None:
            values = np.where(values > self.threshold * self.white / 255, self.white, 0).astype(values.dtype)
        return values  # type: ignore[no-any-return]
