"""The training of a forecasting network, and its comparison with baselines on the end of each series."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dlnotes_cli.data.batches import epoch_order
from dlnotes_cli.networks.series_rnn import SeriesRnn, SeriesRnnConfig
from dlnotes_cli.plots.forecasts import ForecastPanel, draw_forecasts
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.series.fit import fit_linear, load_training_series
from dlnotes_cli.series.forecast import history_panel, shown_history
from dlnotes_cli.series.forecaster import NETWORK, Forecaster, ModelComparison, best_baseline, compare, improvement_of
from dlnotes_cli.series.frames import Frames, evenly_spaced, history_of
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.results import Coverage, SeriesMetrics, SeriesTrainResult, interval_offsets, measure_coverage
from dlnotes_cli.shell import files, output
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.task import Batch, Evaluated, Model, Poll, StepLoss, Task, own_rows

_NOISE_FLOOR = "noise floor"
_MOST_WINDOWS = 1 << 14  # of an epoch
_MEASURES = {"loss": "mean squared error (scaled)", "rmse": "RMSE"}


class WindowShare(NamedTuple):
    """Windows of a batch that are computed together."""

    positions: Tensor  # int64 (n,): of the first rows to forecast, or if read in order, to read
    windows: int  # of the whole batch
    rows: slice = slice(0)  # if read in order, those of the batch
    continues: Tensor | None = None  # bool (n,): which windows are those after the ones of the step before; None: none


def train_series(options: SeriesTrainConfig) -> SeriesTrainResult:
    """Train a forecasting network, and compare it with baselines.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    with process_group(options) as processes:
        return fit(SeriesTask(options, options.resolved(), processes))


