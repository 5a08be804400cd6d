"""Several time series of the same columns, and generated ones, whose noise is known."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.series.time_axis import TimeAxis

NOISE = 3.0  # standard deviation of the noise of trend-season
_SINE_ROWS = 2001  # 100 windows of pi, of 20 steps each, and the last target
_HOURS = 24 * 7 * 60
_MONDAY_2024 = 1704067200.0  # 2024-01-01, a Monday


def where(group: str) -> str:
    """The name of a group in front of an error's text; empty if there is only one.

    >>> where("shop"), where("")
    ("group 'shop': ", '')
    """
    return f"group '{group}': " if group else ""


@dataclass(frozen=True)
class Series:
    """The equally spaced rows of one group; nan where a value is missing and was not filled."""

    name: str  # of the group; empty if there is only one
    values: NDArray[np.float64]  # (rows + future rows, columns): target, inputs, known inputs
    rows: int  # with a target; those after them are the future
    axis: TimeAxis
    signal: NDArray[np.float64] | None = None  # (rows,): the target without its noise, where it is known

    @property
    def where(self) -> str:
        """The group in front of an error's text; empty if there is only one."""
        return where(self.name)

    @property
    def target(self) -> NDArray[np.float64]:
        """The column to forecast (rows,)."""
        return self.values[: self.rows, 0]


@dataclass(frozen=True)
class SeriesSet:
    """The series of a data source."""

    name: str
    fingerprint: str  # a checksum
    column: str
    series: tuple[Series, ...]
    filled: int = 0  # values that --fill replaced
    skipped: int = 0  # rows with a missing value, which no window contains

    @property
    def rows(self) -> int:
        """Rows with a target, of all groups."""
        return sum(series.rows for series in self.series)


def sine() -> SeriesSet:
    """The sine of the course's notebook: 20 steps for each interval of length pi, in 32-bit floating point."""
    step = math.pi / 20
    values = np.sin(np.arange(_SINE_ROWS) * step).astype(np.float32).astype(np.float64)
    series = Series("", values[:, None], len(values), TimeAxis("numbers", 0.0, step))
    return SeriesSet("sine", "generated:sine:1", "value", (series,))


def trend_season() -> SeriesSet:
    """Sixty weeks of hourly values: a linear trend, a daily and a weekly season, and Gaussian noise."""
    hours = np.arange(_HOURS)
    day, week = 2 * np.pi * hours / 24, 2 * np.pi * hours / 168
    daily = 10 * np.sin(day - 2) + 4 * np.cos(2 * day + 1)
    weekly = 6 * np.sin(week + 1) + 3 * np.cos(2 * week)
    signal = 50 + 0.004 * hours + daily + weekly
    noise = np.random.Generator(np.random.PCG64(0)).normal(0.0, NOISE, _HOURS)
    series = Series("", (signal + noise)[:, None], _HOURS, TimeAxis("dates", _MONDAY_2024, 3600.0), signal)
    return SeriesSet("trend-season", "generated:trend-season:1", "value", (series,))
