"""A convolution kernel: its weights, their sum, and their separation into a column and a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from dlnotes_cli.shell.matrix import Matrix

T = TypeVar("T")

_RELATIVE_TOLERANCE = 1e-9  # of rounding errors, relative to the weights


@dataclass(frozen=True)
class Kernel:
    """A matrix of weights; with a `second_matrix`, the result is the magnitude of the responses to both."""

    name: str
    matrix: Matrix
    purpose: str = ""
    second_matrix: Matrix | None = None

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """One matrix or two."""
        return (self.matrix,) if self.second_matrix is None else (self.matrix, self.second_matrix)

    @property
    def size(self) -> tuple[int, int]:
        """The largest height and width of the matrices."""
        return max(map(len, self.matrices)), max(len(matrix[0]) for matrix in self.matrices)


def weight_sum(matrix: Matrix) -> float:
    """The sum of the weights, exactly 0 if it is only a rounding error.

    >>> weight_sum(((0.1, 0.2), (-0.3, 0.0)))
    0.0
    """
    result = sum(map(sum, matrix))
    return 0.0 if abs(result) < _RELATIVE_TOLERANCE * sum(abs(weight) for row in matrix for weight in row) else result


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
    return (column, row) if error <= _RELATIVE_TOLERANCE * pivot else None


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
