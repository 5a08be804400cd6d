"""The numbers of `loss`: rows with their targets, from options, a CSV file or standard input, and which loss fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.loss.options import LossConfig, LossName
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.parse import Matrix, parse_matrix

if TYPE_CHECKING:
    from dlnotes_cli.data.table import Table

_TABLES = {".csv", ".tsv", ".txt"}
_SUM_TOLERANCE = 0.005  # probabilities that people type are rounded


@dataclass(frozen=True)
class Samples:
    """Rows of scores or probabilities; `true` has the class of each row, or a row of targets for each row."""

    values: Matrix
    true: tuple[int, ...] | Matrix | None
    classes: tuple[str, ...]


def read_samples(config: LossConfig) -> Samples:
    """The rows and targets that a config names. Raises InputError for what is not a number or does not fit."""
    option, text = (
        ("--probabilities", str(config.probabilities)) if config.scores is None else ("--scores", config.scores)
    )
    table = _table(text)
    if table is None:
        values = parse_matrix(text, option)
        return Samples(values, _targets(config.true, values), tuple(map(str, range(len(values[0])))))
    target = config.true if config.true in table.header else None
    names = tuple(name for name in table.header if name != target)
    if not names:
        raise InputError(table.path, f"'{target}' is the only column", "add columns of numbers")
    values = _columns(table, names)
    if target is None:
        return Samples(values, _targets(config.true, values), names)
    cells = table.column(target)  # names of classes, indices, or with a single other column its targets
    if len(names) > 1 and all(cell in names for cell in cells):
        return Samples(values, tuple(map(names.index, cells)), names)
    targets = _columns(table, (target,))
    return Samples(values, targets if len(names) == 1 else _classes(targets, len(names), table.path), names)


def _table(text: str) -> "Table | None":
    """The CSV file or standard input that a value names; None for a value that holds the numbers."""
    if text != "-" and user_path(text).suffix.lower() not in _TABLES:
        return None
    from dlnotes_cli.data.table import read_table_argument  # here, since it loads numpy

    return read_table_argument(text, has_header=None)


def _columns(table: "Table", names: Sequence[str]) -> Matrix:
    from dlnotes_cli.data.table import column_numbers

    return tuple(zip(*(column_numbers(table, name).tolist() for name in names), strict=True))


def _targets(text: str | None, values: Matrix) -> tuple[int, ...] | Matrix | None:
    """Targets of the shape of `values`, or one class for each row."""
    if text is None:
        return None
    table = _table(text)
    targets = parse_matrix(text, "--true") if table is None else _columns(table, table.header)
    if (len(targets), len(targets[0])) == (len(values), len(values[0])):
        return targets
    if sum(map(len, targets)) != len(values):
        what = f"{len(targets)}x{len(targets[0])} targets for {len(values)}x{len(values[0])} numbers"
        raise InputError("--true", what, "give the class of each row, or one target for each number")
    return _classes(targets, len(values[0]), "--true")


def _classes(targets: Matrix, count: int, where: object) -> tuple[int, ...]:
    classes = [value for row in targets for value in row]
    for value in classes:
        if value != int(value) or not 0 <= value < count:
            raise InputError(where, f"{value:g} is not one of the {count} classes", f"use 0 to {count - 1}")
    return tuple(map(int, classes))


def usual_loss(config: LossConfig, rows: Samples) -> LossName | None:
    """The loss of these numbers without `--loss`; None without targets."""
    if rows.true is None:
        return None
    if isinstance(rows.true[0], int):
        return "cross-entropy"
    if config.probabilities is not None:
        return "bce"
    if all(isinstance(row, tuple) and _is_distribution(row) for row in rows.true):
        return "cross-entropy"
    raise InputError("--loss", "several losses compare numbers with numbers", "choose bce, mse, mae, huber or hinge")


def _is_distribution(row: Sequence[float]) -> bool:
    return len(row) > 1 and min(row) >= 0 and abs(fsum(row) - 1) <= _SUM_TOLERANCE


def check_samples(config: LossConfig, loss: LossName | None, rows: Samples) -> None:
    """Raise InputError for options, numbers and targets that do not fit the loss."""
    has_softmax = config.scores is not None and loss in {None, "cross-entropy", "bce"}
    for name, value, is_used in (
        ("--label-smoothing", config.label_smoothing, loss == "cross-entropy"),
        ("--class-weights", config.class_weights, loss in {"cross-entropy", "nll"}),
        ("--temperature", config.temperature, has_softmax),
    ):
        if value is not None and not is_used:
            raise InputError(name, f"has no effect on {loss or 'numbers without --true'}", "drop it")
    if config.class_weights is not None and len(config.class_weights) != len(rows.classes):
        what = f"{len(config.class_weights)} weights for {len(rows.classes)} classes"
        raise InputError("--class-weights", what, "give one weight for each class")
    if rows.true is not None:
        _check_targets(loss, rows.true, len(rows.classes))
    if loss == "nll" and config.scores is not None and max(map(max, rows.values)) > 0:
        what = "nll takes logarithms of probabilities, which are not above 0"
        raise InputError("--scores", what, "use --loss cross-entropy, which applies the log-softmax itself")
    if config.probabilities is not None:
        _check_probabilities(loss, rows.values)


def _check_targets(loss: LossName | None, true: Sequence[int | tuple[float, ...]], classes: int) -> None:
    if isinstance(true[0], int) and loss not in {"cross-entropy", "nll", "hinge"}:
        raise InputError("--true", f"{loss} needs one target for each number", "give as many targets as numbers")
    if loss in {"cross-entropy", "nll"} and classes == 1:
        fix = "give a number for each class, or use bce"
        raise InputError("--true", f"{loss} needs at least 2 classes in a row", fix)
    for number, row in enumerate(true, 1):
        if isinstance(row, int):
            continue
        if loss == "nll":
            raise InputError("--true", "nll needs the class of each row", "give one integer for each row")
        if loss == "cross-entropy" and not _is_distribution(row):
            what = f"row {number} is no distribution: its numbers sum to {fsum(row):.6g}"
            raise InputError("--true", what, "give shares of classes that sum to 1, or the class of each row")
        if loss == "bce" and not all(0 <= value <= 1 for value in row):
            raise InputError("--true", f"row {number} has a target outside 0 to 1", "give 0 or 1 for each number")
        if loss == "hinge" and not {*row} <= {-1.0, 1.0}:
            raise InputError("--true", f"row {number} has a target other than -1 and 1", "give a sign for each score")


def _check_probabilities(loss: LossName | None, rows: Matrix) -> None:
    if loss == "hinge":
        raise InputError("--probabilities", "hinge compares scores", "use --scores")
    for number, row in enumerate(rows, 1):
        wrong = next((value for value in row if not 0 <= value <= 1), None)
        if wrong is not None:
            what = f"row {number}: {wrong:g} is not between 0 and 1"
            raise InputError("--probabilities", what, "correct it, or use --scores")
        if loss in {"cross-entropy", "nll"} and not _is_distribution(row):
            what = f"row {number} sums to {fsum(row):.6g}, and the probabilities of classes sum to 1"
            raise InputError("--probabilities", what, "correct them, or use --scores, which softmax makes sum to 1")
