"""Panels of plots from forecasts."""

from collections.abc import Mapping, Sequence

import numpy as np

from dlnotes_cli.plots.forecasts import ForecastLine, ForecastPanel
from dlnotes_cli.series.evaluation import ModelComparison
from dlnotes_cli.series.fit import FittedSeries
from dlnotes_cli.series.forecaster import NETWORK, Forecaster
from dlnotes_cli.series.frames import FrameGroup, Frames, Values
from dlnotes_cli.series.results import interval_offsets

_LEAST_HORIZONS, _MOST_HORIZONS = 4, 8  # of history that is drawn in front of a forecast


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


def validation_panels(
    forecaster: Forecaster, comparison: ModelComparison, fitted: FittedSeries, probability: float, baseline: str
) -> list[ForecastPanel]:
    """The last forecast of each group in the validation rows, with its interval and the best baseline."""
    horizon, frames = fitted.recipe.horizon, forecaster.frames
    offsets = interval_offsets(comparison.errors, probability)
    panels = []
    for index, group in enumerate(frames.groups):
        rows = np.flatnonzero(comparison.groups == index)
        if not len(rows):
            continue
        origin = int(comparison.origins[rows[-1]])
        values = {name: comparison.forecasts[name][rows[-1]] for name in (NETWORK, baseline)}
        interval = None if offsets is None else values[NETWORK][:, None] + offsets * group.record.scale.size
        lines = {
            NETWORK: [forecast_line(group, origin, values[NETWORK], interval)],
            baseline: [forecast_line(group, origin, values[baseline])],
        }
        shown = shown_history(horizon, fitted.preprocessing.season)
        panels.append(history_panel(frames, index, shown, lines, interval_name(probability)))
    return panels
