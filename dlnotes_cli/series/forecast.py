"""`series forecast`: values after the last row, with intervals."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.plots.forecasts import draw_forecasts
from dlnotes_cli.series.drawing import forecast_line, history_panel, interval_name, shown_history
from dlnotes_cli.series.evaluation import calibration_errors
from dlnotes_cli.series.forecaster import NETWORK
from dlnotes_cli.series.frames import FrameGroup, Rows, Values
from dlnotes_cli.series.options import SeriesForecastConfig
from dlnotes_cli.series.origin import Origin, is_continued, open_origin
from dlnotes_cli.series.results import digits, interval_offsets
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.model_file import check_finite


@dataclass(frozen=True)
class ForecastValue:
    """The forecast of one row; the ends of its interval are None where too few errors are known for one."""

    group: str
    step: int  # from 1
    time: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ForecastResult:
    """The forecast of each group."""

    model_path: Path = field(metadata=named("model_file"))
    runtime: RuntimeInfo = field(metadata=INLINE)
    data: str
    column: str
    horizon: int
    interval: float
    is_continued: bool = field(metadata=named("fed_back"))  # whether the network's own forecasts were fed back
    forecasts: tuple[ForecastValue, ...]
    plot: Path | None

    def table(self) -> Iterator[Table]:
        """A row for each forecast value."""
        columns, rows = self._rows()
        cells = [
            [output.number(cell) if isinstance(cell, float) else "-" if cell is None else cell for cell in row]
            for row in rows
        ]
        yield Table(columns, cells, columns[-4:], is_result=True, is_in_csv=True)

    def csv(self) -> str:
        """The same as CSV, with more digits."""
        columns, rows = self._rows()
        return csv_text(columns, [[digits(cell) for cell in row] for row in rows])

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [self.plot] if self.plot else []

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        has_groups = any(value.group for value in self.forecasts)
        rows = [[one.group, one.time, one.step, one.value, one.low, one.high] for one in self.forecasts]
        columns = ["group", "time", "step", self.column, "low", "high"]
        return (columns, rows) if has_groups else (columns[1:], [row[1:] for row in rows])


def forecast_series(config: SeriesForecastConfig) -> ForecastResult:
    """Forecast the rows after the last one of each group, with intervals, and write the plot.

    The intervals are made from the errors of the same forecasts in the validation rows of the training. Raises
    InputError as `open_origin`, and for known inputs whose future is missing.
    """
    opened = open_origin(config)
    model, horizon, frames = opened.model, opened.horizon, opened.forecaster.frames
    origins = np.array([group.stop for group in frames.groups])
    for group, origin in zip(frames.groups, origins, strict=True):
        _check_window(opened, group, int(origin))
    with StopRequest() as stop:
        scaled = opened.forecaster.forecast(origins, horizon, stop.poll)
        errors = calibration_errors(opened.stored, opened.lookback, horizon, stop.poll)
    check_finite(model.path, _tensor(scaled))
    offsets = interval_offsets(errors, config.interval)
    indices = np.arange(len(origins))
    values = frames.unscaled(scaled, indices)
    intervals = None
    if offsets is not None:
        intervals = values[..., None] + offsets * frames.sizes(indices)[:, None, None]
    else:
        output.note("no intervals: the validation rows of the training are too few for this horizon")
    if is_continued(model, horizon) and model.network.config.horizon > 1:
        step = model.network.config.horizon
        output.note(f"from step {step + 1} on, the forecast continues from the network's own, {step} rows at a time")
    if config.plot is not None:
        _write_plot(config.plot, opened, values, intervals, origins, config.interval)
    forecasts = tuple(
        value for index, group in enumerate(frames.groups) for value in _values(group, index, values, intervals)
    )
    return ForecastResult(
        model.path, opened.runtime.info, opened.data, model.preprocessing.target, horizon, config.interval,
        is_continued(model, horizon), forecasts, config.plot,
    )  # fmt: skip


def _check_window(opened: Origin, group: FrameGroup, origin: int) -> None:
    """Refuse a last window with a missing value, and known inputs without a future. Raises InputError."""
    frames, window = opened.forecaster.frames, opened.model.network.config.window
    where = f"group '{group.record.name}': " if group.record.name else ""
    if not frames.is_complete[origin - window : origin].all():
        what = f"{where}the last {window} rows have missing values"
        raise InputError(opened.data, what, "fill them, or pass --fill linear")
    known = opened.model.preprocessing.known
    if known and not frames.has_future[origin : origin + opened.horizon].all():
        what = f"{where}{', '.join(known)} must be known for the {opened.horizon} rows to forecast"
        fix = f"pass --data with these rows at the end, with an empty '{opened.model.preprocessing.target}'"
        raise InputError("--data", what, fix)


def _values(group: FrameGroup, index: int, values: Values, intervals: Values | None) -> list[ForecastValue]:
    horizon = values.shape[1]
    times = group.axis.labels(np.arange(group.rows, group.rows + horizon))
    ends = (
        [(None, None)] * horizon if intervals is None else [(float(low), float(high)) for low, high in intervals[index]]
    )
    return [
        ForecastValue(group.record.name, step + 1, times[step], float(values[index, step]), *ends[step])
        for step in range(horizon)
    ]


def _write_plot(
    path: Path, opened: Origin, values: Values, intervals: Values | None, origins: Rows, probability: float
) -> None:
    frames, preprocessing = opened.forecaster.frames, opened.model.preprocessing
    shown = shown_history(opened.horizon, preprocessing.season)
    panels = []
    for index, group in enumerate(frames.groups):
        interval = None if intervals is None else intervals[index]
        line = forecast_line(group, int(origins[index]), values[index], interval)
        panels.append(history_panel(frames, index, shown, {NETWORK: [line]}, interval_name(probability)))
    title = f"{opened.data}: the next {output.counted(opened.horizon, 'row')}"
    files.atomic_write(path, draw_forecasts(panels, title, preprocessing.target))


def _tensor(values: Values) -> Any:
    import torch

    return torch.from_numpy(values)
