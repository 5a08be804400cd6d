"""Time series from the columns of a CSV table: groups, order in time, gaps and missing values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.options import Fill
from dlnotes_cli.data.series.series_set import Series, SeriesSet, sine, trend_season
from dlnotes_cli.data.series.time_axis import ParsedTimes, TimeAxis, infer_axis, is_on_axis, parse_times, rows_between
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
_STEP_TOLERANCE = 1e-3  # by which the steps of training and of other data may differ
Rows = NDArray[np.int64]
Values = NDArray[np.float64]


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
    return GENERATED[data]() if is_generated(data) else _Reader(read_table_argument(data), columns).read(data, axis)


def is_generated(data: str) -> bool:
    """Whether `--data` names a generated set; a file of that name has priority."""
    return data in GENERATED and not user_path(data).exists()


class _Reader:
    """Puts the rows of a table on the time axes of its groups."""

    def __init__(self, table: Table, columns: SeriesColumns) -> None:
        _check_columns(columns)
        self._table, self._columns, self._lines = table, columns, np.array(table.lines)
        options = ["--column", *["--inputs"] * len(columns.inputs), *["--known-inputs"] * len(columns.known)]
        named = zip(columns.numeric, options, strict=True)
        numbers = [column_numbers(table, name, option=option, allows_missing=True) for name, option in named]
        self._values = np.stack(numbers, axis=1)  # (rows, columns), nan for a missing one
        self._times: ParsedTimes | None = None
        if columns.time is not None:
            self._times = parse_times(table.path, columns.time, table.column(columns.time, "--time"), table.lines)

    def read(self, name: str, trained: TimeAxis | None) -> SeriesSet:
        """The series of all groups."""
        groups, axis = self._groups(), TimeAxis()
        if self._times is not None:
            groups = {group: self._in_order(self._times.values, rows) for group, rows in groups.items()}
            axis = self._axis(infer_axis(self._times, list(groups.values())), trained, groups)
        found = [self._on_axis(group, rows, axis) for group, rows in groups.items()]
        columns, series, lines = self._columns, tuple(one for one, _ in found), [lines for _, lines in found]
        gaps = np.concatenate([one[:-1][(one[:-1] > 0) & (one[1:] == 0)] for one in lines])
        if len(gaps) and columns.fill == "refuse":
            what = f"{output.counted(len(gaps), 'gap')} in column '{columns.time}', {_lines_text('after', gaps)}"
            raise self._fault(what, "insert the rows, or pass --fill linear, forward or skip")
        future = sum(len(one.values) - one.rows for one in series)
        if future:
            verb = "is" if future == 1 else "are"
            rows = output.counted(future, "row")
            output.note(f"{rows} at the end without '{columns.target}' {verb} taken as the future")
        return self._filled(SeriesSet(name, self._table.fingerprint, columns.target, series), lines)

    def _groups(self) -> dict[str, Rows]:
        """The rows of each group, in the order of the file."""
        group = self._columns.group
        if group is None:
            return {"": np.arange(len(self._lines))}
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self._table.column(group, "--group")):
            rows.setdefault(name, []).append(row)
        if len(rows) > _MOST_GROUPS:
            what = f"'{group}' has {len(rows):,} distinct values, more than {_MOST_GROUPS:,}"
            raise InputError("--group", what, "choose a column of groups")
        return {name: np.array(indices) for name, indices in rows.items()}

    def _in_order(self, times: Values, rows: Rows) -> Rows:
        """The rows of a group in order of time. Raises InputError for a repeated time, or disorder without --sort."""
        columns, has_groups = self._columns, self._columns.group is not None
        if columns.is_sorted:
            rows = rows[np.argsort(times[rows], kind="stable")]
        steps = np.diff(times[rows])
        backward, equal = np.flatnonzero(steps < 0), np.flatnonzero(steps == 0)
        if len(backward):
            earlier, later = self._lines[rows[backward[0]]], rows[backward[0] + 1]
            what = f"{self._time_of(later)} is before that of line {earlier}"
            fix = "sort the rows, or pass --sort"
            raise self._fault(what, fix if has_groups else f"{fix}; several series need --group")
        if len(equal):
            first, second = (self._lines[rows[equal[0] + i]] for i in (0, 1))
            count = output.counted(len(equal), "repeated time")
            what = f"{count} in column '{columns.time}', first in lines {first} and {second}"
            raise self._fault(what, "drop the rows" if has_groups else "drop the rows, or name the --group")
        return rows

    def _axis(self, inferred: TimeAxis, trained: TimeAxis | None, groups: Mapping[str, Rows]) -> TimeAxis:
        """The common axis of all groups, checked against that of the training."""
        if trained is None:
            return inferred
        column = f"column '{self._columns.time}'"
        if trained.kind != inferred.kind:
            what = f"{column} has {inferred.kind}, but had {trained.kind} in training"
            raise self._fault(what, "use data of the same form")
        is_same = inferred.months == trained.months and (
            inferred.months > 0 or abs(inferred.step / trained.step - 1) < _STEP_TOLERANCE
        )
        if not is_same and any(len(rows) > 1 for rows in groups.values()):
            what = f"the step of {column} is {_step_text(inferred)}, but was {_step_text(trained)} in training"
            raise self._fault(what, "use data with the same step")
        return replace(trained, start=inferred.start, offset=inferred.offset)

    def _on_axis(self, name: str, rows: Rows, axis: TimeAxis) -> tuple[Series, Rows]:
        """The rows of a group on its axis, nan in gaps; and the line of each, 0 in gaps."""
        positions = np.arange(len(rows))
        if self._times is not None:
            axis = replace(axis, start=float(self._times.values[rows[0]]))
            positions = self._positions(rows_between(axis, self._times.values[rows]), rows, axis)
        values = np.full((int(positions[-1]) + 1, self._values.shape[1]), np.nan)
        values[positions] = self._values[rows]
        lines = np.zeros(len(values), np.int64)
        lines[positions] = self._lines[rows]
        present = np.flatnonzero(~np.isnan(values[:, 0]))
        series = Series(name, values, int(present[-1]) + 1 if len(present) else 0, axis)
        if not series.rows:
            raise self._fault(f"{series.where}column '{self._columns.target}' has no value", "name another --column")
        return series, lines

    def _positions(self, steps: Values, rows: Rows, axis: TimeAxis) -> Rows:
        """The position of each row on the axis, with `steps` between them that need not be whole."""
        off = np.flatnonzero(~is_on_axis(steps) | (steps < _LEAST_STEP))
        if len(off):
            row = rows[off[0] + 1]
            what = f"{self._time_of(row)} is not a whole number of steps of {_step_text(axis)} after the row before"
            raise self._fault(what, "resample the rows to equal steps, or leave out --time")
        jumps = np.round(steps).astype(np.int64)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(jumps)) + 1])  # of equal jumps
        lengths = np.diff([*starts, len(jumps)])
        for start, length in zip(starts, lengths, strict=True):
            if length >= _MOST_EQUAL_GAPS and jumps[start] > 1:
                first, last = self._lines[rows[start]], self._lines[rows[start + length]]
                apart = f"{jumps[start]:,} steps of {_step_text(axis)} apart, others one step"
                what = f"the rows from line {first} to line {last} are {apart}"
                raise self._fault(what, "resample the rows to equal steps")
        if jumps.sum() >= _MOST_GROWTH * max(len(rows), 1000):
            line = self._lines[rows[jumps.argmax() + 1]]
            raise self._fault(f"line {line}: {jumps.max() - 1:,} rows are missing before its time", "check the time")
        return np.concatenate([[0], np.cumsum(jumps)])

    def _filled(self, data: SeriesSet, lines: Sequence[Rows]) -> SeriesSet:
        """The series with missing values filled, or refused, or left for windows to skip."""
        columns = self._columns
        missing = [np.isnan(series.values) for series in data.series]
        for mask, series in zip(missing, data.series, strict=True):
            mask[series.rows :, : 1 + len(columns.inputs)] = False  # only known inputs are needed in the future
        count = sum(int(mask.sum()) for mask in missing)
        if not count:
            return data
        if columns.fill == "refuse":
            for position, name in enumerate(columns.numeric):
                found = np.concatenate([one[mask[:, position]] for one, mask in zip(lines, missing, strict=True)])
                if len(found):
                    text = _lines_text("in", np.sort(found))
                    what = f"{output.counted(len(found), 'missing value')} in column '{name}', {text}"
                    raise self._fault(what, "fill the cells, or pass --fill linear, forward or skip")
        if columns.fill == "skip":
            return replace(data, skipped=sum(int(mask.any(axis=1).sum()) for mask in missing))
        filled = []
        for series, mask in zip(data.series, missing, strict=True):
            values = _fill(series.values, mask, columns.fill)
            if np.isnan(values[mask]).any():
                what = f"{series.where}the first value is missing"
                raise self._fault(what, "fill the cell, or pass --fill linear")
            filled.append(replace(series, values=values))
        return replace(data, series=tuple(filled), filled=count)

    def _time_of(self, row: int) -> str:
        """The line of a row and its time, for an error."""
        return f"line {self._lines[row]}: the time {self._table.column(str(self._columns.time))[row]}"

    def _fault(self, what: str, fix: str) -> InputError:
        return InputError(self._table.path, what, fix)


def _check_columns(columns: SeriesColumns) -> None:
    used: dict[str, str] = {}
    pairs = [("--column", columns.target), ("--time", columns.time), ("--group", columns.group)]
    pairs += [("--inputs", name) for name in columns.inputs] + [("--known-inputs", name) for name in columns.known]
    for option, name in pairs:
        if name is not None and name in used:
            raise InputError(option, f"column '{name}' is also that of {used[name]}", "name each column once")
        if name is not None:
            used[name] = option


def _fill(values: Values, mask: NDArray[np.bool_], how: Fill) -> Values:
    """The values with those of the mask interpolated, or repeated from the row before."""
    import pandas as pd

    frame = pd.DataFrame(values)
    filled = frame.interpolate(limit_direction="both") if how == "linear" else frame.ffill()
    return np.where(mask, filled.to_numpy(), values)


def _lines_text(preposition: str, lines: Rows) -> str:
    """The first lines, as text."""
    shown = ", ".join(map(str, lines[:_SHOWN].tolist()))
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
