"""Columns of a table: class labels, the choice of numeric and categorical ones, and rows encoded for a network."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.options import Missing
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.data.table import Table, column_numbers, is_missing, select_rows
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_MOST_CLASSES = 1000
_FEW_CLASSES = 20  # allowed for a target in a table of any length
_FEW_ROWS = 20  # in shorter tables many distinct categories raise no warning
_MOST_CATEGORIES = 1000  # each is one network input
_SMALLEST = 1e-30  # smaller deviations count as 0
_LARGEST_SQUARED = 1e150  # of a number that is squared, in float64
_SHOWN_CATEGORIES = 12


@dataclass(frozen=True, kw_only=True)
class _Column:
    name: str
    distinct: int  # values
    empty: int  # cells


@dataclass(frozen=True, kw_only=True)
class NumericColumn(_Column):
    """Statistics of a numeric column over the cells that are numbers; `not_numbers` counts the others."""

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
class CategoricalColumn(_Column):
    """Statistics of a column of categories; `values` are the first of them in order."""

    kind: Literal["categorical"] = "categorical"
    values: tuple[str, ...]

    @property
    def content(self) -> str:
        """The categories in short."""
        return ", ".join(self.values)


def read_labels(table: Table, target: str | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class indices (N,) and class names of the target column; names that are numbers sort by value."""
    if target is None:
        what = f"does not name the column of {table.path} to predict"
        raise InputError("--target", what, f"choose from {', '.join(table.header)}")
    cells = table.filled(target, "--target")
    classes = sorted(set(cells), key=lambda cell: (table.number(cell) is None, table.number(cell) or 0.0, cell))
    if len(classes) > min(_MOST_CLASSES, max(_FEW_CLASSES, len(cells) // 2)):
        what = f"'{target}' has {len(classes)} distinct values in {len(cells)} rows"
        raise InputError("--target", what, "choose a column of classes")
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position[cell] for cell in cells], dtype=np.int64), tuple(classes)


def fit_preprocessing(
    table: Table, target: str, categorical: Sequence[str], training_rows: NDArray[np.int64],
    missing: Missing = "indicator", group: str | None = None,
) -> TablePreprocessing:  # fmt: skip
    """Choose the encoding of each feature column, with mean and standard deviation of the training rows.

    A column is numeric if most of its cells that are not missing are numbers, unless `categorical` names it. With
    "indicator" the median of the training rows stands for its missing cells, and another input says where they are;
    otherwise they are refused. The column `group` is no feature.
    """
    for name in categorical:
        table.column(name, "--categorical")
    columns = []
    for name in table.header:
        if name in {target, group}:
            continue
        if name in categorical or not _is_numeric(table, name):
            columns.append(Column(name, categories=_categories(table, name)))
        else:
            columns.append(_numeric(table, name, training_rows, fills=missing == "indicator"))
    if not columns:
        raise InputError(table.path, f"the target '{target}' is the only column", "add feature columns")
    return TablePreprocessing(target, tuple(columns))


def _is_numeric(table: Table, name: str) -> bool:
    present = [cell for cell in table.column(name) if not is_missing(cell)]
    return 2 * sum(table.number(cell) is not None for cell in present) > len(present)


def _numeric(table: Table, name: str, training_rows: NDArray[np.int64], *, fills: bool) -> Column:
    values = _numbers(table, name, allows_missing=fills)
    training, median = values[training_rows], None
    if count := int(np.isnan(values).sum()):
        known = training[~np.isnan(training)]
        median = float(np.median(known)) if len(known) else 0.0
        training = np.where(np.isnan(training), median, training)
        cells = output.counted(count, "missing cell")
        output.note(f"{table.path}: {cells} of column '{name}' taken as its median, {median:g}; an input says where")
    deviation = float(training.std()) if np.ptp(training) else 0.0
    return Column(name, float(training.mean()), deviation if deviation > _SMALLEST else 1.0, median=median)


def without_missing(table: Table, ignored: Collection[str | None], categorical: Sequence[str]) -> Table:
    """The rows of a table without a missing cell in a numeric column of features, which are not `ignored`.

    Raises InputError if none is left.
    """
    numeric = [name for name in table.header if name not in {*ignored, *categorical} and _is_numeric(table, name)]
    columns = [table.column(name) for name in numeric]
    kept = [row for row in range(len(table.rows)) if not any(is_missing(cells[row]) for cells in columns)]
    if not kept:
        raise InputError(table.path, "every row has a missing cell", "drop a column, or use --missing indicator")
    if len(kept) < len(table.rows):
        output.note(f"{table.path}: {output.counted(len(table.rows) - len(kept), 'row')} with missing cells left out")
    return select_rows(table, kept)


