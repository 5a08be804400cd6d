"""The moving average of the weights."""

from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlnotes_cli.training.ema import MovingAverage, swapped_weights


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.sampled_from([0.5, 0.9, 0.999]))
def test_the_average_agrees_with_its_formula(values: list[float], decay: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    average, expected = MovingAverage(network, decay), 1.0
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(network, step)
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * value
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm1d(3)
    average = MovingAverage(network, 0.9)
    network(torch.randn(8, 3) + 5)
    average.update(network, 1)
    assert 0 < average.tensors["running_mean"].mean() < network.running_mean.mean()  # type: ignore[union-attr]
    assert average.tensors["num_batches_tracked"].item() == 1


def test_swapped_weights_are_restored_after_an_exception() -> None:
    network = nn.Linear(2, 2)
    original, other = network.weight.detach().clone(), {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    with suppress(KeyError), swapped_weights(network, other):
        assert torch.equal(network.weight, torch.ones(2, 2))
        raise KeyError
    assert torch.equal(network.weight, original)
