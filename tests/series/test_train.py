"""The windows of training, and the loop of the course's notebook."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders import assert_shares_add_up, at_first_epoch, losses
from torch import nn

from dlnotes_cli.data.series.read import SeriesColumns
from dlnotes_cli.data.series.series_set import Series, SeriesSet, sine
from dlnotes_cli.data.series.time_axis import TimeAxis
from dlnotes_cli.series.fit import TrainingSeries, fit_series
from dlnotes_cli.series.forecaster import DRIFT, naive_forecasts
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.train import SeriesTask
from dlnotes_cli.training.distributed import ALONE, Processes


def prepared(data: SeriesSet, **options: object) -> TrainingSeries:
    return fit_series(SeriesTrainConfig(**options), SeriesColumns("y"), data)  # type: ignore[arg-type]


def series_of(*values: np.ndarray) -> SeriesSet:
    series = [Series(str(i), one[:, None], len(one), TimeAxis()) for i, one in enumerate(values)]
    return SeriesSet("test", "0", "y", tuple(series))


NOISE = series_of(np.random.default_rng(0).normal(size=200))


@pytest.fixture
def task_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SeriesTask]:
    """Make the task of a network for series, at the start of its first epoch."""

    def make(data: SeriesSet, batch_size: int, processes: Processes = ALONE, **options: Any) -> SeriesTask:
        monkeypatch.setattr("dlnotes_cli.series.fit.read_series", lambda *_: data)
        config = SeriesTrainConfig(**{"data": "table.csv", "column": "y", "hidden": 4, **options})
        return at_first_epoch(SeriesTask(config, config.resolved(), processes), batch_size)

    return make


def test_no_window_crosses_a_gap_a_group_or_the_validation_rows() -> None:
    first, second = np.arange(60.0), np.arange(1000.0, 1060.0)
    first[20] = np.nan
    settings = {"window": 5, "horizon": 2, "season": 1, "normalize": "none", "val_split": 0.25}
    training = prepared(series_of(first, second), **settings)
    frames, origins = training.frames, training.windows
    rows = frames.targets(origins - 5, 7)
    assert (np.diff(rows, axis=1) == 1).all()  # consecutive values of one series
    assert {int(row[-1]) for row in rows} == {*range(6, 20), *range(27, 45), *range(1006, 1045)}
    validation = frames.targets(frames.origins("validation", 5, 2), 2)
    assert {int(row[0]) for row in validation} == {*range(45, 59), *range(1045, 1059)}


def epoch_of(task: SeriesTask, epoch: int) -> list[int]:
    """The windows of an epoch in order."""
    task.start_epoch(epoch, None)
    shares = (share for index in range(task.steps_per_epoch) for share in task.batch(index).parts)
    return torch.cat([share.positions for share in shares]).tolist()


@pytest.mark.parametrize("most", [1000, 40])
def test_an_epoch_has_each_window_or_of_very_many_every_nth_in_another_order(
    most: int, task_of: Callable[..., SeriesTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.series.train._MOST_WINDOWS", most)
    task = task_of(NOISE, 16, window=8, horizon=4, season=1)
    every = task.training_data.windows.tolist()
    orders = [epoch_of(task, epoch) for epoch in range(1, 40)]
    for order in orders:
        assert (
            len(order) == len(set(order)) == (len(every) if most > len(every) else len(every) // -(-len(every) // most))
        )
    assert set().union(*orders) == set(every)
    assert orders[0] != orders[1]
    assert task.steps_per_epoch == math.ceil(len(orders[0]) / 16)


@pytest.mark.parametrize(
    "options", [{"window": 8, "horizon": 4, "accumulate": 2}, {"recipe": "notes", "window": 5, "cell": "lstm"}]
)
def test_the_shares_of_all_processes_add_up_to_the_batch(
    options: dict[str, Any], task_of: Callable[..., SeriesTask]
) -> None:
    alone = task_of(NOISE, 4, season=1, **options)
    tasks = [task_of(NOISE, 4, Processes(rank, 3), season=1, **options) for rank in range(3)]
    assert_shares_add_up(alone, tasks, alone.steps_per_epoch)


def test_drift_continues_a_line() -> None:
    training = prepared(series_of(np.arange(40.0)), normalize="none", season=1, window=2, horizon=3)
    forecasts = naive_forecasts(training.frames, np.array([20]), 3, 1)
    np.testing.assert_allclose(forecasts[DRIFT], [[20, 21, 22]])


def test_the_steps_are_those_of_the_notebook(task_of: Callable[..., SeriesTask]) -> None:
    task = task_of(sine(), 1, recipe="notes", hidden=None)
    assert task.steps_per_epoch == 75
    rnn, fc = nn.RNN(1, 32, batch_first=True), nn.Linear(32, 1)
    rnn.load_state_dict(task.network.rnn.state_dict())
    fc.load_state_dict(task.network.output.state_dict())
    optimizers = (
        torch.optim.Adam(task.network.parameters(), 0.01),
        torch.optim.Adam([*rnn.parameters(), *fc.parameters()], 0.01),
    )
    hidden = None
    for index in range(8):
        time = np.linspace(index * np.pi, (index + 1) * np.pi, 21)
        values = torch.tensor(np.sin(time), dtype=torch.float32)
        out, hidden = rnn(values[None, :-1, None], hidden)
        hidden = hidden.detach()
        loss = nn.functional.mse_loss(fc(out).view(-1), values[1:])
        (step,) = losses(task, index)
        assert step.objective.item() == pytest.approx(loss.item(), rel=1e-3, abs=1e-6)
        for optimizer, objective in zip(optimizers, (step.objective, loss), strict=True):
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()


def test_parallel_rows_start_from_zero_where_they_do_not_continue(task_of: Callable[..., SeriesTask]) -> None:
    data = series_of(*np.random.default_rng(0).normal(size=(2, 61)))
    options = {"recipe": "notes", "cell": "lstm", "window": 5, "horizon": 5, "season": 1, "val_split": 0.3}
    serial, parallel = task_of(data, 1, **options), task_of(data, 2, **options)
    one_by_one = [step.loss_sum.item() for index in range(serial.steps_per_epoch) for step in losses(serial, index)]
    sums = [step.loss_sum.item() for index in range(parallel.steps_per_epoch) for step in losses(parallel, index)]
    half = len(one_by_one) // 2  # the second row starts at the second series, where the state is zero
    expected = [one + other for one, other in zip(one_by_one[:half], one_by_one[half:], strict=True)]
    assert sums == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("how", "shift", "size"), [("standard", 4.5, np.arange(10).std()), ("minmax", 0, 9), ("none", 0, 1)]
)
def test_scales_are_those_of_the_training_rows(how: str, shift: float, size: float) -> None:
    values = np.concatenate([np.arange(10.0), np.full(10, 1000.0)])
    fitted = prepared(series_of(values), normalize=how, val_split=0.5, window=2, horizon=2, season=1)
    scale = fitted.preprocessing.groups[0].scale
    assert (scale.shift, scale.size) == pytest.approx((shift, size))
    assert fitted.preprocessing.groups[0].naive_error == 1


@pytest.mark.parametrize(("season", "sizes"), [(20, (20, 40, 20)), (0, (1, 24, 12))])
def test_window_and_horizon_follow_the_season(season: int, sizes: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(1).normal(size=400)
    values = np.sin(2 * np.pi * np.arange(400) / season) + 0.1 * noise if season else noise
    fitted = prepared(series_of(values))
    assert (fitted.preprocessing.season, fitted.recipe.window, fitted.recipe.horizon) == sizes
