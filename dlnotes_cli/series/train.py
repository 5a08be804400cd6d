"""Training a forecasting network: from options to a finished run folder."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlnotes_cli.data.series.choices import GENERATED_SETS
from dlnotes_cli.data.series.preprocessing import SeriesPreprocessing
from dlnotes_cli.data.series.read import SeriesColumns, is_generated, read_series
from dlnotes_cli.data.series.series_set import SeriesSet
from dlnotes_cli.device import Runtime, check_device, choose_runtime
from dlnotes_cli.models.registry import build, build_on_meta
from dlnotes_cli.models.series_rnn import SeriesRnn, SeriesRnnConfig
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.plots.forecasts import draw_forecasts
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.series.drawing import validation_panels
from dlnotes_cli.series.evaluation import (
    NOISE_FLOOR,
    ModelComparison,
    best_baseline,
    compare,
    evenly_spaced,
    improvement_of,
    validation_coverage,
)
from dlnotes_cli.series.fit import FittedSeries, fit_series
from dlnotes_cli.series.forecaster import Forecaster
from dlnotes_cli.series.frames import Frames, history_of, training_frames
from dlnotes_cli.series.job import SeriesJob, training_windows
from dlnotes_cli.series.linear_autoregression import fit_linear
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.results import SeriesData, SeriesTrainResult
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.loop import Trainer
from dlnotes_cli.training.engine.memory import TrainingMemory
from dlnotes_cli.training.engine.run import TrainingRun, make_trainer
from dlnotes_cli.training.history import history_to_json
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import with_recipe
from dlnotes_cli.training.record import ModelSummary, Outcome, RunRecord, TrainingResult
from dlnotes_cli.training.run_folder import RunFolder

_REGISTRY_NAME = "series_rnn"
_MOST_STEPS = 32  # of the recurrent layers over one window; a longer window is read in segments
_MEASURES = {"loss": "mean squared error (scaled)", "rmse": "RMSE"}


def train_series(options: SeriesTrainConfig) -> SeriesTrainResult:
    """Train a forecasting network in its run folder, and compare it with baselines on the end of each series.

    Raises InputError before anything is written if options, folder or data are invalid; UnfinishedError on divergence
    or a full disk; StoppedError after a signal, with a checkpoint saved.
    """
    started = time.monotonic()
    folder = RunFolder(options)
    check_device(options.device)
    columns = _columns(options)
    data = read_series(options.data, columns)
    fitted = fit_series(options, options.resolved(), columns, data)
    frames = training_frames(data, fitted.preprocessing)
    windows = len(training_windows(frames, fitted))
    _check_windows(options.data, windows, frames, fitted)
    data_s = time.monotonic() - started
    recipe = fitted.recipe
    length = options.run_length(recipe.length, windows)
    stored = with_recipe(with_recipe(options, recipe), length)
    runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=False)
    config = _network_config(frames, fitted)
    _check_memory(config, fitted, length.batch_size, runtime)
    seed_everything(options.seed)
    network = _network(config, frames, fitted, runtime)
    job = SeriesJob(network, frames, fitted, length.batch_size, runtime, options.seed, options.accumulate)
    record = SeriesRecord(stored, ModelSummary.of(_REGISTRY_NAME, config, network), data, fitted, runtime)
    record.announce()
    if job.batch_size < length.batch_size:
        output.note(f"the batch size is reduced to the {output.counted(job.batch_size, 'training window')}")
    with StopRequest() as stop, folder:
        trainer = make_trainer(recipe, length, job, make_optimizer(network, recipe), stop, recipe.eval_every)
        run = TrainingRun(stored, folder, record, trainer, stop)
        finished = run.resume_or_start()
        if finished is not None:
            return finished
        with run.saved_on_stop():
            run.train()
            forecaster = Forecaster(network, frames, runtime)
            record.compared = _compare(forecaster, data, fitted, options.interval, stop.poll)
            plots = [
                _plot_curves(folder, trainer, "step" if recipe.eval_every else "epoch"),
                _plot_forecasts(folder, forecaster, record.compared, fitted, options),
            ]
            return run.finish(None, plots, data_s, started)


@dataclass(frozen=True)
class _Compared:
    """The trained network next to the baselines."""

    comparison: ModelComparison
    fields: dict[str, Any]  # those that a result adds to those of every training run


class SeriesRecord(RunRecord[SeriesTrainResult]):
    """What the run of a forecasting network records."""

    result_type = SeriesTrainResult

    def __init__(
        self, options: SeriesTrainConfig, model: ModelSummary, series: SeriesSet, fitted: FittedSeries, runtime: Runtime
    ) -> None:
        super().__init__(options, model, runtime)
        self._series, self._preprocessing, self._recipe = series, fitted.preprocessing, fitted.recipe
        self.compared: _Compared | None = None  # known when the training has ended

    @property
    def data(self) -> SeriesData:
        """The series: how many, of how many rows, and what was found in them."""
        series, preprocessing, recipe = self._series, self._preprocessing, self._recipe
        train = sum(record.train_rows for record in preprocessing.groups)
        return SeriesData(
            series.name, series.fingerprint, series.column, len(series.series),
            {"train": train, "val": series.rows - train}, preprocessing.season, recipe.window, recipe.horizon,
            (*preprocessing.inputs, *preprocessing.known), series.filled, series.skipped,
        )  # fmt: skip

    def announce(self) -> None:
        """Print on stderr what the run will train, and on which data."""
        data = self.data
        groups = f"{output.counted(data.groups, 'series', 'series')}, " if data.groups > 1 else ""
        season = f"season {data.season:,}" if data.season > 1 else "no season"
        output.status("data", f"{data.name}, {groups}{data.counts['train']:,} train, {data.counts['val']:,} val rows")
        output.status("series", f"{season}, window {data.window:,}, horizon {data.horizon:,}")
        if data.filled or data.skipped:
            filled = output.counted(data.filled, "missing value") + " filled"
            output.note(filled if data.filled else f"{output.counted(data.skipped, 'row')} with missing values skipped")
        if any(record.naive_error is None for record in self._preprocessing.groups):
            output.note(_undefined_mase(self._preprocessing))
        super().announce()

    def identity(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: network, preprocessing, data and versions."""
        return super().identity() | {"format": self._preprocessing.as_json()}

    def complete(self, result: TrainingResult, outcome: Outcome) -> SeriesTrainResult:  # noqa: ARG002  # as `compared`
        """The result of a run, with the table of models."""
        if self.compared is None:
            raise ValueError("complete() comes after the comparison")
        return SeriesTrainResult(**{**vars(result), **self.compared.fields})


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
            see = f"name a CSV file, or {' or '.join(GENERATED_SETS)}"
            raise unknown_choice("--data", options.data, GENERATED_SETS, kind="file or set", see=see)
        what = f"does not name the column of {options.data} to forecast"
        raise InputError("--column", what, "name a column of numbers; 'dlnotes data info FILE' lists them")
    return SeriesColumns(
        options.column, options.time, options.group, options.inputs, options.known_inputs, options.fill, options.sort
    )


