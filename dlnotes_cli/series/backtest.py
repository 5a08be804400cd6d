"""`series backtest`: forecasts from a rolling origin, compared with what followed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.plots.forecasts import ForecastPanel, draw_errors_by_step
from dlnotes_cli.series.forecast import Origin, history_panel, open_origin
from dlnotes_cli.series.forecaster import NETWORK, ModelComparison, best_baseline, compare, improvement_of
from dlnotes_cli.series.frames import Rows
from dlnotes_cli.series.options import SeriesBacktestConfig
from dlnotes_cli.series.results import ForecastAccuracy, accuracy_table, digits, verdict
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table, csv_text
from dlnotes_cli.shell.stopping import StopRequest

_HISTORY = 2  # horizons that a plot shows before the first origin


@dataclass(frozen=True)
class BacktestFold:
    """The forecasts from one origin, of all groups."""

    fold: int  # from 1
    origin: str  # the time of the first row to forecast; of the first group
    models: tuple[ForecastAccuracy, ...]


@dataclass(frozen=True)
class BacktestStep:
    """The accuracy at one step of the horizon."""

    step: int  # from 1
    models: tuple[ForecastAccuracy, ...]


@dataclass(frozen=True)
class BacktestResult:
    """The accuracy of the network and the baselines over all folds, by fold and by step."""

    model_path: Path = field(metadata=named("model_file"))
    runtime: RuntimeInfo = field(metadata=INLINE)
    data: str
    column: str
    horizon: int
    models: tuple[ForecastAccuracy, ...]
    folds: tuple[BacktestFold, ...]
    steps: tuple[BacktestStep, ...]
    best_baseline: str
    improvement: float | None
    plot: Path | None

    def table(self) -> Iterator[Table | str]:
        """The accuracy of each model, the errors at each step, and what follows from it."""
        yield accuracy_table(self.models)
        names = [one.model for one in self.models]
        rows = [(step.step, *(output.number(one.rmse) for one in step.models)) for step in self.steps]
        yield Table(("RMSE at step", *names), rows, names)
        folds = f"{output.counted(len(self.folds), 'fold')} of {output.counted(self.horizon, 'row')}"
        yield f"{folds}; {verdict(self.best_baseline, self.improvement)}"

    def csv(self) -> str:
        """The RMSE of each model at each step."""
        rows = [(step.step, *(digits(one.rmse) for one in step.models)) for step in self.steps]
        return csv_text(("step", *(one.model for one in self.models)), rows)

    @property
    def paths(self) -> list[Path]:
        """The files that were written."""
        return [self.plot] if self.plot else []


def backtest_series(config: SeriesBacktestConfig) -> BacktestResult:
    """Forecast the last `--folds` times `--horizon` rows of each group, one horizon at a time, without training again.

    All of them are rows that the network was not trained on. Raises InputError as `open_origin`, and where these are
    too few.
    """
    opened = open_origin(config)
    frames, horizon = opened.forecaster.frames, opened.horizon
    origins = _origins(opened, config.folds)
    with StopRequest() as stop:
        season = opened.model.preprocessing.season
        comparison = compare(opened.forecaster, origins.ravel(), horizon, season, stop.poll)
    if config.smallest is not None:
        clipped = {name: np.maximum(values, config.smallest) for name, values in comparison.forecasts.items()}
        comparison = replace(comparison, forecasts=clipped)
    folds = tuple(_fold(opened, comparison, origins, fold) for fold in range(config.folds))
    steps = tuple(BacktestStep(i + 1, comparison.accuracies(slice(i, i + 1))) for i in range(horizon))
    models = comparison.accuracies()
    best, improvement = best_baseline(models), improvement_of(comparison, models)
    if config.plot is not None:
        names = [NETWORK, best.model, *(one.model for one in models if one.model not in {NETWORK, best.model})]
        errors = {name: [one.rmse for step in steps for one in step.models if one.model == name] for name in names}
        panels = [_panel(opened, comparison, index, names[:2]) for index in range(len(frames.groups))]
        title = f"{opened.data}: {output.counted(config.folds, 'fold')}"
        target = opened.model.preprocessing.target
        files.atomic_write(config.plot, draw_errors_by_step(panels, errors, title, target))
    return BacktestResult(
        opened.model.path, opened.runtime.info, opened.data, opened.model.preprocessing.target, horizon, models, folds,
        steps, best.model, improvement, config.plot,
    )  # fmt: skip


def _origins(opened: Origin, folds: int) -> Rows:
    """The position of the first row to forecast in each fold of each group (folds, groups)."""
    frames, horizon = opened.forecaster.frames, opened.horizon
    backward = np.arange(folds, 0, -1)[:, None] * horizon
    origins: Rows = np.array([group.stop for group in frames.groups])[None] - backward
    for index, group in enumerate(frames.groups):
        first = max(group.start + opened.lookback, group.start + group.train_rows)
        room = (group.stop - first) // horizon
        if room < folds:
            fresh = f"{max(group.stop - first, 0):,} rows that the network was not trained on"
            needed = f"{output.counted(max(room, 0), 'fold')} of {output.counted(horizon, 'row')}"
            what = f"{group.record.where}{fresh} have room for {needed}"
            raise InputError("--folds", what, "lower --folds or --horizon, or pass --data with newer rows")
        for origin in origins[:, index]:
            if not frames.is_complete[origin - opened.lookback : origin + horizon].all():
                what = f"{group.record.where}the rows of a fold have missing values"
                raise InputError(opened.data, what, "pass --data with --fill linear, or lower --folds")
    return origins


def _fold(opened: Origin, comparison: ModelComparison, origins: Rows, fold: int) -> BacktestFold:
    group = opened.forecaster.frames.groups[0]
    part = comparison.part(slice(fold * origins.shape[1], (fold + 1) * origins.shape[1]))
    return BacktestFold(fold + 1, group.axis.labels(origins[fold, :1] - group.start)[0], part.accuracies())


def _panel(opened: Origin, comparison: ModelComparison, index: int, models: Sequence[str]) -> ForecastPanel:
    """The forecasts of a group in all folds."""
    rows = np.flatnonzero(comparison.groups == index)
    forecasts = {
        name: [(int(comparison.origins[row]), comparison.forecasts[name][row], None) for row in rows] for name in models
    }
    return history_panel(opened.forecaster.frames, index, (len(rows) + _HISTORY) * opened.horizon, forecasts)
