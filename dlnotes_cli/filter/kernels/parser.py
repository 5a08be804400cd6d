"""From text to weights: written out, in a file, or by name. A mistake is told with its row and column."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlnotes_cli.filter.kernels.catalog import LARGEST_SIDE, NAMES, WITH_SIGMA, WITH_SIZE, named_kernel
from dlnotes_cli.filter.kernels.kernel import Kernel, Matrix
from dlnotes_cli.shell.errors import InputError, unknown_choice, unreadable
from dlnotes_cli.shell.files import user_path

_MAX_BYTES = 16 * 2**20
_HOW = 'write rows of numbers with ; between them, as in "0 1 0; 1 -4 1; 0 1 0"'
_FILE_TYPES = {".txt", ".csv", ".tsv", ".json"}
_LARGEST = 1e30  # a weight whose sums and squares are still far from the end of the numbers
_COMMENT = re.compile(r"#[^\n]*")


def parse_kernels(
    given: Sequence[tuple[str, str]], *, size: int | None = None, sigma: float | None = None
) -> list[Kernel]:
    """The kernels that words stand for, each given with its option: names, matrices, files; equal names are numbered.

    `size` and `sigma` shape the named kernels that have them. Raises InputError, with row and column where a matrix is
    at fault.
    """
    words = [word for _, word in given]
    _refuse_unused("--size", size, words, WITH_SIZE)
    _refuse_unused("--sigma", sigma, words, WITH_SIGMA)
    found: list[Kernel] = []
    for option, word in given:
        kernel = _parse_kernel(word, size, sigma, option)
        taken = {other.name for other in found}
        names = (kernel.name, *(f"{kernel.name}-{i}" for i in range(2, len(words) + 2)))
        found.append(replace(kernel, name=next(name for name in names if name not in taken)))
    return found


def parse_matrix(text: str, where: object) -> Matrix:
    """Rows separated by `;` or new lines, numbers by blanks or commas; or a JSON list of lists.

    >>> parse_matrix("-1 0 1; 1/2, 0, .5", "--kernel")
    ((-1.0, 0.0, 1.0), (0.5, 0.0, 0.5))
    """
    plain = text.replace("\N{MINUS SIGN}", "-").strip()
    if re.match(r"[{]|\[\s*\[", plain):
        return _checked(_json_rows(plain, where), where)
    lines = re.split(r"[;\n]", plain.removeprefix("[").removesuffix("]"))
    return _checked([_cells(line) for line in lines if line.strip()], where)


def parse_channels(text: str, where: object) -> tuple[Matrix, ...]:
    """Matrices of one size, separated by `|`."""
    parts = text.split("|")
    found = tuple(
        parse_matrix(part, where if len(parts) == 1 else f"{where}, channel {i}") for i, part in enumerate(parts, 1)
    )
    sizes = [(len(matrix), len(matrix[0])) for matrix in found]
    for i, (height, width) in enumerate(sizes, 1):
        if (height, width) != sizes[0]:
            what = f"channel {i} is {height}x{width}, channel 1 is {sizes[0][0]}x{sizes[0][1]}"
            raise InputError(where, what, "give channels of one size")
    return found


def _parse_kernel(word: str, size: int | None, sigma: float | None, option: str) -> Kernel:
    name = word.strip().lower()
    if name in NAMES:
        return named_kernel(name, size=size, sigma=sigma)
    path = user_path(word)
    if path.suffix.lower() in _FILE_TYPES or _is_file(path):
        return Kernel(path.stem, parse_matrix(_COMMENT.sub("", _read(path)), path), f"from {path}")
    if not name or re.search(r"[;\[\n,\s]", name) or re.match("[-+.\\d\N{MINUS SIGN}]", name):
        return Kernel("custom", parse_matrix(word, option), "as given")
    raise unknown_choice(option, word, NAMES, "kernel")


def _refuse_unused(option: str, value: float | None, words: Sequence[str], having: frozenset[str]) -> None:
    if value is not None and not having & {word.strip().lower() for word in words}:
        raise InputError(option, "goes with none of the kernels", f"leave it out, or use {', '.join(sorted(having))}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a matrix may be too long for a name
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > _MAX_BYTES:
        raise InputError(path, f"is longer than {_MAX_BYTES:,} bytes", "give a kernel")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "not UTF-8 text", "give a kernel as text, CSV or JSON") from error


def _cells(line: str) -> list[object]:
    return [cell.strip() for cell in line.split(",")] if "," in line else list(line.split())


def _json_rows(text: str, where: object) -> list[list[object]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"not JSON ({error})", "give a list of rows, as in [[0, 1], [1, 0]]") from error
    if isinstance(found, dict):
        found = found.get("kernel")
    if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
        raise InputError(where, "holds no list of rows", "give a list of rows, as in [[0, 1], [1, 0]]")
    return found


def _checked(rows: list[list[object]], where: object) -> Matrix:
    if not rows or not rows[0]:
        raise InputError(where, "row 1, column 1: no numbers" if rows else "is empty: no row 1, column 1", _HOW)
    width = len(rows[0])
    for y, row in enumerate(rows, 1):
        if len(row) != width:
            column = min(len(row), width) + 1
            what = f"row {y} has {len(row)} numbers, row 1 has {width} (column {column})"
            raise InputError(where, what, "make the rows equally long")
    if max(len(rows), width) > LARGEST_SIDE:
        raise InputError(where, f"{len(rows)}x{width} numbers", f"give at most {LARGEST_SIDE} rows and columns")
    return tuple(tuple(_number(cell, where, y, x) for x, cell in enumerate(row, 1)) for y, row in enumerate(rows, 1))


def _number(cell: object, where: object, row: int, column: int) -> float:
    place = f"row {row}, column {column}"
    if cell == "":
        raise InputError(where, f"{place}: no number", _HOW)
    try:
        value = _value(cell)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise InputError(where, f"{place}: '{cell}' is not a number", _HOW) from None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise InputError(where, f"{place}: {cell} is not a finite number of ordinary size", _HOW)
    return value


def _value(cell: object) -> float:
    if isinstance(cell, str):
        above, _, below = cell.partition("/")
        return float(above) / float(below) if below else float(cell)
    return math.nan if isinstance(cell, bool) or not isinstance(cell, int | float) else float(cell)