def encode(table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float32]:
    """Encode rows as float32 (N, F): numeric columns standardized, categorical ones one-hot.

    Raises InputError naming line and column of a cell that is not a number, or not a category of the training rows.
    """
    return standardize(encode_raw(table, preprocessing), preprocessing)


def encode_raw(table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float64]:
    """Encode rows as float64 (N, F): numeric columns unchanged, categorical ones one-hot. Raises errors as `encode`."""
    columns = preprocessing.columns
    return np.concatenate([(_one_hot if c.categories else _numbers_filled)(table, c) for c in columns], axis=1)


def _numbers_filled(table: Table, column: Column) -> NDArray[np.float64]:
    """The numbers of a column (N, 1), or with a median for missing ones and whether they are missing (N, 2)."""
    values = _numbers(table, column.name, allows_missing=column.median is not None)[:, None]
    if column.median is None:
        return values
    return np.concatenate([np.where(np.isnan(values), column.median, values), np.isnan(values)], axis=1)


def standardize(rows: NDArray[np.float64], preprocessing: TablePreprocessing) -> NDArray[np.float32]:
    """Rows of `encode_raw` as `encode` returns them: the mean subtracted, divided by the standard deviation."""
    mean, std = preprocessing.scales
    return ((rows - mean) / std).astype(np.float32)


def describe_columns(table: Table) -> list[NumericColumn | CategoricalColumn]:
    """What `data info` reports about each column; it is numeric if most of its cells are numbers."""
    described: list[NumericColumn | CategoricalColumn] = []
    for name in table.header:
        cells = table.column(name)
        common: dict[str, Any] = {"name": name, "distinct": len(set(cells)), "empty": cells.count("")}
        if not _is_numeric(table, name):
            described.append(CategoricalColumn(**common, values=tuple(sorted(set(cells))[:_SHOWN_CATEGORIES])))
            continue
        values = np.array([value for value in map(table.number, cells) if value is not None])
        scale = max(1.0, float(np.abs(values).max()) / _LARGEST_SQUARED)  # 1 but for numbers whose squares overflow
        low, high, mean, std = (float(of(values / scale)) * scale for of in (np.min, np.max, np.mean, np.std))
        not_numbers = len(cells) - len(values)
        described.append(NumericColumn(**common, not_numbers=not_numbers, min=low, max=high, mean=mean, std=std))
    return described


def _numbers(table: Table, name: str, *, allows_missing: bool) -> NDArray[np.float64]:
    fix = f"fix the cell, or pass --categorical {name} when training"
    return column_numbers(table, name, fix, allows_missing=allows_missing)


def _categories(table: Table, name: str) -> tuple[str, ...]:
    cells = table.column(name)
    categories, rows = sorted(set(cells)), len(cells)
    if "" in categories:
        count = f"{cells.count('')} of {rows} rows"
        output.note(f"{table.path}: column '{name}' is empty in {count}; empty is a category of its own")
    what = f"column '{name}' has {len(categories)} distinct values"
    if len(categories) > _MOST_CATEGORIES:
        raise InputError(table.path, f"{what}, but at most {_MOST_CATEGORIES} can be encoded", "drop the column")
    if len(categories) * 2 > rows > _FEW_ROWS:
        each = f"in {rows} rows, each a network input"
        output.warn(f"{table.path}: {what} {each}; drop columns of names or identifiers")
    return tuple(categories)


def _one_hot(table: Table, column: Column) -> NDArray[np.float64]:
    position = {name: index for index, name in enumerate(column.categories)}
    cells = table.column(column.name)
    for line, cell in zip(table.lines, cells, strict=True):
        if cell not in position:
            where = f"line {line}: column '{column.name}'"
            what = f"{where}: '{cell}' does not occur" if cell else f"{where} is empty, which does not occur"
            known = ", ".join(category or "(empty)" for category in column.categories[:_SHOWN_CATEGORIES])
            raise InputError(table.path, f"{what} in the training data", f"use one of {known}")
    identity: NDArray[np.float64] = np.eye(len(position))
    return identity[[position[cell] for cell in cells]]
