"""Tables of CSV, Parquet and Excel files: their cells, with the line of each row."""

import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import unzipped
from dlnotes_cli.data.texts.files import BOM, decoded
from dlnotes_cli.shell.errors import InputError, import_extra, unknown_choice
from dlnotes_cli.shell.files import read_file, read_stdin, user_path

_LARGEST = 1e30  # larger numbers are refused where they are computed with, as they overflow float32
_MOST_BYTES, _SHORTER = 1 << 30, "use a part of its rows"  # of a file: its cells take several times as much memory
_SEPARATORS = ",;\t|"
_COMMA, _POINT = re.compile(r"(?i)[+-]?\d+,\d+(e[+-]?\d+)?"), re.compile(r"(?i)[+-]?\d*\.\d+(e.*)?")
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_BINARY = {".parquet": ("pyarrow", "parquet"), ".xlsx": ("openpyxl", "excel")}  # library and extra by ending


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, with the line number of each row."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    fingerprint: str
    decimal: str = "."  # the mark of decimals

    def column(self, name: str, option: str = "") -> list[str]:
        """The cells of one column. Raises InputError with the nearest name if `name` is unknown."""
        if name not in self.header:
            raise unknown_choice(option or self.path, name, self.header, kind="column")
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def filled(self, name: str, option: str = "") -> list[str]:
        """The cells of a column as `column`. Raises InputError naming the line of an empty one."""
        cells = self.column(name, option)
        if "" in cells:
            what = f"line {self.lines[cells.index('')]}: column '{name}' is empty"
            raise InputError(self.path, what, "fill the cell or drop the row")
        return cells

    def number(self, cell: str) -> float | None:
        """The number in a cell, as `cell_number`."""
        return cell_number(cell.replace(self.decimal, "."))


def read_table(path: Path, *, has_header: bool | None = True, encoding: str | None = None) -> Table:
    """Read a CSV, Parquet or Excel file as `parse_table` does. Raises InputError, also where it cannot be read."""
    return parse_table(path, read_file(path, _MOST_BYTES, _SHORTER), has_header=has_header, encoding=encoding)


def read_table_argument(argument: str, *, has_header: bool | None = True) -> Table:
    """Read the table that a command-line argument names; `-` is CSV from standard input. Raises InputError."""
    if argument != "-":
        return read_table(user_path(argument), has_header=has_header)
    return parse_table(Path("stdin"), read_stdin(_MOST_BYTES, _SHORTER), has_header=has_header)


def has_fewer_lines(path: Path, count: int) -> bool:
    """Whether a table has fewer than `count` lines; False for a file that cannot be read, which its reader reports."""
    try:
        if path.suffix.lower() in _BINARY:
            return len(read_table(path).rows) + 1 < count
        content = unzipped(path, read_file(path, _MOST_BYTES, _SHORTER), _MOST_BYTES, _SHORTER)
        return sum(1 for _ in islice(io.BytesIO(content), count)) < count
    except InputError:
        return False