class SeriesTask(Task[SeriesTrainResult]):
    """The training of a forecasting network on windows in random order, or on the whole series in order.

    In order, the rows of a batch are parallel: each reads its own stretch of the series, from step to step, and its
    hidden state is carried over. It starts from zero in each epoch, and where a window does not follow the one before,
    as at the start of a group.
    """

    model_name = "series_rnn"
    memory_options = "--hidden-size, --num-layers, --window or --batch-size"
    metrics_type = SeriesMetrics
    result_type = SeriesTrainResult
    options: SeriesTrainConfig
    network: SeriesRnn
    network_config: SeriesRnnConfig

    def load(self) -> None:
        """Read the series, and fit to their training rows what does not need a network."""
        self.training_data = load_training_series(self.options)
        training = self.training_data
        self._frames, self._windows, self.data = training.frames, training.windows, training.summary
        self.preprocessing = training.preprocessing
        self.recipe, self.eval_every = training.recipe, training.recipe.eval_every
        self.network_config, self._horizon = training.network_config, training.own_horizon
        self._origins = evenly_spaced(self._frames.origins("validation", training.lookback, self._horizon))
        self.training_samples, self.validation_samples = len(self._windows), len(self._origins)

    def bf16_pays(self, batch_size: int) -> bool:  # noqa: ARG002  # the base's signature
        """Recurrent layers are not faster in bf16."""
        return False

    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002  # the base's signature
        """A window, and what is known about the rows to forecast."""
        config = self.network_config
        sizes = (config.window, config.channels), (config.horizon, config.future)
        return tuple(torch.empty(1, *size, device="meta") for size in sizes)

    def initialize(self, network: nn.Module) -> None:
        """Set the rows and the linear autoregression that the model file stores."""
        frames, config = self._frames, self.network_config
        _, positions = history_of(frames, self.training_data.lookback)
        weight, bias = fit_linear(frames, config.window, config.evaluated)
        known = torch.from_numpy(frames.is_complete[positions].astype(np.uint8))
        stored = {
            "history": frames.values[torch.from_numpy(positions)], "history_known": known, "linear_weight": weight,
            "linear_bias": bias,
        }  # fmt: skip
        for name, values in stored.items():
            network.get_buffer(name).copy_(values)

    def prepare(self, batch_size: int) -> None:
        """Bring the series to the device, and choose how many windows an epoch has."""
        self.forecaster = Forecaster(self.network, self._frames, self.runtime)
        self._frames = self.forecaster.frames
        count = len(self._windows)
        self._stride = 1 if self.recipe.is_carried else -(-count // _MOST_WINDOWS)
        self._samples = count // self._stride
        self._batch_size = min(batch_size, self._samples)
        self.steps_per_epoch = -(-self._samples // self._batch_size)

    def announce(self) -> None:
        """Print series, network, device, precision and threads on standard error."""
        self.training_data.announce()
        super().announce()
        if self._batch_size < (self.stored.batch_size or 0):
            output.note(f"the batch size is reduced to the {output.counted(self._batch_size, 'training window')}")

    def start_epoch(self, epoch: int, epochs: int | None) -> None:  # noqa: ARG002  # the base's signature
        """Shuffle the windows for an epoch: all of them, or of very many every n-th, from another offset each time."""
        if not self.recipe.is_carried:
            offset = derived_seed(self.options.seed, epoch) % self._stride
            windows = torch.from_numpy(self._windows[offset :: self._stride])
            self._order = epoch_order(windows, self.options.seed, epoch)[: self._samples]

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch, in the shares of this process; if read in order, in one."""
        if self.recipe.is_carried:
            return self._batch_in_order(index)
        origins = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        count = len(origins)
        own = self.runtime.to_device(origins[own_rows(self.processes, count)])
        parts = own.tensor_split(min(self.options.accumulate, len(own)))
        return Batch([WindowShare(part, count) for part in parts], count, self.processes.rank < count)

    def _batch_in_order(self, index: int) -> Batch:
        """One window for each of the parallel rows."""
        chunks = np.arange(self._batch_size) * self.steps_per_epoch + index
        chunks, windows = chunks[chunks < self._samples], self._windows
        rows = slice(*own_rows(self.processes, len(chunks)).indices(len(chunks)))
        own = chunks[rows]
        follows = torch.from_numpy(windows[own] == windows[own - 1] + self.network_config.window)
        continues = self.runtime.to_device(follows) if index else None
        positions = self.runtime.to_device(torch.from_numpy(windows[own]))
        share = WindowShare(positions, len(chunks), rows, continues)
        return Batch([share], len(chunks), self.processes.rank < len(chunks))

    def loss(self, model: Model, share: WindowShare) -> StepLoss:
        """The mean squared error of the forecasts, scaled."""
        errors = self._errors_in_order(model, share) if self.recipe.is_carried else self._errors(model, share)
        loss_sum = (errors**2).mean(dim=1).sum()
        none_correct = torch.zeros((), dtype=torch.int64, device=loss_sum.device)
        return StepLoss(loss_sum / share.windows, loss_sum, none_correct)

    def _errors(self, model: Model, share: WindowShare) -> Tensor:
        """The errors (n, horizon) of forecasts from windows."""
        origins, frames = share.positions, self._frames
        window, future = frames.windows(origins, self.network_config.window), frames.future_of(origins, self._horizon)
        rows = origins[:, None] + torch.arange(self._horizon, device=origins.device)
        with self.runtime.autocast():
            forecast: Tensor = model(window, future)
        return forecast.float() - frames.values[rows, 0]

    def _errors_in_order(self, model: Model, share: WindowShare) -> Tensor:
        """The errors (n, window) of forecasts of the next row after each row of a window."""
        width = self.network_config.window
        rows = share.positions[:, None] + torch.arange(width + 1, device=share.positions.device)
        values = self._frames.values[rows]  # (n, window + 1, channels)
        with self.runtime.autocast():
            forecast, state = model(values[:, :-1], None, self._state_before(share))
        self.keep_state(share.rows, self._batch_size, state if isinstance(state, tuple) else (state,))
        errors: Tensor = forecast.float().view(-1, width) - values[:, 1:, 0]
        return errors

    def _state_before(self, share: WindowShare) -> Tensor | tuple[Tensor, ...] | None:
        """The hidden state of each row before a step; None for zeros."""
        if share.continues is None:
            return None
        keep = share.continues[None, :, None]
        tensors = tuple((state[:, share.rows] * keep).contiguous() for state in self.state.values())
        return tensors[0] if len(tensors) == 1 else tensors

    def validate(self, poll: Poll) -> SeriesMetrics:
        """The errors of forecasts of the validation rows, over the network's own horizon."""
        frames, origins = self._frames, self._origins
        errors = self.forecaster.forecast(origins, self._horizon, poll) - frames.targets(origins, self._horizon)
        in_units = errors * frames.sizes(frames.group_of(origins))[:, None]
        mae, rmse = float(np.abs(in_units).mean()), math.sqrt(float((in_units**2).mean()))
        loss = float((errors**2).mean())
        return SeriesMetrics(loss=loss, accuracy=math.nan, samples=len(origins), mae=mae, rmse=rmse)

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Compare the network with the baselines, and draw curves and forecasts."""
        compared, self._fields = _compare(self, poll)
        curves = self.draw_curves(folder, progress, over="step" if self.eval_every else "epoch", measures=_MEASURES)
        panels = _panels(self, compared, self._fields["best_baseline"])
        title, target = f"{folder.name}: the last validation rows", self.training_data.preprocessing.target
        forecasts = folder.file("forecast.png")
        files.atomic_write(forecasts, draw_forecasts(panels, title, target))
        return Evaluated(None, [curves, forecasts])

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:  # noqa: ARG002  # the base's signature
        """The table of models, and what follows from it."""
        return self._fields


def _compare(task: SeriesTask, poll: Poll) -> tuple[ModelComparison, dict[str, Any]]:
    """The forecasts of the validation rows, and the fields of SeriesTrainResult that describe them."""
    data, forecaster = task.training_data, task.forecaster
    horizon, season = data.recipe.horizon, data.preprocessing.season
    origins = evenly_spaced(forecaster.frames.origins("validation", data.lookback, horizon))
    comparison = compare(forecaster, origins, horizon, season, poll)
    if data.series.series[0].signal is not None:
        signal = np.concatenate([np.asarray(one.signal) for one in data.series.series])
        known = {_NOISE_FLOOR: signal[origins[:, None] + np.arange(horizon)]}
        comparison = replace(comparison, forecasts=comparison.forecasts | known)
    accuracies = comparison.accuracies()
    return comparison, {
        "models": accuracies,
        "best_baseline": best_baseline(accuracies).model,
        "improvement": improvement_of(comparison, accuracies),
        "coverage": _coverage(forecaster.frames, comparison, horizon, task.options.interval),
    }


def _coverage(frames: Frames, comparison: ModelComparison, horizon: int, probability: float) -> Coverage | None:
    """The coverage in the second half of the validation rows of intervals from the errors in the first half."""
    middles = np.array([(group.start + group.train_rows + group.stop) // 2 for group in frames.groups])
    middle = middles[comparison.groups]
    early = np.flatnonzero(comparison.origins + horizon <= middle)
    late = np.flatnonzero(comparison.origins >= middle)
    return measure_coverage(comparison.errors, early, late, probability)


def _panels(task: SeriesTask, comparison: ModelComparison, baseline: str) -> list[ForecastPanel]:
    """The last forecast of each group in the validation rows, with its interval and the best baseline."""
    data, frames, probability = task.training_data, task.forecaster.frames, task.options.interval
    offsets = interval_offsets(comparison.errors, probability)
    panels = []
    for index, group in enumerate(frames.groups):
        rows = np.flatnonzero(comparison.groups == index)
        if not len(rows):
            continue
        origin = int(comparison.origins[rows[-1]])
        values = {name: comparison.forecasts[name][rows[-1]] for name in (NETWORK, baseline)}
        interval = None if offsets is None else values[NETWORK][:, None] + offsets * group.record.scale.size
        lines = {NETWORK: [(origin, values[NETWORK], interval)], baseline: [(origin, values[baseline], None)]}
        shown = shown_history(data.recipe.horizon, data.preprocessing.season)
        panels.append(history_panel(frames, index, shown, lines, probability))
    return panels
