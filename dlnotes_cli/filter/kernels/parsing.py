"""Parsing of kernels: by name, as numbers, or from a file. Errors name the row and the column."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.filter.kernels.catalog import MAX_SIDE, NAMES, WITH_SIGMA, WITH_SIZE, named_kernel
from dlnotes_cli.filter.kernels.kernel import Kernel, Matrix
from dlnotes_cli.shell.errors import InputError, unknown_choice, unreadable
from dlnotes_cli.shell.files import user_path

_MAX_BYTES = 16 * 2**20
_MATRIX_SYNTAX = 'write rows of numbers separated by ;, as in "0 1 0; 1 -4 1; 0 1 0"'
_JSON_SYNTAX = "write a list of rows, as in [[0, 1], [1, 0]]"
_FILE_EXTENSIONS = {".txt", ".csv", ".tsv", ".json"}
_MAX_WEIGHT = 1e30  # sums and squares of such weights do not overflow
_COMMENT = re.compile(r"#[^\n]*")


def parse_kernels(
    arguments: Sequence[tuple[str, str]], *, size: int | None = None, sigma: float | None = None
) -> list[Kernel]:
    """The kernels of (option, value) pairs; a value is a kernel name, a matrix or a file. Equal names are numbered.

    `size` and `sigma` apply to the named kernels that have them. Raises InputError, with row and column if a matrix is
    wrong.
    """
    values = [value for _, value in arguments]
    _refuse_unused("--kernel-size", size, values, WITH_SIZE)
    _refuse_unused("--sigma", sigma, values, WITH_SIGMA)
    kernels: list[Kernel] = []
    for option, value in arguments:
        kernel = _parse_kernel(value, size, sigma, option)
        used = {other.name for other in kernels}
        names = (kernel.name, *(f"{kernel.name}-{i}" for i in range(2, len(values) + 2)))
        kernels.append(replace(kernel, name=next(name for name in names if name not in used)))
    return kernels


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


def _parse_kernel(text: str, size: int | None, sigma: float | None, option: str) -> Kernel:
    name = text.strip().lower()
    if name in NAMES:
        return named_kernel(name, size=size, sigma=sigma)
    path = user_path(text)
    if path.suffix.lower() in _FILE_EXTENSIONS or _is_file(path):
        return Kernel(path.stem, parse_matrix(_COMMENT.sub("", _read(path)), path), f"from {path}")
    if not name or re.search(r"[;\[\n,\s]", name) or re.match("[-+.\\d\N{MINUS SIGN}]", name):
        return Kernel("custom", parse_matrix(text, option), "custom weights")
    raise unknown_choice(option, text, NAMES, "kernel")


def _refuse_unused(option: str, value: float | None, kernels: Sequence[str], applicable: frozenset[str]) -> None:
    if value is not None and not applicable & {kernel.strip().lower() for kernel in kernels}:
        fix = f"leave it out, or use {', '.join(sorted(applicable))}"
        raise InputError(option, "applies to none of the kernels", fix)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a matrix can be too long for a file name
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > _MAX_BYTES:
        raise InputError(path, f"is longer than {_MAX_BYTES:,} bytes", "use a file with one kernel")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", "write the kernel as text, CSV or JSON") from error


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
            what = f"row {y} has {len(row)} numbers, row 1 has {width} (column {column})"
            raise InputError(where, what, "make the rows equally long")
    if max(len(rows), width) > MAX_SIDE:
        raise InputError(where, f"{len(rows)}x{width} numbers", f"use at most {MAX_SIDE} rows and columns")
    return tuple(tuple(_weight(cell, where, y, x) for x, cell in enumerate(row, 1)) for y, row in enumerate(rows, 1))


def _weight(cell: object, where: object, row: int, column: int) -> float:
    position = f"row {row}, column {column}"
    if cell == "":
        raise InputError(where, f"{position}: no number", _MATRIX_SYNTAX)
    try:
        value = _number(cell)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise InputError(where, f"{position}: '{cell}' is not a number", _MATRIX_SYNTAX) from None
    if not math.isfinite(value) or abs(value) > _MAX_WEIGHT:
        what = f"{position}: {cell} is not a finite number between -{_MAX_WEIGHT:g} and {_MAX_WEIGHT:g}"
        raise InputError(where, what, _MATRIX_SYNTAX)
    return value


def _number(cell: object) -> float:
    """A number, or the quotient of `a/b`; NaN for a JSON value that is not a number."""
    if isinstance(cell, str):
        numerator, _, denominator = cell.partition("/")
        return float(numerator) / float(denominator) if denominator else float(cell)
    return math.nan if isinstance(cell, bool) or not isinstance(cell, int | float) else float(cell)