def parse_table(path: Path, content: bytes, *, has_header: bool | None = True, encoding: str | None = None) -> Table:
    """Parse CSV, also compressed by gzip, and by the ending of `path`, which names it in errors, Parquet and Excel.

    The separator is the most frequent of `, ; tab |` in the first line. In a file with semicolons, decimals may have a
    comma, unless some have a point. Without a header, the columns are named 1, 2, 3 and so on; None finds a header by a
    cell that is not a number. Raises InputError naming file and line for an empty file, a missing header, a row of
    another length than the header or text that is not in its encoding: the one that is named, else that of a byte-order
    mark, else UTF-8.
    """
    if path.suffix.lower() in _BINARY:
        rows, lines, decimal = *_binary_rows(path, content), "."
    else:
        content = unzipped(path, content, _MOST_BYTES, "compress it again with gzip")
        rows, lines, decimal = _text_rows(path, decoded(path, content, encoding).removeprefix(BOM))
    if not rows:
        raise InputError(path, "the file is empty", "give a CSV with a header line and rows")
    is_data = all(cell_number(cell.replace(decimal, ".")) is not None for cell in rows[0])
    if has_header is False or (has_header is None and is_data):
        rows.insert(0, tuple(str(position) for position in range(1, len(rows[0]) + 1)))
        lines.insert(0, 0)
    elif is_data:
        raise InputError(path, "the first line holds numbers, not column names", "put a header line above them")
    for name in rows[0]:
        if not name or rows[0].count(name) > 1:
            what = f"column name {name or '(empty)'} is empty or repeated"
            raise InputError(path, what, "give each column its own name")
    if len(rows) == 1:
        raise InputError(path, "a header line but no rows", "add rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise InputError(path, f"line {line} has {len(row)} cells, the header {len(rows[0])}", "fix the line")
    return Table(path, rows[0], tuple(rows[1:]), tuple(lines[1:]), hashlib.sha256(content).hexdigest(), decimal)


def _text_rows(path: Path, text: str) -> tuple[list[tuple[str, ...]], list[int], str]:
    """Rows of CSV, the line where each begins, and the mark of decimals."""
    first_line = text.lstrip().partition("\n")[0].partition("\r")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    csv.field_size_limit(_MOST_BYTES)  # a cell may be a long text
    rows: list[tuple[str, ...]] = []
    lines, line = list[int](), 1
    try:
        for row in reader:
            is_empty_cell = row == [""] and bool(rows) and len(rows[0]) == 1  # `""` in a table of one column
            if is_empty_cell or any(cell.strip() for cell in row):
                rows.append(tuple(cell.strip() for cell in row))
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(path, f"line {line}: {error}", "fix the line") from error
    has_commas = separator == ";" and any(_COMMA.fullmatch(cell) for row in rows for cell in row)
    is_point = not has_commas or any(_POINT.fullmatch(cell) for row in rows for cell in row)
    return rows, lines, "." if is_point else ","


def _binary_rows(path: Path, content: bytes) -> tuple[list[tuple[str, ...]], list[int]]:
    """Rows of a Parquet file or of the first sheet of an Excel file, and their numbers."""
    import pandas as pd

    library, extra = _BINARY[path.suffix.lower()]
    import_extra(library, extra, path)
    try:
        if extra == "excel":
            frame = pd.read_excel(io.BytesIO(content), engine="openpyxl", header=None, dtype=object, na_filter=False)
            rows = list(frame.itertuples(index=False, name=None))
        else:
            frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
            rows = [tuple(frame.columns), *frame.itertuples(index=False, name=None)]
    except Exception as error:  # of several libraries, which document none
        raise InputError(
            path, f"is no {extra.capitalize()} file ({' '.join(str(error).split())})", "save it again"
        ) from error
    texts = [tuple("" if pd.isna(cell) is True else _text(cell) for cell in row) for row in rows]
    kept = [number for number, row in enumerate(texts) if any(row)]
    return [texts[number] for number in kept], [number + 1 for number in kept]


def _text(cell: object) -> str:
    """A cell as in a CSV file; Excel has whole numbers as floats."""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def select_rows(table: Table, rows: Sequence[int]) -> Table:
    """The table with only the rows at the indices `rows`."""
    return replace(table, rows=tuple(table.rows[i] for i in rows), lines=tuple(table.lines[i] for i in rows))


def column_numbers(
    table: Table, name: str, fix: str = "fix the cell", *, option: str = "", allows_missing: bool = False
) -> NDArray[np.float64]:
    """The cells of one column as numbers (N,), nan for a missing one if that is allowed.

    Raises InputError naming the line of a cell that is not a number.
    """
    values = np.full(len(table.rows), np.nan)
    for i, cell in enumerate(table.column(name, option)):
        number = table.number(cell)
        if number is not None and abs(number) <= _LARGEST:
            values[i] = number
        elif not (allows_missing and is_missing(cell)):
            where = f"line {table.lines[i]}: column '{name}'"
            if not cell:
                raise InputError(table.path, f"{where} is empty", "fill the cell or drop the row")
            what = "is not a number" if number is None else "is too large"
            raise InputError(table.path, f"{where}: '{cell}' {what}", fix)
    return values


def is_missing(cell: str) -> bool:
    """Whether a cell has no value."""
    return cell.lower() in _MISSING


def cell_number(cell: str) -> float | None:
    """The number in a cell; None for other text, also for nan and inf."""
    if "_" in cell or not cell.isascii():  # which Python reads as digits, but no CSV has
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
