"""Forecasts of the network and of the baselines from any row of the frames, and their comparison."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.series_rnn import SeriesRnn
from dlnotes_cli.series.frames import Frames, Rows, Values, evenly_spaced
from dlnotes_cli.series.results import ROUNDING, ForecastAccuracy, measure

NETWORK, LAST, SEASONAL, DRIFT, LINEAR = (
    "network", "last value", "seasonal naive", "drift", "linear autoregression",
)  # fmt: skip
BASELINES = (LAST, SEASONAL, DRIFT, LINEAR)
_MOST_CALIBRATED = 2048  # origins whose errors make intervals
_BATCH = 512  # windows of a forward pass without gradients
Predict = Callable[[Tensor, Tensor], Tensor]  # windows (B, W, C) and future (B, n, F) to (B, n)


def no_poll() -> None:
    """Do nothing between batches."""


class Forecaster:
    """Forecasts of a network, and of the linear autoregression that it stores, for frames on its device."""

    def __init__(self, network: SeriesRnn, frames: Frames, runtime: Runtime) -> None:
        self.network, self.frames, self._runtime = network, frames.to(runtime.device), runtime

    @torch.inference_mode()
    def forecast(self, origins: Rows, horizon: int, poll: Callable[[], None] = no_poll, model: str = NETWORK) -> Values:
        """The forecasts (N, horizon), scaled, of the network or of the linear autoregression.

        Steps beyond the model's own horizon continue from its own forecasts, which take the place of the values.
        """
        network, config = self.network, self.network.config
        was_training = network.training
        network.eval()
        predict, block = self._predict, horizon if config.carried else config.horizon
        if model == LINEAR:
            predict, block = self._predict_linearly, config.evaluated
        results = []
        for batch in np.array_split(origins, max(1, -(-len(origins) // _BATCH))):
            positions = torch.from_numpy(batch).to(self.frames.values.device)
            future = self.frames.future_of(positions, -(-horizon // block) * block)
            window = self.frames.windows(positions, config.window)
            results.append(roll(predict, window, future, block)[:, :horizon].cpu())
            poll()
        network.train(was_training)
        forecasts: Values = torch.cat(results).numpy().astype(np.float64)
        return forecasts

    def _predict(self, window: Tensor, future: Tensor) -> Tensor:
        with self._runtime.autocast():
            result: Tensor = (self.network.free_run if self.network.config.carried else self.network)(window, future)
        return result.float()

    def _predict_linearly(self, window: Tensor, future: Tensor) -> Tensor:  # noqa: ARG002  # as `_predict`
        return window[..., 0] @ self.network.linear_weight.T + self.network.linear_bias


def roll(predict: Predict, window: Tensor, future: Tensor, block: int) -> Tensor:
    """Forecasts (B, T) of the T rows that `future` (B, T, F) is known of, `block` at a time.

    Each block is appended to the window (B, W, C) for the next; T is a multiple of `block`, and channels without a
    known future are 0 there.
    """
    forecasts = []
    for start in range(0, future.shape[1], block):
        known = future[:, start : start + block]
        forecast = predict(window, known)
        forecasts.append(forecast)
        if start + block < future.shape[1]:
            unknown = window.new_zeros(len(window), block, window.shape[2] - 1 - future.shape[2])
            rows = torch.cat([forecast[..., None], unknown, known], dim=2)
            window = torch.cat([window, rows], dim=1)[:, -window.shape[1] :]
    return torch.cat(forecasts, dim=1)


def naive_forecasts(frames: Frames, origins: Rows, horizon: int, season: int) -> dict[str, Values]:
    """The forecasts (N, horizon) of the baselines that need no training, scaled.

    Last value: y[T]. Seasonal naive: the value one season before, repeated. Drift: the line through the first and the
    last value. Source: Hyndman and Athanasopoulos, Forecasting: Principles and Practice.
    """
    steps = np.arange(1, horizon + 1)
    last = frames.target_at(origins - 1)[:, None]
    forecasts = {LAST: np.repeat(last, horizon, axis=1)}
    if season > 1:
        forecasts[SEASONAL] = frames.target_at(origins[:, None] - season + (steps - 1) % season)
    groups = frames.group_of(origins)
    scales = [(group.first - group.record.scale.shift) / group.record.scale.size for group in frames.groups]
    first = np.array(scales)[groups][:, None]
    starts = np.array([group.start - group.before for group in frames.groups])[groups]
    forecasts[DRIFT] = last + (last - first) / np.maximum(origins - 1 - starts, 1)[:, None] * steps
    return forecasts


@dataclass(frozen=True)
class ModelComparison:
    """Forecasts of several models from the same origins."""

    origins: Rows  # (N,)
    groups: Rows  # (N,): the index of each group
    targets: Values  # (N, H), in the units of the data, as the forecasts
    forecasts: dict[str, Values]  # by model
    naive_errors: Values  # (N,), nan where MASE is undefined
    sizes: Values  # (N,): the size of the scale

    def part(self, rows: Rows | slice) -> "ModelComparison":
        """The forecasts from some of the origins."""
        forecasts = {name: values[rows] for name, values in self.forecasts.items()}
        rest = (self.naive_errors[rows], self.sizes[rows])
        return ModelComparison(self.origins[rows], self.groups[rows], self.targets[rows], forecasts, *rest)

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
    scaled[LINEAR] = forecaster.forecast(origins, horizon, poll, LINEAR)
    groups = frames.group_of(origins)
    naive = np.array([group.record.naive_error or np.nan for group in frames.groups], dtype=np.float64)
    forecasts = {name: frames.unscaled(values, groups) for name, values in scaled.items()}
    targets = frames.unscaled(frames.targets(origins, horizon), groups)
    return ModelComparison(origins, groups, targets, forecasts, naive[groups], frames.sizes(groups))


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


def calibration_errors(
    forecaster: Forecaster, lookback: int, horizon: int, poll: Callable[[], None] = no_poll
) -> Values:
    """The errors (N, H) of forecasts of the rows after the training rows, scaled: target - forecast."""
    frames = forecaster.frames
    origins = evenly_spaced(frames.origins("validation", lookback, horizon), _MOST_CALIBRATED)
    if not len(origins):
        return np.zeros((0, horizon))
    return frames.targets(origins, horizon) - forecaster.forecast(origins, horizon, poll)
