"""Time series from the columns of a CSV table: groups, order in time, gaps and missing values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.options import Fill
from dlnotes_cli.data.series.series_set import Series, SeriesSet, sine, trend_season
from dlnotes_cli.data.series.time_axis import (
    ParsedTimes,
    TimeAxis,
    infer_axis,
    is_on_axis,
    parse_times,
    rows_between,
)
from dlnotes_cli.data.table import Table, column_numbers, read_table_argument
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

GENERATED = {"sine": sine, "trend-season": trend_season}
_SHOWN = 3  # lines in an error
_MOST_GROWTH = 20  # times the rows of the file that filled gaps may make of them
_MOST_GROUPS = 10_000
_LEAST_STEP = 0.5  # between two rows; a time just after that of the row before is not on the axis
_MOST_EQUAL_GAPS = 20  # in a row; more are another frequency
_FILL_FIX = "fill the cells, or pass --fill linear, forward or skip"


@dataclass(frozen=True)
class SeriesColumns:
    """Which columns of a table are read, and how."""

    target: str
    time: str | None = None
    group: str | None = None
    inputs: tuple[str, ...] = ()
    known: tuple[str, ...] = ()  # inputs whose future is known
    fill: Fill = "refuse"
    is_sorted: bool = False  # by --sort

    @property
    def numeric(self) -> tuple[str, ...]:
        """The columns of numbers: target, inputs, known inputs."""
        return (self.target, *self.inputs, *self.known)


def read_series(data: str, columns: SeriesColumns, axis: TimeAxis | None = None) -> SeriesSet:
    """The series of a CSV file, `-` for standard input, or of a generated set.

    The rows of a group are in order of time and equally spaced; a row without a target after the last one with a
    target is in the future. `axis` is that of the training, whose step the rows must have. Raises InputError naming
    lines for a missing value and a gap (unless they are filled or skipped), a repeated time, and times out of order.
    """
    if is_generated(data):
        return GENERATED[data]()
    table = read_table_argument(data)
    _check_columns(columns)
    values = _numbers(table, columns)
    groups = _groups(table, columns.group)
    times = None
    if columns.time is not None:
        times = parse_times(table.path, columns.time, table.column(columns.time, "--time"), table.lines)
        groups = {name: _in_order(table, columns, times, rows) for name, rows in groups.items()}
        axis = _axis_of(table, columns, times, list(groups.values()), axis)
    series, gaps = [], list[int]()
    for name, rows in groups.items():
        one, inserted_after = _regular(table, columns, name, values[rows], times, rows, axis or TimeAxis())
        series.append(one)
        gaps += inserted_after
    if gaps and columns.fill == "refuse":
        what = f"{output.counted(len(gaps), 'gap')} in column '{columns.time}', {_lines('after', gaps)}"
        raise InputError(table.path, what, "insert the rows, or pass --fill linear, forward or skip")
    return _filled(table, columns, SeriesSet(data, table.fingerprint, columns.target, tuple(series)), values, groups)


def is_generated(data: str) -> bool:
    """Whether `--data` names a generated set; a file of that name has priority."""
    return data in GENERATED and not user_path(data).exists()


def _check_columns(columns: SeriesColumns) -> None:
    used: dict[str, str] = {}
    pairs = [("--column", columns.target), ("--time", columns.time), ("--group", columns.group)]
    pairs += [("--inputs", name) for name in columns.inputs] + [("--known-inputs", name) for name in columns.known]
    for option, name in pairs:
        if name is not None and name in used:
            raise InputError(option, f"column '{name}' is also that of {used[name]}", "name each column once")
        if name is not None:
            used[name] = option


def _numbers(table: Table, columns: SeriesColumns) -> NDArray[np.float64]:
    """The numeric columns (rows, columns), nan for a missing value. Raises InputError for other text."""
    options = ["--column", *["--inputs"] * len(columns.inputs), *["--known-inputs"] * len(columns.known)]
    named = zip(columns.numeric, options, strict=True)
    return np.stack([column_numbers(table, name, option=option, allows_missing=True) for name, option in named], axis=1)


def _groups(table: Table, group: str | None) -> dict[str, NDArray[np.int64]]:
    """The rows of each group, in the order of the file."""
    if group is None:
        return {"": np.arange(len(table.rows))}
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(table.column(group, "--group")):
        rows.setdefault(name, []).append(row)
    if len(rows) > _MOST_GROUPS:
        what = f"'{group}' has {len(rows):,} distinct values, more than {_MOST_GROUPS:,}"
        raise InputError("--group", what, "choose a column of groups")
    return {name: np.array(indices) for name, indices in rows.items()}


def _in_order(table: Table, columns: SeriesColumns, times: ParsedTimes, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of a group in order of time. Raises InputError for a repeated time, and without --sort for disorder."""
    values = times.values[rows]
    backward = np.flatnonzero(np.diff(values) < 0)
    if len(backward) and columns.is_sorted:
        rows = rows[np.argsort(values, kind="stable")]
    elif len(backward):
        earlier, later = rows[backward[0]], rows[backward[0] + 1]
        cell = table.column(str(columns.time))[later]
        what = f"line {table.lines[later]}: the time {cell} is before that of line {table.lines[earlier]}"
        fix = "sort the rows, or pass --sort"
        raise InputError(table.path, what, fix if columns.group else f"{fix}; several series need --group")
    equal = np.flatnonzero(np.diff(times.values[rows]) == 0)
    if len(equal):
        first, second = rows[equal[0]], rows[equal[0] + 1]
        count = output.counted(len(equal), "repeated time")
        what = f"{count} in column '{columns.time}', first in lines {table.lines[first]} and {table.lines[second]}"
        raise InputError(table.path, what, "drop the rows" if columns.group else "drop the rows, or name the --group")
    return rows


