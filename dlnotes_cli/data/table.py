"""CSV tables: reading, telling numbers from categories, and encoding rows for a network."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice, unreadable

_MOST_CLASSES = 1000
_FEW_CLASSES = 20  # that a target may have in a table of any length
_FEW_ROWS = 20  # in which a column of different texts is no surprise
_MOST_CATEGORIES = 1000  # each is an input of the network
_LARGEST = 1e30  # a number beyond it would leave float32
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text, with the line that each row starts at."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    fingerprint: str

    def column(self, name: str, option: str = "") -> list[str]:
        """The cells of one column; an unknown name raises InputError offering the nearest."""
        if name not in self.header:
            where = option or self.path
            raise unknown_choice(where, name, self.header, kind="column")
        position = self.header.index(name)
        return [row[position] for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a CSV file with a header line; the separator is the one of `, ; tab |` that the header has most of.

    Raises InputError naming file and line for an empty file, a missing header, a ragged row or text that is not UTF-8.
    """
    check_regular(path)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = len(content) - len(error.object) + error.start  # of the object, a byte order mark is cut off
        what = f"byte {content[offset]:#04x} at offset {offset} is not UTF-8"
        raise InputError(path, what, "save the file as UTF-8") from None
    except OSError as error:
        raise unreadable(path, error) from error
    first_line = text.lstrip().partition("\n")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(tuple(cell.strip() for cell in row))
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(path, f"line {line}: {error}", "mend the line") from error
    _check_shape(path, rows, lines)
    return Table(path, rows[0], tuple(rows[1:]), tuple(lines[1:]), hashlib.sha256(content).hexdigest())


def read_labels(table: Table, target: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The target column as class indices and class names, numbers in numeric order."""
    if target is None:
        raise InputError(
            "--target", f"which column of {table.path} to predict?", f"choose from {', '.join(table.header)}"
        )
    cells = table.column(target, "--target")
    for line, cell in zip(table.lines, cells, strict=True):
        if not cell:
            raise InputError(table.path, f"line {line}: column '{target}' is empty", "fill the cell or drop the row")
    classes = sorted(set(cells), key=lambda cell: (_number(cell) is None, _number(cell) or 0.0, cell))
    if len(classes) > min(_MOST_CLASSES, max(_FEW_CLASSES, len(cells) // 2)):
        raise InputError(
            "--target",
            f"'{target}' has {len(classes)} different values in {len(cells)} rows",
            "choose a column of classes",
        )
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position[cell] for cell in cells], dtype=np.int64), tuple(classes)


def fit_preprocessing(
    table: Table, target: str, categorical: Sequence[str], training_rows: NDArray[np.int64]
) -> TablePreprocessing:
    """Decide how each feature column is encoded; the statistics come from the training rows alone.

    A column is numeric where most of its cells are numbers, unless `categorical` names it.
    """
    for name in categorical:
        table.column(name, "--categorical")
    columns = []
    for name in table.header:
        if name == target:
            continue
        cells = table.column(name)
        numbers = sum(_number(cell) is not None for cell in cells)
        if name in categorical or numbers * 2 <= len(cells):
            columns.append(Column(name, categories=_categories(table, name)))
            if len(columns[-1].categories) * 2 > len(cells) > _FEW_ROWS:
                what = f"column '{name}' has {len(columns[-1].categories)} different texts in {len(cells)} rows"
                output.warn(f"{table.path}: {what}, each an input of its own; leave out names and numbers of rows")
        else:
            values = _numbers(table, name)[training_rows]
            deviation = float(values.std()) if np.ptp(values) else 1.0
            columns.append(Column(name, mean=float(values.mean()), std=deviation))
    if not columns:
        raise InputError(table.path, f"no column but the target '{target}'", "add feature columns")
    return TablePreprocessing(target, tuple(columns))


def encode(table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float32]:
    """Rows as float32 (N, F): numbers standardized, categories one-hot.

    Raises InputError naming line and column where a cell is no number, or a category was not seen in training.
    """
    blocks = []
    for column in preprocessing.columns:
        if column.categories:
            blocks.append(_one_hot(table, column))
        else:
            values = (_numbers(table, column.name) - column.mean) / column.std
            blocks.append(values[:, None].astype(np.float32))
    return np.concatenate(blocks, axis=1)


def select_rows(table: Table, rows: Sequence[int]) -> Table:
    """The same table with only some of its rows."""
    return Table(
        table.path,
        table.header,
        tuple(table.rows[i] for i in rows),
        tuple(table.lines[i] for i in rows),
        table.fingerprint,
    )


def _check_shape(path: Path, rows: list[tuple[str, ...]], lines: list[int]) -> None:
    if not rows:
        raise InputError(path, "the file is empty", "give a CSV with a header line and rows")
    header = rows[0]
    if all(_number(cell) is not None for cell in header):
        raise InputError(path, "the first line holds numbers, not column names", "put a header line above them")
    if len(set(header)) < len(header) or "" in header:
        doubled = next((name or "(empty)" for name in header if not name or header.count(name) > 1), "")
        raise InputError(path, f"column name {doubled} is empty or stands twice", "give each column its own name")
    if len(rows) == 1:
        raise InputError(path, "a header line but no rows", "add rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise InputError(path, f"line {line} has {len(row)} cells, the header {len(header)}", "mend the line")


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    values = np.empty(len(table.rows))
    for i, cell in enumerate(table.column(name)):
        number = _number(cell)
        if number is None:
            shown = f"'{cell}' is not a number" if cell else "is empty"
            fix = f"mend the cell, or pass --categorical {name} when training" if cell else "fill it or drop the row"
            raise InputError(table.path, f"line {table.lines[i]}: column '{name}': {shown}", fix)
        values[i] = number
    return values


def _categories(table: Table, name: str) -> tuple[str, ...]:
    found = sorted(set(table.column(name)))
    if len(found) > _MOST_CATEGORIES:
        what = f"column '{name}' has {len(found)} different texts, at most {_MOST_CATEGORIES} can be encoded"
        raise InputError(table.path, what, "leave the column out")
    return tuple(found)


def _one_hot(table: Table, column: Column) -> NDArray[np.float32]:
    position = {name: index for index, name in enumerate(column.categories)}
    block = np.zeros((len(table.rows), len(column.categories)), dtype=np.float32)
    for i, cell in enumerate(table.column(column.name)):
        if cell not in position:
            what = f"line {table.lines[i]}: column '{column.name}': '{cell}' was not seen in training"
            raise InputError(table.path, what, f"known are {', '.join(column.categories[:12])}")
        block[i, position[cell]] = 1.0
    return block


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None  # nor is nan or inf a number to learn from


def describe_columns(table: Table) -> list[dict[str, object]]:
    """For each column its kind and range: what `data info` shows."""
    described: list[dict[str, object]] = []
    for name in table.header:
        cells = table.column(name)
        numbers = [value for value in map(_number, cells) if value is not None]
        entry: dict[str, object] = {"name": name, "distinct": len(set(cells)), "empty": cells.count("")}
        if len(numbers) * 2 > len(cells):
            values = np.array(numbers)
            statistics = {"min": values.min(), "max": values.max(), "mean": values.mean(), "std": values.std()}
            entry |= {"kind": "numeric", "not_numbers": len(cells) - len(numbers)}
            entry |= {key: float(value) for key, value in statistics.items()}
        else:
            entry |= {"kind": "categorical", "values": sorted(set(cells))[:12]}
        described.append(entry)
    return described
