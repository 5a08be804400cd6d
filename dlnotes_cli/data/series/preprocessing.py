"""What a model file stores about time series: columns, scales, season, calendar, and where each group ends."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.data.options import Fill
from dlnotes_cli.data.series.read import SeriesColumns
from dlnotes_cli.data.series.series_set import where
from dlnotes_cli.data.series.time_axis import Cycle, TimeAxis, count_features

_LARGEST = 1e30
_MOST_ROWS = 1 << 31


@dataclass(frozen=True)
class Scale:
    """A linear scale: a value becomes (value - shift) / size."""

    shift: float = 0.0
    size: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if not (abs(self.shift) <= _LARGEST >= self.size > 0):
            raise ValueError("scale")


@dataclass(frozen=True)
class GroupRecord:
    """One group in training: its rows, its scale, and what the baselines need of rows that are not stored."""

    name: str
    rows: int  # with a target
    train_rows: int  # the first ones
    scale: Scale
    naive_error: float | None  # mean absolute error of the seasonal naive forecast in the training rows; None: 0
    first: float  # the first target
    axis: TimeAxis  # row 0 is the group's first row

    @property
    def where(self) -> str:
        """The group in front of an error's text; empty if there is only one."""
        return where(self.name)

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if not 0 < self.train_rows < self.rows <= _MOST_ROWS or abs(self.first) > _LARGEST:
            raise ValueError("rows or first value of a group")
        if self.naive_error is not None and not 0 < self.naive_error <= _LARGEST:
            raise ValueError("naive_error of a group")


@dataclass(frozen=True)
class SeriesPreprocessing:
    """How the rows of a table become inputs of the network."""

    kind: ClassVar[str] = "series"

    target: str
    time: str | None
    group: str | None
    inputs: tuple[str, ...]
    known: tuple[str, ...]
    fill: Fill
    cycles: tuple[Cycle, ...]  # of the calendar
    input_scales: tuple[Scale, ...]  # of inputs and known inputs
    season: int  # in rows; 1: none
    horizon: int  # steps that are evaluated, and forecast by default
    groups: tuple[GroupRecord, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if len(self.input_scales) != len(self.inputs) + len(self.known) or not self.groups:
            raise ValueError("scales or groups of series")
        if self.season < 1 or self.horizon < 1 or len({group.name for group in self.groups}) < len(self.groups):
            raise ValueError("season, horizon or groups of series")
        if self.time is not None and self.groups[0].axis.kind == "rows":
            raise ValueError("time of series")

    @property
    def columns(self) -> SeriesColumns:
        """The columns to read."""
        return SeriesColumns(self.target, self.time, self.group, self.inputs, self.known, self.fill)

    @property
    def channels(self) -> int:
        """Values of one row: the target, the inputs, and what is known about the future."""
        return 1 + len(self.inputs) + self.future

    @property
    def future(self) -> int:
        """Values of one row that are known in the future: known inputs and calendar features."""
        return len(self.known) + count_features(self.cycles)
