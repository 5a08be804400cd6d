"""What a kernel is, and whether it is the product of a column and a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Matrix = tuple[tuple[float, ...], ...]  # rows of equal length, the first at the top

_RANK_ONE = 1e-9  # of the largest weight: what rounding may leave of a product


@dataclass(frozen=True)
class Kernel:
    """A matrix of weights; with a `partner`, the result is the magnitude of what both give."""

    name: str
    rows: Matrix
    purpose: str = ""
    partner: Matrix | None = None

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The weights: one matrix, or two."""
        return (self.rows,) if self.partner is None else (self.rows, self.partner)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that hold every matrix."""
        return max(map(len, self.matrices)), max(len(matrix[0]) for matrix in self.matrices)


def total(matrix: Matrix) -> float:
    """The sum of a matrix, exactly 0 where only rounding is left of it.

    >>> total(((0.1, 0.2), (-0.3, 0.0)))
    0.0
    """
    found = sum(map(sum, matrix))
    return 0.0 if abs(found) < _RANK_ONE * sum(abs(weight) for row in matrix for weight in row) else found


def transposed(matrix: Matrix) -> Matrix:
    """The matrix with rows and columns exchanged."""
    return tuple(zip(*matrix, strict=True))


def negative(matrix: Matrix) -> Matrix:
    """The matrix with every sign changed."""
    return tuple(tuple(-weight if weight else 0.0 for weight in row) for row in matrix)


def separated(matrix: Matrix) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The column and the row whose product the matrix is, or None; two short passes then do the work of a long one.

    Of whole weights both are whole.

    >>> separated(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    ((1.0, 2.0, 1.0), (-1.0, 0.0, 1.0))
    """
    pivot, y, x = max((abs(weight), y, x) for y, row in enumerate(matrix) for x, weight in enumerate(row))
    if pivot == 0:
        return None
    is_whole = all(float(weight).is_integer() for row in matrix for weight in row)
    unit = math.gcd(*map(int, matrix[y])) if is_whole else abs(matrix[y][x])
    across = tuple(weight / unit for weight in matrix[y])
    column = tuple(row[x] / across[x] for row in matrix)
    off = max(
        abs(weight - a * b)
        for a, row in zip(column, matrix, strict=True)
        for b, weight in zip(across, row, strict=True)
    )
    return (column, across) if off <= _RANK_ONE * pivot else None


def text_of(matrix: Sequence[Sequence[float]], digits: int = 6) -> Sequence[str]:
    """The matrix as lines of numbers in columns, with so many significant digits."""
    cells = [[f"{weight + 0.0:.{digits}g}" for weight in row] for row in matrix]
    width = max(len(cell) for row in cells for cell in row)
    return [" ".join(cell.rjust(width) for cell in row) for row in cells]