def _axis_of(
    table: Table, columns: SeriesColumns, times: ParsedTimes, groups: Sequence[NDArray[np.int64]],
    trained: TimeAxis | None,
) -> TimeAxis:  # fmt: skip
    """The common axis of all groups, checked against that of the training."""
    inferred = infer_axis(times, groups)
    if trained is None:
        return inferred
    if trained.kind != inferred.kind:
        what = f"column '{columns.time}' has {inferred.kind}, but had {trained.kind} in training"
        raise InputError(table.path, what, "use data of the same form")
    is_single = all(len(rows) == 1 for rows in groups)
    same = inferred.months == trained.months and abs(inferred.step / trained.step - 1) < 1e-3  # noqa: PLR2004
    if not (is_single or same or (inferred.months and inferred.months == trained.months)):
        what = (
            f"the step of column '{columns.time}' is {_step_text(inferred)}, but was {_step_text(trained)} in training"
        )
        raise InputError(table.path, what, "use data with the same step")
    return replace(trained, start=inferred.start, offset=inferred.offset)


def _regular(
    table: Table, columns: SeriesColumns, name: str, values: NDArray[np.float64], times: ParsedTimes | None,
    rows: NDArray[np.int64], axis: TimeAxis,
) -> tuple[Series, list[int]]:  # fmt: skip
    """The rows of a group on its axis, with rows of nan in gaps, and the lines after which those were inserted."""
    if times is None:
        return _with_future(name, values, axis), []
    axis = replace(axis, start=float(times.values[rows[0]]))
    steps = rows_between(axis, times.values[rows])
    off = np.flatnonzero(~is_on_axis(steps) | (steps < _LEAST_STEP))
    if len(off):
        line = table.lines[rows[off[0] + 1]]
        cell = table.column(str(columns.time))[rows[off[0] + 1]]
        what = f"line {line}: the time {cell} is not a whole number of steps of {_step_text(axis)} after the row before"
        raise InputError(table.path, what, "resample the rows to equal steps, or leave out --time")
    jumps = np.round(steps).astype(np.int64)
    _check_frequency(table, jumps, rows, axis)
    positions = np.concatenate([[0], np.cumsum(jumps)])
    total = int(positions[-1]) + 1
    if total > _MOST_GROWTH * max(len(rows), 1000):
        line = table.lines[rows[int(jumps.argmax()) + 1]]
        what = f"line {line}: {int(jumps.max()) - 1:,} rows are missing before its time"
        raise InputError(table.path, what, "check the time")
    grid = np.full((total, values.shape[1]), np.nan)
    grid[positions] = values
    return _with_future(name, grid, axis), [table.lines[rows[i]] for i in np.flatnonzero(jumps > 1)]


