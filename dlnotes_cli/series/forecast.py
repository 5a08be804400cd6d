"""`series forecast`: values after the last row, with intervals; the model and the rows that it starts from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.series.read import is_generated, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.plots.forecasts import ForecastLine, ForecastPanel, draw_forecasts
from dlnotes_cli.series.forecaster import NETWORK, Forecaster, calibration_errors
from dlnotes_cli.series.frames import FrameGroup, Frames, Rows, Values, newer_frames, stored_frames
from dlnotes_cli.series.options import SeriesBacktestConfig, SeriesForecastConfig
from dlnotes_cli.series.results import digits, interval_offsets
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.show import Table, check_outputs, csv_file, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.model_file import SeriesModel, check_finite, load_series_model, runtime_for_model

_LEAST_HORIZONS, _MOST_HORIZONS = 4, 8  # of history that is drawn in front of a forecast
AnyConfig = SeriesForecastConfig | SeriesBacktestConfig


@dataclass(frozen=True)
class Origin:
    """A trained network with the rows that it forecasts from."""

    model: SeriesModel
    runtime: Runtime
    data: str  # the name of the rows
    horizon: int
    stored: Forecaster  # for the end of the training data, whose validation rows it has not been trained on
    forecaster: Forecaster  # for the rows of `--data`; `stored` without one

    @property
    def lookback(self) -> int:
        """Rows before an origin that the models read."""
        return max(self.model.network.config.window, self.model.preprocessing.season)


def open_origin(config: AnyConfig) -> Origin:
    """Load the model, and read the rows of `--data` if it is given.

    Raises InputError for an output that exists, an invalid model file or data, and a horizon that the network cannot
    forecast.
    """
    check_outputs(config)
    model = load_series_model(config.model)
    preprocessing = model.preprocessing
    horizon = config.horizon or preprocessing.horizon
    _check_horizon(model, horizon)
    runtime = runtime_for_model(model.metadata, config)
    network = model.network.to(runtime.device)
    stored = Forecaster(network, stored_frames(network, preprocessing, horizon), runtime)
    if config.data is None:
        name = str(model.metadata.get("data", {}).get("name", "training data"))
        return Origin(model, runtime, name, horizon, stored, stored)
    for option, path in (("--plot", config.plot), ("--csv", csv_file(config))):
        if path is not None and config.data != "-":
            check_not_input(option, path, [files.user_path(config.data)])
    fill = config.fill or preprocessing.fill
    columns = replace(preprocessing.columns, fill=fill, is_sorted=config.sort)  # type: ignore[arg-type]  # checked there
    if is_generated(config.data) and config.data != model.metadata["data"]["name"]:
        raise InputError("--data", f"the model was not trained on {config.data}", "name a CSV file")
    data = read_series(config.data, columns, preprocessing.groups[0].axis)
    _check_groups(data, model)
    frames = newer_frames(data, preprocessing, horizon, stored.frames)
    return Origin(model, runtime, config.data, horizon, stored, Forecaster(network, frames, runtime))


def is_continued(model: SeriesModel, horizon: int) -> bool:
    """Whether a forecast of this horizon is continued from the network's own forecasts."""
    return horizon > model.network.config.horizon


def _check_horizon(model: SeriesModel, horizon: int) -> None:
    if is_continued(model, horizon) and model.preprocessing.inputs:
        most = model.network.config.horizon
        what = f"{horizon} rows are more than the {most} that the network forecasts at once, and its inputs "
        what += f"({', '.join(model.preprocessing.inputs)}) are unknown there"
        raise InputError("--horizon", what, f"use --horizon {most}, or train with a longer one")


def _check_groups(data: SeriesSet, model: SeriesModel) -> None:
    """Refuse groups that the network was not trained on, and too few rows. Raises InputError."""
    known = [group.name for group in model.preprocessing.groups]
    needed = max(model.network.config.window, model.preprocessing.season)
    for series in data.series:
        if series.name not in known:
            raise unknown_choice(data.name, series.name, known, kind="group")
        if series.rows < needed:
            what = f"{series.where}{series.rows:,} rows, but a forecast reads {needed:,}"
            raise InputError(data.name, what, "give more rows")


def interval_name(probability: float) -> str:
    """The name of an interval in tables and plots.

    >>> interval_name(0.8)
    '80% interval'
    """
    return f"{100 * probability:g}% interval"


def history_panel(
    frames: Frames, index: int, rows: int, lines: Mapping[str, Sequence[ForecastLine]], name: str = ""
) -> ForecastPanel:
    """The last rows of a group with its forecasts; rows whose values are unknown are left out."""
    group = frames.groups[index]
    rows = min(rows, group.rows)
    positions = np.arange(group.stop - rows, group.stop)
    values = frames.unscaled(frames.target_at(positions), np.full(rows, index))
    values[~frames.is_complete[positions]] = np.nan
    return ForecastPanel(group.record.name, group.axis.positions(positions - group.start), values, lines, name)


def forecast_line(group: FrameGroup, origin: int, values: Values, interval: Values | None = None) -> ForecastLine:
    """The forecast (H,) of a group's rows from position `origin` on."""
    return ForecastLine(group.axis.positions(np.arange(len(values)) + origin - group.start), values, interval)


def shown_history(horizon: int, season: int) -> int:
    """The number of rows that a plot shows in front of a forecast: a season, if that is not very long or short."""
    return max(_LEAST_HORIZONS * horizon, min(season, _MOST_HORIZONS * horizon))


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
    check_finite(model.path, torch.from_numpy(scaled))
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
    if not frames.is_complete[origin - window : origin].all():
        what = f"{group.record.where}the last {window} rows have missing values"
        raise InputError(opened.data, what, "fill them, or pass --fill linear")
    known = opened.model.preprocessing.known
    if known and not frames.has_future[origin : origin + opened.horizon].all():
        what = f"{group.record.where}{', '.join(known)} must be known for the {opened.horizon} rows to forecast"
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
