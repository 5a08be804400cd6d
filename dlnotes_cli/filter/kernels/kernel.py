"""A convolution kernel, and its description from its weights: sum, frequency response, separability, direction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar

from dlnotes_cli.shell.codec import OPTIONAL, inlined, named
from dlnotes_cli.shell.parse import Matrix

T = TypeVar("T")

_ROUNDING = 1e-9  # of weights, relative to them
Passes = Literal["low-pass", "high-pass", "high-boost", "band-stop", "all-pass", "mixed", "nothing"]

PASSES: dict[str, str] = {
    "low-pass": "keeps low spatial frequencies and attenuates high ones: a blur",
    "high-pass": "flat areas give 0, high spatial frequencies remain: edges and detail",
    "high-boost": "keeps flat areas and amplifies high spatial frequencies: sharpens",
    "band-stop": "keeps flat areas and some high spatial frequencies, attenuates others between them",
    "all-pass": "keeps every frequency at the same magnitude",
    "mixed": "amplifies some frequencies and attenuates others",
    "nothing": "every result is 0",
}
_FREQUENCIES = 64  # along each axis, at least
_RELATIVE_TOLERANCE = 1e-6
_AXES = ((0, "horizontal"), (45, "falling diagonal"), (90, "vertical"), (135, "rising diagonal"), (180, "horizontal"))
_SIDES = {
    0: "right", 45: "lower right", 90: "bottom", 135: "lower left", 180: "left",
    -45: "upper right", -90: "top", -135: "upper left", -180: "left",
}  # fmt: skip
_ANGLE_TOLERANCE = 5.0  # degrees between a direction and the axis or side that it is named after


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
        """The largest height and width of the matrices."""
        return max(map(len, self.matrices)), max(len(matrix[0]) for matrix in self.matrices)

    @cached_property
    @inlined
    def description(self) -> KernelDescription:
        """The properties; of two matrices, those of the first: the second is the same rotated by 90 degrees."""
        matrix, factors = self.matrix, separate(self.matrix)
        column, row = factors or (None, None)
        direction = _direction(matrix) if self.second_matrix is None else "all directions: magnitude of two responses"
        size = (len(matrix), len(matrix[0]))
        return KernelDescription(size, weight_sum(matrix), _passes(matrix), factors is not None, column, row, direction)


def weight_sum(matrix: Matrix) -> float:
    """The sum of the weights, exactly 0 if it is only a rounding error.

    >>> weight_sum(((0.1, 0.2), (-0.3, 0.0)))
    0.0
    """
    result = sum(map(sum, matrix))
    return 0.0 if abs(result) < _ROUNDING * sum(abs(weight) for row in matrix for weight in row) else result


def transpose(matrix: Matrix) -> Matrix:
    """The matrix with rows and columns exchanged."""
    return tuple(zip(*matrix, strict=True))


def negate(matrix: Matrix) -> Matrix:
    """The matrix with every sign changed; zeros stay positive."""
    return tuple(tuple(-weight if weight else 0.0 for weight in row) for row in matrix)


def separate(matrix: Matrix) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The column and the row whose outer product the matrix is, or None if its rank is not 1.

    Both have whole weights if the matrix has.

    >>> separate(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    ((1.0, 2.0, 1.0), (-1.0, 0.0, 1.0))
    """
    pivot, y, x = max((abs(weight), y, x) for y, row in enumerate(matrix) for x, weight in enumerate(row))
    if pivot == 0:
        return None
    is_whole = all(float(weight).is_integer() for row in matrix for weight in row)
    unit = math.gcd(*map(int, matrix[y])) if is_whole else abs(matrix[y][x])
    row = tuple(weight / unit for weight in matrix[y])
    column = tuple(weights[x] / row[x] for weights in matrix)
    error = max(
        abs(weight - a * b)
        for a, weights in zip(column, matrix, strict=True)
        for b, weight in zip(row, weights, strict=True)
    )
    return (column, row) if error <= _ROUNDING * pivot else None


