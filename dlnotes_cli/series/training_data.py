"""The data of a training run: the series, what is fitted to them, and the windows that are trained on."""

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlnotes_cli.data.options import SERIES_SETS
from dlnotes_cli.data.series.read import SeriesColumns, is_generated, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.models.series_rnn import SeriesRnnConfig
from dlnotes_cli.series.evaluation import evenly_spaced
from dlnotes_cli.series.fit import FittedSeries, fit_series
from dlnotes_cli.series.frames import Frames, Rows, history_of, training_frames
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.results import SeriesData
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

_MOST_STEPS = 32  # of the recurrent layers over one window; a longer window is read in segments
_PENALTY = 1.0  # of scikit-learn's Ridge
_MOST_VALUES = 1 << 23  # of the windows and targets that the ridge regression is fitted to, in 64-bit floating point


@dataclass(frozen=True)
class TrainingSeries:
    """Series with what is fitted to their training rows."""

    series: SeriesSet
    fitted: FittedSeries
    frames: Frames
    windows: Rows  # of training, see `training_windows`

    @property
    def summary(self) -> SeriesData:
        """How many series, of how many rows, and what was found in them."""
        series, preprocessing, recipe = self.series, self.fitted.preprocessing, self.fitted.recipe
        train = sum(record.train_rows for record in preprocessing.groups)
        return SeriesData(
            series.name, series.fingerprint, series.column, len(series.series),
            {"train": train, "val": series.rows - train}, preprocessing.season, recipe.window, recipe.horizon,
            (*preprocessing.inputs, *preprocessing.known), series.filled, series.skipped,
        )  # fmt: skip

    def announce(self) -> None:
        """Print how many rows there are, and notes on missing values and undefined metrics."""
        data, preprocessing = self.summary, self.fitted.preprocessing
        groups = f"{output.counted(data.groups, 'series', 'series')}, " if data.groups > 1 else ""
        season = f"season {data.season:,}" if data.season > 1 else "no season"
        output.status("data", f"{data.name}, {groups}{data.counts['train']:,} train, {data.counts['val']:,} val rows")
        output.status("series", f"{season}, window {data.window:,}, horizon {data.horizon:,}")
        if data.filled or data.skipped:
            filled = output.counted(data.filled, "missing value") + " filled"
            output.note(filled if data.filled else f"{output.counted(data.skipped, 'row')} with missing values skipped")
        names = [record.name for record in preprocessing.groups if record.naive_error is None]
        if names:
            where = f" for {output.counted(len(names), 'series', 'series')}, such as '{names[0]}'" if names[0] else ""
            same = f"is the same every {data.season} rows" if data.season > 1 else "never changes"
            output.note(f"MASE is undefined{where}: '{preprocessing.target}' {same} in the training rows")


def load_training_series(options: SeriesTrainConfig) -> TrainingSeries:
    """Read the series and fit their preprocessing. Raises InputError for series that are unreadable or too short."""
    columns = _columns(options)
    series = read_series(options.data, columns)
    fitted = fit_series(options, options.resolved(), columns, series)
    frames = training_frames(series, fitted.preprocessing)
    windows = training_windows(frames, fitted)
    held_out = len(frames.origins("validation", fitted.lookback, fitted.recipe.horizon))
    if not len(windows) or not held_out:
        split = "validation" if len(windows) else "training"
        what = f"no {split} window of {fitted.lookback} and {fitted.recipe.horizon} rows is complete"
        raise InputError(options.data, what, "lower --window, --season or --horizon, or pass --fill linear")
    return TrainingSeries(series, fitted, frames, windows)


def training_windows(frames: Frames, fitted: FittedSeries) -> Rows:
    """The positions (N,) of the training windows: of their first rows to forecast, or if read in order, to read."""
    recipe = fitted.recipe
    if not recipe.is_carried:
        horizon = recipe.horizon if recipe.mode == "direct" else 1
        return frames.origins("train", recipe.window, horizon)
    starts = []
    usable = set(frames.origins("train", recipe.window, 1).tolist())
    for group in frames.groups:
        candidates = range(group.start, group.start + group.train_rows - recipe.window, recipe.window)
        starts += [start for start in candidates if start + recipe.window in usable]
    return np.array(starts, dtype=np.int64)


def fit_linear(frames: Frames, window: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Weight (horizon, window) and bias (horizon,) of ridge regression on the target column of the training rows.

    It is fitted to all training windows, or to evenly spaced ones if they are very many.
    """
    from sklearn.linear_model import Ridge

    origins = frames.origins("train", window, horizon)
    origins = evenly_spaced(origins, max(_MOST_VALUES // (window + horizon), 1))
    windows = frames.targets(origins - window, window)
    ridge = Ridge(alpha=_PENALTY).fit(windows, frames.targets(origins, horizon))
    weight, bias = torch.from_numpy(ridge.coef_).float(), torch.from_numpy(ridge.intercept_).float()
    return weight.view(horizon, window), bias.view(horizon)


def network_config(frames: Frames, fitted: FittedSeries) -> SeriesRnnConfig:
    """The configuration of the network for the series."""
    recipe, preprocessing = fitted.recipe, fitted.preprocessing
    history, _ = history_of(frames, fitted.lookback)
    return SeriesRnnConfig(
        cell=recipe.cell, hidden=recipe.hidden, layers=recipe.layers, dropout=recipe.dropout,
        channels=preprocessing.channels, future=preprocessing.future, window=recipe.window,
        horizon=recipe.horizon if recipe.mode == "direct" else 1,
        segment=1 if recipe.is_carried else -(-recipe.window // _MOST_STEPS),
        skip=recipe.skip, carried=recipe.is_carried, evaluated=recipe.horizon, history=history,
    )  # fmt: skip


def _columns(options: SeriesTrainConfig) -> SeriesColumns:
    """The columns to read. Raises InputError for options that a generated set has no use for, and a missing one."""
    if is_generated(options.data):
        named = {"--column": options.column, "--time": options.time, "--group": options.group,
                 "--inputs": options.inputs, "--known-inputs": options.known_inputs}  # fmt: skip
        for option, value in named.items():
            if value:
                raise InputError(option, f"has no effect on the generated set {options.data}", "drop it, or name a CSV")
        return SeriesColumns("value", "time")
    if options.column is None:
        if options.data != "-" and not os.path.exists(options.data):  # noqa: PTH110  # False for what no path can be
            see = f"name a CSV file, or {' or '.join(SERIES_SETS)}"
            raise unknown_choice("--data", options.data, SERIES_SETS, kind="file or set", see=see)
        what = f"does not name the column of {options.data} to forecast"
        raise InputError("--column", what, "name a column of numbers; 'dlnotes data info FILE' lists them")
    return SeriesColumns(
        options.column, options.time, options.group, options.inputs, options.known_inputs, options.fill, options.sort
    )
