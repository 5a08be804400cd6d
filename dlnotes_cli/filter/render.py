"""One image under kernels that follow each other, made into a result; results side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.data.workers import over_strips
from dlnotes_cli.filter.correlate import Filtered, Magnitude, collected, origin
from dlnotes_cli.filter.kernels.kernel import Kernel
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.tone import Mapping, Range

Correlate = Callable[..., Filtered]  # Correlation, or its like on another device


@dataclass(frozen=True)
class Branch:
    """Kernels that are applied one after the other."""

    kernels: tuple[Kernel, ...]

    @property
    def name(self) -> str:
        """As it stands in file names."""
        return "-".join(kernel.name for kernel in self.kernels)


@dataclass(frozen=True)
class Rendering:
    """An image under a branch: its numbers, made strip by strip when they are asked for."""

    image: LoadedImage
    branch: Branch
    numbers: Filtered
    corner: tuple[int, int]  # what edges that are cropped take from the top and the left
    config: FilterConfig
    threads: int

    @property
    def alpha(self) -> NDArray[Any] | None:
        """The image's transparency where the result stands, (H, W)."""
        (top, left), (height, width, _) = self.corner, self.numbers.shape
        alpha = self.image.alpha
        return None if alpha is None else alpha[top : top + height, left : left + width]

    def write_to(self, place: NDArray[Any]) -> Range:
        """Write the result to `place`, an array (H, W, C) of uint8, uint16 or floats; the range of the numbers.

        The range is in units of a white of 255.
        """
        is_float = np.issubdtype(place.dtype, np.floating)
        asked = self.config.result if is_float else self.config.result or "clip"
        mapping = Mapping(asked, self.image.white, self.config.threshold)
        if mapping.needs_range:
            mapping = replace(mapping, found=self._over(lambda _rows, _start, _stop: None))

        def fill(rows: NDArray[Any], start: int, stop: int) -> None:
            place[start:stop] = mapping.floats(rows) if is_float else mapping.levels(rows, place.dtype)

        found, unit = self._over(fill), 255 / self.image.white
        return Range(found.low * unit, found.high * unit)

    def _over(self, work: Callable[[NDArray[Any], int, int], None]) -> Range:
        def on_strip(start: int, stop: int) -> tuple[float, float]:
            rows = self.numbers.rows(start, stop)
            found = float(rows.min()), float(rows.max())
            work(rows, start, stop)
            return found

        ends = list(over_strips(on_strip, self.numbers.shape[0], self.numbers.strip, self.threads))
        return Range(min(low for low, _ in ends), max(high for _, high in ends))


def rendering(
    image: LoadedImage, branch: Branch, config: FilterConfig, correlate: Correlate, threads: int
) -> Rendering:
    """Make an image ready under a branch; all kernels but the last are applied now, without rounding to whole values.

    Raises InputError where edges are cropped and nothing is left.
    """
    values, largest = image.values, float(image.white)
    numbers: Filtered | None = None
    top = left = 0
    for kernel in branch.kernels:
        if numbers is not None:
            values, largest = collected(numbers, threads), numbers.largest
        parts = [
            correlate(values, matrix, edges=config.edges, convolve=config.convolve, white=image.white, largest=largest)
            for matrix in kernel.matrices
        ]
        numbers = parts[0] if len(parts) == 1 else Magnitude(parts)
        if config.edges == "crop":
            up, across = origin(kernel.size, "extend", convolve=config.convolve)
            top, left = top - up, left - across
    if numbers is None:
        raise ValueError("a branch has at least one kernel")
    return Rendering(image, branch, numbers, (top, left), config, threads)


def side_by_side(renderings: Sequence[Rendering], dtype: Any) -> tuple[LoadedImage, list[Range]]:
    """The results from left to right in one image of `dtype`; where one is lower, black and clear below it."""
    shapes = [rendering.numbers.shape for rendering in renderings]
    size = (max(height for height, _, _ in shapes), sum(width for _, width, _ in shapes))
    image = renderings[0].image
    values = np.zeros((*size, shapes[0][2]), dtype)
    alpha = None if image.alpha is None else np.zeros(size, image.alpha.dtype)
    found, left = [], 0
    for one, (height, width, _) in zip(renderings, shapes, strict=True):
        found.append(one.write_to(values[:height, left : left + width]))
        if alpha is not None:
            alpha[:height, left : left + width] = one.alpha
        left += width
    return LoadedImage(values, alpha, image.icc), found