def abbreviated(values: Sequence[T], most: int | None, ellipsis: T) -> list[T]:
    """The values, or the first and last `most` // 2 of more than `most`, with `ellipsis` between them."""
    if most is None or len(values) <= most:
        return list(values)
    return [*values[: most // 2], ellipsis, *values[-(most // 2) :]]


def format_matrix(matrix: Sequence[Sequence[float]], digits: int = 6, most: int | None = None) -> Sequence[str]:
    """The matrix as lines of right-aligned numbers with `digits` significant digits.

    Of more than `most` rows or columns, an even number, the first and the last are shown, with `...` between them.
    """
    cells = [abbreviated([f"{weight + 0.0:.{digits}g}" for weight in row], most, "...") for row in matrix]
    cells = abbreviated(cells, most, ["..."] * len(cells[0]))
    width = max(len(cell) for row in cells for cell in row)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]


def _passes(matrix: Matrix) -> Passes:
    """The kind of filter, from the frequency response |H(u, v)| = |sum k(y, x) exp(-i(uy + vx))| at all frequencies."""
    import numpy as np

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
        from scipy import ndimage  # here, as it takes longer to import than the rest to compute

        passed_bands = ndimage.label(response > math.sqrt(0.5) * at_zero)[1]
        return "low-pass" if passed_bands == 1 else "band-stop"
    return "high-boost" if smallest >= at_zero - tolerance else "mixed"


def _direction(matrix: Matrix) -> str:
    """The direction of the weights, from their first moments, or from their second moments if those vanish."""
    center_y, center_x = (len(matrix) - 1) / 2, (len(matrix[0]) - 1) / 2
    weights = [(w, y - center_y, x - center_x) for y, row in enumerate(matrix) for x, w in enumerate(row) if w]
    scale = sum(abs(w) * math.hypot(y, x) for w, y, x in weights)
    moment_y, moment_x = sum(w * y for w, y, x in weights), sum(w * x for w, y, x in weights)
    if math.hypot(moment_y, moment_x) > _RELATIVE_TOLERANCE * scale:
        angle = math.degrees(math.atan2(moment_y, moment_x))
        return _edge_direction(angle) if weight_sum(matrix) == 0 else f"heavier {_side(angle)}"
    return _principal_axis(matrix, weights)


def _principal_axis(matrix: Matrix, weights: list[tuple[float, float, float]]) -> str:
    """The axis along which (weight, y, x) extend most, from their second moments."""
    yy, xx = sum(w * y * y for w, y, x in weights), sum(w * x * x for w, y, x in weights)
    xy = sum(w * x * y for w, y, x in weights)
    scale = sum(abs(w) * (y * y + x * x) for w, y, x in weights)
    if math.hypot(xx - yy, 2 * xy) <= _RELATIVE_TOLERANCE * scale:
        return "none: all directions alike" if weights else "none: all weights are 0"
    angle = math.degrees(math.atan2(2 * xy, xx - yy)) / 2
    longest = angle if xx + yy > 0 else angle + 90
    # a sum of 0 measures differences along the axis, which are largest at lines across it
    return f"most along the {_axis(longest)}" if weight_sum(matrix) else f"mostly {_axis(longest + 90)} lines"


def _edge_direction(gradient: float) -> str:
    """Edges lie across the gradient of brightness; degrees clockwise from the right, as rows go down."""
    return f"{_axis(gradient + 90)} edges; brighter {_side(gradient)} gives positive values"


def _side(degrees: float) -> str:
    """The name of a direction, in degrees clockwise from the right."""
    nearest = min(_SIDES, key=lambda side: abs(degrees - side))
    if abs(nearest - degrees) <= _ANGLE_TOLERANCE:
        return f"to the {_SIDES[nearest]}"
    return f"{degrees:.0f} degrees below the right"


def _axis(degrees: float) -> str:
    """The name of an axis, in degrees clockwise from the right."""
    angle = degrees % 180
    nearest, name = min(_AXES, key=lambda axis: abs(axis[0] - angle))
    return name if abs(nearest - angle) <= _ANGLE_TOLERANCE else f"{angle:.0f}-degree"
