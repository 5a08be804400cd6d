"""The network and the baselines on the same forecasts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.series.fit import FittedSeries
from dlnotes_cli.series.forecaster import BASELINES, LINEAR, NETWORK, Forecaster, naive_forecasts, no_poll
from dlnotes_cli.series.frames import Frames, Rows, Values
from dlnotes_cli.series.results import ROUNDING, Coverage, ForecastAccuracy, measure, measure_coverage

NOISE_FLOOR = "noise floor"
MOST_ORIGINS = 8192  # of an evaluation, evenly spaced
_MOST_CALIBRATED = 2048  # origins whose errors make intervals


@dataclass(frozen=True)
class ModelComparison:
    """Forecasts of several models from the same origins."""

    origins: Rows  # (N,)
    groups: Rows  # (N,): the index of each group
    targets: Values  # (N, H), in the units of the data, as the forecasts
    forecasts: dict[str, Values]  # by model
    naive_errors: Values  # (N,), nan where MASE is undefined
    sizes: Values  # (N,): the size of the scale

    def accuracies(self, steps: slice = slice(None)) -> tuple[ForecastAccuracy, ...]:
        """The accuracy of each model, over some steps of the horizon."""
        return tuple(
            measure(name, forecasts[:, steps], self.targets[:, steps], self.naive_errors)
            for name, forecasts in self.forecasts.items()
        )

    @property
    def errors(self) -> Values:
        """Targets minus the network's forecasts (N, H), scaled."""
        return (self.targets - self.forecasts[NETWORK]) / self.sizes[:, None]


def compare(
    forecaster: Forecaster, origins: Rows, horizon: int, season: int, poll: Callable[[], None] = no_poll
) -> ModelComparison:
    """The forecasts of the network and of all baselines from `origins`."""
    frames = forecaster.frames
    scaled = {NETWORK: forecaster.forecast(origins, horizon, poll)}
    scaled |= naive_forecasts(frames, origins, horizon, season)
    scaled[LINEAR] = forecaster.linear(origins, horizon, poll)
    groups = frames.group_of(origins)
    naive = np.array([group.record.naive_error or np.nan for group in frames.groups], dtype=np.float64)
    forecasts = {name: frames.unscaled(values, groups) for name, values in scaled.items()}
    targets = frames.unscaled(frames.targets(origins, horizon), groups)
    return ModelComparison(origins, groups, targets, forecasts, naive[groups], frames.sizes(groups))


def compare_with_baselines(
    forecaster: Forecaster, series: SeriesSet, fitted: FittedSeries, interval: float, poll: Callable[[], None] = no_poll
) -> tuple[ModelComparison, dict[str, Any]]:
    """The forecasts of the validation rows, and the fields of SeriesTrainResult that describe them.

    `interval` is the probability of the intervals of which the coverage is measured.
    """
    horizon, frames = fitted.recipe.horizon, forecaster.frames
    origins = evenly_spaced(frames.origins("validation", fitted.lookback, horizon))
    comparison = compare(forecaster, origins, horizon, fitted.preprocessing.season, poll)
    if series.series[0].signal is not None:
        signal = np.concatenate([np.asarray(one.signal) for one in series.series])
        known = {NOISE_FLOOR: signal[origins[:, None] + np.arange(horizon)]}
        comparison = replace(comparison, forecasts=comparison.forecasts | known)
    accuracies = comparison.accuracies()
    fields = {
        "models": accuracies,
        "best_baseline": best_baseline(accuracies).model,
        "improvement": improvement_of(comparison, accuracies),
        "coverage": validation_coverage(frames, comparison, horizon, interval),
    }
    return comparison, fields


def best_baseline(accuracies: tuple[ForecastAccuracy, ...]) -> ForecastAccuracy:
    """The baseline with the lowest RMSE."""
    return min((one for one in accuracies if one.model in BASELINES), key=lambda one: one.rmse)


def improvement_of(comparison: ModelComparison, accuracies: tuple[ForecastAccuracy, ...]) -> float | None:
    """The fraction by which the network's RMSE is below that of the best baseline, negative if it is above.

    None where the baseline is exact up to rounding, so that nothing can be below it.
    """
    own = next(one for one in accuracies if one.model == NETWORK)
    best = best_baseline(accuracies)
    ranges = [np.ptp(comparison.targets[comparison.groups == group]) for group in np.unique(comparison.groups)]
    if best.rmse <= ROUNDING * float(max(ranges)):
        return None
    return 1 - own.rmse / best.rmse


def evenly_spaced(origins: Rows, most: int = MOST_ORIGINS) -> Rows:
    """At most so many of the origins, evenly spaced."""
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).round().astype(np.int64)]


def calibration_errors(
    forecaster: Forecaster, lookback: int, horizon: int, poll: Callable[[], None] = no_poll
) -> Values:
    """The errors (N, H) of forecasts of the rows after the training rows, scaled: target - forecast."""
    frames = forecaster.frames
    origins = evenly_spaced(frames.origins("validation", lookback, horizon), _MOST_CALIBRATED)
    if not len(origins):
        return np.zeros((0, horizon))
    return frames.targets(origins, horizon) - forecaster.forecast(origins, horizon, poll)


def validation_coverage(
    frames: Frames, comparison: ModelComparison, horizon: int, probability: float
) -> Coverage | None:
    """The coverage in the second half of the validation rows of intervals from the errors in the first half."""
    middles = np.array([(group.start + group.train_rows + group.stop) // 2 for group in frames.groups])
    middle = middles[comparison.groups]
    early = np.flatnonzero(comparison.origins + horizon <= middle)
    late = np.flatnonzero(comparison.origins >= middle)
    return measure_coverage(comparison.errors, early, late, probability)
