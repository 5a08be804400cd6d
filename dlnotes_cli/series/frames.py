"""Scaled rows of all series in one tensor, from which the windows of a batch are gathered by index."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.series.preprocessing import GroupRecord, SeriesPreprocessing
from dlnotes_cli.data.series.series_set import Series, SeriesSet
from dlnotes_cli.data.series.time_axis import TimeAxis, calendar_features
from dlnotes_cli.networks.series_rnn import SeriesRnn

Rows = NDArray[np.int64]
Values = NDArray[np.float64]
_MOST_ORIGINS = 8192  # of an evaluation, evenly spaced


@dataclass(frozen=True)
class FrameGroup:
    """The rows of one group in the frames."""

    record: GroupRecord
    start: int  # position of its first row
    rows: int  # with a target
    before: int  # rows of the group that are not in the frames; in data other than that of the training 0
    first: float  # the first target of the group, which may not be in the frames
    train_rows: int  # in the frames, that the network was trained on
    axis: TimeAxis  # of row `start`

    @property
    def stop(self) -> int:
        """The position after its last row with a target."""
        return self.start + self.rows


@dataclass(frozen=True)
class Frames:
    """The rows of all groups one after the other, each with its channels; no window crosses two groups or a gap."""

    values: Tensor  # float32 (R, C), scaled: target, inputs, what is known about the future; 0 where unknown
    is_complete: NDArray[np.bool_]  # (R,): whether all channels are known
    has_future: NDArray[np.bool_]  # (R,): whether what is known about the future is there
    groups: tuple[FrameGroup, ...]
    future: int  # the number of the last channels that are known about the future

    def origins(self, part: Literal["train", "validation"], lookback: int, horizon: int) -> Rows:
        """The positions (N,) of the first rows to forecast: `lookback` rows before and `horizon` rows from there on.

        In "validation", the rows to forecast are those after the training rows, before which windows may begin.
        """
        found = []
        for group in self.groups:
            first, middle = group.start + lookback, group.start + group.train_rows
            first, stop = (first, middle) if part == "train" else (max(first, middle), group.stop)
            found.append(np.arange(first, stop - horizon + 1))
        positions = np.concatenate(found)
        missing = np.concatenate([[0], np.cumsum(~self.is_complete)])
        complete: Rows = positions[missing[positions + horizon] == missing[positions - lookback]]
        return complete

    def targets(self, origins: Rows, horizon: int) -> Values:
        """The scaled targets (N, horizon) from each origin on."""
        return self.target_at(origins[:, None] + np.arange(horizon))

    def target_at(self, positions: Rows) -> Values:
        """The scaled target at positions, in their shape."""
        column = self.values[:, 0].cpu().numpy().astype(np.float64)
        found: Values = column[positions]
        return found

    def windows(self, origins: Tensor, window: int) -> Tensor:
        """The rows (B, window, C) before each origin."""
        return self.values[origins[:, None] + torch.arange(-window, 0, device=origins.device)]

    def future_of(self, origins: Tensor, horizon: int) -> Tensor:
        """What is known about the rows (B, horizon, F) from each origin on; after the last row, its values."""
        rows = (origins[:, None] + torch.arange(horizon, device=origins.device)).clamp(max=len(self.values) - 1)
        return self.values[:, self.values.shape[1] - self.future :][rows]

    def group_of(self, origins: Rows) -> Rows:
        """The index (N,) of the group of each origin."""
        return np.searchsorted([group.start for group in self.groups], origins, side="right") - 1

    def unscaled(self, values: Values, groups: Rows) -> Values:
        """Scaled values (N, ...) in the units of the data, each row of the group whose index is in `groups` (N,)."""
        shape = (-1, *[1] * (values.ndim - 1))
        return values * self.sizes(groups).reshape(shape) + self._shifts(groups).reshape(shape)

    def sizes(self, groups: Rows) -> Values:
        """The size of the scale of each group in `groups` (N,)."""
        return np.array([group.record.scale.size for group in self.groups])[groups]

    def _shifts(self, groups: Rows) -> Values:
        return np.array([group.record.scale.shift for group in self.groups])[groups]

    def to(self, device: torch.device) -> "Frames":
        """The frames on a device."""
        return Frames(self.values.to(device), self.is_complete, self.has_future, self.groups, self.future)


class _FramesBuilder:
    """Collects the rows of groups."""

    def __init__(self, preprocessing: SeriesPreprocessing, horizon: int = 0) -> None:
        self._preprocessing, self._horizon = preprocessing, horizon
        self._blocks: list[Values] = []
        self._groups: list[FrameGroup] = []

    def scaled(self, series: Series, record: GroupRecord) -> Values:
        """The columns of a series, scaled."""
        scales = (record.scale, *self._preprocessing.input_scales)
        return (series.values - [one.shift for one in scales]) / [one.size for one in scales]

    def add(
        self, record: GroupRecord, values: Values, axis: TimeAxis, *, rows: int, train_rows: int, first: float,
        before: int = 0,
    ) -> None:  # fmt: skip
        """Add scaled values (n, columns) with `rows` targets; rows of nan follow for the rest of the horizon."""
        count = max(len(values), rows + self._horizon)
        values = np.pad(values, ((0, count - len(values)), (0, 0)), constant_values=np.nan)
        calendar = calendar_features(axis.seconds(np.arange(count)), self._preprocessing.cycles)
        start = sum(map(len, self._blocks))
        self._blocks.append(np.concatenate([values, calendar], axis=1))
        self._groups.append(FrameGroup(record, start, rows, before, first, train_rows, axis))

    def frames(self) -> Frames:
        """The rows of all groups."""
        values, future = np.concatenate(self._blocks), self._preprocessing.future
        is_known: NDArray[np.bool_] = ~np.isnan(values)
        tensor = torch.from_numpy(np.where(is_known, values, 0.0).astype(np.float32))
        is_complete, has_future = (
            np.logical_and.reduce(known, axis=1) for known in (is_known, is_known[:, values.shape[1] - future :])
        )
        return Frames(tensor, is_complete, has_future, tuple(self._groups), future)


def training_frames(data: SeriesSet, preprocessing: SeriesPreprocessing) -> Frames:
    """The frames of the data that the records of `preprocessing` describe, in this order."""
    builder = _FramesBuilder(preprocessing)
    for series, record in zip(data.series, preprocessing.groups, strict=True):
        values = builder.scaled(series, record)[: series.rows]
        builder.add(record, values, series.axis, rows=series.rows, train_rows=record.train_rows, first=record.first)
    return builder.frames()


def newer_frames(data: SeriesSet, preprocessing: SeriesPreprocessing, horizon: int, stored: Frames) -> Frames:
    """The frames of other data than that of the training, or of the same, and `horizon` future rows.

    Rows that the network was trained on are recognized by their times, or without times where the end of the training
    data, in `stored`, occurs among them.
    """
    records = {record.name: record for record in preprocessing.groups}
    ends = {group.record.name: stored.targets(np.array([group.start]), group.rows)[0] for group in stored.groups}
    builder = _FramesBuilder(preprocessing, horizon)
    for series in data.series:
        record = records[series.name]
        values = builder.scaled(series, record)
        if series.axis.kind == "rows":
            after = _row_after(values[: series.rows, 0].astype(np.float32), ends[series.name])
            trained = after - (record.rows - record.train_rows)
        else:
            trained = record.train_rows - record.axis.row_of(series.axis)
        trained = min(max(trained, 0), series.rows)
        first = float(series.target[~np.isnan(series.target)][0])
        builder.add(record, values, series.axis, rows=series.rows, train_rows=trained, first=first)
    return builder.frames()


def _row_after(values: NDArray[np.float32], end: Values) -> int:
    """The row after the last occurrence of the values `end` (n,), of which 0 may be unknown; 0 if they do not occur."""
    if len(end) > len(values):
        return 0
    known = end != 0
    starts = np.arange(len(values) - len(end) + 1)
    for row in np.flatnonzero(known):
        starts = starts[values[starts + row] == end[row]]
    return int(starts[-1]) + len(end) if len(starts) and known.any() else 0


def stored_frames(network: SeriesRnn, preprocessing: SeriesPreprocessing, horizon: int) -> Frames:
    """The frames of the rows that a model file stores, and `horizon` future rows of each group."""
    values = network.history.cpu().numpy().astype(np.float64)
    values[network.history_known.cpu().numpy() == 0] = np.nan
    values = values[:, : 1 + len(preprocessing.input_scales)]  # without the calendar
    builder, start = _FramesBuilder(preprocessing, horizon), 0
    for record, rows in zip(preprocessing.groups, network.config.history, strict=True):
        before = record.rows - rows
        builder.add(
            record, values[start : start + rows], record.axis.shifted(before), rows=rows,
            train_rows=record.train_rows - before, first=record.first, before=before,
        )  # fmt: skip
        start += rows
    return builder.frames()


def history_of(frames: Frames, lookback: int) -> tuple[tuple[int, ...], Rows]:
    """The rows of each group that a model file stores, and their positions: `lookback` rows and the validation rows."""
    kept = [min(group.rows, group.rows - group.train_rows + lookback) for group in frames.groups]
    positions = [np.arange(group.stop - rows, group.stop) for group, rows in zip(frames.groups, kept, strict=True)]
    return tuple(kept), np.concatenate(positions)


def evenly_spaced(origins: Rows, most: int = _MOST_ORIGINS) -> Rows:
    """At most so many of the origins, evenly spaced."""
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).round().astype(np.int64)]
