"""`series forecast`: values after the last row, with intervals; the model and the rows that it starts from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.series.read import is_generated, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.plots.forecasts import ForecastLine, ForecastPanel, draw_forecasts
from dlnotes_cli.series.forecaster import NETWORK, Forecaster, calibration_errors
from dlnotes_cli.series.frames import FrameGroup, Frames, Values, newer_frames, stored_frames
from dlnotes_cli.series.options import ForecastConfig, SeriesForecastConfig
from dlnotes_cli.series.results import digits, interval_offsets
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.show import Table, check_outputs, csv_file, csv_text
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.model_file import SeriesModel, check_finite, load_series_model, runtime_for_model

_LEAST_HORIZONS, _MOST_HORIZONS = 4, 8  # of history that is drawn in front of a forecast


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


def open_origin(config: ForecastConfig) -> Origin:
    """Load the model, and read the rows of `--data` if it is given.

    Raises InputError for an output that exists, an invalid model file or data, and a horizon that the network cannot
    forecast.
    """
    check_outputs(config)
    model = load_series_model(config.model)
    preprocessing = model.preprocessing
    horizon = config.horizon or preprocessing.horizon
    most = model.network.config.horizon
    if horizon > most and preprocessing.inputs:
        what = f"{horizon} rows are more than the {most} that the network forecasts at once, and its inputs "
        what += f"({', '.join(preprocessing.inputs)}) are unknown there"
        raise InputError("--horizon", what, f"use --horizon {most}, or train with a longer one")
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
    columns = replace(preprocessing.columns, fill=fill, is_sorted=config.sort)
    if is_generated(config.data) and config.data != model.metadata["data"]["name"]:
        raise InputError("--data", f"the model was not trained on {config.data}", "name a CSV file")
    data = read_series(config.data, columns, preprocessing.groups[0].axis)
    _check_groups(data, model)
    frames = newer_frames(data, preprocessing, horizon, stored.frames)
    return Origin(model, runtime, config.data, horizon, stored, Forecaster(network, frames, runtime))


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


def history_panel(
    frames: Frames, index: int, rows: int, forecasts: Mapping[str, Sequence[tuple[int, Values, Values | None]]],
    probability: float = 0.0,
) -> ForecastPanel:  # fmt: skip
    """The last rows of a group, without unknown values, and by model the origin, values and interval of forecasts."""
    group = frames.groups[index]
    rows = min(rows, group.rows)
    positions = np.arange(group.stop - rows, group.stop)
    values = frames.unscaled(frames.target_at(positions), np.full(rows, index))
    values[~frames.is_complete[positions]] = np.nan

    def times(position: int, count: int) -> NDArray[Any]:
        return group.axis.positions(np.arange(count) + position - group.start)

    lines = {
        model: [ForecastLine(times(origin, len(line)), line, interval) for origin, line, interval in of_model]
        for model, of_model in forecasts.items()
    }
    name = f"{100 * probability:g}% interval"
    return ForecastPanel(group.record.name, times(group.stop - rows, rows), values, lines, name)


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
    groups, smallest = np.arange(len(origins)), -np.inf if config.smallest is None else config.smallest
    values, intervals = frames.unscaled(scaled, groups), None
    if offsets is not None:
        intervals = np.maximum(values[..., None] + offsets * frames.sizes(groups)[:, None, None], smallest)
    else:
        output.note("no intervals: the validation rows of the training are too few for this horizon")
    values = np.maximum(values, smallest)
    is_continued, step = horizon > model.network.config.horizon, model.network.config.horizon
    if is_continued and step > 1:
        output.note(f"from step {step + 1} on, the forecast continues from the network's own, {step} rows at a time")
    preprocessing, forecasts, panels = model.preprocessing, list[ForecastValue](), list[ForecastPanel]()
    for index, group in enumerate(frames.groups):
        interval = None if intervals is None else intervals[index]
        ends = [(None, None)] * horizon if interval is None else interval.tolist()
        times = group.axis.labels(np.arange(group.rows, group.rows + horizon))
        for i, (time, value) in enumerate(zip(times, values[index].tolist(), strict=True)):
            forecasts.append(ForecastValue(group.record.name, i + 1, time, value, *ends[i]))
        lines = {NETWORK: [(group.stop, values[index], interval)]}
        shown = shown_history(horizon, preprocessing.season)
        panels.append(history_panel(frames, index, shown, lines, config.interval))
    if config.plot is not None:
        title = f"{opened.data}: the next {output.counted(horizon, 'row')}"
        files.atomic_write(config.plot, draw_forecasts(panels, title, preprocessing.target))
    return ForecastResult(
        model.path, opened.runtime.info, opened.data, preprocessing.target, horizon, config.interval, is_continued,
        tuple(forecasts), config.plot,
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
