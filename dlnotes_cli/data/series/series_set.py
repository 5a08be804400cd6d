"""Several time series of the same columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.series.time_axis import TimeAxis


@dataclass(frozen=True)
class Series:
    """The equally spaced rows of one group; nan where a value is missing and was not filled."""

    name: str  # of the group; empty if there is only one
    values: NDArray[np.float64]  # (rows + future rows, columns): target, inputs, known inputs
    rows: int  # with a target; those after them are the future
    axis: TimeAxis
    signal: NDArray[np.float64] | None = None  # (rows,): the target without its noise, where it is known

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
