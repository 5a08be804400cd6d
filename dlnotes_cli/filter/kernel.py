"""A convolution kernel, and its description from its weights: sum, frequency response, separability, direction."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell.codec import OPTIONAL, inlined, named
from dlnotes_cli.shell.parse import Matrix

_ROUNDING = 1e-9  # of weights, relative to them
_FREQUENCIES = 64  # along each axis, at least
_RELATIVE_TOLERANCE = 1e-6
_ANGLE_TOLERANCE = 5.0  # degrees between a direction and the axis or side that it is named after
_MOST_SHOWN = 10  # rows and columns of a kernel
_AXES = ("horizontal", "falling diagonal", "vertical", "rising diagonal")  # clockwise by 45 degrees, as rows go down
_SIDES = ("right", "lower right", "bottom", "lower left", "left", "upper left", "top", "upper right")
_PASSES = {
    "low-pass": "keeps low spatial frequencies and attenuates high ones: a blur",
    "high-pass": "flat areas give 0, high spatial frequencies remain: edges and detail",
    "high-boost": "keeps flat areas and amplifies high spatial frequencies: sharpens",
    "band-stop": "keeps flat areas and some high spatial frequencies, attenuates others between them",
    "all-pass": "keeps every frequency at the same magnitude",
    "mixed": "amplifies some frequencies and attenuates others",
    "nothing": "every result is 0",
}
Passes = Literal["low-pass", "high-pass", "high-boost", "band-stop", "all-pass", "mixed", "nothing"]


@dataclass(frozen=True)
class KernelDescription:
    """Properties of a kernel; `column` and `row` are those of a separable one."""

    size: tuple[int, int]
    total: float = field(metadata=named("sum"))
    passes: Passes
    separable: bool
    column: tuple[float, ...] | None = field(metadata=OPTIONAL)
    row: tuple[float, ...] | None = field(metadata=OPTIONAL)
    direction: str


@dataclass(frozen=True)
class Kernel:
    """A matrix of weights; with a `second_matrix`, the result is the magnitude of the responses to both."""

    name: str
    matrix: Matrix
    purpose: str = ""
    second_matrix: Matrix | None = field(default=None, metadata=OPTIONAL)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """One matrix or two."""
        return (self.matrix,) if self.second_matrix is None else (self.matrix, self.second_matrix)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.matrix), len(self.matrix[0])

    @cached_property
    @inlined
    def description(self) -> KernelDescription:
        """The properties; of two matrices, those of the first: the second is the same rotated by 90 degrees."""
        factors = separate(self.matrix)
        column, row = factors or (None, None)
        direction = "all directions: magnitude of two responses" if self.second_matrix else _direction(self.matrix)
        total, passes = weight_sum(self.matrix), _passes(self.matrix)
        return KernelDescription(self.size, total, passes, factors is not None, column, row, direction)

    def summary(self) -> Iterator[str]:
        """Lines of name, size, sum, purpose and weights."""
        height, width = self.size
        yield f"{self.name}  {height}x{width}  sum {weight_sum(self.matrix):.6g}  {self.purpose}"
        for i, matrix in enumerate(self.matrices):
            yield from ["  and"] * i
            yield from (f"  {line}" for line in format_matrix(matrix, digits=4, most=_MOST_SHOWN))

    def details(self) -> Iterator[str]:
        """Lines of the summary, and of what follows from the weights."""
        found = self.description
        yield from self.summary()
        yield f"  passes     {found.passes}: {_PASSES[found.passes]}"
        if found.column is None or found.row is None:
            yield "  separable  no"
        else:
            lines = (" ".join(_numbers(line, 4, _MOST_SHOWN)) for line in (found.column, found.row))
            yield "  separable  column {} times row {}".format(*lines)
        yield f"  direction  {found.direction}"


def describe(kernels: Sequence[Kernel], *, is_brief: bool = False) -> Iterator[str]:
    """The lines of each kernel, with an empty line between two kernels."""
    for i, kernel in enumerate(kernels):
        yield from [""] * bool(i)
        yield from kernel.summary() if is_brief else kernel.details()


def weight_sum(matrix: Matrix) -> float:
    """The sum of the weights, exactly 0 if it is only a rounding error.

    >>> weight_sum(((0.1, 0.2), (-0.3, 0.0)))
    0.0
    """
    result = sum(map(sum, matrix))
    return 0.0 if abs(result) < _ROUNDING * sum(abs(weight) for row in matrix for weight in row) else result


def separate(matrix: Matrix) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The column and the row whose outer product the matrix is, or None if its rank is not 1.

    Both have whole weights if the matrix has.

    >>> separate(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    ((1.0, 2.0, 1.0), (-1.0, 0.0, 1.0))
    """
    weights = np.array(matrix, np.float64)
    pivot = np.abs(weights).max()
    y, x = np.argwhere(np.abs(weights) == pivot)[-1]
    if pivot == 0:
        return None
    is_whole = (weights == np.rint(weights)).all()
    row = weights[y] / (math.gcd(*map(int, weights[y])) if is_whole else pivot)
    column = weights[:, x] / row[x]
    if np.abs(weights - np.outer(column, row)).max() > _ROUNDING * pivot:
        return None
    return tuple(column.tolist()), tuple(row.tolist())