def _check_frequency(table: Table, jumps: NDArray[np.int64], rows: NDArray[np.int64], axis: TimeAxis) -> None:
    """Refuse many equal gaps in a row, of rows with another frequency. Raises InputError."""
    changes = np.flatnonzero(np.diff(jumps)) + 1
    starts, stops = np.array([0, *changes]), np.array([*changes, len(jumps)])
    for start, stop in zip(starts, stops, strict=True):
        if stop - start >= _MOST_EQUAL_GAPS and jumps[start] > 1:
            first, last = (table.lines[rows[i]] for i in (start, stop))
            what = f"the rows from line {first} to line {last} are {jumps[start]:,} steps of {_step_text(axis)} apart, "
            raise InputError(table.path, f"{what}others one step", "resample the rows to equal steps")


def _with_future(name: str, values: NDArray[np.float64], axis: TimeAxis) -> Series:
    present = np.flatnonzero(~np.isnan(values[:, 0]))
    return Series(name, values, int(present[-1]) + 1 if len(present) else 0, axis)


def _filled(
    table: Table, columns: SeriesColumns, data: SeriesSet, values: NDArray[np.float64],
    groups: dict[str, NDArray[np.int64]],
) -> SeriesSet:  # fmt: skip
    """The series with missing values filled, or refused, or left for windows to skip."""
    for series in data.series:
        if not series.rows:
            raise InputError(
                table.path, f"{series.where}column '{columns.target}' has no value", "name another --column"
            )
    future = sum(len(series.values) - series.rows for series in data.series)
    if future:
        verb = "is" if future == 1 else "are"
        output.note(f"{output.counted(future, 'row')} at the end without '{columns.target}' {verb} taken as the future")
    missing = [_is_missing(series, columns) for series in data.series]
    count = sum(int(mask.sum()) for mask in missing)
    if not count:
        return data
    if columns.fill == "refuse":
        raise _missing_error(table, columns, values, groups)
    if columns.fill == "skip":
        return replace(data, skipped=sum(int(mask.any(axis=1).sum()) for mask in missing))
    filled = tuple(
        replace(series, values=_fill(series.values, mask, columns.fill))
        for series, mask in zip(data.series, missing, strict=True)
    )
    still = next(
        (series for series, mask in zip(filled, missing, strict=True) if np.isnan(series.values[mask]).any()), None
    )
    if still is not None:
        raise InputError(table.path, f"{still.where}the first value is missing", "fill the cell, or pass --fill linear")
    return replace(data, series=filled, filled=count)


def _is_missing(series: Series, columns: SeriesColumns) -> NDArray[np.bool_]:
    """Whether a value is needed and missing, in the shape of the values: in the future only known inputs are needed."""
    mask = np.isnan(series.values)
    mask[series.rows :, : 1 + len(columns.inputs)] = False
    return mask


def _missing_error(
    table: Table, columns: SeriesColumns, values: NDArray[np.float64], groups: dict[str, NDArray[np.int64]]
) -> InputError:
    """The error that names the first lines of missing values."""
    for position, name in enumerate(columns.numeric):
        missing = np.zeros(len(table.rows), bool)
        for rows in groups.values():
            present = np.flatnonzero(~np.isnan(values[rows, 0]))
            needed = rows if position > len(columns.inputs) else rows[: int(present[-1]) + 1]
            missing[needed] |= np.isnan(values[needed, position])
        if missing.any():
            lines = [table.lines[row] for row in np.flatnonzero(missing)]
            what = f"{output.counted(len(lines), 'missing value')} in column '{name}', {_lines('in', lines)}"
            return InputError(table.path, what, _FILL_FIX)
    return InputError(table.path, "missing values", _FILL_FIX)


def _fill(values: NDArray[np.float64], mask: NDArray[np.bool_], how: Fill) -> NDArray[np.float64]:
    """The values with those of the mask interpolated, or repeated from the row before."""
    import pandas as pd

    frame = pd.DataFrame(values)
    filled = frame.interpolate(limit_direction="both") if how == "linear" else frame.ffill()
    return np.where(mask, filled.to_numpy(), values)


def _lines(preposition: str, lines: Sequence[int]) -> str:
    """The first lines, as text."""
    shown = ", ".join(map(str, lines[:_SHOWN]))
    first = "first " if len(lines) > _SHOWN else ""
    return f"{first}{preposition} line{'s' if len(lines) > 1 else ''} {shown}"


def _step_text(axis: TimeAxis) -> str:
    if axis.months:
        return output.counted(axis.months, "month")
    if axis.kind != "dates":
        return f"{axis.step:.6g}"
    units = ((86400, "d"), (3600, "h"), (60, "min"))
    size, unit = next(((size, unit) for size, unit in units if axis.step % size == 0), (1, "s"))
    return f"{axis.step / size:g} {unit}"
