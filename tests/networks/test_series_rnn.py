"""The forecasting network: shapes and parameters of the course, its start, and what it depends on."""

import pytest
import torch
from torch import Tensor

from dlnotes_cli.networks.registry import count_parameters
from dlnotes_cli.networks.series_rnn import SeriesRnn, SeriesRnnConfig

COURSE = {"cell": "rnn", "skip": False, "carried": True, "horizon": 1, "window": 20, "evaluated": 20}


def small(**changes: object) -> SeriesRnnConfig:
    return SeriesRnnConfig(**{"hidden": 8, "window": 10, "horizon": 3, "evaluated": 3, **changes})  # type: ignore[arg-type]


def test_the_network_of_the_course_has_its_parameters_and_shapes() -> None:
    assert count_parameters(SeriesRnn(small(**COURSE, hidden=32))) == 1153
    network = SeriesRnn(small(**COURSE | {"hidden": 10, "layers": 2}))
    out, hidden = network.every_step(torch.zeros(1, 20, 1))
    assert (tuple(out.shape), tuple(hidden.shape)) == ((20, 1), (2, 1, 10))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("segment", [1, 4])
def test_before_training_the_forecast_is_the_last_value(cell: str, segment: int) -> None:
    torch.manual_seed(0)
    network = SeriesRnn(small(cell=cell, segment=segment))
    window = torch.randn(5, 10, 1)
    forecast = network(window, torch.zeros(5, 3, 0))
    torch.testing.assert_close(forecast, window[:, -1:, 0].expand(-1, 3), rtol=0, atol=1e-6)


def with_random_weights(config: SeriesRnnConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    network = SeriesRnn(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    return network.eval()


def test_each_step_depends_only_on_its_own_future() -> None:
    network = with_random_weights(small(channels=4, future=2))
    window, future = torch.randn(2, 10, 4), torch.randn(2, 3, 2)
    changed = future.clone()
    changed[:, 1] += 1
    difference = (network(window, changed) - network(window, future)).abs() > 1e-6
    assert difference.tolist() == [[False, True, False]] * 2


def test_a_free_run_is_the_network_fed_with_its_own_forecasts() -> None:
    network = SeriesRnn(small(**COURSE, channels=2, future=1)).eval()
    window, future = torch.randn(3, 20, 2), torch.randn(3, 4, 1)
    rows: Tensor = window
    expected = []
    with torch.no_grad():
        for step in range(4):
            out, _ = network.every_step(rows)  # reads everything again from a zero state
            expected.append(out.view(3, -1)[:, -1])
            rows = torch.cat([rows, torch.cat([expected[-1][:, None], future[:, step]], dim=1)[:, None]], dim=1)
        torch.testing.assert_close(network.free_run(window, future), torch.stack(expected, 1), rtol=1e-4, atol=1e-5)
