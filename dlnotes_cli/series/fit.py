"""What is read and decided before training: series, season, window, horizon, scales, calendar and linear baseline."""

import os
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.options import SERIES_SETS, Scaling
from dlnotes_cli.data.series.preprocessing import GroupRecord, Scale, SeriesPreprocessing
from dlnotes_cli.data.series.read import SeriesColumns, is_generated, read_series
from dlnotes_cli.data.series.season import find_season
from dlnotes_cli.data.series.series_set import Series, SeriesSet
from dlnotes_cli.data.series.time_axis import DAY_S, Cycle, cycles_of
from dlnotes_cli.networks.series_rnn import SeriesRnnConfig
from dlnotes_cli.series.frames import Frames, Rows, evenly_spaced, history_of, training_frames
from dlnotes_cli.series.options import SeriesRecipe, SeriesTrainConfig
from dlnotes_cli.series.results import ROUNDING, SeriesData
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

_LONGEST_HORIZON, _HORIZON_WITHOUT_SEASON = 24, 12
_LEAST_WINDOW, _LONGEST_WINDOW = 24, 512
_FEWEST_ROWS = 4
_SMALLEST = 1e-30  # size of a scale; 32-bit floating point has no smaller values
_LATEST_S = 1e11  # in the year 5138; milliseconds are larger
_MONTH_S = 30.44 * DAY_S
_MOST_STEPS = 32  # of the recurrent layers over one window; a longer window is read in segments
_PENALTY = 1.0  # of scikit-learn's Ridge
_MOST_VALUES = 1 << 23  # of the windows and targets that the ridge regression is fitted to, in 64-bit floating point


