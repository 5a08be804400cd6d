"""What the training loop trains: a network on windows of time series."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dlnotes_cli.data.batches import epoch_order
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.series_rnn import SeriesRnn
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.series.evaluation import evenly_spaced
from dlnotes_cli.series.fit import FittedSeries
from dlnotes_cli.series.forecaster import Forecaster
from dlnotes_cli.series.frames import Frames, Rows
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.stored_values import NAN_IF_NULL

_MOST_WINDOWS = 1 << 14  # of an epoch


@dataclass(frozen=True, kw_only=True)
class SeriesMetrics(Metrics):
    """Means over the forecasts of the validation rows; `loss` is of scaled values, the others in units of the data."""

    has_accuracy: ClassVar[bool] = False

    mae: float = field(metadata=NAN_IF_NULL)
    rmse: float = field(metadata=NAN_IF_NULL)


class SeriesJob:
    """Windows in random order, or with `is_carried` the whole series in order."""

    metrics_type = SeriesMetrics

    def __init__(
        self, network: SeriesRnn, frames: Frames, fitted: FittedSeries, batch_size: int, runtime: Runtime, seed: int,
        accumulate: int = 1,
    ) -> None:  # fmt: skip
        self.network, self.runtime, self.forward = network, runtime, StepForward(network)
        self.recurrent_state: dict[str, Tensor] = {}
        self.batch_samples = 0
        self._forecaster = Forecaster(network, frames, runtime)
        self._frames, self._seed, self._accumulate = self._forecaster.frames, seed, accumulate
        self._horizon = network.config.horizon
        self._windows = training_windows(frames, fitted)
        self._is_carried = fitted.recipe.is_carried
        count = len(self._windows)
        self._stride = 1 if self._is_carried else -(-count // _MOST_WINDOWS)
        self._samples = count // self._stride
        self.batch_size = min(batch_size, self._samples)
        self.steps_per_epoch = -(-self._samples // self.batch_size)
        self._origins = evenly_spaced(frames.origins("validation", fitted.lookback, self._horizon))
        self.validation_samples = len(self._origins)
        self._order = self._epoch_order(1)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the windows for an epoch."""
        self._order = self._epoch_order(epoch)

    def _epoch_order(self, epoch: int) -> Tensor:
        """The windows of an epoch in order: all of them, or of very many every n-th, from another offset each time."""
        if self._is_carried:
            return torch.from_numpy(self._windows)
        offset = derived_seed(self._seed, epoch) % self._stride
        return epoch_order(torch.from_numpy(self._windows[offset :: self._stride]), self._seed, epoch)[: self._samples]

    def step(self, index: int) -> Iterator[StepOutput]:
        """Run the network on one batch, in parts."""
        if self._is_carried:
            yield self._carried_step(index)
            return
        origins = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        self.batch_samples = len(origins)
        for part in self.runtime.to_device(origins).tensor_split(min(self._accumulate, len(origins))):
            window = self._frames.windows(part, self.network.config.window)
            future = self._frames.future_of(part, self._horizon)
            rows = part[:, None] + torch.arange(self._horizon, device=part.device)
            with self.runtime.autocast():
                forecast = self.forward(window, future)
            errors = forecast.float() - self._frames.values[rows, 0]
            yield self._output((errors**2).mean(dim=1).sum(), len(part))

    def _carried_step(self, index: int) -> StepOutput:
        """One window for each of the parallel rows, with the hidden state of the window before.

        Each row of the window is followed by its target, the next row. The state starts from zero in each epoch, and
        where the window before is not the one in front of it, as at the start of a group.
        """
        chunks = np.arange(self.batch_size) * self.steps_per_epoch + index
        chunks = chunks[chunks < self._samples]
        starts = self.runtime.to_device(torch.from_numpy(self._windows[chunks]))
        width = self.network.config.window
        rows = starts[:, None] + torch.arange(width + 1, device=starts.device)
        values = self._frames.values[rows]  # (B, T + 1, C)
        self.batch_samples = len(chunks)
        with self.runtime.autocast():
            forecast, state = self.network.every_step(values[:, :-1], self._state(index, chunks))
        after = state if isinstance(state, tuple) else (state,)
        self.recurrent_state = {str(i): tensor.detach() for i, tensor in enumerate(after)}
        errors = forecast.float().view(len(chunks), width) - values[:, 1:, 0]
        return self._output((errors**2).mean(dim=1).sum(), len(chunks))

    def _state(self, index: int, chunks: Rows) -> Tensor | tuple[Tensor, ...] | None:
        """The hidden state of each row before a step; None for zeros."""
        if index == 0:
            return None
        follows = self._windows[chunks] == self._windows[chunks - 1] + self.network.config.window
        keep = self.runtime.to_device(torch.from_numpy(follows))[None, :, None]
        tensors = [self.recurrent_state[str(i)][:, : len(chunks)] * keep for i in range(len(self.recurrent_state))]
        tensors = [tensor.contiguous() for tensor in tensors]
        return tensors[0] if len(tensors) == 1 else tuple(tensors)

    def _output(self, loss_sum: Tensor, samples: int) -> StepOutput:
        none_correct = torch.zeros((), dtype=torch.int64, device=loss_sum.device)
        return StepOutput(loss_sum / self.batch_samples, loss_sum.detach(), none_correct, samples)

    def complete_recurrent_state(self) -> None:
        """Do nothing: there is one process."""

    def validate(self, poll: Callable[[], None]) -> SeriesMetrics:
        """The errors of forecasts of the validation rows, over the network's own horizon."""
        frames, origins = self._frames, self._origins
        errors = self._forecaster.forecast(origins, self._horizon, poll) - frames.targets(origins, self._horizon)
        in_units = errors * frames.sizes(frames.group_of(origins))[:, None]
        mae, rmse = float(np.abs(in_units).mean()), math.sqrt(float((in_units**2).mean()))
        loss = float((errors**2).mean())
        return SeriesMetrics(loss=loss, accuracy=math.nan, samples=len(origins), mae=mae, rmse=rmse)

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """Rank by the loss."""
        return (-metrics.loss,)


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
