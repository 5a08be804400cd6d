"""Optimizers against their formulas in float64."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.optimizers import MovingAverage, clear_tiny_averages, make_optimizer, swapped_weights
from dlnotes_cli.training.recipes import OptimizerSettings

Array = NDArray[np.float64]


def run_torch(name: str, gradients: Array, *, decay: float) -> Array:
    layer = nn.Linear(3, 2, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    optimizer = make_optimizer(layer, OptimizerSettings(name, 0.1, 0.9, decay))  # type: ignore[arg-type]
    for gradient in gradients:
        layer.weight.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.step()
    return layer.weight.detach().double().numpy()


def run_formulas(name: str, gradients: Array, *, decay: float) -> Array:
    w = np.full((2, 3), 0.5)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, start=1):
        g = gradient if name == "adamw" else gradient + decay * w
        if name == "sgd":
            m = 0.9 * m + g
            w = w - 0.1 * m
            continue
        if name == "nesterov":
            m = 0.9 * m + g
            w = w - 0.1 * (g + 0.9 * m)
            continue
        if name == "adagrad":
            v = v + g * g
            w = w - 0.1 * g / (np.sqrt(v) + 1e-10)
            continue
        if name == "adadelta":
            v = 0.9 * v + 0.1 * g * g
            change = np.sqrt(m + 1e-6) / np.sqrt(v + 1e-6) * g
            m = 0.9 * m + 0.1 * change * change
            w = w - 0.1 * change
            continue
        if name == "rmsprop":
            v = 0.99 * v + 0.01 * g * g
            w = w - 0.1 * g / (np.sqrt(v) + 1e-8)
            continue
        if name == "adamw":
            w = w * (1 - 0.1 * decay)
        b = 0.99 if name == "adamw" else 0.999
        m, v = 0.9 * m + 0.1 * g, b * v + (1 - b) * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - b**t)) + 1e-8)
    return w


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"])
def test_optimizers_agree_with_their_formulas(name: str, decay: float) -> None:
    gradients = np.random.default_rng(0).normal(size=(7, 2, 3))
    assert run_torch(name, gradients, decay=decay) == pytest.approx(
        run_formulas(name, gradients, decay=decay), abs=1e-5
    )


def test_only_weight_matrices_decay() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    groups = make_optimizer(network, OptimizerSettings("adamw", 0.1, 0.9, 0.5)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def test_groups_have_the_learning_rate_factors_of_their_parameters() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 2))
    network[2].requires_grad_(False)
    factors = {"0.weight": 0.1, "0.bias": 0.1}
    groups = make_optimizer(network, OptimizerSettings("adamw", 0.1, 0.0, 0.5), factors).param_groups
    shapes = {
        (group["lr_factor"], group["weight_decay"]): [tuple(p.shape) for p in group["params"]] for group in groups
    }
    assert shapes == {(0.1, 0.5): [(3, 2)], (0.1, 0.0): [(3,)], (1.0, 0.5): [(2, 3)], (1.0, 0.0): [(2,)]}


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(InputError, match="--momentum: nesterov needs a momentum above 0"):
        make_optimizer(nn.Linear(2, 2), OptimizerSettings("nesterov", 0.1, 0.0, 0.0))


def averages_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    values = [value for state in optimizer.state.values() for value in state.values()]
    return [value for value in values if isinstance(value, torch.Tensor) and value.ndim]


def has_subnormal(tensor: torch.Tensor) -> bool:
    smallest = torch.finfo(torch.float32).smallest_normal
    return bool(((tensor != 0) & (tensor.abs() < smallest)).any())


@pytest.mark.parametrize("name", ["nesterov", "adam", "adamw"])
def test_averages_of_gradients_that_stay_zero_never_become_subnormal(name: Any) -> None:
    cleared, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer, expected = (make_optimizer(each, OptimizerSettings(name, 0.01, 0.9, 0.1)) for each in (cleared, plain))
    was_subnormal = False
    for step in range(1200):
        for parameter in (*cleared.parameters(), *plain.parameters()):
            parameter.grad = torch.full_like(parameter, 0.3 if step < 3 else 0.0)
        optimizer.step()
        expected.step()
        if step % 50 == 0:
            clear_tiny_averages(optimizer)
        was_subnormal |= any(map(has_subnormal, averages_of(expected)))
        assert not any(map(has_subnormal, averages_of(optimizer)))
    assert was_subnormal


def test_averages_that_matter_and_values_that_are_not_finite_stay() -> None:
    network = nn.Linear(3, 1, bias=False)
    optimizer = make_optimizer(network, OptimizerSettings("nesterov", 0.1, 0.5, 0.0))
    network.weight.grad = torch.tensor([[1e-31, -1e-33, float("nan")]])
    optimizer.step()
    clear_tiny_averages(optimizer)
    (buffer,) = averages_of(optimizer)
    torch.testing.assert_close(buffer[0, :2], torch.tensor([1e-31, 0.0]), rtol=1e-5, atol=0)
    assert buffer[0, 2].isnan()


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