@dataclass(frozen=True)
class TrainingSeries:
    """Series with what is fitted to their training rows."""

    series: SeriesSet
    recipe: SeriesRecipe  # with window and horizon
    preprocessing: SeriesPreprocessing

    @cached_property
    def frames(self) -> Frames:
        """The scaled rows."""
        return training_frames(self.series, self.preprocessing)

    @property
    def lookback(self) -> int:
        """Rows before an origin that the models read."""
        return max(self.recipe.window, self.preprocessing.season)

    @cached_property
    def windows(self) -> Rows:
        """The positions (N,) of the training windows: of their first rows to forecast, or if read in order, to read."""
        recipe = self.recipe
        if not recipe.is_carried:
            return self.frames.origins("train", recipe.window, self.own_horizon)
        usable = self.frames.origins("train", recipe.window, 1) - recipe.window
        starts = [
            np.arange(group.start, group.start + group.train_rows - recipe.window, recipe.window)
            for group in self.frames.groups
        ]
        return np.intersect1d(np.concatenate(starts), usable)

    @property
    def own_horizon(self) -> int:
        """The rows that the network forecasts at once."""
        return self.recipe.horizon if self.recipe.mode == "direct" else 1

    @property
    def network_config(self) -> SeriesRnnConfig:
        """The configuration of the network for the series."""
        recipe, preprocessing = self.recipe, self.preprocessing
        return SeriesRnnConfig(
            cell=recipe.cell, hidden=recipe.hidden, layers=recipe.layers, dropout=recipe.dropout,
            channels=preprocessing.channels, future=preprocessing.future, window=recipe.window,
            horizon=self.own_horizon, segment=1 if recipe.is_carried else -(-recipe.window // _MOST_STEPS),
            skip=recipe.skip, carried=recipe.is_carried, evaluated=recipe.horizon,
            history=history_of(self.frames, self.lookback)[0],
        )  # fmt: skip

    @property
    def summary(self) -> SeriesData:
        """How many series, of how many rows, and what was found in them."""
        series, preprocessing, recipe = self.series, self.preprocessing, self.recipe
        train = sum(record.train_rows for record in preprocessing.groups)
        return SeriesData(
            series.name, series.fingerprint, series.column, len(series.series),
            {"train": train, "val": series.rows - train}, preprocessing.season, recipe.window, recipe.horizon,
            (*preprocessing.inputs, *preprocessing.known), series.filled, series.skipped,
        )  # fmt: skip

    def announce(self) -> None:
        """Print how many rows there are, and notes on missing values and undefined metrics."""
        data, preprocessing = self.summary, self.preprocessing
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
    training = fit_series(options, columns, read_series(options.data, columns))
    horizon = training.recipe.horizon
    held_out = training.frames.origins("validation", training.lookback, horizon)
    if not len(training.windows) or not len(held_out):
        split = "validation" if len(training.windows) else "training"
        what = f"no {split} window of {training.lookback} and {horizon} rows is complete"
        raise InputError(options.data, what, "lower --window, --season or --horizon, or pass --fill linear")
    return training


def fit_series(options: SeriesTrainConfig, columns: SeriesColumns, data: SeriesSet) -> TrainingSeries:
    """Decide what depends on the data; every statistic is of the training rows alone.

    Raises InputError for a series that is too short.
    """
    recipe = options.resolved()
    shortest, longest = (pick(data.series, key=lambda series: series.rows) for pick in (min, max))
    if shortest.rows < _FEWEST_ROWS:
        raise _too_short(options.data, shortest, "too few to forecast")
    season = options.season or _season(data, recipe)
    wanted = _sized(recipe, season, longest.rows)
    recipe = _sized(recipe, season, shortest.rows)
    if (recipe.window, recipe.horizon) != (wanted.window, wanted.horizon):
        what = f"window and horizon are those of the shortest series, '{shortest.name}' of {shortest.rows:,} rows"
        output.note(f"{what}; without it they would be up to {wanted.window:,} and {wanted.horizon:,}")
    for series in data.series:
        _check_length(options.data, series, recipe, season)
    records = tuple(_record(series, recipe, season) for series in data.series)
    pairs = zip(data.series, records, strict=True)
    training = np.concatenate([series.values[: record.train_rows] for series, record in pairs])
    scales = tuple(_scale(values, recipe.normalize) for values in training.T[1:])
    cycles = _cycles(data, records) if options.calendar else ()
    preprocessing = SeriesPreprocessing(
        columns.target, columns.time, columns.group, columns.inputs, columns.known, columns.fill, cycles, scales,
        season, recipe.horizon, records,
    )  # fmt: skip
    return TrainingSeries(data, recipe, preprocessing)


def _season(data: SeriesSet, recipe: SeriesRecipe) -> int:
    """The season of the training rows of all series, each scaled to standard deviation 1."""
    scaled = []
    for series in data.series:
        values = series.target[: _train_rows(series, recipe)]
        known = np.flatnonzero(~np.isnan(values))
        deviation = float(np.nanstd(values)) if len(known) else 0.0
        if deviation > 0:
            scaled.append(np.interp(np.arange(len(values)), known, values[known]) / deviation)
    return find_season(scaled)


def _sized(recipe: SeriesRecipe, season: int, rows: int) -> SeriesRecipe:
    """The recipe with the window and the horizon that suit a series of `rows` rows, unless it has its own."""
    held_out = int(rows * recipe.val_split)
    of_season = min(season, _LONGEST_HORIZON) if season > 1 else _HORIZON_WITHOUT_SEASON
    horizon = recipe.horizon or max(1, min(of_season, held_out))
    two_seasons = min(max(2 * season, horizon, _LEAST_WINDOW), _LONGEST_WINDOW)
    window = recipe.window or max(1, min(two_seasons, (rows - held_out - horizon) // 2))
    return replace(recipe, window=window, horizon=horizon)


def _record(series: Series, recipe: SeriesRecipe, season: int) -> GroupRecord:
    rows, train_rows = series.rows, _train_rows(series, recipe)
    training = series.target[:train_rows]
    known = training[~np.isnan(training)]
    first = series.target[~np.isnan(series.target)][0]
    return GroupRecord(
        series.name, rows, train_rows, _scale(training, recipe.normalize), _naive_error(training, season),
        float(known[0] if len(known) else first), series.axis,
    )  # fmt: skip


def _train_rows(series: Series, recipe: SeriesRecipe) -> int:
    """The number of training rows: the validation rows are at least one horizon."""
    return series.rows - max(int(series.rows * recipe.val_split), min(recipe.horizon, series.rows - 1))


def _naive_error(training: NDArray[np.float64], season: int) -> float | None:
    """The mean absolute error of the seasonal naive forecast, one season ahead; None if it is 0 or there is none."""
    errors = np.abs(training[season:] - training[:-season])
    errors = errors[~np.isnan(errors)]
    mean = float(errors.mean()) if len(errors) else 0.0
    known = training[~np.isnan(training)]
    return mean if len(errors) and mean > ROUNDING * float(np.ptp(known)) else None


def _scale(training: NDArray[np.float64], how: Scaling) -> Scale:
    known = training[~np.isnan(training)]
    if how == "none" or not len(known):
        return Scale()
    low, size = (known.min(), np.ptp(known)) if how == "minmax" else (known.mean(), known.std())
    return Scale(float(low), float(size) if np.ptp(known) > 0 and size > _SMALLEST else 1.0)


def _cycles(data: SeriesSet, records: tuple[GroupRecord, ...]) -> tuple[Cycle, ...]:
    axis = data.series[0].axis
    if axis.kind == "numbers" and abs(axis.start) > _LATEST_S:
        what = "numbers are taken as seconds since 1970, and these are too large"
        raise InputError("--calendar", what, "write the times in seconds or as dates")
    rows = max(record.train_rows for record in records)
    cycles = cycles_of(axis.months * _MONTH_S if axis.months else axis.step, rows)
    if not cycles:
        what = "the times show no day, week or year: a cycle must be two rows long and complete in the training rows"
        raise InputError("--calendar", what, "drop --calendar; numbers are taken as seconds")
    return cycles


def _check_length(data: str, series: Series, recipe: SeriesRecipe, season: int) -> None:
    """Refuse a series without a training window, a season or a forecast of validation rows. Raises InputError."""
    train_rows, needed = _train_rows(series, recipe), recipe.window + recipe.horizon
    if train_rows < needed or series.rows - train_rows < recipe.horizon:
        what = (
            f"of which {train_rows:,} for training, but --window {recipe.window} and --horizon {recipe.horizon} need "
        )
        raise _too_short(data, series, f"{what}{needed:,}")
    if train_rows <= season > 1:
        what = f"{series.where}{season:,} rows, but {train_rows:,} for training"
        raise InputError("--season", what, "use a shorter one, or 1 for none")


def _too_short(data: str, series: Series, what: str) -> InputError:
    fix = "lower them, or give more rows" if "--window" in what else "give more rows"
    return InputError(data, f"{series.where}{output.counted(series.rows, 'row')}, {what}", fix)


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
