"""The numbers of `loss`: rows with their targets, from options, a CSV file or standard input."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.loss.options import LossConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.matrix import Matrix, parse_matrix

if TYPE_CHECKING:
    from dlnotes_cli.data.table import Table

_TABLES = {".csv", ".tsv", ".txt"}
_ONE_CLASS_EACH = "give the class of each row, or one target for each number"


@dataclass(frozen=True)
class Samples:
    """Rows of scores or probabilities; `true` has the class of each row, or a row of targets for each row."""

    values: Matrix
    true: tuple[int, ...] | Matrix | None
    classes: tuple[str, ...]


def read_samples(config: LossConfig) -> Samples:
    """The rows and targets that a config names. Raises InputError for what is not a number or does not fit."""
    option, text = config.source
    table = _table(text)
    if table is None:
        values = parse_matrix(text, option)
        names = tuple(map(str, range(len(values[0]))))
        return Samples(values, _targets(config.true, values), names)
    target = config.true if config.true in table.header else None
    names = tuple(name for name in table.header if name != target)
    if not names:
        raise InputError(table.path, f"'{target}' is the only column", "add columns of numbers")
    values = _columns(table, names)
    if target is None:
        return Samples(values, _targets(config.true, values), names)
    return Samples(values, _target_column(table, target, names), names)


def _table(text: str) -> "Table | None":
    """The CSV file or standard input that a value names; None for a value that holds the numbers."""
    path = user_path(text)
    if text != "-" and path.suffix.lower() not in _TABLES:
        return None
    from dlnotes_cli.data.table import read_table_argument  # here, since it loads numpy

    return read_table_argument(text, has_header=None)


def _columns(table: "Table", names: tuple[str, ...]) -> Matrix:
    from dlnotes_cli.data.table import column_numbers

    return tuple(zip(*(column_numbers(table, name).tolist() for name in names), strict=True))


def _target_column(table: "Table", name: str, classes: tuple[str, ...]) -> tuple[int, ...] | Matrix:
    """Class indices, from names of other columns or from integers; with a single other column, its targets."""
    cells = table.column(name)
    if len(classes) == 1:
        return _columns(table, (name,))
    if all(cell in classes for cell in cells):
        return tuple(map(classes.index, cells))
    return _classes(_columns(table, (name,)), len(classes), table.path)


def _targets(text: str | None, values: Matrix) -> tuple[int, ...] | Matrix | None:
    """Targets of the shape of `values`, or one class for each row."""
    if text is None:
        return None
    table = _table(text)
    targets = parse_matrix(text, "--true") if table is None else _columns(table, table.header)
    if (len(targets), len(targets[0])) == (len(values), len(values[0])):
        return targets
    if sum(map(len, targets)) != len(values):
        have, need = f"{len(targets)}x{len(targets[0])}", f"{len(values)}x{len(values[0])}"
        raise InputError("--true", f"{have} targets for {need} numbers", _ONE_CLASS_EACH)
    return _classes(targets, len(values[0]), "--true")


def _classes(targets: Matrix, count: int, where: object) -> tuple[int, ...]:
    classes = [value for row in targets for value in row]
    for value in classes:
        if value != int(value) or not 0 <= value < count:
            raise InputError(where, f"{value:g} is not one of the {count} classes", f"use 0 to {count - 1}")
    return tuple(map(int, classes))
