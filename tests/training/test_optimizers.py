"""Optimizers against their formulas in float64."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.optimizers import MovingAverage, clear_tiny_averages, make_optimizer, swapped_weights
from dlnotes_cli.training.recipes import OptimizerSettings


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda groups: torch.optim.SGD(groups, momentum=0.9)),
        ("nesterov", lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True)),
        ("adagrad", torch.optim.Adagrad),
        ("adadelta", torch.optim.Adadelta),
        ("rmsprop", torch.optim.RMSprop),
        ("adam", torch.optim.Adam),
        ("adamw", lambda groups: torch.optim.AdamW(groups, betas=(0.9, 0.99))),
    ],
)
def test_optimizers_are_those_of_torch_with_decay_of_matrices_only(name: Any, make: Any) -> None:
    found, expected = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)) for _ in range(2))
    expected.load_state_dict(found.state_dict())
    for network in (found, expected):
        network[2].bias.requires_grad_(False)
    groups: list[dict[str, Any]] = [
        {"params": [expected[0].weight], "weight_decay": 0.3, "lr": 0.1 * 0.5},
        {"params": [expected[2].weight], "weight_decay": 0.3, "lr": 0.1},
        {"params": [expected[0].bias, *expected[1].parameters()], "weight_decay": 0.0, "lr": 0.1},
    ]
    ours, theirs = make_optimizer(found, OptimizerSettings(name, 0.1, 0.9, 0.3), {"0.weight": 0.5}), make(groups)
    for group in ours.param_groups:
        group["lr"] *= group["lr_factor"]
    for seed in range(5):
        for network, optimizer in ((found, ours), (expected, theirs)):
            torch.manual_seed(seed)
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
            optimizer.step()
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_muon_takes_orthogonal_steps_on_filters_and_those_of_nesterov_on_the_rest() -> None:
    found, expected = nn.Conv2d(3, 8, 2), nn.Conv2d(3, 8, 2)
    expected.load_state_dict(found.state_dict())
    settings = OptimizerSettings("muon", 0.1, 0.9, 0.0)
    muon = make_optimizer(found, settings)
    nesterov = torch.optim.SGD([expected.bias], lr=0.1, momentum=0.9, nesterov=True)  # type: ignore[arg-type]
    gradients = [torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    averages = [gradients[0] * 1.6, gradients[1] * 1.6 + gradients[0] * 0.36]  # Nesterov momentum of 0.6
    for gradient, average in zip(gradients, averages, strict=True):
        before = found.weight.detach() * 8**0.5 / found.weight.detach().norm()
        found.weight.grad, found.bias.grad = gradient, torch.ones(8)  # type: ignore[union-attr]
        expected.bias.grad = torch.ones(8)  # type: ignore[union-attr]
        muon.step()
        nesterov.step()
        state, muon = muon.state_dict(), make_optimizer(found, settings)  # as after --resume
        muon.load_state_dict(state)
        step = ((before - found.weight.detach()) / 0.1).flatten(1).double()
        left, _, right = torch.linalg.svd(average.flatten(1).double(), full_matrices=False)
        values = left.T @ step @ right.T
        assert (values - values.diag().diag()).abs().max() < 1e-4  # the singular vectors are those of the gradient
        assert values.diag().min() > 0.3
        assert values.diag().max() < 1.4
        assert found.weight.grad is gradient
    torch.testing.assert_close(found.bias, expected.bias)


@pytest.mark.parametrize(
    ("name", "momentum", "message"),
    [
        ("nesterov", 0.0, "--momentum: nesterov needs a momentum above 0"),
        ("muon", 0.0, "--momentum: muon needs a momentum above 0"),
        ("muon", 0.9, "--optimizer: muon is for convolutions"),
    ],
)
def test_what_nesterov_and_muon_need(name: Any, momentum: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_optimizer(nn.Linear(2, 2), OptimizerSettings(name, 0.1, momentum, 0.0))


def has_subnormal(optimizer: torch.optim.Optimizer) -> bool:
    values = [value for state in optimizer.state.values() for value in state.values()]
    smallest = torch.finfo(torch.float32).smallest_normal
    averages = [value for value in values if isinstance(value, torch.Tensor) and value.ndim]
    return any(bool(((tensor != 0) & (tensor.abs() < smallest)).any()) for tensor in averages)


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
        was_subnormal |= has_subnormal(expected)
        assert not has_subnormal(optimizer)
    assert was_subnormal


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.sampled_from([0.5, 0.9, 0.999]))
def test_the_average_agrees_with_its_formula(values: list[float], decay: float) -> None:
    network = nn.BatchNorm1d(1)  # whose counter is copied
    average, expected = MovingAverage(network, decay), {"weight": 1.0, "running_mean": 0.0}
    for step, value in enumerate(values, 1):
        network.load_state_dict(network.state_dict() | dict.fromkeys(expected, torch.tensor([value])) | {
            "num_batches_tracked": torch.tensor(step)})  # fmt: skip
        average.update(network, step)
        d = min(decay, (1 + step) / (10 + step))
        expected = {name: d * before + (1 - d) * value for name, before in expected.items()}
    for name, wanted in expected.items():
        assert average.tensors[name].item() == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert average.tensors["num_batches_tracked"].item() == len(values)


def test_swapped_weights_are_restored_after_an_exception() -> None:
    network = nn.Linear(2, 2)
    original, other = network.weight.detach().clone(), {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    with suppress(KeyError), swapped_weights(network, other):
        assert torch.equal(network.weight, torch.ones(2, 2))
        raise KeyError
    assert torch.equal(network.weight, original)
