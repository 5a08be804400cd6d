"""The windows of training, and the loop of the course's notebook."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dlnotes_cli.data.series.generated import sine
from dlnotes_cli.data.series.read import SeriesColumns
from dlnotes_cli.data.series.series_set import Series, SeriesSet
from dlnotes_cli.data.series.time_axis import TimeAxis
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.models.series_rnn import SeriesRnn, SeriesRnnConfig, build_series_rnn
from dlnotes_cli.series.fit import FittedSeries, fit_series
from dlnotes_cli.series.frames import Frames, training_frames
from dlnotes_cli.series.job import SeriesJob, training_windows
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.training.engine.step_values import total

RUNTIME = choose_runtime("cpu", "fp32", 1, bf16_pays=False)


def prepared(data: SeriesSet, **options: object) -> tuple[Frames, FittedSeries]:
    config = SeriesTrainConfig(**options)  # type: ignore[arg-type]
    fitted = fit_series(config, config.resolved(), SeriesColumns("y"), data)
    return training_frames(data, fitted.preprocessing), fitted


def series_of(*values: np.ndarray) -> SeriesSet:
    series = [Series(str(i), one[:, None], len(one), TimeAxis()) for i, one in enumerate(values)]
    return SeriesSet("test", "0", "y", tuple(series))


def job_of(network: SeriesRnn, frames: Frames, fitted: FittedSeries, batch_size: int, **more: int) -> SeriesJob:
    return SeriesJob(network, frames, fitted, batch_size, RUNTIME, 0, **more)


def test_no_window_crosses_a_gap_a_group_or_the_validation_rows() -> None:
    first, second = np.arange(60.0), np.arange(1000.0, 1060.0)
    first[20] = np.nan
    frames, fitted = prepared(series_of(first, second), window=5, horizon=2, season=1, normalize="none", val_split=0.25)
    origins = training_windows(frames, fitted)
    rows = frames.targets(origins - 5, 7)
    assert (np.diff(rows, axis=1) == 1).all()  # consecutive values of one series
    assert {int(row[-1]) for row in rows} == {*range(6, 20), *range(27, 45), *range(1006, 1045)}
    validation = frames.targets(frames.origins("validation", 5, 2), 2)
    assert {int(row[0]) for row in validation} == {*range(45, 59), *range(1045, 1059)}


def test_an_epoch_has_each_window_once_and_another_order_each_time() -> None:
    frames, fitted = prepared(series_of(np.random.default_rng(0).normal(size=200)), window=8, horizon=4, season=1)
    job = job_of(build_series_rnn(SeriesRnnConfig(hidden=4, window=8, horizon=4, evaluated=4)), frames, fitted, 16)
    orders = []
    for epoch in (1, 2):
        job.start_epoch(epoch)
        orders.append(job._order.tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == training_windows(frames, fitted).tolist()
    assert orders[0] != orders[1]
    assert job.steps_per_epoch == math.ceil(len(orders[0]) / 16)


def test_an_epoch_of_very_many_windows_takes_every_nth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlnotes_cli.series.job._MOST_WINDOWS", 40)
    frames, fitted = prepared(series_of(np.random.default_rng(0).normal(size=200)), window=8, horizon=4, season=1)
    job = job_of(build_series_rnn(SeriesRnnConfig(hidden=4, window=8, horizon=4, evaluated=4)), frames, fitted, 16)
    seen = set()
    for epoch in range(1, 40):
        job.start_epoch(epoch)
        order = job._order.tolist()
        assert len(order) == len(set(order)) <= 40
        seen |= set(order)
    assert seen == set(training_windows(frames, fitted).tolist())


def test_a_batch_in_parts_has_the_gradient_of_the_whole_batch() -> None:
    frames, fitted = prepared(series_of(np.random.default_rng(0).normal(size=200)), window=8, horizon=4, season=1)
    network = build_series_rnn(SeriesRnnConfig(hidden=4, window=8, horizon=4, evaluated=4))
    gradients = []
    for parts in (1, 3):
        network.zero_grad()
        outputs = list(job_of(network, frames, fitted, 16, accumulate=parts).step(0))
        for output in outputs:
            output.objective.backward()
        assert (len(outputs), total(outputs).samples) == (parts, 16)
        gradients.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_steps_are_those_of_the_notebook() -> None:
    frames, fitted = prepared(sine(), recipe="notes")
    torch.manual_seed(0)
    network = build_series_rnn(
        SeriesRnnConfig(cell="rnn", hidden=32, window=20, horizon=1, skip=False, carried=True, evaluated=20)
    )
    job = job_of(network, frames, fitted, 1)
    assert job.steps_per_epoch == 75
    rnn, fc = nn.RNN(1, 32, batch_first=True), nn.Linear(32, 1)
    rnn.load_state_dict(network.rnn.state_dict())
    fc.load_state_dict(network.output.state_dict())
    optimizers = (
        torch.optim.Adam(network.parameters(), 0.01),
        torch.optim.Adam([*rnn.parameters(), *fc.parameters()], 0.01),
    )
    hidden = None
    for index in range(8):
        time = np.linspace(index * np.pi, (index + 1) * np.pi, 21)
        values = torch.tensor(np.sin(time), dtype=torch.float32)
        out, hidden = rnn(values[None, :-1, None], hidden)
        hidden = hidden.detach()
        loss = nn.functional.mse_loss(fc(out).view(-1), values[1:])
        (step,) = job.step(index)
        assert step.objective.item() == pytest.approx(loss.item(), rel=1e-3, abs=1e-6)
        for optimizer, objective in zip(optimizers, (step.objective, loss), strict=True):
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()


def test_parallel_rows_start_from_zero_where_they_do_not_continue() -> None:
    values = np.random.default_rng(0).normal(size=(2, 61))
    frames, fitted = prepared(series_of(*values), recipe="notes", window=5, horizon=5, season=1, val_split=0.3)
    network = build_series_rnn(
        SeriesRnnConfig(cell="lstm", hidden=4, window=5, horizon=1, skip=False, carried=True, evaluated=5)
    )
    serial, parallel = job_of(network, frames, fitted, 1), job_of(network, frames, fitted, 2)
    losses = [step.loss_sum.item() for index in range(serial.steps_per_epoch) for step in serial.step(index)]
    sums = [step.loss_sum.item() for index in range(parallel.steps_per_epoch) for step in parallel.step(index)]
    half = len(losses) // 2  # the second row starts at the second series, where the state is zero
    assert sums == pytest.approx(
        [one + other for one, other in zip(losses[:half], losses[half:], strict=True)], rel=1e-5
    )


def test_window_and_horizon_follow_the_season() -> None:
    steps = np.arange(400)
    values = np.sin(2 * np.pi * steps / 20) + np.random.default_rng(0).normal(0, 0.1, 400)
    _, fitted = prepared(series_of(values))
    assert (fitted.preprocessing.season, fitted.recipe.window, fitted.recipe.horizon) == (20, 40, 20)
    _, fitted = prepared(series_of(np.random.default_rng(1).normal(size=400)))
    assert (fitted.preprocessing.season, fitted.recipe.window, fitted.recipe.horizon) == (1, 24, 12)


@pytest.mark.parametrize(
    ("how", "shift", "size"), [("standard", 4.5, np.arange(10).std()), ("minmax", 0, 9), ("none", 0, 1)]
)
def test_scales_are_those_of_the_training_rows(how: str, shift: float, size: float) -> None:
    values = np.concatenate([np.arange(10.0), np.full(10, 1000.0)])
    _, fitted = prepared(series_of(values), normalize=how, val_split=0.5, window=2, horizon=2, season=1)
    scale = fitted.preprocessing.groups[0].scale
    assert (scale.shift, scale.size) == pytest.approx((shift, size))
    assert replace(fitted.preprocessing).groups[0].naive_error == 1
