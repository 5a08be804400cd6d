"""CSV tables: read cells and labels, choose numeric or categorical columns, encode rows for a network."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice, unreadable
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.limited_input import read_stdin

_MOST_CLASSES = 1000
_FEW_CLASSES = 20  # allowed for a target in a table of any length
_FEW_ROWS = 20  # in shorter tables many distinct categories raise no warning
_MOST_CATEGORIES = 1000  # each is one network input
_LARGEST = 1e30  # larger numbers overflow float32
_SHOWN_CATEGORIES = 12
_MOST_BYTES = 1 << 30  # of a file: its cells take several times as much memory
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text, with the line number of each row."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    fingerprint: str

    def column(self, name: str, option: str = "") -> list[str]:
        """The cells of one column. Raises InputError with the nearest name if `name` is unknown."""
        if name not in self.header:
            where = option or self.path
            raise unknown_choice(where, name, self.header, kind="column")
        position = self.header.index(name)
        return [row[position] for row in self.rows]


@dataclass(frozen=True, kw_only=True)
class NumericColumn:
    """Statistics of a numeric column over the cells that are numbers; `not_numbers` counts the others."""

    name: str
    distinct: int  # values
    empty: int  # cells
    kind: Literal["numeric"] = "numeric"
    not_numbers: int
    min: float
    max: float
    mean: float
    std: float

    @property
    def content(self) -> str:
        """The numbers in short."""
        text = f"{self.min:g} to {self.max:g}, mean {self.mean:g}, std {self.std:g}"
        if not self.not_numbers:
            return text
        return f"{text}, {output.counted(self.not_numbers, 'cell is not a number', 'cells are not numbers')}"


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """Statistics of a column of categories; `values` are the first of them in order."""

    name: str
    distinct: int  # values
    empty: int  # cells
    kind: Literal["categorical"] = "categorical"
    values: tuple[str, ...]

    @property
    def content(self) -> str:
        """The categories in short."""
        return ", ".join(self.values)


def read_table(path: Path, *, has_header: bool | None = True) -> Table:
    """Read a CSV file as `parse_table` does. Raises InputError, also where the file cannot be read."""
    check_regular(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            what = f"{size:,} bytes, more than the {_MOST_BYTES:,} that are read into memory"
            raise InputError(path, what, "use a part of its rows")
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_table(path, content, has_header=has_header)


def read_table_argument(argument: str, *, has_header: bool | None = True) -> Table:
    """Read the CSV file that a command-line argument names; `-` is standard input. Raises InputError."""
    if argument != "-":
        return read_table(user_path(argument), has_header=has_header)
    return parse_table(Path("stdin"), read_stdin(_MOST_BYTES, "use a part of its rows"), has_header=has_header)


def parse_table(path: Path, content: bytes, *, has_header: bool | None = True) -> Table:
    """Parse CSV; the separator is the most frequent of `, ; tab |` in the first line. `path` names it in errors.

    Without a header, the columns are named 1, 2, 3 and so on; None finds a header by a cell that is not a number.
    Raises InputError naming file and line for an empty file, a missing header, a row of another length than the header
    or text that is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = len(content) - len(error.object) + error.start  # error.object lacks a byte order mark
        line = content.count(b"\n", 0, offset) + 1
        what = f"line {line}: byte {content[offset]:#04x} at offset {offset} is not UTF-8"
        raise InputError(path, what, "save the file as UTF-8") from None
    first_line = text.lstrip().partition("\n")[0].partition("\r")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
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
        if "field limit" in str(error):
            what = f"line {line} has a cell of more than {csv.field_size_limit():,} characters"
            raise InputError(path, what, "shorten it, or check the quotes") from error
        raise InputError(path, f"line {line}: {error}", "fix the line") from error
    if rows and (has_header is False or (has_header is None and _are_numbers(rows[0]))):
        rows.insert(0, tuple(str(position) for position in range(1, len(rows[0]) + 1)))
        lines.insert(0, 0)
    else:
        _check_header(path, rows)
    _check_shape(path, rows, lines)
    return Table(path, rows[0], tuple(rows[1:]), tuple(lines[1:]), hashlib.sha256(content).hexdigest())