def _check_windows(data: str, windows: int, frames: Frames, fitted: FittedSeries) -> None:
    """Refuse data whose missing values leave no window. Raises InputError."""
    held_out = len(frames.origins("validation", fitted.lookback, fitted.recipe.horizon))
    if windows and held_out:
        return
    part = "validation" if windows else "training"
    what = f"no {part} window of {fitted.lookback} and {fitted.recipe.horizon} rows"
    raise InputError(data, f"{what} is complete", "lower --window, --season or --horizon, or pass --fill linear")


def _undefined_mase(preprocessing: SeriesPreprocessing) -> str:
    names = [record.name for record in preprocessing.groups if record.naive_error is None]
    where = f" for {output.counted(len(names), 'series', 'series')}, such as '{names[0]}'" if names[0] else ""
    what = "never changes" if preprocessing.season == 1 else f"is the same every {preprocessing.season} rows"
    return f"MASE is undefined{where}: '{preprocessing.target}' {what} in the training rows"


def _network_config(frames: Frames, fitted: FittedSeries) -> SeriesRnnConfig:
    recipe, preprocessing = fitted.recipe, fitted.preprocessing
    history, _ = history_of(frames, fitted.lookback)
    return SeriesRnnConfig(
        cell=recipe.cell, hidden=recipe.hidden, layers=recipe.layers, dropout=recipe.dropout,
        channels=preprocessing.channels, future=preprocessing.future, window=recipe.window,
        horizon=recipe.horizon if recipe.mode == "direct" else 1,
        segment=1 if recipe.is_carried else -(-recipe.window // _MOST_STEPS),
        skip=recipe.skip, carried=recipe.is_carried, evaluated=recipe.horizon, history=history,
    )  # fmt: skip


def _network(config: SeriesRnnConfig, frames: Frames, fitted: FittedSeries, runtime: Runtime) -> SeriesRnn:
    """The network with the rows and the linear autoregression that its model file stores."""
    network = build(_REGISTRY_NAME, config)
    if not isinstance(network, SeriesRnn):
        raise TypeError(type(network).__name__)
    _, positions = history_of(frames, fitted.lookback)
    network.history.copy_(frames.values[torch.from_numpy(positions)])
    network.history_known.copy_(torch.from_numpy(frames.is_complete[positions].astype(np.uint8)))
    weight, bias = fit_linear(frames, config.window, config.evaluated)
    network.linear_weight.copy_(weight)
    network.linear_bias.copy_(bias)
    return network.to(runtime.device)


def _check_memory(config: SeriesRnnConfig, fitted: FittedSeries, batch_size: int, runtime: Runtime) -> None:
    """Refuse a network and a batch that cannot fit into memory together. Raises UnfinishedError."""
    sample = (
        torch.empty(1, config.window, config.channels, device="meta"),
        torch.empty(1, config.horizon, config.future, device="meta"),
    )
    network = build_on_meta(_REGISTRY_NAME, config)
    forecast = TrainingMemory.of(network, sample, batch_size, fitted.recipe, runtime.precision)
    forecast.check(runtime, "--hidden-size, --num-layers, --window or --batch-size")


def _compare(
    forecaster: Forecaster, data: SeriesSet, fitted: FittedSeries, interval: float, poll: Callable[[], None]
) -> _Compared:
    """The network and the baselines on the validation rows, and the coverage of its intervals."""
    horizon, frames = fitted.recipe.horizon, forecaster.frames
    origins = evenly_spaced(frames.origins("validation", fitted.lookback, horizon))
    comparison = compare(forecaster, origins, horizon, fitted.preprocessing.season, poll)
    if data.series[0].signal is not None:
        signal = np.concatenate([np.asarray(series.signal) for series in data.series])
        known = {NOISE_FLOOR: signal[origins[:, None] + np.arange(horizon)]}
        comparison = replace(comparison, forecasts=comparison.forecasts | known)
    accuracies = comparison.accuracies()
    best = best_baseline(accuracies)
    fields = {
        "models": accuracies,
        "best_baseline": best.model,
        "improvement": improvement_of(comparison, accuracies),
        "coverage": validation_coverage(frames, comparison, horizon, interval),
    }
    return _Compared(comparison, fields)


def _plot_curves(folder: RunFolder, trainer: Trainer, over: str) -> Path:
    path, position = folder.file("curves.png"), trainer.state
    history = history_to_json(position.history)
    files.atomic_write(path, draw_curves(history, position.best_index, folder.name, over, _MEASURES))
    return path


def _plot_forecasts(
    folder: RunFolder, forecaster: Forecaster, compared: _Compared, fitted: FittedSeries, options: SeriesTrainConfig
) -> Path:
    path = folder.file("forecast.png")
    panels = validation_panels(
        forecaster, compared.comparison, fitted, options.interval, compared.fields["best_baseline"]
    )
    files.atomic_write(
        path, draw_forecasts(panels, f"{folder.name}: the last validation rows", fitted.preprocessing.target)
    )
    return path