def format_matrix(matrix: Sequence[Sequence[float]], digits: int = 6, most: int | None = None) -> Sequence[str]:
    """The matrix as lines of right-aligned numbers with `digits` significant digits.

    Of more than `most` rows or columns, an even number, the first and the last are shown, with `...` between them.
    """
    cells = [_numbers(row, digits, most) for row in matrix]
    if most is not None and len(cells) > most:
        cells = [*cells[: most // 2], ["..."] * len(cells[0]), *cells[-(most // 2) :]]
    width = max(len(cell) for row in cells for cell in row)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]


def _numbers(row: Sequence[float], digits: int, most: int | None) -> list[str]:
    """Numbers as text, of more than `most` the first and the last."""
    cells = [f"{weight + 0.0:.{digits}g}" for weight in row]  # -0 is 0
    return cells if most is None or len(cells) <= most else [*cells[: most // 2], "...", *cells[-(most // 2) :]]


def _passes(matrix: Matrix) -> Passes:
    """The kind of filter, from the frequency response |H(u, v)| = |sum k(y, x) exp(-i(uy + vx))| at all frequencies."""
    size = [max(_FREQUENCIES, 2 * len(matrix)), max(_FREQUENCIES, 2 * len(matrix[0]))]
    response = np.fft.fftshift(np.abs(np.fft.fft2(np.array(matrix, np.float64), size)))  # frequency 0 in the middle
    at_zero, largest, smallest = abs(weight_sum(matrix)), response.max(), response.min()
    tolerance = _RELATIVE_TOLERANCE * largest
    if largest == 0:
        return "nothing"
    if largest - smallest <= tolerance:
        return "all-pass"
    if at_zero <= tolerance:
        return "high-pass"
    if largest <= at_zero + tolerance:
        import cv2  # here, as the names of kernels need no engine

        is_passed = (response > math.sqrt(0.5) * at_zero).astype(np.uint8)
        return "low-pass" if cv2.connectedComponents(is_passed, connectivity=4)[0] == 1 + 1 else "band-stop"
    return "high-boost" if smallest >= at_zero - tolerance else "mixed"


def _direction(matrix: Matrix) -> str:
    """The direction of the weights, from their first moments, or from their second moments if those vanish."""
    weights = np.array(matrix, np.float64)
    y, x = np.indices(weights.shape) - (np.array(weights.shape)[:, None, None] - 1) / 2  # from the center
    angle = _angle((weights * y).sum(), (weights * x).sum(), weights * np.hypot(x, y))
    if angle is not None:
        # edges lie across the gradient of brightness
        is_edge = weight_sum(matrix) == 0
        side = _side(angle)
        return f"{_axis(angle + 90)} edges; brighter {side} gives positive values" if is_edge else f"heavier {side}"
    yy, xx, xy = ((weights * a * b).sum() for a, b in ((y, y), (x, x), (x, y)))
    angle = _angle(2 * xy, xx - yy, weights * (x * x + y * y))
    if angle is None:
        return "none: all directions alike" if weights.any() else "none: all weights are 0"
    longest = angle / 2 if xx + yy > 0 else angle / 2 + 90
    # a sum of 0 measures differences along the axis, which are largest at lines across it
    return f"mostly {_axis(longest + 90)} lines" if weight_sum(matrix) == 0 else f"most along the {_axis(longest)}"


def _angle(y: float, x: float, parts: NDArray[np.float64]) -> float | None:
    """The angle of a sum in degrees clockwise from the right; None if it is 0 but for the rounding of its parts."""
    if math.hypot(x, y) <= _RELATIVE_TOLERANCE * abs(parts).sum():
        return None
    return math.degrees(math.atan2(y, x))


def _side(degrees: float) -> str:
    """The name of a direction."""
    return _nearest(degrees, [f"to the {side}" for side in _SIDES]) or f"{degrees:.0f} degrees below the right"


def _axis(degrees: float) -> str:
    """The name of an axis."""
    return _nearest(degrees, _AXES) or f"{degrees % 180:.0f}-degree"


def _nearest(degrees: float, names: Sequence[str]) -> str | None:
    """The name of an angle among those of multiples of 45 degrees; None if none is near."""
    nearest = round(degrees / 45)
    return names[nearest % len(names)] if abs(degrees - 45 * nearest) <= _ANGLE_TOLERANCE else None