def read_labels(table: Table, target: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class indices (N,) and class names of the target column; names that are numbers sort by value."""
    if target is None:
        raise InputError(
            "--target", f"does not name the column of {table.path} to predict", f"choose from {', '.join(table.header)}"
        )
    cells = table.column(target, "--target")
    for line, cell in zip(table.lines, cells, strict=True):
        if not cell:
            raise InputError(table.path, f"line {line}: column '{target}' is empty", "fill the cell or drop the row")
    classes = sorted(set(cells), key=lambda cell: (cell_number(cell) is None, cell_number(cell) or 0.0, cell))
    if len(classes) > min(_MOST_CLASSES, max(_FEW_CLASSES, len(cells) // 2)):
        raise InputError(
            "--target",
            f"'{target}' has {len(classes)} distinct values in {len(cells)} rows",
            "choose a column of classes",
        )
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position[cell] for cell in cells], dtype=np.int64), tuple(classes)


def fit_preprocessing(
    table: Table, target: str, categorical: Sequence[str], training_rows: NDArray[np.int64]
) -> TablePreprocessing:
    """Choose the encoding of each feature column, with mean and standard deviation of the training rows.

    A column is numeric if most of its cells are numbers, unless `categorical` names it.
    """
    for name in categorical:
        table.column(name, "--categorical")
    columns = []
    for name in table.header:
        if name == target:
            continue
        cells = table.column(name)
        numeric_cells = sum(cell_number(cell) is not None for cell in cells)
        if name in categorical or numeric_cells * 2 <= len(cells):
            columns.append(Column(name, categories=_categories(table, name)))
            if len(columns[-1].categories) * 2 > len(cells) > _FEW_ROWS:
                what = f"column '{name}' has {len(columns[-1].categories)} distinct values in {len(cells)} rows"
                output.warn(f"{table.path}: {what}, each a network input; drop columns of names or identifiers")
        else:
            values = _numbers(table, name)[training_rows]
            deviation = float(values.std()) if np.ptp(values) else 1.0
            columns.append(Column(name, mean=float(values.mean()), std=deviation))
    if not columns:
        raise InputError(table.path, f"the target '{target}' is the only column", "add feature columns")
    return TablePreprocessing(target, tuple(columns))


def encode(table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float32]:
    """Encode rows as float32 (N, F): numeric columns standardized, categorical ones one-hot.

    Raises InputError naming line and column of a cell that is not a number, or not a category of the training rows.
    """
    return standardize(encode_raw(table, preprocessing), preprocessing)


def encode_raw(table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float64]:
    """Encode rows as float64 (N, F): numeric columns unchanged, categorical ones one-hot. Raises errors as `encode`."""
    blocks = [
        _one_hot(table, column) if column.categories else _numbers(table, column.name)[:, None]
        for column in preprocessing.columns
    ]
    return np.concatenate(blocks, axis=1)


def standardize(rows: NDArray[np.float64], preprocessing: TablePreprocessing) -> NDArray[np.float32]:
    """Rows of `encode_raw` as `encode` returns them: the mean subtracted, divided by the standard deviation."""
    mean, std = preprocessing.scales
    return ((rows - mean) / std).astype(np.float32)


def select_rows(table: Table, rows: Sequence[int]) -> Table:
    """The table with only the rows at the indices `rows`."""
    return Table(
        table.path,
        table.header,
        tuple(table.rows[i] for i in rows),
        tuple(table.lines[i] for i in rows),
        table.fingerprint,
    )


def describe_columns(table: Table) -> list[NumericColumn | CategoricalColumn]:
    """What `data info` reports about each column; it is numeric if most of its cells are numbers."""
    described: list[NumericColumn | CategoricalColumn] = []
    for name in table.header:
        cells = table.column(name)
        distinct, empty = len(set(cells)), cells.count("")
        values = np.array([value for value in map(cell_number, cells) if value is not None])
        if len(values) * 2 > len(cells):
            described.append(
                NumericColumn(
                    name=name,
                    distinct=distinct,
                    empty=empty,
                    not_numbers=len(cells) - len(values),
                    min=float(values.min()),
                    max=float(values.max()),
                    mean=float(values.mean()),
                    std=float(values.std()),
                )
            )
        else:
            shown = tuple(sorted(set(cells))[:_SHOWN_CATEGORIES])
            described.append(CategoricalColumn(name=name, distinct=distinct, empty=empty, values=shown))
    return described


def column_numbers(table: Table, name: str, fix: str = "fix the cell") -> NDArray[np.float64]:
    """The cells of one column as numbers (N,). Raises InputError naming the line of a cell that is not a number."""
    values = np.empty(len(table.rows))
    for i, cell in enumerate(table.column(name)):
        number = cell_number(cell)
        if number is None:
            where = f"line {table.lines[i]}: column '{name}'"
            if not cell:
                raise InputError(table.path, f"{where} is empty", "fill the cell or drop the row")
            raise InputError(table.path, f"{where}: '{cell}' is not a number", fix)
        values[i] = number
    return values


def _check_header(path: Path, rows: list[tuple[str, ...]]) -> None:
    if not rows:
        raise InputError(path, "the file is empty", "give a CSV with a header line and rows")
    header = rows[0]
    if _are_numbers(header):
        raise InputError(path, "the first line holds numbers, not column names", "put a header line above them")
    if len(set(header)) < len(header) or "" in header:
        repeated = next((name or "(empty)" for name in header if not name or header.count(name) > 1), "")
        raise InputError(path, f"column name {repeated} is empty or repeated", "give each column its own name")


def _check_shape(path: Path, rows: list[tuple[str, ...]], lines: list[int]) -> None:
    if len(rows) == 1:
        raise InputError(path, "a header line but no rows", "add rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise InputError(path, f"line {line} has {len(row)} cells, the header {len(rows[0])}", "fix the line")


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(cell_number(cell) is not None for cell in cells)


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    return column_numbers(table, name, f"fix the cell, or pass --categorical {name} when training")


def _categories(table: Table, name: str) -> tuple[str, ...]:
    cells = table.column(name)
    categories = sorted(set(cells))
    if "" in categories:
        count = f"{cells.count('')} of {len(cells)} rows"
        output.note(f"{table.path}: column '{name}' is empty in {count}; empty is a category of its own")
    if len(categories) > _MOST_CATEGORIES:
        what = f"column '{name}' has {len(categories)} distinct values, but at most {_MOST_CATEGORIES} can be encoded"
        raise InputError(table.path, what, "drop the column")
    return tuple(categories)


def _one_hot(table: Table, column: Column) -> NDArray[np.float64]:
    position = {name: index for index, name in enumerate(column.categories)}
    block = np.zeros((len(table.rows), len(column.categories)))
    for i, cell in enumerate(table.column(column.name)):
        if cell not in position:
            where = f"line {table.lines[i]}: column '{column.name}'"
            what = f"{where}: '{cell}' does not occur" if cell else f"{where} is empty, which does not occur"
            known = ", ".join(category or "(empty)" for category in column.categories[:_SHOWN_CATEGORIES])
            raise InputError(table.path, f"{what} in the training data", f"use one of {known}")
        block[i, position[cell]] = 1.0
    return block


def cell_number(cell: str) -> float | None:
    """The number in a cell; None for other text, also for nan, inf and what overflows float32."""
    if "_" in cell or not cell.isascii():  # which Python reads as digits, but no CSV has
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None  # nan and inf count as text
