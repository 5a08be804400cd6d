"""Steps of optimizers against those of torch.optim, to the last bit, and averages that become tiny."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlnotes_cli.training.engine.optimizer_step import OptimizerStep
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False))


def tensors_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    states = optimizer.state_dict()["state"].values()
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


@settings(max_examples=30)
@given(
    name=st.sampled_from(["sgd", "nesterov", "rmsprop", "adagrad", "adadelta", "adam", "adamw"]),
    momentum=st.sampled_from([0.0, 0.9]),
    decay=st.sampled_from([0.0, 0.3]),
    factor=st.sampled_from([1.0, 0.1]),
    without_gradient=st.integers(1, 30),
    loads_state_at=st.integers(0, 30),
)
def test_twenty_steps_have_the_bits_of_torch(
    name: Any, momentum: float, decay: float, factor: float, without_gradient: int, loads_state_at: int
) -> None:
    networks = [make_network(), make_network()]
    chosen = OptimizerSettings(name, 0.1, momentum or (0.5 if name == "nesterov" else 0.0), decay)
    expected, optimizer = (make_optimizer(each, chosen, {"0.weight": factor}) for each in networks)
    step = OptimizerStep(optimizer)
    generator = torch.Generator().manual_seed(1)
    for number in range(20):
        for group, same in zip(expected.param_groups, optimizer.param_groups, strict=True):
            group["lr"] = same["lr"] = 0.1 / (1 + number) * group["lr_factor"]
        step.remove_gradients()
        for index, (a, b) in enumerate(zip(*(each.parameters() for each in networks), strict=True)):
            has_gradient = index > 0 or number != without_gradient
            a.grad = torch.randn(a.shape, generator=generator) if has_gradient else None
            assert b.grad is None
            b.grad = None if a.grad is None else a.grad.clone()
        if number == loads_state_at:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        expected.step()
        step(number + 1)
        assert all(map(torch.equal, *(each.state_dict().values() for each in networks)))
        assert all(map(torch.equal, tensors_of(expected), tensors_of(optimizer)))


def test_hooks_of_the_optimizer_are_called() -> None:
    network = make_network()
    optimizer = make_optimizer(network, OptimizerSettings("sgd", 0.1, 0.0, 0.0))
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step = OptimizerStep(optimizer)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    step(0)
    assert calls == [1]


@pytest.mark.parametrize("name", ["nesterov", "adam", "adamw", "rmsprop"])
def test_averages_of_gradients_that_stay_zero_never_become_subnormal(name: Any) -> None:
    networks = [make_network(), make_network()]
    chosen = OptimizerSettings(name, 0.01, 0.9, 0.1)
    expected, optimizer = (make_optimizer(each, chosen) for each in networks)
    step, was_subnormal = OptimizerStep(optimizer), False
    for number in range(1200):
        for a, b in zip(*(each.parameters() for each in networks), strict=True):
            a.grad = torch.full_like(a, 0.3 if number < 3 else 0.0)
            b.grad = a.grad.clone()
        expected.step()
        step(number)
        was_subnormal |= any(map(has_subnormal, tensors_of(expected)))
        assert not any(map(has_subnormal, tensors_of(optimizer)))
    assert was_subnormal == (name != "rmsprop")  # whose average decays more slowly
    for a, b in zip(*(each.parameters() for each in networks), strict=True):
        assert torch.equal(a, b)


def has_subnormal(tensor: Tensor) -> bool:
    return bool(((tensor != 0) & (tensor.abs() < SMALLEST_NORMAL)).any())


def test_averages_that_matter_and_values_that_are_not_finite_stay() -> None:
    network = nn.Linear(3, 1, bias=False)
    optimizer = make_optimizer(network, OptimizerSettings("nesterov", 0.1, 0.5, 0.0))
    step = OptimizerStep(optimizer)
    network.weight.grad = torch.tensor([[1e-31, -1e-33, float("nan")]])
    step(50)
    (buffer,) = tensors_of(optimizer)
    assert buffer[0, :2].tolist() == [pytest.approx(1e-31), 0.0]
    assert buffer[0, 2].isnan()
