"""Parsers of option values: durations, lists, counts, which raise ValueError with what they expect, and matrices.

A matrix is rows and columns of text, or JSON; errors name the row and the column.
"""

import json
import math
import re

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import counted

Matrix = tuple[tuple[float, ...], ...]  # rows of equal length, the top row first

MAX_SIDE = 1023  # rows and columns
_MATRIX_SYNTAX = 'write rows of numbers separated by ;, as in "0 1 0; 1 -4 1; 0 1 0"'
_JSON_SYNTAX = "write a list of rows, as in [[0, 1], [1, 0]]"
MAX_NUMBER = 1e30  # sums and squares of such numbers do not overflow
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Seconds from `90s`, `5m`, `1h` or a number of seconds.

    >>> duration("90s"), duration("5m"), duration("1.5")
    (90.0, 300.0, 1.5)
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|min|h|)", text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a duration like 90s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def integers(text: str) -> tuple[int, ...]:
    """Integers separated by commas.

    >>> integers("512,512")
    (512, 512)
    """
    try:
        return tuple(int(item) for item in text.split(",")) if text.strip() else ()
    except ValueError:
        raise ValueError(f"'{text}' is not a comma-separated list of integers like 512,512") from None


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas; empty items are dropped.

    >>> numbers("1e-3, 0.01")
    (0.001, 0.01)
    """
    try:
        return tuple(float(item) for item in text.split(",") if item.strip())
    except ValueError:
        raise ValueError(f"'{text}' is not a comma-separated list of numbers like 1e-3,1e-2") from None


def items(text: str) -> tuple[str, ...]:
    """Texts separated by commas; surrounding white space and empty items are dropped.

    >>> items("flip, crop:4")
    ('flip', 'crop:4')
    """
    return tuple(item.strip() for item in text.split(",") if item.strip())


def count_or_auto(text: str) -> int:
    """An integer, 0 for `auto`.

    >>> count_or_auto("64"), count_or_auto("auto")
    (64, 0)
    """
    try:
        return 0 if text.strip() == "auto" else int(text)
    except ValueError:
        raise ValueError(f"'{text}' is neither an integer nor auto") from None


def regular_expression(text: str) -> str:
    """A regular expression as Python reads it.

    >>> regular_expression("^p[0-9]+")
    '^p[0-9]+'
    """
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{text}' is not a regular expression ({error})") from None
    return text


def parse_matrix(text: str, where: object) -> Matrix:
    """Rows separated by `;` or line breaks, numbers by spaces or commas; or a JSON list of lists.

    >>> parse_matrix("-1 0 1; 1/2, 0, .5", "--kernel")
    ((-1.0, 0.0, 1.0), (0.5, 0.0, 0.5))
    """
    plain = text.replace("\N{MINUS SIGN}", "-").strip()
    if re.match(r"[{]|\[\s*\[", plain):
        return _matrix_of(_json_rows(plain, where), where)
    lines = re.split(r"[;\n]", plain.removeprefix("[").removesuffix("]"))
    return _matrix_of([_cells(line) for line in lines if line.strip()], where)


def parse_channels(text: str, where: object) -> tuple[Matrix, ...]:
    """Matrices of one size, separated by `|`."""
    texts = text.split("|")
    matrices = tuple(
        parse_matrix(channel, where if len(texts) == 1 else f"{where}, channel {i}")
        for i, channel in enumerate(texts, 1)
    )
    sizes = [(len(matrix), len(matrix[0])) for matrix in matrices]
    for i, (height, width) in enumerate(sizes, 1):
        if (height, width) != sizes[0]:
            what = f"channel {i} is {height}x{width}, channel 1 is {sizes[0][0]}x{sizes[0][1]}"
            raise InputError(where, what, "make the channels equally large")
    return matrices


def _cells(line: str) -> list[object]:
    return [cell.strip() for cell in line.split(",")] if "," in line else list(line.split())


def _json_rows(text: str, where: object) -> list[list[object]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"is not JSON ({error})", _JSON_SYNTAX) from error
    if isinstance(rows, dict):
        rows = rows.get("kernel")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise InputError(where, "has no list of rows", _JSON_SYNTAX)
    return rows


def _matrix_of(rows: list[list[object]], where: object) -> Matrix:
    """The matrix of cells. Raises InputError if the rows differ in length or a cell is not a number."""
    if not rows or not rows[0]:
        what = "row 1, column 1: no numbers" if rows else "is empty: no row 1, column 1"
        raise InputError(where, what, _MATRIX_SYNTAX)
    width = len(rows[0])
    for y, row in enumerate(rows, 1):
        if len(row) != width:
            column = min(len(row), width) + 1
            what = f"row {y} has {counted(len(row), 'number')}, row 1 has {width} (column {column})"
            raise InputError(where, what, "make the rows equally long")
    if max(len(rows), width) > MAX_SIDE:
        raise InputError(where, f"{len(rows)}x{width} numbers", f"use at most {MAX_SIDE} rows and columns")
    return tuple(tuple(_finite(cell, where, y, x) for x, cell in enumerate(row, 1)) for y, row in enumerate(rows, 1))


def _finite(cell: object, where: object, row: int, column: int) -> float:
    position = f"row {row}, column {column}"
    if cell == "":
        raise InputError(where, f"{position}: no number", _MATRIX_SYNTAX)
    try:
        value = _number(cell)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise InputError(where, f"{position}: '{cell}' is not a number", _MATRIX_SYNTAX) from None
    if not math.isfinite(value) or abs(value) > MAX_NUMBER:
        what = f"{position}: {cell} is not a finite number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}"
        raise InputError(where, what, _MATRIX_SYNTAX)
    return value


def _number(cell: object) -> float:
    """A number, or the quotient of `a/b`; NaN for a JSON value that is not a number."""
    if isinstance(cell, str):
        numerator, _, denominator = cell.partition("/")
        return float(numerator) / float(denominator) if denominator else float(cell)
    return math.nan if isinstance(cell, bool) or not isinstance(cell, int | float) else float(cell)
