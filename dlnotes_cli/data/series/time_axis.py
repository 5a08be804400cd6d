"""The times of equally spaced rows: parsed, checked for order, continued into the future, and as calendar features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.table import cell_number
from dlnotes_cli.shell.errors import InputError

TimeKind = Literal["rows", "numbers", "dates"]
DAY_S = 86400.0
Cycle = Literal["day", "week", "year"]
CYCLES: dict[Cycle, float] = dict(zip(get_args(Cycle), (DAY_S, 7 * DAY_S, 365.2425 * DAY_S), strict=True))  # seconds
_HARMONICS = 3  # of each cycle
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_DAYS = {1: (28, 31), 3: (89, 92), 6: (181, 184), 12: (365, 366)}  # of steps in calendar months
_TOLERANCE = 0.05  # of a step that a time may be off
_LARGEST = 1e30  # start or step


@dataclass(frozen=True)
class TimeAxis:
    """The time of row i: `start` plus i steps, of `step` seconds (dates) or units, or of so many calendar months."""

    kind: TimeKind = "rows"
    start: float = 1.0  # of row 0; dates: seconds since 1970 in UTC
    step: float = 1.0
    months: int = 0  # in a step of calendar months; 0 for a step of constant length
    offset: int | None = None  # seconds east of UTC; None: dates without a time zone
    day: int = 1  # of the month, for a step of calendar months

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if not 0 < self.step <= _LARGEST or abs(self.start) > _LARGEST:
            raise ValueError("step or start of a time")
        if not 0 <= self.months <= 1200 or not 1 <= self.day <= 31 or abs(self.offset or 0) >= DAY_S:  # noqa: PLR2004
            raise ValueError("months, day or offset of a time")

    def seconds(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The times of rows (N,): seconds since 1970 for dates, as the clock on the wall shows them, else numbers."""
        wall = self.start + (self.offset or 0)
        if not self.months:
            return wall + rows.astype(np.float64) * self.step
        months = _month(wall) + rows * self.months
        days = months.astype("datetime64[D]").astype(np.int64) + np.minimum(_days_in(months), self.day) - 1
        seconds: NDArray[np.float64] = days * DAY_S + wall % DAY_S
        return seconds

    def shifted(self, rows: int) -> "TimeAxis":
        """The axis whose row 0 is row `rows` of this one."""
        start = float(self.seconds(np.array([rows]))[0]) - (self.offset or 0)
        return TimeAxis(self.kind, start, self.step, self.months, self.offset, self.day)

    def row_of(self, other: "TimeAxis") -> int:
        """The row of this axis at which another axis with the same step starts."""
        if self.months:
            return int((_month(other.start) - _month(self.start)).astype(int)) // self.months
        return round((other.start - self.start) / self.step)

    def labels(self, rows: NDArray[np.int64]) -> list[str]:
        """The times of rows as text: ISO 8601 dates, or numbers."""
        values = self.seconds(rows)
        if self.kind != "dates":
            return [f"{value:.0f}" if value == round(value) else f"{value:.10g}" for value in values]
        zone = None if self.offset is None else timezone(timedelta(seconds=self.offset))
        has_time = bool(np.any(values % DAY_S)) or (self.step < DAY_S and not self.months) or zone is not None
        return [_iso(value, zone, has_time=has_time) for value in values]

    def positions(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The times of rows for the axis of a plot: datetime64, or numbers."""
        values = self.seconds(rows)
        return values.round(3).astype("datetime64[s]") if self.kind == "dates" else values


class ParsedTimes(NamedTuple):
    """A column of times as numbers (N,): for dates seconds since 1970."""

    kind: TimeKind
    values: NDArray[np.float64]
    offset: int | None  # of the last date, in seconds east of UTC


def parse_times(path: object, column: str, cells: Sequence[str], lines: Sequence[int]) -> ParsedTimes:
    """The times of a column: ISO 8601 dates or numbers. Raises InputError naming the line of another cell."""
    is_number = bool(cells) and cell_number(cells[0]) is not None
    parsed: list[Any] = []
    for cell, line in zip(cells, lines, strict=True):
        value = cell_number(cell) if is_number else _date(cell)
        if value is None:
            wanted = "number" if is_number else "date like 2024-01-31 or 2024-01-31T13:00"
            what = f"column '{column}': '{cell}' is not a {wanted}" if cell else f"column '{column}' is empty"
            fix = "fix the cell; times are ISO 8601 dates, numbers or seconds since 1970"
            raise InputError(path, f"line {line}: {what}", fix)
        parsed.append(value)
    if is_number:
        return ParsedTimes("numbers", np.array(parsed), None)
    zones = {date.tzinfo is None for date in parsed}
    if len(zones) > 1:
        line = next(line for line, date in zip(lines, parsed, strict=True) if date.tzinfo is None)
        raise InputError(path, f"line {line}: column '{column}' has a date without a time zone", "write all with one")
    offset = parsed[-1].utcoffset()
    aware = (date.replace(tzinfo=UTC) if date.tzinfo is None else date for date in parsed)
    values = np.array([(date - _EPOCH).total_seconds() for date in aware])
    return ParsedTimes("dates", values, None if offset is None else int(offset.total_seconds()))


def infer_axis(times: ParsedTimes, groups: Sequence[NDArray[np.int64]]) -> TimeAxis:
    """The axis that starts at the first row and has the usual step of the groups' rows, in order of time.

    The step is the median of the differences; 28 to 31 days, for example, are one calendar month.
    """
    differences = np.concatenate([np.diff(times.values[rows]) for rows in groups])
    differences = differences[differences > 0]
    step = float(np.median(differences)) if len(differences) else 1.0
    first = float(times.values[groups[0][0]])
    months = 0
    if times.kind == "dates":
        months = next((m for m, (low, high) in _MONTH_DAYS.items() if low * DAY_S <= step <= high * DAY_S), 0)
    if not months:
        return TimeAxis(times.kind, first, step, 0, times.offset)
    days = np.concatenate([_day_of_month(times.values[rows] + (times.offset or 0)) for rows in groups])
    return TimeAxis(times.kind, first, step, months, times.offset, int(days.max()))


def rows_between(axis: TimeAxis, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps between consecutive times (N - 1,), not rounded; whole numbers where a time is on the axis."""
    if not axis.months:
        return np.diff(values) / axis.step
    wall = values + (axis.offset or 0)
    months = _month(wall)
    off = (_day_of_month(wall) - np.minimum(axis.day, _days_in(months))) / 31
    off += (wall % DAY_S - wall[0] % DAY_S) / DAY_S
    steps: NDArray[np.float64] = np.diff(months.astype(np.int64)) / axis.months + off[1:]
    return steps


def is_on_axis(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether differences in steps are whole, within 5 % of a step."""
    return np.abs(steps - np.round(steps)) <= _TOLERANCE


def _date(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _month(wall: Any) -> Any:
    """The months (datetime64) of times in seconds since 1970."""
    return np.asarray(wall // DAY_S).astype("datetime64[D]").astype("datetime64[M]")


def _days_in(months: Any) -> NDArray[np.int64]:
    days: NDArray[np.int64] = np.diff([months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")], axis=0)[0]
    return days.astype(np.int64)


def _day_of_month(wall: NDArray[np.float64]) -> NDArray[np.int64]:
    days = (wall // DAY_S).astype("datetime64[D]")
    numbers: NDArray[np.int64] = (days - _month(wall).astype("datetime64[D]")).astype(np.int64) + 1
    return numbers


def _iso(value: float, zone: timezone | None, *, has_time: bool) -> str:
    try:
        date = _EPOCH + timedelta(seconds=round(value, 6))
    except OverflowError:
        return f"{value:.10g}"
    return date.replace(tzinfo=zone).isoformat() if has_time else date.date().isoformat()


def cycles_of(step_s: float, rows: int) -> tuple[Cycle, ...]:
    """The cycles that a series with this step shows: at least two rows long, and complete in its `rows` rows."""
    return tuple(name for name, length in CYCLES.items() if 2 * step_s <= length <= rows * step_s)


def calendar_features(seconds: NDArray[np.float64], cycles: tuple[Cycle, ...]) -> NDArray[np.float64]:
    """Sine and cosine of three harmonics of each cycle (N, 6 * cycles), of times in seconds since 1970."""
    angles = [2 * np.pi * k * ((seconds / CYCLES[name]) % 1) for name in cycles for k in range(1, _HARMONICS + 1)]
    waves = [wave for angle in angles for wave in (np.sin(angle), np.cos(angle))]
    return np.stack(waves, axis=1) if waves else np.zeros((len(seconds), 0))


def count_features(cycles: tuple[Cycle, ...]) -> int:
    """The number of features of `calendar_features`."""
    return 2 * _HARMONICS * len(cycles)
