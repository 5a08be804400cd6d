"""What is decided from the training rows: season, window, horizon, scales and calendar."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.options import Scaling
from dlnotes_cli.data.series.preprocessing import GroupRecord, Scale, SeriesPreprocessing
from dlnotes_cli.data.series.read import SeriesColumns
from dlnotes_cli.data.series.season import find_season
from dlnotes_cli.data.series.series_set import Series, SeriesSet
from dlnotes_cli.data.series.time_axis import DAY_S, Cycle, cycles_of
from dlnotes_cli.series.options import SeriesRecipe, SeriesTrainConfig
from dlnotes_cli.series.results import ROUNDING
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_LONGEST_HORIZON, _HORIZON_WITHOUT_SEASON = 24, 12
_LEAST_WINDOW, _LONGEST_WINDOW = 24, 512
_FEWEST_ROWS = 4
_SMALLEST = 1e-30  # size of a scale; 32-bit floating point has no smaller values
_LATEST_S = 1e11  # in the year 5138; milliseconds are larger
_MONTH_S = 30.44 * DAY_S


@dataclass(frozen=True)
class FittedSeries:
    """The recipe with window and horizon, and the preprocessing."""

    recipe: SeriesRecipe
    preprocessing: SeriesPreprocessing

    @property
    def lookback(self) -> int:
        """Rows before an origin that the models read."""
        return max(self.recipe.window, self.preprocessing.season)


def fit_series(
    options: SeriesTrainConfig, recipe: SeriesRecipe, columns: SeriesColumns, data: SeriesSet
) -> FittedSeries:
    """Decide what depends on the data; every statistic is of the training rows alone.

    Raises InputError for a series that is too short.
    """
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
    training = [series.values[: record.train_rows] for series, record in zip(data.series, records, strict=True)]
    inputs = len(columns.inputs) + len(columns.known)
    scales = tuple(
        _scale(np.concatenate([rows[:, 1 + i] for rows in training]), recipe.normalize) for i in range(inputs)
    )
    return FittedSeries(
        recipe,
        SeriesPreprocessing(
            columns.target, columns.time, columns.group, columns.inputs, columns.known, columns.fill,
            _cycles(data, records) if options.calendar else (), scales, season, recipe.horizon, records,
        ),
    )  # fmt: skip


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
    horizon = recipe.horizon or _auto_horizon(season, held_out)
    return replace(recipe, window=recipe.window or _auto_window(season, horizon, rows - held_out), horizon=horizon)


def _auto_horizon(season: int, held_out: int) -> int:
    wanted = min(season, _LONGEST_HORIZON) if season > 1 else _HORIZON_WITHOUT_SEASON
    return max(1, min(wanted, held_out))


def _auto_window(season: int, horizon: int, train_rows: int) -> int:
    """Two seasons, at least 24 rows, at most 512 and half of the training rows."""
    wanted = min(max(2 * season, horizon, _LEAST_WINDOW), _LONGEST_WINDOW)
    return max(1, min(wanted, (train_rows - horizon) // 2))


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
        what = f"{_where(series)}{season:,} rows, but {train_rows:,} for training"
        raise InputError("--season", what, "use a shorter one, or 1 for none")


def _too_short(data: str, series: Series, what: str) -> InputError:
    fix = "lower them, or give more rows" if "--window" in what else "give more rows"
    return InputError(data, f"{_where(series)}{output.counted(series.rows, 'row')}, {what}", fix)


def _where(series: Series) -> str:
    return f"group '{series.name}': " if series.name else ""
